"""A file that takes the chain's place: does it go aside, and if not, why not? Pure.

What stood first before the chain did is the cluster's own choice, and only reported. What comes later and would let
pods start without policy, or leave the node without network, goes aside: it is moved out of the folder whole, kept in
the agent's own folder, and named in the status.
"""

from dataclasses import replace

from cnichain.api.chainnode import NodeSpec, NodeState, OnShadow
from cnichain.api.reasons import Reason
from cnichain.node.decision import Decision, SetAside, View
from cnichain.node.folder import FolderFile, Kind

DELEGATING = frozenset({"multus", "multus-shim"})
"""Plugins that hand pods on to another list: taking such a file away would take pods' further networks away too."""


def put_right(view: View, spec: NodeSpec, base: Decision, effective: FolderFile, wrong: str) -> Decision:
    """The decision about `effective`, which stands before our file. wrong: what is wrong with that, in words."""
    base = replace(base, state=NodeState.SHADOWED, reason=Reason.CONFLIST_SHADOWED)
    if why := _why_left(view, spec, effective):
        return replace(base, message=f"{wrong} {why}")
    if spec.frozen:
        return replace(base, message=f"Frozen, no file is changed. {wrong}")
    base = replace(base, cause=NodeState.SHADOWED)
    if view.braked:
        message = f"Another writer keeps putting {effective.shown} there; the agent holds back and tries again within "
        message += f"a minute. {wrong}"
        return replace(base, state=NodeState.CONFLICT, reason=Reason.CONFLIST_CONFLICT, message=message)
    base = replace(base, message=f"Setting it aside. {wrong}", passing=True)
    if not effective.is_loadable and not view.first_is_settled:
        return base  # it may be in the middle of being written
    return replace(base, action=SetAside(effective.name, effective.content or b""), foreign=effective.digest)


def _why_left(view: View, spec: NodeSpec, effective: FolderFile) -> str:
    """Why the file stays where it is and is only reported; empty when it goes aside."""
    conflist = effective.conflist
    if conflist is not None and conflist.cilium_at is not None and effective.is_loadable:
        return "Its owner has to bring it up to date."  # it has policy, and may have plugins of its owner
    if conflist is not None and DELEGATING.intersection(conflist.types):
        return f"Point it at {spec.conflist_file}."
    if spec.on_shadow is OnShadow.REPORT:
        return "It is left there, since onShadow is Report."
    if not view.known.verified:
        return "It is left there, since it stood there before the chain did."
    if effective.kind is not Kind.REGULAR or effective.content is None:
        return "Remove it by hand."
    return ""
