"""What is said while the primary's conflist is not there or not valid. Pure."""

from cnichain.api.chainnode import NodeSpec, NodeState
from cnichain.api.primaries import PROFILES
from cnichain.api.reasons import Reason
from cnichain.node.decision import Decision, View
from cnichain.node.folder import NoSource


def no_primary(view: View, spec: NodeSpec, none: NoSource) -> Decision:
    """Nothing can be derived; our file stays as it is."""
    network = PROFILES[spec.primary].network
    wanted = "a network" if network == "*" else f"the network {network}"
    stays = f" {spec.conflist_file} stays as it is." if view.folder.get(spec.conflist_file) else ""
    if none.broken:
        said = "; ".join(f"{file.shown} {error}" for file, error in none.broken[:3])
        message = f"No valid conflist of {wanted}: {said}.{stays}"
        return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_INVALID, message, passing=True)
    hint = ""
    if backups := view.folder.backups():
        hint = f" {backups[0].shown} is there: a Cilium with cni.exclusive=true has put the primary's file aside."
    message = f"No conflist of {wanted} yet.{hint}{stays}"
    return Decision(NodeState.WAIT_PRIMARY, Reason.PRIMARY_CONFLIST_MISSING, message)
