"""From objects of the API to what preflight keeps of them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from cnichain.api.names import FIELD_MANAGER, OWNER_LABEL
from cnichain.preflight.gathered import DaemonSetSeen

Object = Mapping[str, Any]

HELM_NAME, HELM_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
TEXT_LIMIT = 253
"""Names and images are this long at most, so that nothing large is kept of a foreign object."""
DEFAULT_MODE = "iptables"
"""kube-proxy's own default on Linux."""
ARGO_CD_KEYS = ("application.resourceTrackingMethod", "application.instanceLabelKey", "resource.exclusions")
MANAGERS_OF_CONTROL_PLANE = ("kube-controller-manager", FIELD_MANAGER)


def daemon_set_seen(item: Object) -> DaemonSetSeen:
    """A DaemonSet as preflight keeps it."""
    metadata = item["metadata"]
    pod = item["spec"]["template"]["spec"]
    containers = [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]
    return DaemonSetSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        images=tuple(dict.fromkeys(str(one.get("image", ""))[:TEXT_LIMIT] for one in containers)),
        owned=OWNER_LABEL in (metadata.get("labels") or {}),
        helm_release=helm_release(metadata),
        managers=managers(metadata),
    )


def helm_release(metadata: Object) -> str:
    """`namespace/name` of the Helm release that an object's annotations name, "" when they name none."""
    annotations = metadata.get("annotations") or {}
    name = str(annotations.get(HELM_NAME, ""))[:TEXT_LIMIT]
    return f"{annotations.get(HELM_NAMESPACE, metadata.get('namespace', ''))}/{name}" if name else ""


def managers(metadata: Object) -> tuple[str, ...]:
    """Field managers of an object that are neither the control plane's own nor ours, sorted."""
    found = {str(entry.get("manager", "")) for entry in metadata.get("managedFields") or []}
    return tuple(sorted(found - {*MANAGERS_OF_CONTROL_PLANE, ""}))


def kube_proxy_mode(daemon_sets: Iterable[Object], config_maps: Iterable[Object]) -> str:
    """kube-proxy's mode, `none` when no DaemonSet runs it.

    A flag wins over a configuration file, as in kube-proxy itself. EKS keeps the file in kube-proxy-config (key
    `config`), kubeadm in kube-proxy (key `config.conf`).
    """
    running = [item for item in daemon_sets if _runs_kube_proxy(item)]
    if not running:
        return "none"
    flags = [flag for item in running for flag in _arguments(item) if flag.startswith("--proxy-mode=")]
    if flags:
        return flags[0].partition("=")[2].lower() or DEFAULT_MODE
    texts = [str(text) for item in config_maps for text in (item.get("data") or {}).values()]
    modes = (_mode(text) for text in texts)
    return next((mode for mode in modes if mode is not None), DEFAULT_MODE)


def _runs_kube_proxy(item: Object) -> bool:
    pod = item["spec"]["template"]["spec"]
    return item["metadata"]["name"] == "kube-proxy" or any(
        one.get("name") == "kube-proxy" for one in pod.get("containers") or []
    )


def _arguments(item: Object) -> list[str]:
    containers = item["spec"]["template"]["spec"].get("containers") or []
    return [str(one) for container in containers for key in ("command", "args") for one in container.get(key) or []]


def _mode(text: str) -> str | None:
    """`mode` of a KubeProxyConfiguration, None when the text is something else."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if not isinstance(document, Mapping) or document.get("kind") != "KubeProxyConfiguration":
        return None
    return str(document.get("mode") or DEFAULT_MODE).lower()


def argo_cd(config_map: Object | None) -> dict[str, str] | None:
    """The settings of argocd-cm that matter to a chain; None when there is no Argo CD.

    resource.exclusions is a text of any length: of it only is kept whether it names CiliumIdentity.
    """
    if config_map is None:
        return None
    data = config_map.get("data") or {}
    found = {key: str(data[key])[:TEXT_LIMIT] for key in ARGO_CD_KEYS[:2] if key in data}
    if "CiliumIdentity" in str(data.get(ARGO_CD_KEYS[2], "")):
        found[ARGO_CD_KEYS[2]] = "CiliumIdentity"
    return found


def calico_dataplane(installation: Object | None, felix: Object | None) -> str:
    """Calico's data plane: of the operator's Installation, or BPF when Felix itself is told so; "" when unknown."""
    if ((felix or {}).get("spec") or {}).get("bpfEnabled") is True:
        return "BPF"
    if installation is None:
        return ""
    network = (installation.get("spec") or {}).get("calicoNetwork") or {}
    return str(network.get("linuxDataplane") or "Iptables")


def cidrs_of_services(items: Iterable[Object]) -> tuple[str, ...]:
    """The CIDRs of ServiceCIDR objects."""
    return tuple(sorted({str(cidr) for item in items for cidr in item["spec"].get("cidrs") or []}))


def cidrs_of_pools(items: Iterable[Object]) -> tuple[str, ...]:
    """The CIDRs of Calico's IPPools that are in use."""
    return tuple(
        sorted(
            {
                str(item["spec"]["cidr"])
                for item in items
                if item["spec"].get("cidr") and not item["spec"].get("disabled")
            }
        )
    )
