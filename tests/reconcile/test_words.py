"""Verdicts that say that all is well: they have codes of their own, which a reader may look for."""

from cnichain.api.reasons import Reason
from cnichain.plan.coverage import Coverage
from cnichain.reconcile.coveragewords import verdict
from cnichain.reconcile.rejection import rolled_back
from cnichain.reconcile.report import Report


def test_where_every_pod_is_managed_it_says_so() -> None:
    said = verdict(Coverage(managed=3))
    assert (said.status, said.reason) == ("True", Reason.ALL_MANAGED)


def test_where_nothing_was_taken_back_it_says_so() -> None:
    said = rolled_back(Report(generation=1))
    assert (said.status, said.reason) == ("False", Reason.NO_ROLLBACK)
