"""The part of the registry of reason codes that is about deleting a CNIChain."""

from cnichain.api.reasons_node import ReasonInfo, info

TEARDOWN_REASONS: dict[str, ReasonInfo] = {
    "Retained": info(
        "The CNIChain was deleted with `deletionPolicy: Retain`: Cilium, Hubble and the chain on every node keep "
        "running. The agents keep guarding the chain; the operator corrects and upgrades nothing any more.",
        "Apply a CNIChain again to take everything back into care. To remove it, apply one with `deletionPolicy: "
        "Uninstall`, wait until it is Ready, and delete that.",
        warning=False,
    ),
    "Uninstalling": info(
        "The CNIChain is being deleted with `deletionPolicy: Uninstall`: every node goes back to the primary CNI and "
        "is verified, then what was applied is removed in the reverse order of its stages.",
        "Nothing, as long as it goes on. The message names the stage, and the nodes or objects that are waited for.",
        warning=False,
    ),
    "UninstallOverdue": info(
        "The uninstallation has made no progress for longer than `spec.rollout.progressDeadline`. It goes on by itself "
        "when what it waits for comes.",
        "A node: look at the agent's pod on it; delete the Node if the machine is gone; or give the node up with the "
        "annotation `cnichain.io/skip-node`. An object: look at its finalizers. The page docs/uninstall.md has the "
        "commands.",
    ),
    "StageRemoved": info("The objects of a stage were removed, and are gone.", warning=False),
    "Uninstalled": info(
        "Every node runs the primary CNI alone, and everything that the operator applied is gone. The message names "
        "what stays on purpose.",
        "Restart the pods that were started under Cilium, or drain their nodes: their network interfaces keep Cilium's "
        "BPF programs, with the policies of that time.",
        warning=False,
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
