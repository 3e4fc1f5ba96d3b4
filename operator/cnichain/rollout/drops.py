"""Packets that Cilium drops because of a policy: how many per second, and when that is more than before. Pure.

Source: Hubble's metric set `drop`, whose counter `hubble_drop_total` has the label `reason` (the chart's own dashboards
ask it for POLICY_DENIED). Drops by an explicit deny rule have the reason POLICY_DENY.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from cnichain.api.chain import HubbleMetric

METRIC = "hubble_drop_total"
POLICY_REASONS = frozenset(("POLICY_DENIED", "POLICY_DENY"))
PORT = 9965
"""hubble.metrics.port of the charts 1.17 to 1.20."""
SECONDS = 10.0
"""Two samples must be so far apart, so that one burst is no rate."""
FACTOR, STEP = 3.0, 1.0
"""A rate is too high above both `FACTOR` times the baseline and the baseline plus `STEP` per second.

The factor alone would call it an alarm when a quiet node drops its second packet a minute; the step alone when a busy
one, which drops a hundred a second all day, has a little more of it.
"""
SHOWN_NODES = 5


@dataclass(frozen=True)
class DropSample:
    """What a node's agent has counted since it started. total: None when it could not be read, and `why`."""

    at: datetime
    total: float | None = None
    why: str = ""


def metrics_port(values: Mapping[str, Any]) -> int | None:
    """The port of Hubble's metrics by the chart's values; None where drops cannot be read.

    That is without the metric set `drop`, and with TLS, where the server may ask for a client's certificate.
    """
    metrics = (values.get("hubble") or {}).get("metrics") or {}
    sets = {str(item).partition(":")[0].partition(";")[0] for item in metrics.get("enabled") or []}
    if HubbleMetric.DROP.value not in sets or (metrics.get("tls") or {}).get("enabled"):
        return None
    port = metrics.get("port", PORT)
    return port if isinstance(port, int) and 0 < port < 65536 else None


def policy_drops(text: str) -> float:
    """Drops by policy in metrics of the text format; 0 when there is none, as before the first drop.

    Raises ValueError when it cannot be read.
    """
    try:
        families = list(text_string_to_metric_families(text))
    except (IndexError, KeyError) as error:  # the parser trusts its input
        raise ValueError(f"no metrics: {error!r}") from error
    values = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == METRIC and sample.labels.get("reason") in POLICY_REASONS
    ]
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError("a counter of drops is no number")
    return float(sum(values))


def drops_per_second(earlier: DropSample | None, later: DropSample | None) -> float | None:
    """The rate between two samples of one node; None when one of them is missing or they are too close together.

    A total that fell began anew when the agent restarted: what it holds now came since then.
    """
    if earlier is None or later is None or earlier.total is None or later.total is None:
        return None
    seconds = (later.at - earlier.at).total_seconds()
    if seconds < SECONDS:
        return None
    grown = later.total - earlier.total
    return (grown if grown >= 0 else later.total) / seconds


def drop_alarm(node: str, baseline: float | None, rate: float | None) -> str:
    """Why the node must not go on with the change; "" when it may, or when one of the rates is not known.

    baseline: the rate before the change; 0 where there was no Cilium before.
    """
    if baseline is None or rate is None or rate <= max(baseline * FACTOR, baseline + STEP):
        return ""
    return (
        f"on {node} Cilium drops {rate:.1f} packets a second because of policies, {baseline:.1f} before the change; "
        f"`hubble observe --verdict DROPPED --node-name {node}` shows which"
    )


def not_measured(samples: Mapping[str, DropSample]) -> str:
    """A sentence on the nodes whose drops could not be read; "" when all could."""
    failed = sorted((node, sample.why) for node, sample in samples.items() if sample.total is None)
    if not failed:
        return ""
    shown = "; ".join(f"{node}: {why}" for node, why in failed[:SHOWN_NODES])
    more = f"; and {len(failed) - SHOWN_NODES} more" if len(failed) > SHOWN_NODES else ""
    return f"Drops by policy are not measured on {len(failed)} of {len(samples)} nodes: {shown}{more}."
