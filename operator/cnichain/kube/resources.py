"""Resources of the API (group, version, plural, scope) and their URLs; discovery of what a server has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.api.names import GROUP, KIND_CHAIN, KIND_NODE, PLURAL_CHAINS, PLURAL_NODES, VERSION


@dataclass(frozen=True)
class Resource:
    """One kind of object as a URL needs it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`..."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """Path of a collection (no name) or of one object."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


CHAINS = Resource(GROUP, VERSION, PLURAL_CHAINS, KIND_CHAIN, namespaced=False)
CHAIN_NODES = Resource(GROUP, VERSION, PLURAL_NODES, KIND_NODE, namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", namespaced=True)
CILIUM_ENDPOINTS = Resource("cilium.io", "v2", "ciliumendpoints", "CiliumEndpoint", namespaced=True)
POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", namespaced=True)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)


@dataclass(frozen=True)
class Discovery:
    """What a server serves. Groups whose aggregated API is down are simply not in it."""

    by_kind: Mapping[tuple[str, str], Resource]
    """(apiVersion, kind) to its resource."""

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, None when the server does not serve it (yet)."""
        return self.by_kind.get((api_version, kind))

    def helm_api_versions(self) -> tuple[str, ...]:
        """The list that helm's `Capabilities.APIVersions` holds on a live cluster: versions, and version/Kind."""
        versions = {api_version for api_version, _ in self.by_kind}
        return tuple(sorted(versions | {f"{api_version}/{kind}" for api_version, kind in self.by_kind}))


DISCOVERY_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def parse_discovery(documents: Iterable[Mapping[str, Any]]) -> Discovery:
    """Discovery from the aggregated documents of /api and /apis (apidiscovery.k8s.io/v2, Kubernetes 1.30 and later)."""
    found: dict[tuple[str, str], Resource] = {}
    for document in documents:
        for group in document.get("items", []):
            group_name = group.get("metadata", {}).get("name", "")
            for version in group.get("versions", []):
                for item in version.get("resources", []):
                    kind = item.get("responseKind", {}).get("kind", "")
                    resource = Resource(
                        group_name, version["version"], item["resource"], kind, item["scope"] == "Namespaced"
                    )
                    found[resource.api_version, kind] = resource
    return Discovery(found)
