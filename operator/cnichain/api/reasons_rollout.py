"""The part of the registry of reason codes that is about a change on its way over the nodes, and its way back."""

from cnichain.api.reasons_node import ReasonInfo, info

_RETRY = (
    "Look at the pods and the CNIChainNodes of the nodes that the message names. Then correct the spec, or set the "
    "annotation `cnichain.io/retry` to a new word to try the same once more."
)

ROLLOUT_REASONS: dict[str, ReasonInfo] = {
    "PullingImages": info(
        "Before anything changes, the nodes of the chain pull the new images, so that no agent waits for a registry "
        "while it is down.",
        "None is needed. If it lasts, look at the pods of the DaemonSet kube-system/cnichain-prepull.",
        warning=False,
    ),
    "Canary": info(
        "The first nodes get the change; the rest waits until they are well and have soaked.",
        warning=False,
    ),
    "Soaking": info(
        "The canary nodes have the change and are well. They must stay so for `spec.rollout.canary.soak` before the "
        "rest follows.",
        warning=False,
    ),
    "Wave": info(
        "A wave of at most `spec.rollout.maxUnavailable` nodes gets the change. The next one begins when every node of "
        "it is verified.",
        warning=False,
    ),
    "NodesUnavailable": info(
        "As many nodes of the chain as `spec.rollout.maxUnavailable` allows are unavailable already, for reasons of "
        "their own: the next wave waits for them.",
        "Bring back the nodes that the message names, or raise `spec.rollout.maxUnavailable`.",
    ),
    "NodesNotReady": info(
        "Every node that can be changed has the change. Nodes whose kubelet does not report Ready get it when they "
        "are back.",
        "Bring back the nodes that the message names, or delete them from the cluster.",
    ),
    "RolloutFinished": info(
        "Every node in scope has the change and is verified. The revision is known good from now on: a later change "
        "that fails goes back to it.",
        warning=False,
    ),
    "AgentCrashed": info(
        "A Cilium agent that the change has restarted crashes, again and again.",
        "`kubectl --namespace kube-system logs --previous` of the pod that the message names tells why.",
    ),
    "RolloutOverdue": info(
        "A node that has the change was not verified within `spec.rollout.progressDeadline`.",
        "`kubectl describe cnichainnode` and the Cilium pod of the nodes that the message names tell what they wait "
        "for.",
    ),
    "GateFailed": info(
        "Something that is watched during a rollout got worse on nodes that have the change: failing pod sandboxes, "
        "unmanaged pods, drops by policy, or a probe pod.",
        "Look at what the message names on the nodes that it names.",
    ),
    "RolloutFailed": info(
        "A change failed on its first nodes and stays where it is: no other node gets it. There is no known good "
        "revision to go back to, or `spec.rollout.autoRollback` is false.",
        _RETRY,
        terminal=True,
    ),
    "RollingBack": info(
        "A change failed on its first nodes. They go back to the last good revision; no other node got the change.",
    ),
    "RolledBack": info(
        "A change failed and was rolled back. The last good revision is in force, not the spec, and it stays so: the "
        "same change is not tried again by itself.",
        _RETRY,
        terminal=True,
    ),
    "RollbackFailed": info(
        "A change failed, and so did the way back to the last good revision. Nothing more is changed.",
        _RETRY,
        terminal=True,
    ),
    "NoRollback": info("No change is rolled back.", warning=False),
    "LatestPatchFirst": info(
        "A step to the next minor of Cilium starts from the latest patch of the one before; only that way is tested "
        "upstream.",
        "Set `spec.cilium.version` to the version that the message names, wait until it is Ready, then go on.",
        terminal=True,
    ),
}
