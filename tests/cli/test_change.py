"""The user's own changes of a CNIChain: small patches that say what they were made for."""

from typing import Any

import pytest

from chainobjects import chain
from cnichain.api.chain import parse_spec
from cnichain.cli.change import choose, differences, differences_text, paused, retried, rolled_back
from cnichain.plan.history import Good, History
from cnichain.rollout.course import EARLIER_KEPT, accept, content_digest, content_of

OLD: dict[str, Any] = {"cilium": {"version": "1.17.3", "values": {"debug": {"enabled": True}}}}
NEW: dict[str, Any] = {
    "cilium": {"version": "1.17.18"},
    "policyEngine": "Cilium",
    "conflist": {"onCiliumDown": "Open"},
    "rollout": {"maxUnavailable": "3"},
}
MADE_FOR = {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def good(spec: dict[str, Any], revision: int) -> Good:
    parsed = parse_spec(spec)
    content = content_digest(parsed, {})
    return Good(content, parsed.cilium.version, content_of(parsed), f"2026-11-2{revision}", revision)


def test_pause_makes_what_is_missing_and_leaves_the_rest_alone() -> None:
    assert paused(chain(spec=OLD), to=True) == [
        MADE_FOR,
        {"op": "add", "path": "/spec/rollout", "value": {"paused": True}},
    ]
    assert paused(chain(spec=NEW), to=True) == [
        MADE_FOR,
        {"op": "add", "path": "/spec/rollout/paused", "value": True},
    ]


@pytest.mark.parametrize(("spec", "to"), [(OLD, False), (OLD | {"rollout": {"paused": True}}, True)])
def test_what_is_so_already_is_not_written(spec: dict[str, Any], to: bool) -> None:
    assert paused(chain(spec=spec), to=to) == []


def test_retry_keeps_other_annotations() -> None:
    raw = chain()
    assert retried(raw, "now")[1]["value"] == {"cnichain.io/retry": "now"}
    raw["metadata"]["annotations"] = {"a": "b"}
    assert retried(raw, "now")[1] == {"op": "add", "path": "/metadata/annotations/cnichain.io~1retry", "value": "now"}


def test_a_rollback_changes_only_what_differs_and_writes_no_defaults() -> None:
    patch = rolled_back(chain(spec=NEW), good(OLD, 1))
    assert patch == [
        MADE_FOR,
        {"op": "add", "path": "/spec/cilium", "value": OLD["cilium"]},
        {"op": "remove", "path": "/spec/conflist"},
    ], "policyEngine means the same, so the user's words stay; rollout says how, so it is never rolled back"


def test_a_rollback_to_what_is_there_is_empty() -> None:
    assert rolled_back(chain(spec=OLD), good(OLD, 1)) == []


def test_what_a_rollback_changes_is_told_field_by_field() -> None:
    found = differences(chain(spec=NEW), good(OLD, 1))
    assert [(one.path, one.before, one.after) for one in found] == [
        ("spec.cilium.version", "1.17.18", "1.17.3"),
        ("spec.cilium.values.debug", None, {"enabled": True}),
        ("spec.conflist.onCiliumDown", "Open", "Closed"),
    ]
    assert "  ~ spec.cilium.version\n      - 1.17.18\n      + 1.17.3\n" in differences_text(found)


def test_the_newest_good_revision_that_differs_is_chosen_or_the_one_that_is_named() -> None:
    history = History(good=good(NEW, 3), earlier=(good(OLD, 2), good({"cilium": {"version": "1.17.2"}}, 1)))
    assert choose(history, parse_spec(NEW), None) == good(OLD, 2), "the last good one is what spec asks for already"
    assert choose(history, parse_spec({"cilium": {"version": "1.18.1"}}), None) == good(NEW, 3)
    assert choose(history, parse_spec(NEW), 1) == history.earlier[1]
    assert choose(history, parse_spec(NEW), 3) is None
    assert choose(History(), parse_spec(NEW), None) is None


def test_good_revisions_are_remembered_each_once_and_not_for_ever() -> None:
    history = History()
    for number in [*range(1, 9), 7]:
        spec = parse_spec({"cilium": {"version": f"1.17.{number}"}})
        history = accept(history, spec, content_digest(spec, {}), "now", number)
    assert history.good is not None
    assert history.good.revision == 7
    assert [one.revision for one in history.earlier] == [8, 6, 5, 4, 3]
    assert len(history.earlier) == EARLIER_KEPT
