"""Preflight on demand: the checks of a pass and those of the spec itself, by whoever has a kubeconfig. Reads only."""

import asyncio
from dataclasses import dataclass

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.catalogue.model import Catalogue, PrimaryRule
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CHAIN_NODES, DAEMON_SETS, NODES, Resource
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.seen import nodes_seen, reports_seen
from cnichain.preflight.finding import Result
from cnichain.preflight.gathered import NodesSeen, ReportsSeen, Unread
from cnichain.preflight.registry import run_checks
from cnichain.preflight.subject import Subject
from cnichain.reconcile.gather import gather, read
from cnichain.render.speccheck import spec_results


@dataclass(frozen=True)
class Examination:
    """kubernetes: the API server's version. results: of all checks, those of the spec first."""

    kubernetes: str
    results: list[Result]


async def examine(client: KubeClient, spec: CNIChainSpec, catalogue: Catalogue, installed: str) -> Examination:
    """All checks for a spec; installed: the Cilium version that is there, or "". Raises ApiError."""
    kubernetes = await client.server_version()
    about_spec = spec_results(spec, catalogue, installed)
    try:
        rule = catalogue.primary(spec.primary.plugin)
    except ChainError:
        # spec_results has said so; without a rule nobody knows what to look for in the cluster.
        return Examination(kubernetes, about_spec)
    subject = await _subject(client, spec, catalogue, rule, kubernetes)
    # YAML, and thousands of nodes, perhaps: not on the event loop, whose connections would wait.
    return Examination(kubernetes, about_spec + await asyncio.to_thread(run_checks, subject))


async def _subject(
    client: KubeClient, spec: CNIChainSpec, catalogue: Catalogue, rule: PrimaryRule, kubernetes: str
) -> Subject:
    primary = await read(
        f"get DaemonSet {rule.namespace}/{rule.daemon_set}",
        client.get(DAEMON_SETS, rule.daemon_set, rule.namespace),
        None,
    )
    nodes, reports = await asyncio.gather(_list(client, NODES), _list(client, CHAIN_NODES))
    return Subject(
        spec=spec,
        catalogue=catalogue,
        rule=rule,
        kubernetes=kubernetes,
        primary_read=primary,
        nodes_read=nodes if isinstance(nodes, Unread) else _nodes(nodes, spec),
        reports_read=reports if isinstance(reports, Unread) else _reports(reports),
        gathered=await gather(client),
    )


async def _list(client: KubeClient, resource: Resource) -> list[Object] | Unread:
    nothing: tuple[list[Object], str] = ([], "")
    answer = await read(f"list {resource.plural}", client.list(resource), nothing)
    return answer if isinstance(answer, Unread) else answer[0]


def _nodes(items: list[Object], spec: CNIChainSpec) -> NodesSeen:
    return nodes_seen({record.name: record for record in map(node_record, items)}, spec.nodes.selector)


def _reports(items: list[Object]) -> ReportsSeen:
    return reports_seen({record.name: record for record in map(chain_node_record, items)})
