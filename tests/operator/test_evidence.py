"""Audit on a real control plane: flow export that changes without a restart, the audit mode in status, the pack of
policies on Cilium's own CRDs, and the evidence of all that, read with an auditor's rights."""

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cnichain.cli.evidence import evidence
from cnichain.dev.nodefolder import NodeFolder
from harness import ROOT, WRITES, Harness, Object

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

PACK = ROOT / "deploy" / "policies"
IN_KUBE_SYSTEM = "--namespace=kube-system"
POD_IDENTITY = {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"}


def spec(profile: str, **more: Any) -> Object:
    rotation = {"maxSizeMB": 20, "maxFiles": 3}
    return {"cilium": {"version": "1.20.0"}, "hubble": {"export": {"profile": profile, "rotation": rotation}}, **more}


@pytest.fixture(scope="module")
def chained(world: Harness) -> Iterator[list[NodeFolder]]:
    """A chain with flow export, its operator and agents running."""
    with ExitStack() as stack:
        folders = stack.enter_context(world.agents())
        stack.enter_context(world.operator(metrics_port="0"))
        world.apply_chain(spec("denied"))
        world.wait_ready()
        yield folders


def exporters(world: Harness) -> list[Object]:
    text = world.get("configmap", "cilium-flowlog-config", IN_KUBE_SYSTEM)["data"]["flowlogs.yaml"]
    found: list[Object] = yaml.safe_load(text)["flowLogs"]
    return found


def agents(world: Harness) -> set[str]:
    """Uids of Cilium's agents."""
    pods = world.get("pods", IN_KUBE_SYSTEM, "--selector=k8s-app=cilium")["items"]
    return {pod["metadata"]["uid"] for pod in pods}


def effective(world: Harness) -> Object:
    found: Object = world.get("cnichain", "default")["status"]["effective"]
    return found


def test_another_profile_reaches_the_agents_without_a_restart(world: Harness, chained: list[NodeFolder]) -> None:
    del chained
    before = agents(world)
    assert len(before) == 3
    assert exporters(world)[0]["includeFilters"] == [{"verdict": ["DROPPED", "ERROR", "AUDIT"]}]
    world.apply_chain(spec("off"))
    world.wait_through()
    assert exporters(world)[0]["end"].startswith("1970-")
    assert effective(world)["flowExport"] == "off"
    world.apply_chain(spec("all"))
    world.wait_through()
    assert agents(world) == before, "an agent was restarted for a change of the flow export"
    assert (exporters(world)[0]["fileMaxSizeMb"], exporters(world)[0]["fileMaxBackups"]) == (20, 3)


@pytest.mark.parametrize("name", ["baseline", "default-deny"])
def test_the_policies_are_what_ciliums_own_crds_take(world: Harness, chained: list[NodeFolder], name: str) -> None:
    """Server-side, strictly: a field that a CRD does not know would be pruned, and enableDefaultDeny is such a one."""
    del chained
    kustomize = f"--kustomize={PACK / name}"
    said = world.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", kustomize)
    assert said.count("serverside-applied") == {"baseline": 6, "default-deny": 1}[name]
    world.kubectl("apply", "--server-side", kustomize)
    written = {
        item["metadata"]["name"]: item["spec"]
        for item in yaml.safe_load_all(world.kubectl("kustomize", str(PACK / name)))
    }
    stored = {item["metadata"]["name"]: item["spec"] for item in world.get("ciliumclusterwidenetworkpolicies")["items"]}
    assert {key: stored[key] for key in written} == written, "the API server has changed or pruned what was written"


def test_a_misspelt_field_of_a_policy_is_refused(world: Harness, chained: list[NodeFolder]) -> None:
    """The proof that the strict dry run above can fail."""
    del chained
    body = yaml.safe_load((PACK / "baseline" / "imds.yaml").read_text(encoding="utf-8"))
    body["spec"]["enableDefaultDenied"] = body["spec"].pop("enableDefaultDeny")
    with pytest.raises(AssertionError, match="enableDefaultDenied"):
        kubectl_or_fail(world, body)


def kubectl_or_fail(world: Harness, body: Object) -> None:
    command = [
        *(str(world.control_plane.toolbox.path("kubectl")), f"--kubeconfig={world.control_plane.kubeconfig}"),
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"),
    ]
    done = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def pod(name: str, namespace: str, **more: Any) -> Object:
    container = {"name": "main", "image": "main", **more.pop("container", {})}
    body = {"containers": [container], "tolerations": [{"operator": "Exists"}], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": body}


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


OPEN, CLOSED = "open-ns", "closed-ns"
WORLD = [
    namespace(OPEN),
    namespace(CLOSED),
    pod("free", OPEN),
    pod("on-host", OPEN, hostNetwork=True),
    pod("isolated", CLOSED),
    pod("without-credentials", CLOSED, container={"env": [POD_IDENTITY]}),
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": CLOSED},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
        },
    },
]


