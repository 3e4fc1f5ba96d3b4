"""Pods that a node could not give a network: kubelet's words about their sandboxes, and when they are too many. Pure.

kubelet writes an Event `FailedCreatePodSandBox` for each failure. Its message holds the sandbox's id, so every failure
is an Event of its own, until ten alike within ten minutes are gathered into one whose count grows (client-go's event
correlator). Before each further try it writes `SandboxChanged` and removes the failed sandbox. Where the plugin fails
at that too, as when its program is missing, all tries end there, and that count alone grows (seen with kubelet 1.36 and
containerd 1.6).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnichain.api.times import parse_rfc3339

FAILED, AGAIN = REASONS = ("FailedCreatePodSandBox", "SandboxChanged")
PLUGIN = "cilium-cni"
_BLAMED = re.compile(r'plugin type="([^"]+)')
"""How libcni names the plugin that failed."""
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
    """What an Event says of one pod. began: when what it counts happened first; last: when it happened last. again: it
    is about a further try, not about a failure."""

    node: str
    pod: str
    uid: str
    began: datetime
    last: datetime
    count: int
    message: str
    again: bool = False


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
    """An Event (v1) of kubelet's as it is needed here; None when it is not about the chain, or lacks what it must have.

    Both forms are read: of v1 (count, lastTimestamp, source.host) and of events.k8s.io (series, eventTime,
    reportingInstance), which the API server shows through v1 as well.
    """
    pod, series, metadata = item.get("involvedObject") or {}, item.get("series") or {}, item.get("metadata") or {}
    node = str((item.get("source") or {}).get("host") or item.get("reportingInstance") or "")
    made = item.get("eventTime") or metadata.get("creationTimestamp")
    began = parse_rfc3339(str(item.get("firstTimestamp") or made))
    last = parse_rfc3339(str(series.get("lastObservedTime") or item.get("lastTimestamp") or made))
    message = next(iter(str(item.get("message") or "").splitlines()), "")
    if not node or not pod.get("name") or began is None or last is None:
        return None
    again = item.get("reason") == AGAIN
    if not again and not is_about_chain(message):
        return None
    name = f"{pod.get('namespace', '')}/{pod['name']}"
    return SandboxEvent(
        node=node,
        pod=name,
        uid=str(pod.get("uid") or name),
        began=began,
        last=last,
        count=max(1, int(series.get("count") or item.get("count") or 1)),
        message=message[:MESSAGE_LIMIT],
        again=again,
    )


def is_about_chain(message: str) -> bool:
    """Whether a failure can be Cilium's: it names cilium-cni, or no plugin and a network or a time that ran out.

    What other plugins say would be so without the change: above all aws-cni, whose subnet has no address left. And a
    sandbox fails for much that is no network at all, as an unknown RuntimeClass.
    """
    blamed = _BLAMED.search(message)
    if blamed:
        return blamed[1] == PLUGIN
    return "network" in message or "deadline exceeded" in message.lower()


def is_newer(event: SandboxEvent, since: Mapping[str, datetime]) -> bool:
    """Whether an event is of a node that is looked at, and happened (also) since then."""
    return event.node in since and event.last > since[event.node]


def tally(events: Iterable[SandboxEvent], since: Mapping[str, datetime]) -> dict[str, SandboxFailures]:
    """The failures of each node in `since` that are newer than its time.

    A pod's failures are those that kubelet tells of, or the tries that followed the first one, whichever are more; a
    pod that is only tried again, as after a reboot, has none. Of an event that began earlier only the last time is
    known to be newer, so it counts for one: what failed before already is not held against the change.
    """
    pods: dict[tuple[str, str], list[SandboxEvent]] = {}
    for event in events:
        if is_newer(event, since):
            pods.setdefault((event.node, event.uid), []).append(event)
    found: dict[str, list[PodFailures]] = {node: [] for node in since}
    for (node, _), about in pods.items():
        failed = [event for event in about if not event.again]
        if failed:
            newest = max(failed, key=lambda event: event.last)
            tries = [event for event in about if event.again]
            count = max(_newer(failed, since[node]), _newer(tries, since[node]))
            found[node].append(PodFailures(newest.pod, count, newest.last, newest.message))
    return {
        node: SandboxFailures(node, tuple(sorted(one, key=lambda pod: (-pod.count, pod.pod))))
        for node, one in found.items()
    }


def _newer(events: Iterable[SandboxEvent], since: datetime) -> int:
    return sum(event.count if event.began > since else 1 for event in events)


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
