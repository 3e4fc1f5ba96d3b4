"""Conflists of the primary CNI, with the file and network name that they have on EKS."""

import json
from typing import Any

from cnichain.dev.nodefolder import aws_conflist

PTP_RANGE = "192.168.65.0/24"
AWS_RANGE = "192.168.64.0/24"


def stand_in(*, mtu: int = 1500, tail: tuple[dict[str, Any], ...] = (), subnet: str = PTP_RANGE) -> str:
    """The network `aws-cni` with the reference plugin ptp in the place of aws-cni, so that no ipamd is needed.

    tail: further plugins, as VPC CNI itself adds bandwidth or tuning. subnet: where pods get their addresses from.
    """
    primary = {
        "name": "aws-cni",
        "type": "ptp",
        "mtu": mtu,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    plugins = [primary, portmap, *tail]
    document = {"cniVersion": "0.4.0", "name": "aws-cni", "disableCheck": True, "plugins": plugins}
    return json.dumps(document, indent=2) + "\n"


def real_aws(*, egress_mtu: str = "9001") -> str:
    """What aws-node writes; the plugin aws-cni then asks ipamd, or what stands for it, for each address."""
    return aws_conflist(egress_mtu=egress_mtu, pod_annotations=True)


BANDWIDTH: dict[str, Any] = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
TUNING: dict[str, Any] = {"type": "tuning", "sysctl": {"net.ipv4.tcp_syncookies": "1"}}
