"""Which spec is in force after a change that failed."""

from typing import Any

import pytest

from cnichain.api.chain import Approval, CNIChainSpec, parse_spec
from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.plan.history import Good, History
from cnichain.rollout.course import Action, accept, action_for, content_digest, content_of, course

NO_ANNOTATIONS: dict[str, str] = {}


def spec(version: str = "1.17.18", **more: Any) -> CNIChainSpec:
    return parse_spec({"cilium": {"version": version}, **more})


def good(version: str = "1.17.3") -> Good:
    return Good(content_digest(spec(version), {}), version, content_of(spec(version)), "2026-11-24T12:00:00Z")


def failed(wanted: CNIChainSpec, action: Action = Action.ROLLED_BACK) -> RejectedStatus:
    return RejectedStatus(content=content_digest(wanted, {}), cilium=wanted.cilium.version, action=action.value)


def test_nothing_has_failed_so_the_users_spec_is_in_force() -> None:
    assert course(spec(), NO_ANNOTATIONS, History(good=good())).spec == spec()


def test_after_a_failure_the_good_one_is_in_force_with_the_users_word_on_how() -> None:
    wanted = spec(
        rollout={"maxUnavailable": "3", "approval": "Required"},
        deletionPolicy="Uninstall",
        nodes={"selector": {"a": "b"}},
    )
    found = course(wanted, NO_ANNOTATIONS, History(good=good(), rejected=failed(wanted)))
    assert found.action is Action.ROLLED_BACK
    assert found.spec.cilium.version == "1.17.3"
    assert found.spec.rollout.max_unavailable == "3"
    assert found.spec.nodes.selector == {"a": "b"}
    assert found.spec.deletion_policy == wanted.deletion_policy
    assert found.spec.rollout.approval is Approval.AUTOMATIC, "the way back needs nobody's word"


@pytest.mark.parametrize(
    "changed",
    [
        (spec("1.18.12"), {}),
        (spec(), {"cnichain.io/retry": "once more"}),
        (spec(conflist={"onCiliumDown": "Open"}), {}),
    ],
    ids=["another version", "another try", "another conflist"],
)
def test_another_change_is_tried(changed: tuple[CNIChainSpec, dict[str, str]]) -> None:
    wanted, annotations = changed
    assert course(wanted, annotations, History(good=good(), rejected=failed(spec()))).spec == wanted


def test_how_it_is_rolled_out_makes_it_no_other_change() -> None:
    again = spec(rollout={"canary": {"nodes": 5, "soak": "1h"}}, suspend=True)
    found = course(again, NO_ANNOTATIONS, History(good=good(), rejected=failed(spec())))
    assert found.action is Action.ROLLED_BACK


def test_a_good_revision_that_cannot_be_read_any_more_holds_the_change_where_it_is() -> None:
    unreadable = Good("x", "1.17.3", {"cilium": {"version": 3}}, "")
    found = course(spec(), NO_ANNOTATIONS, History(good=unreadable, rejected=failed(spec())))
    assert (found.action, found.spec) == (Action.HELD, spec())


def test_a_held_change_goes_back_once_auto_rollback_is_on() -> None:
    off, on = spec(rollout={"autoRollback": False}), spec()
    history = History(good=good(), rejected=failed(off, Action.HELD))
    assert course(off, NO_ANNOTATIONS, history).action is Action.HELD
    found = course(on, NO_ANNOTATIONS, history)
    assert found.action is Action.ROLLED_BACK
    assert found.rejected is not None
    assert found.rejected.back_to == "1.17.3"


@pytest.mark.parametrize(
    ("wanted", "known", "only_canary", "action"),
    [
        (spec(), good(), True, Action.ROLLED_BACK),
        (spec(), None, True, Action.UNCHAINED),
        (spec(), None, False, Action.HELD),
        (spec("1.17.3"), good(), True, Action.HELD),
        (spec(rollout={"autoRollback": False}), good(), True, Action.HELD),
        (spec(rollout={"autoRollback": False}), None, True, Action.HELD),
    ],
)
def test_what_is_done_about_a_failure(
    wanted: CNIChainSpec, known: Good | None, only_canary: bool, action: Action
) -> None:
    assert action_for(wanted, content_digest(wanted, {}), known, only_canary=only_canary) is action


def test_a_good_revision_forgets_the_failure_before_it() -> None:
    before = History(first_minor="1.17", good=good(), rejected=failed(spec("1.18.12")))
    after = accept(before, spec(), content_digest(spec(), {}), "2026-11-24T13:00:00Z")
    assert after.rejected is None
    assert after.first_minor == "1.17"
    assert after.good is not None
    assert after.good.cilium == "1.17.18"
    assert accept(after, spec(), content_digest(spec(), {}), "later") is after, "nothing new is not written again"
