"""What of the suite on kind can be tried without Docker: its configuration, by the real kind; its stand-in, on a real
API server; what it says where it cannot run; and that it touches no cluster but its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cnichain.api.chain import CNIChainSpec
from cnichain.api.primaries import PrimaryPlugin
from cnichain.catalogue.load import builtin_catalogue
from cnichain.dev import manifests
from cnichain.dev.cluster import apply
from cnichain.dev.errors import DevError
from cnichain.dev.kubectl import Kubectl
from cnichain.dev.manifest import find_tools_dir, load_manifest
from cnichain.dev.nodefolder import make_node_folder, write_placeholder
from cnichain.dev.toolchain import Toolbox, ensure
from cnichain.preflight.primary import check_primary
from harness import ROOT, Harness, Object, harness
from kindrig import primary
from kindrig.cluster import Commands, KindCluster, build_command
from kindrig.requirements import Docker, why_unavailable
from kindrig.settings import CILIUM, NODE_IMAGE, chain, cluster_config, new_name

NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "KIND_EXPERIMENTAL_PROVIDER": "docker"}
"""Where there is a Docker, it is not found: nothing is made here."""
LINUX = Docker(True, 0, '{"OSType": "linux"}')


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        (LINUX, ""),
        (Docker(found=False), "no program `docker`"),
        (Docker(True, None), "did not answer within"),
        (
            Docker(True, 1, "", "WARNING: x\nCannot connect to the Docker daemon."),
            "Cannot connect to the Docker daemon.",
        ),
        (Docker(True, 1), "exit code 1"),
        (Docker(True, 0, '{"OSType": "windows"}'), "'windows'"),
        (Docker(True, 0, "not JSON"), "'not JSON'"),
    ],
)
def test_it_says_why_it_cannot_run(docker: Docker, said: str) -> None:
    reason = why_unavailable(docker)
    assert bool(reason) is bool(said)
    assert said in reason


@pytest.mark.parametrize("path", [os.environ["PATH"], "/nowhere"])
def test_without_docker_the_make_target_ends_with_words(path: str) -> None:
    environment = {**os.environ, **NO_DOCKER, "PATH": path, "PYTHONPATH": str(ROOT / "tests/support")}
    command = [sys.executable, "-m", "kindrig"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "needs Docker" in done.stderr
    assert "Install Docker Engine" in " ".join(done.stderr.split())
    assert max(map(len, done.stderr.splitlines())) <= 80


def kind_says(config: str) -> str:
    """What the real kind says of a configuration, which it reads before it looks for Docker."""
    kind = str(ensure("all", only=("kind",)).path("kind"))
    commands = Commands(kind, new_name(), os.devnull)
    environment = {**os.environ, **NO_DOCKER}
    done = subprocess.run(
        commands.create(), input=config, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0, "a cluster was made without Docker"
    return done.stderr


def test_the_real_kind_takes_the_configuration() -> None:
    assert "unable to decode config" in kind_says(json.dumps(cluster_config()).replace("disableDefaultCNI", "noCNI"))
    assert "docker" in (said := kind_says(json.dumps(cluster_config()))), said
    assert "config" not in said


def test_versions_belong_together() -> None:
    """Of kind's node image, Cilium and the primary: what the catalogue has records for."""
    minor = re.match(r"kindest/node:v(\d+)\.(\d+)\.\d+@sha256:[0-9a-f]{64}$", NODE_IMAGE)
    assert minor, f"{NODE_IMAGE} is not pinned by tag and digest"
    release = builtin_catalogue().cilium_release(CILIUM)
    assert release.chart_sha256, "the operator fetches this chart and checks it"
    wanted = tuple(map(int, minor.groups()))
    least, most = (tuple(map(int, text.split("."))) for text in (release.kubernetes.min, release.kubernetes.max))
    assert least <= wanted <= most, f"Cilium {CILIUM} is not tested on Kubernetes {minor[1]}.{minor[2]}"
    families = {family.name: family.version for family in load_manifest(find_tools_dir())}
    assert families["kind"] == "v0.33.0", "NODE_IMAGE is an image of kind v0.33.0: see its release notes for another"
    rule = builtin_catalogue().primary(PrimaryPlugin.AWS_VPC_CNI)
    daemon_set = primary.objects()[1]
    assert check_primary(rule, CNIChainSpec.model_validate(chain()["spec"]), daemon_set) == primary.VERSION


def test_every_command_names_the_one_cluster(tmp_path: Path) -> None:
    commands = Commands("kind", "cnichain-e2e-1", "/k")
    lines = [commands.create(), commands.load(["a"]), commands.export_logs("/l"), commands.delete()]
    assert all("--name=cnichain-e2e-1" in line for line in lines)
    assert not any("--all" in word for line in lines for word in line)
    assert commands.delete() == ["kind", "delete", "cluster", "--name=cnichain-e2e-1", "--kubeconfig=/k"]
    assert build_command(tmp_path, ["a:1", "b:2"])[-3:] == ["--tag=a:1", "--tag=b:2", str(tmp_path)]
    assert new_name() != new_name()