@pytest.fixture(scope="module")
def audited(world: Harness, chained: list[NodeFolder]) -> Path:
    """Workloads, policies without the baseline's rule for Pod Identity, the audit mode, and an auditor's kubeconfig."""
    del chained
    world.kubectl("delete", "ccnp", "cnichain-baseline-pod-identity", "--ignore-not-found")
    world.kubectl("apply", "--server-side", "--filename=-", stdin="\n---\n".join(map(json.dumps, WORLD)))
    world.kubectl("apply", "--server-side", f"--kustomize={ROOT / 'deploy/auditor'}")
    world.kubectl("create", "serviceaccount", "auditor", "--namespace=cnichain-system")
    subject = "--serviceaccount=cnichain-system:auditor"
    world.kubectl("create", "clusterrolebinding", "auditor", "--clusterrole=cnichain-auditor", subject)
    world.kubectl("create", "rolebinding", "auditor", "--role=cnichain-auditor", subject, IN_KUBE_SYSTEM)
    world.apply_chain(spec("all", policyAuditMode=True))
    world.wait("the pods run", lambda: len(running(world)) == 4, 60)
    return world.kubeconfig_of("auditor")


def running(world: Harness) -> list[Object]:
    items = [*world.get("pods", f"--namespace={OPEN}")["items"], *world.get("pods", f"--namespace={CLOSED}")["items"]]
    return [item for item in items if item["status"].get("phase") == "Running"]


def test_the_audit_mode_is_a_warning_in_status(world: Harness, audited: Path) -> None:
    del audited
    world.wait_through()
    condition = world.conditions()["PreflightPassed"]
    assert condition["status"] == "True", "it stands in the way of nothing"
    assert "PolicyAuditMode" in condition["message"]
    (found,) = [
        one for one in world.get("cnichain", "default")["status"]["preflight"] if one["check"] == "policy-audit-mode"
    ]
    assert found["level"] == "warning"
    assert effective(world)["policyAuditMode"] is True


def run(*arguments: str, status: int = 0) -> str:
    """The command in this process, which saves the start of another."""
    done = CliRunner().invoke(evidence, arguments)
    assert done.exit_code == status, done.output
    return done.output


def run_program(*arguments: str) -> str:
    command = [sys.executable, "-m", "cnichain.cli.main", "evidence", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(world: Harness, audited: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Object]]:
    """The archive, what was printed, and the requests that it took."""
    world.wait_through()
    start, folder = world.audit_length(), tmp_path_factory.mktemp("evidence")
    said = run_program("--out", str(folder / "e.tar.gz"), "--html", str(folder / "e.html"), f"--kubeconfig={audited}")
    return folder / "e.tar.gz", said, world.audited(start, "cnichain-evidence")


def files_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        opened = {item.name: tar.extractfile(item) for item in tar}
        return {name.removeprefix("evidence/"): file.read() for name, file in opened.items() if file is not None}


def test_the_evidence_only_reads_and_an_auditors_rights_are_enough(made: tuple[Path, str, list[Object]]) -> None:
    path, _, requests = made
    assert requests, "the audit log has no request of the command"
    assert [item for item in requests if item["verb"] in WRITES] == []
    refused = [item["requestURI"] for item in requests if item["responseStatus"]["code"] == 403]
    assert refused == [], "deploy/auditor lacks a permission"
    assert json.loads(files_of(path)["about.json"])["unread"] == []


def test_the_archive_checks_and_a_changed_one_does_not(made: tuple[Path, str, list[Object]]) -> None:
    path, said, _ = made
    key = path.with_name("e.pub.pem")
    assert str(path) in said
    assert "files of" in run("verify", str(path), "--public-key", str(key))
    broken = bytearray(path.read_bytes())
    broken[-20] ^= 1
    path.with_name("broken.tar.gz").write_bytes(broken)
    run("verify", str(path.with_name("broken.tar.gz")), "--public-key", str(key), status=2)
    run("--out", str(path), status=2)  # evidence is never written over


