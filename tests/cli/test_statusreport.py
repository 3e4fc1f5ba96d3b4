"""`cnichain status` is one screen that says what is so, what is wrong, and what to do."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainobjects import chain, condition, conditions
from cnichain.api.reasons import REASONS, Reason
from cnichain.cli.chainview import view
from cnichain.cli.layout import Style, link
from cnichain.cli.statusreport import as_data, as_text, problems
from cnichain.plan.history import Good

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
GOOD = Good("digest", "1.17.3", {}, "2026-11-28T12:05:00Z", 2)
PLAIN = Style()


def screen(raw: dict[str, Any], good: Good | None = GOOD) -> str:
    text = as_text(view(raw), good, NOW, PLAIN)
    assert max(map(len, text.splitlines())) <= 80, text
    return text


def test_a_chain_that_is_ready_is_told_on_less_than_a_screen() -> None:
    text = screen(chain())
    assert len(text.splitlines()) <= 24, "a terminal of 80 columns has 24 lines"
    assert text.startswith("√ CNIChain default: Ready\n")
    assert "√ Cilium    1.17.3: Cilium is available." in text
    assert "· Calico    off" in text
    assert "Nodes        3/3 verified; out of scope: 1 Fargate" in text
    assert "Pods         12 managed, 0 unmanaged; out of scope: 9 host network" in text
    assert "Certificates valid until 2027-11-28 (364d), CA until 2036-11-28" in text
    assert "Last good    revision 2, Cilium 1.17.3, since 2026-11-28T12:05:00Z" in text
    assert text.endswith("\nErrors: none")


def test_an_error_stands_last_once_with_what_to_do() -> None:
    told = "2/3 nodes verified. node-a: Shadowed: ConflistShadowed."
    changed = conditions(
        Ready=condition("Ready", "False", "NodesNotVerified", told),
        ChainReady=condition("ChainReady", "False", "NodesNotVerified", told),
        PodsManaged=condition("PodsManaged", "False", "UnmanagedPods", "4 pods."),
    )
    raw = chain(conditions=changed)
    text = screen(raw)
    assert text.startswith("× CNIChain default: not ready (NodesNotVerified)\n")
    errors = text.split("\nErrors\n")[1]
    assert errors.startswith("× ChainReady: NodesNotVerified\n  2/3 nodes verified.")
    assert errors.count("× ") == 1, "Ready says the same as ChainReady, so it is told once"
    assert "  -> `kubectl get cnichainnodes` shows" in errors
    assert link("NodesNotVerified") in errors
    assert errors.index("× ChainReady") < errors.index("‼ PodsManaged"), "what stops the chain comes before a warning"
    data = as_data(view(raw), GOOD)
    assert (data["ready"], data["reason"]) == (False, "NodesNotVerified")
    assert [one["level"] for one in data["errors"]] == ["error", "warning"]
    assert data["errors"][0]["fix"] == REASONS[Reason.NODES_NOT_VERIFIED].fix


def test_a_stalled_chain_tells_the_reason_of_the_part_and_its_fix() -> None:
    found = condition("Stalled", "True", "VersionUnknown", "1.2.3 is not in the catalogue.")
    changed = conditions(Stalled=found, Ready=condition("Ready", "False", "VersionUnknown", "1.2.3 is not known."))
    (one,) = problems(view(chain(conditions=changed)))
    assert (one.condition, one.level, one.reason) == ("Stalled", "error", "VersionUnknown")


def test_a_rollout_on_its_way_tells_wave_gate_and_since_when() -> None:
    told = "Stage agents: canary soaks"
    changed = conditions(
        Ready=condition("Ready", "False", "Soaking", told),
        CiliumReady=condition("CiliumReady", "False", "Soaking"),
        ChainReady=condition("ChainReady", "False", "NodesNotVerified", "1/3 nodes verified."),
    )
    text = screen(
        chain(
            spec={"cilium": {"version": "1.17.18"}, "rollout": {"probe": {"enabled": True}}},
            conditions=changed,
            rollout={"state": "Soaking", "done": 1, "total": 3, "wave": 1, "message": "1 canary is well"},
            waiting={"what": "the soak", "since": "2026-11-28T12:29:00Z"},
            versions={"cilium": "1.17.3", "ciliumTarget": "1.17.18"},
        )
    )
    assert "‼ Cilium    1.17.3 -> 1.17.18: CiliumReady is False." in text
    assert "‼ Chain     1/3 nodes verified." in text
    assert "Rollout      Soaking: 1 of 3 nodes, wave 1; 1 canary is well" in text
    assert "Gates        canary of 1, soak 2m, waves of 10%, probe pods" in text
    assert "Waits for    the soak, for 1m" in text
    assert text.endswith("Errors: none"), "a step on the way is no error"


def test_a_paused_chain_is_held_and_not_ready() -> None:
    changed = conditions(Ready=condition("Ready", "Unknown", "Paused", "A plan is held."))
    raw = chain(spec={"cilium": {"version": "1.17.3"}, "rollout": {"paused": True}}, conditions=changed)
    text = screen(raw)
    assert text.startswith("‼ CNIChain default: held (Paused)\n")
    assert "PAUSED (spec.rollout.paused)" in text
    assert not view(raw).is_ready


def test_ready_for_an_older_spec_is_not_ready() -> None:
    raw = chain(generation=2)
    assert not view(raw).is_ready
    assert "generation 2 has not been seen by the operator yet" in screen(raw)


def test_a_chain_that_no_operator_has_seen() -> None:
    raw = chain()
    del raw["status"]
    assert screen(raw, None).startswith("× CNIChain default: no operator has looked at it yet\n")


def test_certificates_that_have_ended_are_told_so() -> None:
    assert "Certificates valid ENDED on 2026-11-27" in screen(
        chain(certificates={"notAfter": "2026-11-27T12:00:00Z", "caNotAfter": "2036-11-28T12:00:00Z"})
    )


def test_what_cannot_be_read_is_named_and_the_rest_is_shown() -> None:
    raw = chain(pods={"managed": "many"}, rollout=["?"])
    raw["status"]["conditions"].append({"type": 3})
    text = screen(raw)
    assert text.startswith("√ CNIChain default: Ready\n"), "the conditions that can be read count"
    assert "Nodes        3/3 verified" in text
    assert "cannot read: status.conditions[13], status.pods, status.rollout." in text.replace("\n ", "")
    assert "\nPods " not in text


@pytest.mark.parametrize("status", ["text", 3, [], {"conditions": 3}, {"conditions": [None, {}]}])
def test_a_status_that_is_none_at_all_is_told_without_a_traceback(status: object) -> None:
    raw = chain()
    raw["status"] = status
    assert "its status cannot be read by this release" in screen(raw)
    assert as_data(view(raw), None)["errors"][-1]["reason"] == "Unreadable"


@given(
    reason=st.sampled_from([*(reason.value for reason in Reason), "FromANewerOperator"]),
    message=st.text(st.sampled_from("ab. ,:-/=äß×"), max_size=400),
    status=st.sampled_from(["True", "False", "Unknown"]),
    kind=st.sampled_from(["Ready", "Stalled", "ChainReady", "Drifted", "PodsManaged", "HubbleReady"]),
)
@example(reason="Ready", message=" ", status="True", kind="ChainReady")
def test_every_line_fits_80_columns(reason: str, message: str, status: str, kind: str) -> None:
    screen(chain(conditions=conditions(**{kind: condition(kind, status, reason, message)})))
    plain = as_text(view(chain()), GOOD, NOW, Style(plain=True))
    assert plain.isascii()


def test_colour_is_asked_for() -> None:
    assert "\x1b" in as_text(view(chain()), GOOD, NOW, Style(colour=True))
    assert "\x1b" not in as_text(view(chain()), GOOD, NOW, PLAIN)


def test_the_link_of_every_reason_fits_a_line() -> None:
    assert max(len(f"    {link(reason)}") for reason in Reason) <= 80
