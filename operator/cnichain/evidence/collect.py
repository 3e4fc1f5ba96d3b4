"""Evidence of a chain, read from the cluster by whoever has a kubeconfig. Reads only.

What the caller may not read is noted and becomes a gap; an API server that fails is an error. Of each pod a few strings
are kept.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE, SINGLETON, SYSTEM_NAMESPACE
from cnichain.catalogue.model import Catalogue
from cnichain.evidence.gaps import OFF_NETWORK, POD_IDENTITY, SECURITY_GROUP, UNMANAGED, UNSELECTED, with_gaps
from cnichain.evidence.inventory import Kinds, inventory, unselected_pods
from cnichain.evidence.model import (
    CertificateFact,
    ChainFact,
    Cluster,
    Evidence,
    ExportFact,
    NodeFact,
    PodFact,
    VerdictFact,
)
from cnichain.evidence.project import (
    DROPS,
    FLOWS,
    certificate_facts,
    chain_fact,
    counted,
    export_fact,
    image_facts,
    images_of,
    node_fact,
    uses_pod_identity,
)
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import (
    CHAIN_NODES,
    CHAINS,
    CILIUM_ENDPOINTS,
    CONFIG_MAPS,
    NODES,
    PODS,
    SECRETS,
    Discovery,
    Resource,
)
from cnichain.plan.coverage import MEANING, Coverage, Rule, count, node_states
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, chain_node_record, node_record, out_of_scope_kind
from cnichain.plan.pods import HOST_NETWORK, EndpointRecord, PodRecord, endpoint_record, pod_record
from cnichain.plan.policies import Policy, Workload, cut_off_from_pod_identity, workload_labels
from cnichain.preflight.gathered import Unread
from cnichain.reconcile.drops import read_metrics
from cnichain.reconcile.gather import NAMESPACES, read
from cnichain.render.leaves import (
    METRICS_SECRET,
    RELAY_CLIENT_SECRET,
    RELAY_SERVER_SECRET,
    SERVER_SECRET,
    UI_CLIENT_SECRET,
)
from cnichain.render.rotation import CA_SECRET
from cnichain.rollout.drops import metrics_port

SECRETS_OF_CERTIFICATES = (
    CA_SECRET,
    SERVER_SECRET,
    RELAY_CLIENT_SECRET,
    RELAY_SERVER_SECRET,
    UI_CLIENT_SECRET,
    METRICS_SECRET,
)
NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
CONFIG, FLOW_LOGS = "cilium-config", "cilium-flowlog-config"
Key = tuple[str, str]
T = TypeVar("T")


@dataclass
class _Pods:
    """What one walk over all pods has kept."""

    records: dict[Key, PodRecord] = field(default_factory=dict)
    workloads: dict[Key, Workload] = field(default_factory=dict)
    images: set[tuple[str, str, str]] = field(default_factory=set)
    pod_identity: set[Key] = field(default_factory=set)


class Collector:
    """One look at a cluster. unread gathers what the caller may not read."""

    def __init__(self, client: KubeClient, catalogue: Catalogue, *, created: str, tool: str, metrics: bool) -> None:
        self._client = client
        self._catalogue = catalogue
        self._created = created
        self._tool = tool
        self._metrics = metrics
        self._unread: list[str] = []

    async def collect(self) -> Evidence:
        """The evidence, gaps included. Raises ApiError, and ChainError(SpecInvalid) for a spec of another release."""
        client = self._client
        version, discovery = await asyncio.gather(client.server_version(), client.discover())
        chain = await self._one(CHAINS, SINGLETON)
        spec = parse_spec(chain["spec"]) if chain else None
        nodes, reports, namespaces = await asyncio.gather(
            self._all(NODES), self._all(CHAIN_NODES), self._all(NAMESPACES, metadata_only=True)
        )
        labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in namespaces}
        pods = await self._walk(labels)
        endpoints, policies = await asyncio.gather(self._endpoints(discovery), self._policies(discovery))
        records = {item["metadata"]["name"]: node_record(item) for item in nodes}
        of_nodes = {item["metadata"]["name"]: chain_node_record(item) for item in reports}
        raw = {item["metadata"]["name"]: item for item in reports}
        selector = spec.nodes.selector if spec else {}
        covered = _coverage(pods, endpoints, records, of_nodes, selector)
        live = Counter(pod.node for pod in pods.records.values() if pod.live)
        config, flow_logs, certificates, verdicts = await asyncio.gather(
            self._one(CONFIG_MAPS, CONFIG, CILIUM_NAMESPACE),
            self._one(CONFIG_MAPS, FLOW_LOGS, CILIUM_NAMESPACE),
            self._certificates(),
            self._verdicts(
                spec, {name: node for name, node in records.items() if not out_of_scope_kind(node, selector)}
            ),
        )
        uid = next((item["metadata"]["uid"] for item in namespaces if item["metadata"]["name"] == CILIUM_NAMESPACE), "")
        on_network = _on_network(pods)
        profile = spec.hubble.export.profile.value if spec else ""
        return with_gaps(
            Evidence(
                created=self._created,
                tool=self._tool,
                cluster=Cluster(version, uid, len(records), sum(live.values())),
                chain=chain_fact(chain) if chain else ChainFact(),
                images=image_facts(pods.images, self._known_images(chain)),
                nodes=_node_facts(records, of_nodes, raw, selector, live),
                policies=inventory(policies, on_network, labels),
                verdicts=verdicts,
                export=export_fact(profile, config, flow_logs, self._created) if chain else ExportFact(),
                certificates=certificates,
                pods=_pod_lists(pods, covered, policies.parsed, on_network),
                managed=covered.managed,
                unread=tuple(self._unread),
            )
        )

    async def _one(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        where = f"{namespace}/{name}" if namespace else name
        found = await read(f"get {resource.kind} {where}", self._client.get(resource, name, namespace), None)
        return self._note(found, None)

    async def _all(self, resource: Resource, *, metadata_only: bool = False) -> list[Object]:
        nothing: tuple[list[Object], str] = ([], "")
        request = self._client.list(resource, metadata_only=metadata_only)
        return self._note(
            await read(f"list {resource.plural}.{resource.group}".rstrip("."), request, nothing), nothing
        )[0]

    def _note(self, found: T | Unread, absent: T) -> T:
        """The answer; what could not be read is noted, and counts as absent."""
        if isinstance(found, Unread):
            self._unread.append(found.why)
            return absent
        return found

    async def _walk(self, labels: Mapping[str, Mapping[str, str]]) -> _Pods:
        """All pods, page by page."""
        kept = _Pods()

        async def walk() -> _Pods:
            async for page, _ in self._client.pages(PODS, fields=NOT_FINISHED):
                for item in page:
                    _keep(kept, item, labels)
            return kept

        return self._note(await read("list pods", walk(), kept), kept)

    async def _endpoints(self, discovery: Discovery) -> dict[Key, EndpointRecord]:
        if discovery.resource(CILIUM_ENDPOINTS.api_version, CILIUM_ENDPOINTS.kind) is None:
            return {}
        return {
            (item["metadata"]["namespace"], item["metadata"]["name"]): endpoint_record(item)
            for item in await self._all(CILIUM_ENDPOINTS)
        }

    async def _policies(self, discovery: Discovery) -> Kinds:
        kinds = Kinds.served(discovery)
        listed = await asyncio.gather(*(self._all(resource) for resource in kinds.resources.values()))
        return kinds.with_items(dict(zip(kinds.resources, listed, strict=True)))

    async def _certificates(self) -> tuple[CertificateFact, ...]:
        secrets = await asyncio.gather(
            *(self._one(SECRETS, name, CILIUM_NAMESPACE) for name in SECRETS_OF_CERTIFICATES)
        )
        return tuple(
            fact
            for name, secret in zip(SECRETS_OF_CERTIFICATES, secrets, strict=True)
            if secret is not None
            for fact in certificate_facts(name, secret)
        )

    async def _verdicts(self, spec: CNIChainSpec | None, nodes: Mapping[str, NodeRecord]) -> VerdictFact:
        """Hubble's counters of the nodes in scope, added up."""
        addresses = {name: node.address for name, node in sorted(nodes.items())}
        if not self._metrics or spec is None:
            return VerdictFact(unread={"all nodes": "not asked for"})
        port = metrics_port(_metric_values(spec))
        if port is None:
            return VerdictFact(len(addresses), unread={"all nodes": "the metric set drop is off, or behind TLS"})
        answers = await read_metrics(addresses, (FLOWS, DROPS), port)
        unread = {name: answer.why for name, answer in answers.items() if answer.text is None}
        try:
            flows, drops = counted(answer.text for answer in answers.values() if answer.text is not None)
        except ValueError as error:
            return VerdictFact(len(addresses), unread={"all nodes": f"what they answer cannot be read: {error}"})
        return VerdictFact(len(addresses), len(answers) - len(unread), flows, drops, unread)

    def _known_images(self, chain: Object | None) -> frozenset[str]:
        """The images of the Cilium that is installed, by the catalogue; empty for a version that is not in it."""
        versions = ((chain or {}).get("status") or {}).get("versions") or {}
        version = versions.get("cilium") or versions.get("ciliumTarget") or ""
        try:
            return frozenset(item.image for item in self._catalogue.cilium_release(version).images)
        except ChainError:
            return frozenset()