STUB = """\
#!/bin/sh
echo "$@" >> "{log}"
case "$1 $2" in
  "get clusters") echo "{clusters}";;
  "create cluster") exit {created};;
esac
"""


def stub(tmp_path: Path, *, clusters: str = "other", created: int = 0) -> tuple[Toolbox, Path]:
    """A program in kind's place that keeps what it was called with."""
    log, program = tmp_path / "calls", tmp_path / "kind"
    program.write_text(STUB.format(log=log, clusters=clusters, created=created), encoding="utf-8")
    program.chmod(0o755)
    return Toolbox({"kind": program, "kubectl": program, "helm": program}), log


def calls(log: Path) -> list[str]:
    return [" ".join(line.split()[:2]) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_cluster_is_deleted_whatever_happens(tmp_path: Path) -> None:
    toolbox, log = stub(tmp_path)
    with pytest.raises(KeyboardInterrupt), KindCluster.run("mine", tmp_path, toolbox):
        raise KeyboardInterrupt
    assert calls(log) == ["get clusters", "create cluster", "delete cluster"]
    assert log.read_text(encoding="utf-8").splitlines()[-1].startswith("delete cluster --name=mine ")


def test_what_is_left_of_a_creation_that_failed_is_deleted(tmp_path: Path) -> None:
    toolbox, log = stub(tmp_path, created=1)
    with pytest.raises(DevError, match="create cluster"), KindCluster.run("mine", tmp_path, toolbox):
        pass
    assert calls(log)[-1] == "delete cluster"


def test_a_cluster_that_was_there_before_is_left_alone(tmp_path: Path) -> None:
    toolbox, log = stub(tmp_path, clusters="mine")
    with pytest.raises(DevError, match="left alone"), KindCluster.run("mine", tmp_path, toolbox):
        pass
    assert calls(log) == ["get clusters"]


def test_the_stand_in_writes_as_aws_node_does_and_ends_when_told(tmp_path: Path) -> None:
    container = primary.objects()[1]["spec"]["template"]["spec"]["containers"][0]
    variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    environment = {**os.environ, "CONFLIST": variables["CONFLIST"], "CNI_CONF_DIR": str(tmp_path)}
    command = [sys.executable, *container["command"][1:]]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
            "10-aws.conflist": primary.conflist()
        }
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    mount = next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "cni-net-dir")
    assert variables["CNI_CONF_DIR"] == mount, "it writes into the node's folder"


def test_the_suite_is_left_out_of_make_test_by_its_path() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = {name: makefile.split(f"\n{name}:")[1].split("\n\n")[0] for name in ("test", "unit", "e2e-kind")}
    assert "--ignore tests/e2e_kind" in recipes["test"]
    assert "--ignore tests/e2e_kind" in recipes["unit"]
    assert "pytest tests/e2e_kind" in recipes["e2e-kind"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/e2e-kind.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert {"schedule", "workflow_dispatch", "push"} == set(workflow[True]), "YAML reads the key `on` as true"
    assert any(step.get("run") == "make e2e-kind" for step in workflow["jobs"]["e2e-kind"]["steps"])


NODE = "cnichain-e2e-1-control-plane"


def kind_node() -> Object:
    """As kind's: nothing of EKS in its labels, and another provider."""
    node = manifests.node(0)
    node["metadata"] |= {"name": NODE, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}
    node["metadata"]["labels"] |= {"kubernetes.io/hostname": NODE, "node-role.kubernetes.io/control-plane": ""}
    node["spec"] = {"providerID": f"kind://docker/cnichain-e2e-1/{NODE}"}
    node["status"]["addresses"] = [{"type": "InternalIP", "address": "172.18.0.2"}]
    node["status"]["nodeInfo"] |= {
        "kernelVersion": "6.11.0-1018-azure",
        "kubeletVersion": "v1.35.8",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
    }
    return node


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path) -> Iterator[Harness]:
    """A control plane without nodes."""
    with harness(tmp_path_factory.mktemp("kind-parts"), chart_dir, nodes=0) as running:
        yield running


@pytest.mark.controlplane
def test_the_operator_chains_after_the_stand_in(world: Harness) -> None:
    """The objects of the suite and a node like kind's, on a real API server; no program runs on the node."""
    folder = make_node_folder(world.control_plane.nodes_dir, NODE, egress_mtu="9001")
    write_placeholder(folder.bin_dir / "ptp")
    (folder.conf_dir / "10-aws.conflist").write_text(primary.conflist(), encoding="utf-8")
    apply(Kubectl(world.control_plane.kubectl, world.control_plane.kubeconfig), [kind_node(), *primary.objects()])
    with world.agents(), world.operator():
        world.kubectl("apply", "--filename=-", stdin=json.dumps(chain()))
        world.wait_ready()
        chained = json.loads((folder.conf_dir / "05-cilium.conflist").read_text(encoding="utf-8"))
        assert [one["type"] for one in chained["plugins"]] == ["ptp", "portmap", "cilium-cni"]
        world.kubectl("delete", "cnichain", "default", "--timeout=60s")
        assert not (folder.conf_dir / "05-cilium.conflist").exists()
