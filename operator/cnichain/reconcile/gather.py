"""What preflight has to ask the API server for beside the watches. Reads only, about a dozen small requests.

Whatever may not be read becomes `Unread`, so that it makes its own checks unknown and fails nothing. Of what is read
only what the checks need is kept: no object of the cluster outlives the call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cnichain.api.names import CILIUM_NAMESPACE
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, Resource
from cnichain.preflight.gathered import Gathered, Unread
from cnichain.preflight.nodepools import node_pools_seen
from cnichain.preflight.project import (
    argo_cd,
    calico_dataplane,
    cidrs_of_pools,
    cidrs_of_services,
    daemon_set_seen,
    kube_proxy_mode,
)
from cnichain.preflight.webhooks import webhooks_seen

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
MUTATING = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATING = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)
INSTALLATIONS = Resource("operator.tigera.io", "v1", "installations", "Installation", namespaced=False)
FELIX = Resource("crd.projectcalico.org", "v1", "felixconfigurations", "FelixConfiguration", namespaced=False)
IP_POOLS = Resource("crd.projectcalico.org", "v1", "ippools", "IPPool", namespaced=False)
NODE_POOLS = Resource("karpenter.sh", "v1", "nodepools", "NodePool", namespaced=False)

KUBE_PROXY_CONFIGS = ("kube-proxy-config", "kube-proxy")
TIGERA_OPERATOR_LABEL = "k8s-app=tigera-operator"
CALICO_NAMESPACE, ACTIVE_OPERATOR, ACTIVE_KEY = "calico-system", "active-operator", "active-namespace"
ARGO_CD_NAMESPACE, ARGO_CD_CONFIG = "argocd", "argocd-cm"
SAID_LIMIT = 400

T = TypeVar("T")


async def read(doing: str, request: Awaitable[T], absent: T) -> T | Unread:
    """The answer of a request; `absent` when its kind is not served, Unread when it is forbidden.

    Raises ApiError for everything else: an API server that fails is no finding about the cluster.
    """
    try:
        return await request
    except ApiError as error:
        if error.status == 404:
            return absent
        if error.status in {401, 403}:
            return Unread(f"{doing}: {error.message[:SAID_LIMIT]}")
        raise


async def gather(client: KubeClient) -> Gathered:
    """Everything that the checks need beside nodes, node reports and the primary's DaemonSet. Raises ApiError."""

    async def one(resource: Resource, name: str, namespace: str | None = None) -> Object | Unread | None:
        where = f"{namespace}/{name}" if namespace else name
        return await read(f"get {resource.kind} {where}", client.get(resource, name, namespace), None)

    async def all_of(resource: Resource, labels: str = "", *, metadata_only: bool = False) -> list[Object] | Unread:
        nothing: tuple[list[Object], str] = ([], "")
        request = client.list(resource, labels=labels, metadata_only=metadata_only)
        answer = await read(f"list {resource.plural}", request, nothing)
        return answer if isinstance(answer, Unread) else answer[0]

    daemon_sets, operators, mutating, validating, service_cidrs, pools, node_pools = await asyncio.gather(
        all_of(DAEMON_SETS),
        all_of(DEPLOYMENTS, TIGERA_OPERATOR_LABEL, metadata_only=True),
        all_of(MUTATING),
        all_of(VALIDATING),
        all_of(SERVICE_CIDRS),
        all_of(IP_POOLS),
        all_of(NODE_POOLS),
    )
    namespace, active, argo, installation, felix, *proxies = await asyncio.gather(
        one(NAMESPACES, CILIUM_NAMESPACE),
        one(CONFIG_MAPS, ACTIVE_OPERATOR, CALICO_NAMESPACE),
        one(CONFIG_MAPS, ARGO_CD_CONFIG, ARGO_CD_NAMESPACE),
        one(INSTALLATIONS, "default"),
        one(FELIX, "default"),
        *(one(CONFIG_MAPS, name, CILIUM_NAMESPACE) for name in KUBE_PROXY_CONFIGS),
    )
    return Gathered(
        daemon_sets=_with(lambda items: tuple(map(daemon_set_seen, items)), daemon_sets),
        kube_proxy_mode=_with(
            lambda items, *maps: kube_proxy_mode(items, [one for one in maps if one]), daemon_sets, *proxies
        ),
        tigera_operators=_with(lambda items: tuple(sorted(map(_place, items))), operators),
        active_operator=_with(lambda item: str(((item or {}).get("data") or {}).get(ACTIVE_KEY, "")), active),
        calico_dataplane=_with(calico_dataplane, installation, felix),
        webhooks=_with(
            lambda first, second, space: webhooks_seen([*first, *second], space), mutating, validating, namespace
        ),
        service_cidrs=_with(cidrs_of_services, service_cidrs),
        ip_pools=_with(cidrs_of_pools, pools),
        argo_cd=_with(argo_cd, argo),
        node_pools=_with(node_pools_seen, node_pools),
    )


def _with(make: Callable[..., T], *inputs: object) -> T | Unread:
    """What `make` says of inputs that could all be read, else the first that could not."""
    unread = next((item for item in inputs if isinstance(item, Unread)), None)
    return make(*inputs) if unread is None else unread


def _place(item: Object) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
