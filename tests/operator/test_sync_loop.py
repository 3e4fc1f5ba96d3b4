"""A GitOps tool that applies the same manifest again and again, while the operator looks once a second.

Both tools' ways, by the real kubectl: Argo CD applies as a client does (a patch of what differs from the annotation) or
by server-side apply, Flux by server-side apply with force. Each marks the object as its own.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from harness import AT_ONCE, ROOT, WRITES, Harness

pytestmark = pytest.mark.controlplane

ROUNDS = 20
TIMES = 5
"""In one run of kubectl, which applies each document of its input by itself: 100 in all."""
ARGO_CD, FLUX = "argocd-controller", "kustomize-controller"
WAYS = (
    (ARGO_CD, ()),
    (FLUX, ("--server-side", "--force-conflicts")),
    (ARGO_CD, ("--server-side", "--force-conflicts")),
    (FLUX, ("--server-side", "--force-conflicts")),
)
MARKS = {
    ARGO_CD: {"annotations": {"argocd.argoproj.io/tracking-id": "net:cnichain.io/CNIChain:default"}},
    FLUX: {
        "labels": {"kustomize.toolkit.fluxcd.io/name": "net", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    },
}
OF_THE_CHAIN = "/cnichains/default"


def manifest_of(manager: str) -> dict[str, Any]:
    """The example of the documentation, as the tool applies it."""
    body: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "eks.yaml").read_text(encoding="utf-8"))
    body["metadata"] |= MARKS[manager]
    body["spec"]["rollout"] = AT_ONCE
    return body


def apply(world: Harness, number: int) -> None:
    """The manifest TIMES times, in the way of this round."""
    manager, flags = WAYS[number % len(WAYS)]
    stream = yaml.safe_dump_all([manifest_of(manager)] * TIMES)
    world.kubectl("apply", f"--field-manager={manager}", *flags, "--filename=-", stdin=stream)


@pytest.fixture(scope="module")
def settled(world: Harness) -> Iterator[Harness]:
    """A chain that both tools have applied once, Ready, with an operator that looks once a second."""
    with ExitStack() as stack:
        stack.enter_context(world.agents())
        for number in range(len(WAYS)):
            apply(world, number)
        stack.enter_context(world.operator(resync_seconds="1"))
        world.wait_ready()
        yield world


def writes_on_the_chain(world: Harness, start: int) -> list[dict[str, Any]]:
    """The operator's writes on the CNIChain itself since a line of the audit log."""
    return [
        item for item in world.audited(start) if item["verb"] in WRITES and OF_THE_CHAIN in item["requestURI"]
    ]  # fmt: skip


def passes(world: Harness, start: int) -> int:
    """How often the operator has read its inventory since a line of the audit log: once a pass."""
    return len([item for item in world.audited(start) if "inventory" in item["requestURI"] and item["verb"] == "get"])


def test_a_hundred_applies_leave_no_difference_and_are_answered_by_no_write(settled: Harness) -> None:
    before = settled.get("cnichain", "default")
    start = settled.audit_length()
    for number in range(ROUNDS):
        apply(settled, number)
    settled.wait("a few passes beside the applies", lambda: passes(settled, start) >= 3, 30)
    after = settled.get("cnichain", "default", "--show-managed-fields")
    asked = [
        item for item in settled.audit(start) if OF_THE_CHAIN in item["requestURI"] and "kubectl" in item["userAgent"]
    ]  # fmt: skip
    assert len(asked) >= ROUNDS * TIMES, "each apply reached the API server"
    assert after["spec"] == manifest_of(ARGO_CD)["spec"], "the operator put nothing into the spec, nor took from it"
    assert (after["metadata"]["generation"], before["metadata"]["generation"]) == (1, 1)
    annotations = set(after["metadata"]["annotations"]) - {"kubectl.kubernetes.io/last-applied-configuration"}
    assert annotations == set(MARKS[ARGO_CD]["annotations"])
    assert after["metadata"]["labels"] == MARKS[FLUX]["labels"]
    written = writes_on_the_chain(settled, start)
    told = [f"{item['verb']} {item['requestURI']}" for item in written]
    assert len(written) <= 2, f"a write that answers each apply is a loop of two controllers: {told}"
    others = [item for item in settled.audited(start) if item["verb"] in WRITES and item not in written]
    assert [f"{item['verb']} {item['requestURI']}" for item in others if "leases" not in item["requestURI"]] == []
    assert settled.conditions()["Ready"]["status"] == "True"


def test_the_operator_owns_nothing_that_a_tool_applies(settled: Harness) -> None:
    found = settled.get("cnichain", "default", "--show-managed-fields")["metadata"]["managedFields"]
    mine = [item for item in found if item["manager"].startswith("cnichain") and item.get("subresource") != "status"]
    owned = json.dumps([item["fieldsV1"] for item in mine])
    assert "f:spec" not in owned
    assert "f:labels" not in owned
    assert "f:annotations" not in owned


def test_argo_cd_and_flux_see_no_difference(settled: Harness) -> None:
    """By dry runs of both ways: what each tool would call a difference is a new resourceVersion or another body."""
    live = settled.get("cnichain", "default", "--show-managed-fields")
    for number in (1, 2):
        manager, flags = WAYS[number]
        text = json.dumps(manifest_of(manager))
        dry = settled.kubectl(
            "apply", f"--field-manager={manager}", *flags, "--dry-run=server", "--output=json", "--show-managed-fields",
            "--filename=-", stdin=text,
        )  # fmt: skip
        would = json.loads(dry)
        assert (would["spec"], would["metadata"]["labels"]) == (live["spec"], live["metadata"]["labels"]), manager
        assert would["metadata"]["annotations"] == live["metadata"]["annotations"], manager
        assert would["metadata"]["generation"] == 1
