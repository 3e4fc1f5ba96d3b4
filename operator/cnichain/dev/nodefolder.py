"""A folder that stands for one node's file system, with the conflist that VPC CNI writes and its plugin binaries."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRIMARY_FILE = "10-aws.conflist"
PLUGINS = ("aws-cni", "egress-cni", "portmap", "bandwidth", "tuning", "loopback", "host-local")
"""In the bin folder of a node from the start. cilium-cni is not: the node's cilium pod brings it (standins.py)."""


@dataclass(frozen=True)
class NodeFolder:
    """conf_dir: etc/cni/net.d, bin_dir: opt/cni/bin, state_dir: var/lib/cnichain, all below `root`."""

    root: Path

    @property
    def conf_dir(self) -> Path:
        return self.root / "etc" / "cni" / "net.d"

    @property
    def bin_dir(self) -> Path:
        return self.root / "opt" / "cni" / "bin"

    @property
    def state_dir(self) -> Path:
        return self.root / "var" / "lib" / "cnichain"


def make_node_folder(root: Path, node: str, *, egress_mtu: int | str) -> NodeFolder:
    """`root`/`node` as a node looks once aws-node runs on it; egress_mtu: see `aws_conflist`."""
    folder = NodeFolder(root / node)
    for directory in (folder.conf_dir, folder.bin_dir, folder.state_dir):
        directory.mkdir(parents=True, exist_ok=True)
    for plugin in PLUGINS:
        write_placeholder(folder.bin_dir / plugin)
    write_aws_conflist(folder.conf_dir, egress_mtu=egress_mtu)
    return folder


def write_aws_conflist(conf_dir: Path, *, egress_mtu: int | str, pod_annotations: bool = False) -> None:
    """Write 10-aws.conflist as aws-node does at each start of its container: a .tmp file, then rename."""
    scratch = conf_dir / f"{PRIMARY_FILE}.tmp"
    scratch.write_text(aws_conflist(egress_mtu=egress_mtu, pod_annotations=pod_annotations), encoding="utf-8")
    scratch.chmod(0o644)
    scratch.rename(conf_dir / PRIMARY_FILE)


def aws_conflist(*, egress_mtu: int | str, pod_annotations: bool = False) -> str:
    """The text of VPC CNI's conflist, pretty-printed with two spaces.

    egress_mtu: VPC CNI up to 1.12.5 writes the number 9001, later ones the string "9001" (the change that broke stale
    chained files: aws/amazon-vpc-cni-k8s#2364). pod_annotations: as from 1.20.0 on, for several network interfaces.
    """
    log = "/var/log/aws-routed-eni"
    primary: dict[str, Any] = {
        "name": "aws-cni",
        "type": "aws-cni",
        "vethPrefix": "eni",
        "mtu": "9001",
        "podSGEnforcingMode": "strict",
        "pluginLogFile": f"{log}/plugin.log",
        "pluginLogLevel": "DEBUG",
    }
    if pod_annotations:
        primary["capabilities"] = {"io.kubernetes.cri.pod-annotations": True}
    egress: dict[str, Any] = {
        "name": "egress-cni",
        "type": "egress-cni",
        "mtu": egress_mtu,
        "enabled": "false",
        "randomizeSNAT": "prng",
        "nodeIP": "",
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "fd00::ac:00/118"}]],
            "routes": [{"dst": "::/0"}],
            "dataDir": "/run/cni/v4pd/egress-v6-ipam",
        },
        "pluginLogFile": f"{log}/egress-v6-plugin.log",
        "pluginLogLevel": "DEBUG",
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    conflist = {
        "cniVersion": "0.4.0",
        "name": "aws-cni",
        "disableCheck": True,
        "plugins": [primary, egress, portmap],
    }
    return json.dumps(conflist, indent=2) + "\n"


def write_placeholder(path: Path) -> None:
    """An executable that is there, as the chain's checks want it, and refuses to be used as a plugin."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(
        f"#!/bin/sh\necho 'a placeholder of {path.name} on a fake node: no plugin' >&2\nexit 1\n", encoding="utf-8"
    )
    scratch.chmod(0o755)
    scratch.rename(path)