def _keep(kept: _Pods, item: Object, labels: Mapping[str, Mapping[str, str]]) -> None:
    record = pod_record(item)
    key = record.namespace, record.name
    kept.records[key] = record
    account = str((item.get("spec") or {}).get("serviceAccountName") or "default")
    own = item["metadata"].get("labels") or {}
    added = workload_labels(record.namespace, own, labels.get(record.namespace), account)
    kept.workloads[key] = Workload(record.namespace, record.name, added)
    if record.live and (record.part_of or record.namespace == SYSTEM_NAMESPACE):
        kept.images |= set(images_of(item, str(record.workload)))
    if uses_pod_identity(item):
        kept.pod_identity.add(key)


def _metric_values(spec: CNIChainSpec) -> dict[str, Any]:
    """The values that say where Hubble's metrics are."""
    hubble = spec.cilium.values.get("hubble")
    of_user = hubble.get("metrics") if isinstance(hubble, Mapping) else None
    mine = of_user if isinstance(of_user, Mapping) else {}
    return {"hubble": {"metrics": {**mine, "enabled": [metric.value for metric in spec.hubble.metrics]}}}


def _coverage(
    pods: _Pods,
    endpoints: Mapping[Key, EndpointRecord],
    nodes: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    selector: Mapping[str, str],
) -> Coverage:
    states = node_states(nodes, reports, selector, pods.records.values())
    return count(pods.records, endpoints, states, {}, time.time(), Rule(confirm=0))


