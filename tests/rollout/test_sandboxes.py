"""Pods without a sandbox: what counts, since when, and when a node must not go on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.times import rfc3339
from cnichain.rollout.sandboxes import (
    FAILURES,
    MESSAGE_LIMIT,
    SandboxEvent,
    sandbox_alarm,
    sandbox_event,
    tally,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REFUSED = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "0a1b": plugin '
    'type="cilium-cni" failed (add): unable to connect to Cilium agent\nIs the agent running?'
)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def kubelet(pod: str = "web-1", *, first: float = 10, last: float = 10, count: int = 1, **more: Any) -> dict[str, Any]:
    """An Event as kubelet writes it through v1."""
    return {
        "metadata": {"creationTimestamp": rfc3339(after(first))},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod, "uid": f"uid-{pod}"},
        "reason": "FailedCreatePodSandBox",
        "message": REFUSED,
        "source": {"component": "kubelet", "host": "a"},
        "reportingInstance": "a",
        "firstTimestamp": rfc3339(after(first)),
        "lastTimestamp": rfc3339(after(last)),
        "count": count,
        "eventTime": None,
        **more,
    }


def alarm(*items: dict[str, Any]) -> str:
    events = [event for item in items if (event := sandbox_event(item)) is not None]
    return sandbox_alarm(tally(events, {"a": START})["a"])


def test_a_pod_that_fails_three_times_is_an_alarm_in_kubelets_words() -> None:
    said = alarm(*(kubelet(first=at, last=at) for at in (10, 45, 80)))
    assert said.startswith("on a pod shop/web-1 got no sandbox 3 times since the change: Failed to create pod sandbox")
    assert "unable to connect to Cilium agent" in said
    assert "\n" not in said
    assert "Is the agent running?" not in said, "the first line alone"


def test_an_agent_that_restarts_beside_many_pods_is_no_alarm() -> None:
    assert alarm(*(kubelet(f"web-{number}", first=at, last=at) for number in range(20) for at in (10, 45))) == ""


def test_what_failed_before_the_change_is_not_held_against_it() -> None:
    assert alarm(*(kubelet(first=-at, last=-at) for at in range(10, 500, 30))) == ""
    gathered = kubelet(first=-300, last=30, count=40, message=f"(combined from similar events): {REFUSED}")
    assert alarm(gathered) == "", "of its 40 failures only the last is known to be newer"


def test_a_count_that_grew_since_the_change_counts_as_a_whole() -> None:
    assert "got no sandbox 5 times" in alarm(kubelet(first=10, last=90, count=5))


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    reborn = [kubelet("db-0", involvedObject={"kind": "Pod", "namespace": "shop", "name": "db-0", "uid": str(uid)})
              for uid in range(5)]  # fmt: skip
    assert alarm(*reborn) == ""


def test_several_pods_are_named_worst_first_and_not_without_end() -> None:
    said = alarm(*(kubelet(f"web-{number}", count=3 + number, last=60) for number in range(7)))
    assert "pod shop/web-6 got no sandbox 9 times" in said
    assert said.endswith("So did shop/web-5 (8 times), shop/web-4 (7 times), shop/web-3 (6 times) and 3 more")


def test_the_newer_form_of_events_is_read_as_well() -> None:
    newer = {
        "metadata": {"creationTimestamp": rfc3339(after(5))},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u"},
        "message": REFUSED,
        "reportingInstance": "a",
        "eventTime": "2026-03-01T12:00:05.123456Z",
        "series": {"count": 4, "lastObservedTime": "2026-03-01T12:02:00.000000Z"},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
    }
    assert "4 times" in alarm(newer)


@pytest.mark.parametrize(
    "missing",
    [{"source": {}, "reportingInstance": ""}, {"involvedObject": {}}, {"lastTimestamp": "yesterday"}],
    ids=["node", "pod", "time"],
)
def test_an_event_that_lacks_what_it_must_have_is_left_out(missing: dict[str, Any]) -> None:
    assert sandbox_event(kubelet(**missing)) is None


def test_a_message_is_bounded() -> None:
    event = sandbox_event(kubelet(message="network " * 5000))
    assert event is not None
    assert len(event.message) == MESSAGE_LIMIT


SANDBOX = "Failed to create pod sandbox: rpc error: code = "


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        (REFUSED, True),
        (
            f'{SANDBOX}Unknown desc = failed to setup network for sandbox "a": plugin type="aws-cni" name="aws-cni" '
            "failed (add): add cmd: failed to assign an IP address to container",
            False,
        ),
        (f"{SANDBOX}DeadlineExceeded desc = context deadline exceeded", True),
        (f'{SANDBOX}Unknown desc = failed to setup network for sandbox "a": netns is gone', True),
        (f'{SANDBOX}Unknown desc = failed to get sandbox runtime: no runtime for "gvisor" is configured', False),
    ],
)
def test_what_another_plugin_or_no_network_is_to_blame_for_does_not_count(message: str, counts: bool) -> None:
    assert bool(alarm(kubelet(count=9, message=message))) == counts


def changed(**more: Any) -> dict[str, Any]:
    return kubelet(reason="SandboxChanged", message="Pod sandbox changed, it will be killed and re-created.", **more)


def test_tries_that_end_at_the_removal_of_the_failed_sandbox_count() -> None:
    """A plugin that is not there cannot clean up either: kubelet makes one sandbox, and never gets rid of it."""
    said = alarm(kubelet(), changed(first=11, last=60, count=7))
    assert "got no sandbox 7 times since the change: Failed to create pod sandbox" in said
    assert alarm(kubelet(), changed(first=11, last=18, count=2)) == "", "two tries may be those of a restart"


def test_a_sandbox_that_only_changed_is_no_failure() -> None:
    """As after a reboot of the node, or where another plugin than Cilium's failed."""
    assert alarm(changed(count=20, last=60)) == ""
    other = kubelet(message='failed to setup network for sandbox "a": plugin type="aws-cni" failed (add)')
    assert alarm(other, changed(count=20, last=60)) == ""


EVENTS = st.builds(
    SandboxEvent,
    node=st.sampled_from("abc"),
    pod=st.sampled_from(["shop/x", "shop/y"]),
    uid=st.sampled_from("123"),
    began=st.integers(-100, 100).map(after),
    last=st.integers(-100, 100).map(after),
    count=st.integers(1, 50),
    message=st.text(max_size=5),
    again=st.booleans(),
)


@given(st.lists(EVENTS, max_size=30), st.randoms(use_true_random=False))
def test_no_failure_counts_that_may_be_older_and_the_order_of_pages_does_not_matter(
    events: list[SandboxEvent], random: Any
) -> None:
    since = {"a": START, "b": after(50)}
    found = tally(events, since)
    assert set(found) == set(since), "every node that was asked for has an answer"
    for node, failures in found.items():
        newer = [one for one in events if one.node == node and one.last > since[node]]
        failed = [one for one in newer if not one.again]
        assert len(failures.pods) == len({one.uid for one in failed}), "each pod that failed, once, and no other"
        assert sum(one.count for one in failures.pods) <= sum(one.count for one in newer)
        assert sum(one.count for one in failures.pods) >= len(failed)
        assert all(one.last > since[node] for one in failures.pods)
        assert bool(sandbox_alarm(failures)) == any(one.count >= FAILURES for one in failures.pods)
    shuffled = list(events)
    random.shuffle(shuffled)
    again = tally(shuffled, since)
    for node, failures in found.items():
        assert sorted(one.count for one in again[node].pods) == sorted(one.count for one in failures.pods)
