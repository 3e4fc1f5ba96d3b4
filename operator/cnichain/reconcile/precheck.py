"""Preflight on demand: the checks of a pass and those of the spec itself, by whoever has a kubeconfig. Reads only."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue, PrimaryRule
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.resources import CHAIN_NODES, DAEMON_SETS, NODES, Resource
from cnichain.plan.nodes import chain_node_record, node_record
from cnichain.plan.seen import nodes_seen, reports_seen
from cnichain.preflight.facts import ClusterFacts
from cnichain.preflight.finding import Category, Check, Finding, Result, ok, refused, warning
from cnichain.preflight.gathered import NodesSeen, ReportsSeen, Unread
from cnichain.preflight.policy import check_policy_engine
from cnichain.preflight.registry import run_checks
from cnichain.preflight.subject import Subject
from cnichain.preflight.upgrade import check_step
from cnichain.reconcile.gather import gather, read
from cnichain.render.available import check_available
from cnichain.render.values import build_values, value_notes

SOURCE = "spec of the CNIChain"
NO_FACTS = ClusterFacts("", (), 1, 1, None, None)
"""What values are built from beside spec decides about no refusal."""


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


def spec_results(spec: CNIChainSpec, catalogue: Catalogue, installed: str) -> list[Result]:
    """What stands in the way in the spec itself; a pass finds it one after the other, here all is told at once."""
    version = spec.cilium.version

    def values() -> Finding:
        release = catalogue.cilium_release(version)
        build_values(spec, release, NO_FACTS)
        notes = value_notes(spec, release)
        return warning(Reason.VALUE_MOVED, " ".join(notes), SOURCE) if notes else ok("all can be set.")

    def known_primary() -> Finding:
        catalogue.primary(spec.primary.plugin)
        return ok(f"{spec.primary.plugin.value}.")

    def known_version() -> Finding:
        catalogue.cilium_release(version)
        return ok(f"{version}.")

    def features() -> Finding:
        check_available(spec)
        return ok("all are in this release.")

    def engine() -> Finding:
        check_policy_engine(spec)
        if spec.calico.enabled:
            catalogue.calico_release(spec.calico.version or "")
        return ok(f"{spec.policy_engine.value}.")

    def step() -> Finding:
        check_step(installed, version, catalogue)
        return ok(f"from {installed or 'nothing'} to {version}.")

    return [
        _result("features", "features", features),
        _result("primary-known", "primary CNI", known_primary),
        _result("cilium-known", "version of Cilium", known_version),
        _result("policy-engine", "policy engine", engine),
        _result("upgrade-step", "upgrade step", step),
        _result("spec-values", "values", values),
    ]


def _result(code: str, title: str, run: Callable[[], Finding]) -> Result:
    try:
        finding = run()
    except ChainError as error:
        finding = refused(error.reason, error.message, SOURCE)
    return Result(Check(code, Category.SPEC, title, lambda _: finding), finding)
