"""The part of the registry of reason codes that is about pods that Cilium manages, and pods that it does not."""

from cnichain.api.reasons_node import ReasonInfo, info

COVERAGE_REASONS: dict[str, ReasonInfo] = {
    "NotMeasured": info(
        "It is not known yet which pods Cilium manages: pods are counted twice before anything is said, and there is "
        "nothing to count before Cilium's CRDs are there.",
        "Wait a minute. If it stays so, read the message: it names what could not be read.",
        warning=False,
    ),
    "AllManaged": info(
        "Every pod in scope that has been running for more than a minute has a CiliumEndpoint of its own.",
        warning=False,
    ),
    "UnmanagedPods": info(
        "Pods in scope run without a CiliumEndpoint of their own: no policy holds for them and Hubble does not see "
        "them. Pods that started before the chain was there are the usual case after an adoption.",
        "List them with `cnichain unmanaged`. Restart their workloads (`kubectl rollout restart`), or set "
        "`spec.unmanagedPods.action` to Restart; docs/coverage.md says what to do for each cause.",
    ),
    "EndpointsNotPublished": info(
        "`spec.cilium.values` has `disableEndpointCRD: true`, so Cilium publishes no CiliumEndpoints, and pods that it "
        "does not manage cannot be told from the API.",
        "Leave `disableEndpointCRD` out to have pods counted; until then ask each agent (`cilium-dbg endpoint list`).",
        warning=False,
    ),
    "PodRestarted": info(
        "A pod that Cilium did not manage was evicted, so that its replacement goes through the chain "
        "(`spec.unmanagedPods.action: Restart`).",
        warning=False,
    ),
    "EvictionRefused": info(
        "The API server refused to evict an unmanaged pod; mostly a PodDisruptionBudget forbids it at the moment. It "
        "is tried again later, ever more seldom.",
        "If it stays so, look at the PodDisruptionBudget that covers the pod, or restart the workload by hand.",
    ),
    "RestartsStopped": info(
        "Three replacements of a workload's unmanaged pods were unmanaged again, so the workload is left alone: "
        "restarting does not help it.",
        "Look at the conflist and the Cilium agent on the nodes of its pods. A change of the CNIChain's spec starts "
        "the count anew, as does deleting the ConfigMap `cnichain-restarts-default` in the operator's namespace.",
    ),
}
"""By reason code; `reasons.py` has the one enum of all codes."""
