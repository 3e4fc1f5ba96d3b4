"""Values of the chart for flow export, drop events and the audit mode of policies. Pure.

The exporter is Hubble's dynamic one, always, also with the profile `off`: its configuration is a ConfigMap that agents
read anew every few seconds (cilium's pkg/hubble/exporter), so that auditing begins, changes and ends without the
restart of an agent. The static exporter stands in cilium-config, where each change restarts every agent of the cluster.
`off` is an exporter whose time is over, as the chart of 1.17 writes an empty list in a way that is no YAML.
"""

from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.flowexport import ExportProfile, FlowFilter, HubbleExport
from cnichain.render.moved import Minor

FILE = "/var/run/cilium/hubble/events.log"
"""In the agent and on the node alike: the chart mounts the folder under the same name."""
NAME = "cnichain"
OVER = "1970-01-01T00:00:00Z"
POLICY_VERDICT = 5
"""Number of the event by which Cilium tells the verdict on a new connection (cilium's pkg/monitor/api/types.go)."""
ROTATION_PER_EXPORTER = (1, 18)
"""From here on the size and number of files belong to an exporter; 1.17 has them in cilium-config for all."""

_DENIED: dict[str, Any] = {"verdict": ["DROPPED", "ERROR", "AUDIT"]}
"""AUDIT is what the audit mode of policies lets through and would have dropped."""
PROFILES: dict[ExportProfile, list[dict[str, Any]]] = {
    ExportProfile.OFF: [],
    ExportProfile.DENIED: [_DENIED],
    ExportProfile.VERDICTS: [{"event_type": [{"type": POLICY_VERDICT}]}, _DENIED],
    ExportProfile.ALL: [],
}
"""Filters of which one has to match; none matches every flow."""


def export_values(export: HubbleExport, minor: Minor) -> dict[str, Any]:
    """`hubble.export` for the chart of a minor."""
    rotation = {"fileMaxSizeMb": export.rotation.max_size_mb, "fileMaxBackups": export.rotation.max_files}
    per_exporter = minor >= ROTATION_PER_EXPORTER
    exporter: dict[str, Any] = {
        "name": NAME,
        "filePath": FILE,
        "fieldMask": [],
        "includeFilters": include_filters(export),
        "excludeFilters": [hubble_filter(one) for one in export.deny],
        **(rotation if per_exporter else {}),
    }
    if export.profile is ExportProfile.OFF:
        exporter = {"name": NAME, "filePath": FILE, "end": OVER}
    dynamic = {"enabled": True, "config": {"createConfigMap": True, "content": [exporter]}}
    return {"dynamic": dynamic} | ({} if per_exporter else rotation)


def include_filters(export: HubbleExport) -> list[dict[str, Any]]:
    """Hubble's filters for what the profile and `allow` both let through; an empty list lets everything through.

    A flow passes a list when one filter matches, and a filter when all its fields do: so both are joined pair by pair.
    The fields of `allow` are never those of a profile.
    """
    allowed = [hubble_filter(one) for one in export.allow]
    of_profile = PROFILES[export.profile]
    return [left | right for left in of_profile or [{}] for right in allowed or [{}] if left or right]


def hubble_filter(one: FlowFilter) -> dict[str, Any]:
    """A filter in the form of Hubble's API (cilium's api/v1/flow/flow.proto, FlowFilter)."""
    fields = one.model_dump(mode="json", by_alias=False, exclude_none=True)
    if "destination_port" in fields:
        fields["destination_port"] = [str(port) for port in fields["destination_port"]]
    return fields


def drop_event_values(spec: CNIChainSpec) -> dict[str, Any]:
    """`hubble.dropEventEmitter`; the reasons stay the chart's own: auth_required and policy_denied."""
    wanted = spec.hubble.drop_events
    return {"enabled": True, "interval": wanted.interval} if wanted.enabled else {"enabled": False}


def audit_mode_values(spec: CNIChainSpec) -> dict[str, Any]:
    """`policyAuditMode` where it is asked for. The chart takes the mere key for a setting, so it is left out else."""
    return {"policyAuditMode": True} if spec.policy_audit_mode else {}
