"""Configuration of containerd and kubelet."""

import json
from pathlib import Path
from typing import Any

from realnode.layout import Layout

PAUSE_IMAGE = "cnichain.test/pause:1"
CRI_SOCKET = "/run/containerd/containerd.sock"
"""As the node sees it."""


def containerd_toml(layout: Layout) -> str:
    """containerd 1.6, configuration version 2.

    restrict_oom_score_adj: where the machine refuses to lower oom_score_adj every sandbox would fail with "can't get
    final child's PID from pipe: EOF". level debug: its log then says which events of the CNI folder it ignores.
    """
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{layout.containerd_dir}"
state = "/run/containerd"

[debug]
  level = "debug"

[grpc]
  address = "{CRI_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.containerd_dir}/opt"

{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true

{cri}.cni]
  conf_dir = "/etc/cni/net.d"
  bin_dir = "/opt/cni/bin"
  max_conf_num = 1

{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def kubelet_configuration(layout: Layout, cgroup_root: str) -> str:
    """KubeletConfiguration as JSON.

    Anonymous requests are let in: kubelet listens in the node's own network namespace, which the machine alone
    reaches, and the local API server has no client certificate for it. Nothing is evicted: the machine's disk is not
    the node's.
    """
    data: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        "containerRuntimeEndpoint": f"unix://{CRI_SOCKET}",
        "enableControllerAttachDetach": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {name: "0%" for name in ("memory.available", "nodefs.available", "imagefs.available")},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "resolvConf": "",
        "syncFrequency": "5s",
        "volumePluginDir": str(layout.kubelet_dir / "volume-plugins"),
    }
    return json.dumps(data, indent=2) + "\n"


def kubelet_flags(layout: Layout, node: str, address: str) -> list[str]:
    """Everything that KubeletConfiguration has no field for."""
    return [
        f"--config={layout.conf / 'kubelet.json'}",
        f"--kubeconfig={kubelet_kubeconfig(layout)}",
        f"--hostname-override={node}",
        f"--node-ip={address}",
        f"--root-dir={layout.kubelet_dir}",
        f"--cert-dir={layout.kubelet_dir / 'pki'}",
    ]


def kubelet_kubeconfig(layout: Layout) -> Path:
    """Where kubelet's kubeconfig lies."""
    return layout.conf / "kubelet.kubeconfig"
