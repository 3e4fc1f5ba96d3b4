"""Pods of certain images misbehave, from now on: kwok plays it, as dev/podstages.py says.

kwok's stages are read once, at its start, and a test names images while it runs. So the API server marks the pods: a
MutatingAdmissionPolicy gives each new pod with one of the images the annotation that a stage answers to. The operator
and its objects know nothing of it; only the pods of those images differ.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from cnichain.dev.podstages import AT_ONCE, CRASH, STUCK, UNREADY
from harness import Harness

Object = dict[str, Any]

CRASHES = (CRASH, AT_ONCE)
NEVER_READY = (UNREADY, "yes")
NO_IMAGE = (STUCK, "ImagePullBackOff")
NAME = "faulty-pods"
_GROUP = "admissionregistration.k8s.io/v1"


def crashes_after(seconds: int) -> tuple[str, str]:
    """Ready at first, and after so many seconds it crashes again and again."""
    return CRASH, f"{seconds}s"


@contextmanager
def faulty_pods(world: Harness, images: Collection[str], fault: tuple[str, str]) -> Iterator[None]:
    """Each pod that is made in the block and has a container of one of the images has the fault."""
    annotation, value = fault
    probe = next(iter(images))
    for body in (_policy(images, annotation, value), _binding()):
        world.kubectl("create", "--filename=-", stdin=json.dumps(body))
    world.wait("the policy is at work", lambda: annotation in _annotations_of_new(world, probe), 60)
    try:
        yield
    finally:
        world.kubectl("delete", f"mutatingadmissionpolicybinding/{NAME}", f"mutatingadmissionpolicy/{NAME}")
        world.wait("the policy is gone", lambda: annotation not in _annotations_of_new(world, probe), 60)


def _policy(images: Collection[str], annotation: str, value: str) -> Object:
    listed = json.dumps(sorted(images))
    resource = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    condition = f"object.spec.containers.exists(one, one.image in {listed})"
    mark = f"Object{{metadata: Object.metadata{{annotations: {{{json.dumps(annotation)}: {json.dumps(value)}}}}}}}"
    return {
        "apiVersion": _GROUP,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": {"resourceRules": [resource]},
            "matchConditions": [{"name": "of-these-images", "expression": condition}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mark}}],
        },
    }


def _binding() -> Object:
    kind = "MutatingAdmissionPolicyBinding"
    return {"apiVersion": _GROUP, "kind": kind, "metadata": {"name": NAME}, "spec": {"policyName": NAME}}


def _annotations_of_new(world: Harness, image: str) -> Object:
    """Annotations that a new pod of an image would have."""
    command = ("run", "probe", f"--image={image}", "--dry-run=server", "--output=json", "--namespace=kube-system")
    found: Object = json.loads(world.kubectl(*command))["metadata"].get("annotations") or {}
    return found