def test_it_tells_the_chain_as_it_is_on_the_nodes(
    world: Harness, chained: list[NodeFolder], made: tuple[Path, str, list[Object]]
) -> None:
    files = files_of(made[0])
    nodes = {node["name"]: node for node in json.loads(files["nodes.json"])}
    for folder in chained:
        on_disk = hashlib.sha256((folder.conf_dir / "05-cilium.conflist").read_bytes()).hexdigest()
        node = nodes[folder.root.name]
        assert node["verified"] is True
        assert node["digest"] == f"sha256:{on_disk}", "not the file that is on the node"
    chain, status = json.loads(files["chain.json"]), world.get("cnichain", "default")["status"]
    assert chain["versions"]["chartDigest"] == status["versions"]["chartDigest"]
    assert chain["effective"]["valuesDigest"] == status["effective"]["valuesDigest"]
    images = json.loads(files["images.json"])
    assert {"DaemonSet kube-system/cilium", "Deployment kube-system/hubble-relay"} <= {
        one["workload"] for one in images
    }
    assert all(one["pinned"] and one["known"] for one in images if "quay.io/cilium/" in one["image"])


def test_it_tells_what_agents_export_and_which_certificates_there_are(made: tuple[Path, str, list[Object]]) -> None:
    files = files_of(made[0])
    (exporter,) = json.loads(files["export.json"])["exporters"]
    assert exporter["active"] is True
    assert exporter["maxSizeMb"] == 20
    secrets = {one["secret"] for one in json.loads(files["certificates.json"])}
    assert {"cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"} <= secrets


def test_no_key_is_in_the_evidence(world: Harness, made: tuple[Path, str, list[Object]]) -> None:
    whole = b"\n".join(files_of(made[0]).values())
    assert b"PRIVATE KEY" not in whole
    for name in ("cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"):
        for entry, encoded in world.get("secret", name, IN_KUBE_SYSTEM)["data"].items():
            if entry.endswith(".key"):
                assert encoded[80:160].encode() not in whole, f"{name}/{entry} is in the evidence"
                assert base64.b64decode(encoded)[60:120] not in whole, f"{name}/{entry} is in the evidence"


def test_it_finds_the_gaps(made: tuple[Path, str, list[Object]]) -> None:
    files = files_of(made[0])
    gaps = {gap["code"]: gap for gap in json.loads(files["gaps.json"])}
    pods = json.loads(files["pods.json"])
    names = {key: {f"{one['namespace']}/{one['name']}" for one in listed} for key, listed in pods.items()}
    assert f"{OPEN}/on-host" in names["hostNetwork"]
    assert f"{OPEN}/free" in names["unselected"]
    assert not {name for name in names["unselected"] if name.startswith(f"{CLOSED}/")}
    assert names["podIdentity"] == {f"{CLOSED}/without-credentials"}
    assert "PolicyAuditMode" in gaps
    assert f"{OPEN}: 1 pod" in gaps["NamespaceWithoutPolicy"]["examples"]
    assert "FlowExportOff" not in gaps
    assert "ChainNotReady" not in gaps
    assert "VerdictsNotRead" in gaps, "no node of this cluster serves metrics"
    spaces = {one["name"]: one for one in json.loads(files["policies.json"])["namespaces"]}
    assert (spaces[CLOSED]["pods"], spaces[CLOSED]["egress"]) == (2, 2)


def test_who_may_read_little_gets_evidence_that_says_so(world: Harness, audited: Path, tmp_path: Path) -> None:
    del audited
    world.kubectl("create", "serviceaccount", "nobody", "--namespace=cnichain-system")
    run("--out", str(tmp_path / "little"), "--no-metrics", f"--kubeconfig={world.kubeconfig_of('nobody')}")
    about = json.loads((tmp_path / "little" / "about.json").read_text(encoding="utf-8"))
    assert any("list pods" in one for one in about["unread"])
    codes = {gap["code"] for gap in json.loads((tmp_path / "little" / "gaps.json").read_text(encoding="utf-8"))}
    assert {"NotReadable", "ChainNotReady"} <= codes
    run("verify", str(tmp_path / "little"), "--public-key", str(tmp_path / "little.pub.pem"))
