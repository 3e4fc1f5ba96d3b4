"""Calico as objects: the upstream manifests of tigera-operator, and the Installation that tells it what to do. Pure.

What is changed on the manifests, and why:

- A Helm hook is refused. The chart of tigera-operator has one that uninstalls Calico (`-pre-delete`); applied as a
  plain object it would run at once.
- `-manage-crds=true` becomes false. CRDs have one owner, and it is CNIChain for every version (3.26 has no other): so
  they are there, and served, before the operator that needs them, at the version that the catalogue pins. With two
  owners each would put back what the other wrote.
- `status` of the CRDs is left out: it is the API server's.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import CalicoRelease
from cnichain.render.manifests import Manifest, is_hook, manifest, sorted_by_kind, with_owner
from cnichain.render.stages import Stage
from cnichain.render.yamlstream import documents

API_VERSION = "operator.tigera.io/v1"
NAMESPACE = "tigera-operator"
DEPLOYMENT = "tigera-operator"
INSTALLATION = ObjectKey(API_VERSION, "Installation", "", "default")
MANAGES_CRDS = "-manage-crds=true"
LEAVES_CRDS = "-manage-crds=false"


@dataclass(frozen=True)
class RenderedCalico:
    """Calico's objects by stage, each in order of application, with the owner label."""

    release: CalicoRelease
    stages: Mapping[Stage, tuple[Manifest, ...]]


def render_calico(release: CalicoRelease, texts: Iterable[str], owner: str) -> RenderedCalico:
    """The objects of a release from the texts of its manifests.

    Takes a second or two of YAML, so keep it off the event loop. Raises ChainError: HookRefused, or RenderInvalid that
    names the object.
    """
    found: dict[ObjectKey, Manifest] = {}
    for text in texts:
        for item in _parse(text):
            if item.key in found:
                raise ChainError(Reason.RENDER_INVALID, f"{item.key} is in the manifests of Calico twice.")
            found[item.key] = with_owner(item, owner)
    everything = sorted_by_kind(found.values())
    for item in everything:
        # Worked out here once; a pass only compares it.
        _ = item.digest
    stages = {
        Stage.CALICO_CRDS: tuple(item for item in everything if item.kind == "CustomResourceDefinition"),
        Stage.CALICO_OPERATOR: tuple(item for item in everything if item.kind != "CustomResourceDefinition"),
        Stage.CALICO: (with_owner(installation(), owner),),
    }
    return RenderedCalico(release, stages)


def installation() -> Manifest:
    """The Installation: as little as says what Calico is here, a policy engine after the VPC CNI.

    tigera-operator writes its defaults into the same object under its own field manager, and what is left out is its
    own. Its lists have no merge keys, so `ipPools` is given whole: none, since the VPC CNI assigns the addresses.
    The data plane is named, since Calico's eBPF one would attach to the very interfaces that Cilium attaches to.
    `kubernetesProvider` is left to be found out: a wrong one is refused, and not every cluster with the VPC CNI is EKS.
    `containerIPForwarding` is left out: tigera-operator refuses it unless the CNI plugin is Calico's own
    (its pkg/controller/installation/validation.go), and would never make Calico available.
    """
    body = {
        "apiVersion": API_VERSION,
        "kind": INSTALLATION.kind,
        "metadata": {"name": INSTALLATION.name},
        "spec": {"cni": {"type": "AmazonVPC"}, "calicoNetwork": {"ipPools": [], "linuxDataplane": "Iptables"}},
    }
    return Manifest(API_VERSION, INSTALLATION.kind, None, INSTALLATION.name, body)


def kinds_of(crds: Iterable[Manifest]) -> list[tuple[str, str]]:
    """(apiVersion, kind) of everything that CRDs make the API server serve."""
    return [
        (f"{item.body['spec']['group']}/{version['name']}", item.body["spec"]["names"]["kind"])
        for item in crds
        for version in item.body["spec"]["versions"]
        if version.get("served")
    ]


def _parse(text: str) -> Iterator[Manifest]:
    for document in documents(text):
        if is_hook(document):
            name = document["metadata"].get("name")
            raise ChainError(Reason.HOOK_REFUSED, f"{document.get('kind')} {name} in a manifest of Calico is a hook.")
        item = manifest({key: value for key, value in document.items() if key != "status"})
        item.body["metadata"].pop("creationTimestamp", None)
        yield _leaving_crds(item) if (item.kind, item.name) == ("Deployment", DEPLOYMENT) else item


def _leaving_crds(item: Manifest) -> Manifest:
    """tigera-operator's Deployment, told to leave the CRDs alone."""
    body: dict[str, Any] = copy.deepcopy(item.body)
    for container in body["spec"]["template"]["spec"]["containers"]:
        if "args" in container:
            container["args"] = [LEAVES_CRDS if word == MANAGES_CRDS else word for word in container["args"]]
    return Manifest(item.api_version, item.kind, item.namespace, item.name, body)