def _on_network(pods: _Pods) -> list[Workload]:
    """Pods that policies could hold for: those that live on the pod network."""
    return [pods.workloads[key] for key, pod in sorted(pods.records.items()) if pod.live and not pod.kind]


def _node_facts(
    nodes: Mapping[str, NodeRecord],
    reports: Mapping[str, ChainNodeRecord],
    raw: Mapping[str, Object],
    selector: Mapping[str, str],
    live: Mapping[str, int],
) -> tuple[NodeFact, ...]:
    return tuple(
        node_fact(node, reports.get(name), raw.get(name), selector, live.get(name, 0))
        for name, node in sorted(nodes.items())
    )


def _pod_lists(
    pods: _Pods, covered: Coverage, policies: tuple[Policy, ...], on_network: list[Workload]
) -> dict[str, tuple[PodFact, ...]]:
    """Pods to know of, by key, each list sorted by name."""
    records = [record for _, record in sorted(pods.records.items()) if record.live]
    identity = [one for one in on_network if (one.namespace, one.name) in pods.pod_identity]

    def fact(namespace: str, name: str, why: str = "") -> PodFact:
        return PodFact(namespace, name, pods.records[namespace, name].node, why)

    return {
        OFF_NETWORK: tuple(fact(one.namespace, one.name) for one in records if one.kind == HOST_NETWORK),
        UNMANAGED: tuple(fact(one.pod.namespace, one.pod.name, MEANING[one.cause]) for one in covered.unmanaged),
        SECURITY_GROUP: tuple(fact(one.namespace, one.name) for one in records if one.security_group),
        UNSELECTED: tuple(fact(one.namespace, one.name) for one in unselected_pods(policies, on_network)),
        POD_IDENTITY: tuple(
            fact(one.namespace, one.name) for one in identity if cut_off_from_pod_identity(policies, one)
        ),
    }
