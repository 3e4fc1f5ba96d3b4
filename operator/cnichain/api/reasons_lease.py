"""The part of the registry of reason codes that is about which of several operators writes."""

from cnichain.api.reasons_node import ReasonInfo, info

LEASE_REASONS: dict[str, ReasonInfo] = {
    "LeaseLost": info(
        "This operator could not renew its Lease in time, or another one holds it: it ended at once, before anything "
        "more was written. Another operator leads, or this one is started again and stands by.",
        "Nothing to do if it is rare. If not, see whether the API server was away, the operator was frozen or short of "
        "CPU, or somebody deleted or edited the Lease: `kubectl -n cnichain-system get lease cnichain-operator`.",
    ),
}
