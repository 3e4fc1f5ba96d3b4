"""The node folder's conflist against what VPC CNI is known to write."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from cnichain.dev.nodefolder import aws_conflist, make_node_folder, write_aws_conflist


@pytest.mark.parametrize("mtu", [9001, "9001"], ids=["number, up to 1.12.5", "string, since 1.12.6"])
def test_the_conflist_is_that_of_vpc_cni(mtu: int | str) -> None:
    text = aws_conflist(egress_mtu=mtu)
    conflist = json.loads(text)
    assert list(conflist) == ["cniVersion", "name", "disableCheck", "plugins"]
    assert (conflist["cniVersion"], conflist["name"]) == ("0.4.0", "aws-cni")
    assert conflist["plugins"][1]["mtu"] == mtu
    assert type(conflist["plugins"][1]["mtu"]) is type(mtu)
    assert '\n  "plugins": [\n    {\n      "name": "aws-cni",' in text, "pretty-printed with two spaces"
    assert "capabilities" not in conflist["plugins"][0]
    upgraded = json.loads(aws_conflist(egress_mtu=mtu, pod_annotations=True))
    assert upgraded["plugins"][0]["capabilities"] == {"io.kubernetes.cri.pod-annotations": True}


def test_a_node_folder_has_what_a_node_has(tmp_path: Path) -> None:
    folder = make_node_folder(tmp_path, "node-a", egress_mtu="9001")
    assert folder.root == tmp_path / "node-a"
    assert [path.name for path in folder.conf_dir.iterdir()] == ["10-aws.conflist"], "no temporary file is left"
    plugins = {path.name for path in folder.bin_dir.iterdir()}
    assert plugins == {"aws-cni", "egress-cni", "portmap", "bandwidth", "tuning", "loopback", "host-local"}
    assert all(os.access(folder.bin_dir / name, os.X_OK) for name in plugins)
    used = subprocess.run([folder.bin_dir / "portmap"], capture_output=True, text=True, timeout=10, check=False)
    assert used.returncode == 1
    assert "placeholder" in used.stderr, "nobody takes it for the plugin"


def test_an_upgrade_replaces_the_file_as_aws_node_does(tmp_path: Path) -> None:
    folder = make_node_folder(tmp_path, "node-a", egress_mtu=9001)
    path = folder.conf_dir / "10-aws.conflist"
    before = path.stat().st_ino
    write_aws_conflist(folder.conf_dir, egress_mtu="9001")
    assert path.stat().st_ino != before, "renamed over, not written in place"
    assert (path.stat().st_mode & 0o777) == 0o644
