"""Pods that a node could not give a network: kubelet's words about their sandboxes, and when they are too many. Pure.

kubelet writes an Event `FailedCreatePodSandBox` for each failure. Its message holds the sandbox's id, so every failure
is an Event of its own, until ten alike within ten minutes are gathered into one whose count grows (client-go's event
correlator).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnichain.api.times import parse_rfc3339

REASON = "FailedCreatePodSandBox"
FAILURES = 3
"""Failures of one pod that are an alarm.

While an agent restarts, cilium-cni waits 30 s for it and then fails, so one or two failures of a pod are normal, and
of any number of pods: a node that starts ten pods at that moment has ten failures and nothing wrong. A pod that failed
three times did so over a minute or more. On a node whose chain is broken every new pod gets there.
"""
MESSAGE_LIMIT = 300
SHOWN_PODS = 3


@dataclass(frozen=True)
class SandboxEvent:
    """What an Event says of one pod. began: when what it counts happened first; last: when it happened last."""

    node: str
    pod: str
    uid: str
    began: datetime
    last: datetime
    count: int
    message: str


@dataclass(frozen=True)
class PodFailures:
    """A pod without a network. pod: `namespace/name`. message: the first line of kubelet's newest words."""

    pod: str
    count: int
    last: datetime
    message: str


@dataclass(frozen=True)
class SandboxFailures:
    """The pods of a node that have failed, those that failed most often first."""

    node: str
    pods: tuple[PodFailures, ...] = ()


def sandbox_event(item: Mapping[str, Any]) -> SandboxEvent | None:
    """An Event (v1) of kubelet's as it is needed here; None when it lacks what it must have.

    Both forms are read: of v1 (count, lastTimestamp, source.host) and of events.k8s.io (series, eventTime,
    reportingInstance), which the API server shows through v1 as well.
    """
    pod, series, metadata = item.get("involvedObject") or {}, item.get("series") or {}, item.get("metadata") or {}
    node = str((item.get("source") or {}).get("host") or item.get("reportingInstance") or "")
    made = item.get("eventTime") or metadata.get("creationTimestamp")
    began = parse_rfc3339(str(item.get("firstTimestamp") or made))
    last = parse_rfc3339(str(series.get("lastObservedTime") or item.get("lastTimestamp") or made))
    if not node or not pod.get("name") or began is None or last is None:
        return None
    name = f"{pod.get('namespace', '')}/{pod['name']}"
    return SandboxEvent(
        node=node,
        pod=name,
        uid=str(pod.get("uid") or name),
        began=began,
        last=last,
        count=max(1, int(series.get("count") or item.get("count") or 1)),
        message=next(iter(str(item.get("message") or "").splitlines()), "")[:MESSAGE_LIMIT],
    )


def is_newer(event: SandboxEvent, since: Mapping[str, datetime]) -> bool:
    """Whether an event is of a node that is looked at, and happened (also) since then."""
    return event.node in since and event.last > since[event.node]


def tally(events: Iterable[SandboxEvent], since: Mapping[str, datetime]) -> dict[str, SandboxFailures]:
    """The failures of each node in `since` that are newer than its time.

    Of an event that began earlier only the last failure is known to be newer, so it counts for one: what failed before
    already is not held against the change.
    """
    found: dict[str, dict[str, PodFailures]] = {node: {} for node in since}
    for event in events:
        if not is_newer(event, since):
            continue
        newer = event.count if event.began > since[event.node] else 1
        before = found[event.node].get(event.uid)
        newest = event if before is None or event.last >= before.last else before
        found[event.node][event.uid] = PodFailures(
            event.pod, newer + (before.count if before else 0), newest.last, newest.message
        )
    return {
        node: SandboxFailures(node, tuple(sorted(pods.values(), key=lambda one: (-one.count, one.pod))))
        for node, pods in found.items()
    }


def sandbox_alarm(failures: SandboxFailures) -> str:
    """Why the node must not go on with the change, in kubelet's words; "" when it may."""
    failing = [one for one in failures.pods if one.count >= FAILURES]
    if not failing:
        return ""
    worst = failing[0]
    others = [f"{one.pod} ({one.count} times)" for one in failing[1 : 1 + SHOWN_PODS]]
    more = len(failing) - 1 - len(others)
    also = f". So did {', '.join(others)}{f' and {more} more' if more else ''}" if others else ""
    return (
        f"on {failures.node} pod {worst.pod} got no sandbox {worst.count} times since the change: {worst.message}{also}"
    )
