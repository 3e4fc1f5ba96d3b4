"""The part of the registry of reason codes that is about one node, and the form of its entries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReasonInfo:
    """What a reason means and what to do about it; Markdown without links, one or two sentences each."""

    cause: str
    fix: str
    terminal: bool = False
    warning: bool = True
    passing: bool = False
    """It often ends by itself: a chain that was Ready stays so until it has lasted (reconcile/conditions.py)."""


def info(
    cause: str, fix: str = "", *, terminal: bool = False, warning: bool = True, passing: bool = False
) -> ReasonInfo:
    """An entry of the registry."""
    return ReasonInfo(cause=cause, fix=fix or "Nothing to do.", terminal=terminal, warning=warning, passing=passing)


NODE_REASONS: dict[str, ReasonInfo] = {
    "ChainVerified": info(
        "The chained conflist is on disk as derived, and is the file that the runtime picks.", warning=False
    ),
    "ChainRepaired": info("The agent wrote the chained conflist anew.", warning=False),
    "NodeSpecMissing": info("The operator has not said yet what this node should have.", warning=False),
    "NodeFrozen": info("The agent reports and changes no file.", warning=False),
    "NodeUnchained": info("The node runs the primary CNI alone, as asked.", warning=False),
    "ConfDirUnusable": info(
        "The CNI configuration folder is missing, is not a folder, or cannot be read or written.",
        "Check the path and its permissions on the node; the runtime uses the same folder.",
    ),
    "PrimaryConflistMissing": info(
        "No conflist of the primary CNI's network is on the node yet.",
        "Look at the primary's pod on this node: it writes the file when it is ready (on EKS: aws-node).",
    ),
    "PrimaryConflistInvalid": info(
        "The primary's conflist is not valid, so nothing is derived from it; the last good chain stays.",
        "Look at the file that the message names and at the program that writes it.",
    ),
    "PluginBinaryMissing": info(
        "A plugin of the chain has no executable in the CNI binary folder, so every pod start would fail.",
        "Look at the DaemonSet that installs it (cilium-cni: cilium; others: the primary).",
    ),
    "ConflistShadowed": info(
        "Another file sorts before the chained conflist, so the runtime uses it and pods start WITHOUT policy. One "
        "that comes after the chain was verified is set aside (`spec.conflist.onShadow`); this one is left, and the "
        "message says why.",
        "Remove or rename the file that the message names, or take it into the chain.",
    ),
    "ConflistWriteFailed": info(
        "The chained conflist could not be written; the file on disk is as it was.",
        "The message carries the system's error: a full disk, a read-only file system, a missing permission.",
    ),
    "ConflistConflict": info(
        "Another writer keeps changing the chained conflist, so the agent holds back.",
        "Find the other writer. Usual ones: `cni.exclusive=true`, istio-cni or linkerd-cni editing every conflist.",
    ),
    "ConflistUnsafeFile": info(
        "Something that is not a regular file has the chained conflist's name, so the agent does not touch it.",
        "Remove the symlink, folder or special file that the message names.",
    ),
    "RuntimeStale": info(
        "The file on disk is right, but the container runtime has loaded another list: it missed the change.",
        "The agent nudges the runtime, at most once a minute. If it lasts, look at the runtime's log, or restart it.",
    ),
    "RuntimeNotReady": info(
        "The container runtime says that it could not load a CNI configuration, or that it is not ready.",
        "Read the runtime's message, which is carried over, and its log on the node.",
    ),
    "DropInInvalid": info(
        "A drop-in in the folder with the network's name is not valid, so this node's containerd (2.1 or newer) cannot "
        "load the chain. No pod starts once it tries, which it does at the next change in the CNI configuration "
        "folder.",
        "Correct or remove the file that the message names. `loadOnlyInlinedPlugins` in the primary's conflist makes "
        "runtimes pass over drop-ins.",
    ),
    "CiliumNotHealthy": info(
        "The chain is not on this node, and is published as soon as the node's cilium-agent answers its health check.",
        "Look at the Cilium pod on this node.",
    ),
    "CiliumDownOpen": info(
        "Cilium does not answer on this node, and `spec.conflist.onCiliumDown` is Open: the node runs the primary CNI "
        "alone, and pods start WITHOUT policy.",
        "Look at the Cilium pod on this node. The chain is published again when Cilium answers.",
    ),
    "CiliumDownClosed": info(
        "Cilium does not answer on this node. The chain stays in place, so no new pod can start here; pods that run "
        "keep running.",
        "Look at the Cilium pod on this node.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
