"""The last step of a decision: does the runtime show what is on disk? Pure."""

from dataclasses import replace

from cnichain.api.chainnode import NodeSpec, NodeState
from cnichain.api.reasons import Reason
from cnichain.node.decision import Decision, Nudge, View
from cnichain.node.runtimeview import Loaded


def confirm(decision: Decision, view: View, spec: NodeSpec) -> Decision:
    """The decision as the runtime's own view leaves it: only what is settled on disk is confirmed.

    Where the runtime cannot be asked or does not tell its list, the decision rests on the disk alone.
    """
    runtime = view.runtime
    if not decision.settled or runtime is None or runtime.loaded in (Loaded.VERIFIED, Loaded.UNKNOWN):
        return decision
    base = replace(decision, settled=False, verified=False)
    if runtime.loaded is Loaded.PENDING:
        waiting = {NodeState.IN_SYNC: NodeState.VERIFY, NodeState.UNCHAINED: NodeState.UNINSTALLING}
        message = f"{decision.message} The runtime has not shown yet that it has loaded it."
        reason = Reason.RUNTIME_STALE if base.state in waiting else base.reason
        return replace(base, state=waiting.get(base.state, base.state), reason=reason, message=message, passing=True)
    reason = Reason.RUNTIME_STALE if runtime.loaded is Loaded.STALE else Reason.RUNTIME_NOT_READY
    message = f"The files are in order, but {runtime.message}. {decision.message}"
    if spec.frozen:
        return replace(base, reason=reason, message=message)
    state = NodeState.UNINSTALLING if base.state is NodeState.UNCHAINED else NodeState.RUNTIME_STALE
    action = Nudge() if view.may_nudge else None
    return replace(base, state=state, reason=reason, message=message, action=action)
