"""The agent's metrics in Prometheus' text format, version 0.0.4, written by hand: a client library would cost each node
some megabytes. Pure but for the figures of the process itself.

No label has a node's name: whoever scrapes knows which node it is. docs/metrics.md is generated from METRICS.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from cnichain.api.chainnode import CiliumHealth, NodeState, NodeStatus, RuntimeView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CAUSES: Final = (
    NodeState.PUBLISH,
    NodeState.DRIFT_SOURCE,
    NodeState.DRIFT_DEST,
    NodeState.SHADOWED,
    NodeState.CILIUM_DOWN,
)
"""Causes of repairs that are there from the beginning with 0, so that the first one is seen as an increase."""

Samples = Iterable[tuple[str, float]]
"""Label sets as text (`{cause="DriftDest"}`, or nothing) and values."""


class Metric(NamedTuple):
    """type: gauge or counter. help: one line. label: the name of its label, if it has one."""

    type: str
    help: str
    label: str = ""


METRICS: Final[Mapping[str, Metric]] = {
    "cnichain_agent_build_info": Metric("gauge", "The agent's version; always 1.", "version"),
    "cnichain_agent_state": Metric(
        "gauge", "1 for the state that this node is in; other states are left out.", "state"
    ),
    "cnichain_conflist_in_sync": Metric(
        "gauge", "1 while the node is as its spec says, verified, else 0; left out without a spec."
    ),
    "cnichain_conflist_last_verified_timestamp_seconds": Metric(
        "gauge", "When a look at the node found it as its spec says; 0 before the first time."
    ),
    "cnichain_conflist_repairs_total": Metric(
        "counter", "Repairs of the chain, by the state that called for them; kept over restarts of the agent.", "cause"
    ),
    "cnichain_conflist_drifts_total": Metric(
        "counter", "Repairs of what somebody else had changed or removed; kept over restarts of the agent."
    ),
    "cnichain_conflist_last_repair_duration_seconds": Metric(
        "gauge", "How long the newest repair took, from the event to the verified file."
    ),
    "cnichain_agent_brake_engaged": Metric("gauge", "1 while the agent holds back from a war with another writer."),
    "cnichain_agent_set_aside_files": Metric("gauge", "Files that took the chain's place and are kept aside."),
    "cnichain_agent_cilium_healthy": Metric(
        "gauge", "1 while cilium-agent answers its health check, 0 while it does not; left out while that is unknown."
    ),
    "cnichain_agent_runtime_in_sync": Metric(
        "gauge", "1 while the runtime has loaded the effective file, 0 while not; left out while that is unknown."
    ),
    "cnichain_agent_reported": Metric("gauge", "1 while the API server has the newest status."),
    "cnichain_agent_report_errors_total": Metric("counter", "Reports of the status that the API server did not take."),
    "process_resident_memory_bytes": Metric("gauge", "Resident memory."),
    "process_cpu_seconds_total": Metric("counter", "User and system CPU time."),
}


@dataclass(frozen=True)
class Seen:
    """What is shown. status: the newest that was published, None before the first look has ended.

    verified_at: seconds since 1970, 0 for never. held_back: seconds that the brake still holds.
    """

    version: str
    status: NodeStatus | None
    verified: bool
    verified_at: float
    held_back: float
    reported: bool
    report_errors: int


def exposition(seen: Seen) -> str:
    """The page."""
    samples: dict[str, Samples] = {
        "cnichain_agent_build_info": [(_labels(version=seen.version), 1)],
        "cnichain_conflist_last_verified_timestamp_seconds": [("", seen.verified_at)],
        "cnichain_agent_brake_engaged": [("", seen.held_back > 0)],
        "cnichain_agent_reported": [("", seen.reported)],
        "cnichain_agent_report_errors_total": [("", seen.report_errors)],
        **(_of_status(seen.status) if seen.status else {}),
        # A node that the chain is not for, or not yet, is no node out of sync.
        **(
            {"cnichain_conflist_in_sync": [("", seen.verified)]}
            if seen.status and seen.status.observed_generation
            else {}
        ),
        **_of_process(),
    }
    lines = []
    for name, metric in METRICS.items():
        found = [f"{name}{labels} {_number(value)}" for labels, value in samples.get(name, ())]
        if found:
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.type}", *found]
    return "\n".join(lines) + "\n"


def _of_status(status: NodeStatus) -> dict[str, Samples]:
    repairs = dict.fromkeys((cause.value for cause in CAUSES), 0) | dict(status.repairs.by_cause)
    samples: dict[str, Samples] = {
        "cnichain_agent_state": [(_labels(state=status.state.value), 1)],
        "cnichain_conflist_repairs_total": [(_labels(cause=cause), number) for cause, number in repairs.items()],
        "cnichain_conflist_drifts_total": [("", status.repairs.drifts)],
        "cnichain_agent_set_aside_files": [("", len(status.set_aside))],
    }
    if status.last_repair is not None:
        seconds = status.last_repair.duration_milliseconds / 1000
        samples["cnichain_conflist_last_repair_duration_seconds"] = [("", seconds)]
    if status.cilium_health is not CiliumHealth.UNKNOWN:
        samples["cnichain_agent_cilium_healthy"] = [("", status.cilium_health is CiliumHealth.HEALTHY)]
    if status.runtime.view is not RuntimeView.UNKNOWN:
        samples["cnichain_agent_runtime_in_sync"] = [("", status.runtime.view is RuntimeView.VERIFIED)]
    return samples


def _of_process() -> dict[str, Samples]:
    times = os.times()
    samples: dict[str, Samples] = {"process_cpu_seconds_total": [("", times.user + times.system)]}
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - pathlib has no cheaper way
            pages = int(statm.read().split()[1])
    except OSError:
        return samples  # no /proc: the page goes without it
    return {**samples, "process_resident_memory_bytes": [("", pages * os.sysconf("SC_PAGE_SIZE"))]}


def _labels(**labels: str) -> str:
    shown = (f'{name}="{value}"' for name, value in labels.items())  # of fixed words: nothing is to be escaped
    return f"{{{','.join(shown)}}}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
