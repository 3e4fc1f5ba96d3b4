"""Defaults of the server that stand in the way of a new manifest, because nobody owns them. Pure.

A field that we own goes when the manifest drops it, and takes the defaults beside it along. What the server filled in
by itself stays: a Deployment that goes from RollingUpdate to Recreate keeps `rollingUpdate` and is refused. Applying a
null does not remove it (measured on Kubernetes 1.36); owning it as it stands and then dropping it does.
"""

import copy
from collections.abc import Mapping
from typing import Any

from cnichain.plan.fields import extract, owned_tree

Body = dict[str, Any]


def takeover(wanted: Mapping[str, Any], live: Mapping[str, Any] | None) -> Body | None:
    """The body to apply first, so that the wanted one can drop what stands in its way; None when nothing does.

    It holds what we own now and the leftover, all with the values that they have: it changes ownership alone.
    """
    leftover = _leftover(wanted, live)
    if live is None or leftover is None:
        return None
    names = ("name", "namespace")
    identity = {name: live["metadata"][name] for name in names if name in live["metadata"]}
    body: Body = copy.deepcopy(dict(extract(live, owned)) if (owned := owned_tree(live)) else {})
    body["metadata"] = body.get("metadata", {}) | identity
    body |= {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"]}
    strategy = body.setdefault("spec", {}).setdefault("strategy", {})
    strategy["rollingUpdate"] = leftover
    return body


def comparable(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Body:
    """The wanted body with the live strategy, for a dry run: it can be compared without the takeover."""
    return {**wanted, "spec": {**wanted["spec"], "strategy": live["spec"]["strategy"]}}


def _leftover(wanted: Mapping[str, Any], live: Mapping[str, Any] | None) -> Any:
    if live is None or wanted["kind"] != "Deployment":
        return None
    kind = (wanted["spec"].get("strategy") or {}).get("type", "RollingUpdate")
    found = (live["spec"].get("strategy") or {}).get("rollingUpdate")
    if kind == "RollingUpdate" or found is None:
        return None
    owned = owned_tree(live).get("f:spec", {}).get("f:strategy", {}).get("f:rollingUpdate")
    return found if owned is None else None
