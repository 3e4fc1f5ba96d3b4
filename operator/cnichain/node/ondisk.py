"""What is said once our file is as it should be: is it the one that counts, and can it work? Pure."""

from dataclasses import replace

from cnichain.api.chainnode import NodeSpec, NodeState, OnCiliumDown
from cnichain.api.reasons import Reason
from cnichain.node.aside import put_right
from cnichain.node.ciliumhealth import Health
from cnichain.node.conflist import Conflist
from cnichain.node.decision import Decision, View
from cnichain.node.shadow import shadow


def on_disk(view: View, spec: NodeSpec, base: Decision, expected: Conflist) -> Decision:
    """base: names the source and what is missing. expected: the chain, which is on disk."""
    ours, effective = spec.conflist_file, view.effective
    others = effective.shown if effective is not None and effective.name != ours else ""
    if base.missing:
        lacks = f"no executable {', '.join(base.missing)} in the CNI binary folder"
        message = f"{ours} is in place, but pods cannot start: {lacks}."
        if others and view.is_cri_o and view.bypassed:
            message = (
                f"CRI-O passes over {ours}, since there is {lacks}: it uses {others}, and pods start WITHOUT policy."
            )
        return replace(base, state=NodeState.WAIT_CILIUM, reason=Reason.PLUGIN_BINARY_MISSING, message=message)
    if others and effective is not None and (wrong := shadow(effective, ours, expected)):
        return put_right(view, spec, base, effective, wrong)
    source = base.source.file.shown if base.source else ""
    message = f"{ours} is {source} with cilium-cni."
    if others:
        message += f" The runtime uses {others}."
    message += _strangers(view, spec, base) + _cilium(view, spec)
    base = replace(base, settled=True, verified=True)
    if spec.frozen:
        message = f"Frozen, no file is changed. {message}"
        return replace(base, state=NodeState.FROZEN, reason=Reason.NODE_FROZEN, message=message)
    reason = Reason.CILIUM_DOWN_CLOSED if view.cilium is Health.DOWN else base.reason
    return replace(base, reason=reason, message=message)


def _strangers(view: View, spec: NodeSpec, base: Decision) -> str:
    """Whoever may write one of these files decides over every pod's network."""
    source = base.source.file.name if base.source else ""
    files = [view.folder.get(name) for name in (spec.conflist_file, source)]
    said = [
        f" {file.shown} belongs to the user {file.stranger}, not to root." for file in files if file and file.stranger
    ]
    return "".join(said)


def _cilium(view: View, spec: NodeSpec) -> str:
    if view.cilium is Health.DOWN:
        return " Cilium does not answer on this node, so new pods cannot start here until it does."
    if view.cilium is Health.OFF and spec.on_cilium_down is OnCiliumDown.OPEN:
        return " onCiliumDown is Open, but has no effect: this agent does not ask for Cilium's health."
    return ""
