"""How many pods a workload should have and has, from its object. Pure."""

from collections.abc import Mapping
from typing import Any

from cnichain.plan.restarts import Standing


def standing_of(kind: str, item: Mapping[str, Any]) -> Standing:
    """The standing of a Deployment, StatefulSet or DaemonSet.

    One whose pods are not all of its newest template is not steady: a restart would take an update along that waits for
    somebody (OnDelete, a partition, a pause), or would join one that is under way.
    """
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    current = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    if kind == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0) == desired
    else:
        desired = spec.get("replicas", 1)
        ready = status.get("readyReplicas", 0)
        if kind == "StatefulSet":
            updated = status.get("currentRevision") == status.get("updateRevision")
        else:
            updated = status.get("updatedReplicas", 0) == desired and not spec.get("paused")
    leaving = bool(metadata.get("deletionTimestamp"))
    return Standing(uid=metadata["uid"], desired=desired, ready=ready, steady=current and updated and not leaving)
