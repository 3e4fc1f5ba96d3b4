"""What stands in for the VPC CNI on kind, where there is no EC2 that could give addresses. No I/O.

aws-vpc-cni is the one primary that CNIChain knows, so kindnet cannot be chained after. The DaemonSet aws-node in
kube-system is here with the settings of the real one, and writes 10-aws.conflist as the real one does (a .tmp file,
then a rename); but the network `aws-cni` in it is made by the reference plugins ptp, host-local and portmap, which
kind's node image has. Cilium goes by the network's name and by the link in the pod, not by the plugin's name.
"""

from typing import Any

from cnichain.dev import manifests
from kindrig.settings import POD_SUBNET
from realnode.conflists import stand_in

Object = dict[str, Any]

VERSION = "v1.20.4"
IMAGE = f"cnichain.test/aws-node:{VERSION}"
"""The project's own image under this name: it has a Python, and its tag is the primary's version."""

WRITE = """\
import os, pathlib, signal, sys
target = pathlib.Path(os.environ["CNI_CONF_DIR"], "10-aws.conflist")
scratch = target.with_name(target.name + ".tmp")
scratch.write_text(os.environ["CONFLIST"])
scratch.rename(target)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("written", flush=True)
signal.pause()
"""


def conflist() -> str:
    """What it writes."""
    return stand_in(subnet=POD_SUBNET)


def objects() -> list[Object]:
    """The service account and the DaemonSet."""
    account, daemon_set = manifests.aws_node(VERSION)
    pod = daemon_set["spec"]["template"]["spec"]
    del pod["initContainers"]  # the plugins are in the node image
    (container,) = pod["containers"]
    variables = [*container["env"], {"name": "CONFLIST", "value": conflist()}]
    variables.append({"name": "CNI_CONF_DIR", "value": "/host/etc/cni/net.d"})
    container |= {
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", WRITE],
        "env": variables,
        "securityContext": {"runAsUser": 0},
    }
    return [account, daemon_set]
