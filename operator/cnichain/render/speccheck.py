"""Checks of a spec by itself: whether this release, its catalogue and the chart take it. Pure."""

from collections.abc import Callable

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.preflight.finding import Category, Check, Finding, Result, ok, refused, warning
from cnichain.preflight.policy import check_policy_engine
from cnichain.preflight.upgrade import check_step
from cnichain.render.available import check_available
from cnichain.render.values import build_values, value_notes

SOURCE = "spec of the CNIChain"
NO_FACTS = ClusterFacts("", (), 1, 1, None, None)
"""What values are built from beside spec decides about no refusal."""


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
        check_available(spec)
        return ok(f"{spec.primary.plugin.value}.")

    def known_version() -> Finding:
        catalogue.cilium_release(version)
        return ok(f"{version}.")

    def engine() -> Finding:
        check_policy_engine(spec)
        if spec.calico.enabled:
            catalogue.calico_release(spec.calico.version or "")
        return ok(f"{spec.policy_engine.value}.")

    def step() -> Finding:
        check_step(installed, version, catalogue)
        return ok(f"from {installed or 'nothing'} to {version}.")

    return [
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
