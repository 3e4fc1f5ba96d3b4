"""Certificates on a real API server: made as the values ask, a CA replaced in steps while the chain is Ready."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cnichain.cli.evidence import evidence
from harness import Harness
from leaks import files_below, forms_of_key, forms_of_token, leaks, private_values, tokens_in

pytestmark = pytest.mark.controlplane

SYSTEM = ("-n", "kube-system")
ROTATE = "cnichain.io/rotate-ca"
TLS: dict[str, Any] = {
    "hubble": {"relay": {"tls": {"server": {"enabled": True}}}, "metrics": {"tls": {"enabled": True}}}
}
SPEC: dict[str, Any] = {"cilium": {"version": "1.18.12", "values": TLS}}
LEAVES = (
    "hubble-server-certs",
    "hubble-relay-client-certs",
    "hubble-relay-server-certs",
    "hubble-ui-client-certs",
    "hubble-metrics-server-certs",
)


@pytest.fixture(scope="module")
def running(world: Harness) -> Iterator[None]:
    """Operator (with the rights that it is deployed with) and agents; a step of a rotation lasts three seconds."""
    with ExitStack() as stack:
        world.kubectl("apply", "--filename=deploy/base/rbac.yaml")
        stack.enter_context(world.agents())
        world.apply_chain(SPEC)
        account = str(world.kubeconfig_of("cnichain-operator"))
        stack.enter_context(world.operator(ca_rotation_wait_seconds="3", kubeconfig=account))
        world.wait_ready()
        yield


def secrets(world: Harness) -> dict[str, dict[str, str]]:
    """`data` of the Secrets of the CA and of all leaves."""
    found = world.get("secret", *("cilium-ca", *LEAVES), *SYSTEM)["items"]
    return {item["metadata"]["name"]: item["data"] for item in found}


def step_of(data: dict[str, dict[str, str]]) -> str:
    """Which step of a rotation the Secret of the CA shows."""
    ca = data["cilium-ca"]
    return "TrustBoth" if "next.crt" in ca else "IssueNew" if "previous.crt" in ca else ""


class Watched:
    """Everything that was ever in a Secret of the CA or a leaf, from the API server's own watch."""

    def __init__(self, world: Harness) -> None:
        self.path = world.work / "secrets.watch"
        command = [
            str(world.control_plane.toolbox.path("kubectl")),
            f"--kubeconfig={world.control_plane.kubeconfig}",
            *("get", "secrets", *SYSTEM, "--watch", "--output=json"),
        ]
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output)

    def stop(self) -> list[dict[str, Any]]:
        """The objects in the order in which they were seen."""
        self.process.terminate()
        self.process.wait(timeout=20)
        return self.objects_in(self.path.read_text(encoding="utf-8"))

    @staticmethod
    def objects_in(text: str) -> list[dict[str, Any]]:
        """The objects in the text of a watch, one behind the other."""
        found, at = list[dict[str, Any]](), 0
        while at < len(text) and text[at:].strip():
            item, end = json.JSONDecoder().raw_decode(text[at:].lstrip())
            at = len(text) - len(text[at:].lstrip()) + end
            found.append(item)
        return found


def test_every_leaf_that_the_values_ask_for_is_there(world: Harness, running: None) -> None:
    data = secrets(world)
    assert set(data) == {"cilium-ca", *LEAVES}
    assert {item["ca.crt"] for item in data.values()} == {data["cilium-ca"]["ca.crt"]}
    status = world.get("cnichain", "default")["status"]["certificates"]
    assert status["notAfter"] < status["caNotAfter"]
    assert not status.get("rotation")


def test_a_ca_is_replaced_on_request_step_by_step(world: Harness, running: None) -> None:
    before = secrets(world)
    pods = {item["metadata"]["uid"] for item in world.get("pods", *SYSTEM)["items"]}
    watched = Watched(world)
    try:
        world.kubectl("annotate", "cnichain", "default", f"{ROTATE}=first")
        world.wait("the rotation is told of", lambda: "CaRotated" in world.reasons_of_events(), 90)
        assert world.conditions()["Ready"]["status"] == "True"
    finally:
        seen = watched.stop()
    after = secrets(world)
    told = [step_of({"cilium-ca": item["data"]}) for item in seen if item["metadata"]["name"] == "cilium-ca"]
    assert [one for at, one in enumerate(told) if at == 0 or one != told[at - 1]] == ["", "TrustBoth", "IssueNew", ""]
    old, new = (base64.b64decode(data["cilium-ca"]["ca.crt"]) for data in (before, after))
    assert old != new
    for name in LEAVES:
        states = [
            (base64.b64decode(item["data"]["ca.crt"]), item["data"]["tls.crt"])
            for item in seen
            if item["metadata"]["name"] == name
        ]
        first, last = before[name]["tls.crt"], after[name]["tls.crt"]
        assert list(dict.fromkeys(states)) == [(old, first), (old + new, first), (old + new, last), (new, last)], name
    assert {item["metadata"]["uid"] for item in world.get("pods", *SYSTEM)["items"]} == pods, "no pod may restart"
    assert {"CaRotating", "CertificateRenewed"} <= world.reasons_of_events()
    changes = [item for item in world.audited() if "/status" in item["requestURI"]]
    assert changes, "the audit log must have been read"


def test_a_ca_is_replaced_while_a_plan_is_held(world: Harness, running: None) -> None:
    before = secrets(world)
    world.apply_chain(SPEC | {"hubble": {"ui": {"enabled": False}}, "rollout": {"paused": True}})
    world.wait_reason("Ready", "Paused")
    world.kubectl("annotate", "cnichain", "default", f"{ROTATE}=second", "--overwrite")

    def is_done() -> bool:
        data = secrets(world)
        return not step_of(data) and data["cilium-ca"]["ca.crt"] != before["cilium-ca"]["ca.crt"]

    world.wait("the CA is replaced although the plan is held", is_done, 150)
    assert world.conditions()["Ready"]["reason"] == "Paused"
    assert world.exists("deployment", "hubble-ui", *SYSTEM), "the plan itself is held"


TOLD = (
    *("cnichains", "cnichainnodes", "events", "configmaps", "nodes", "pods", "deployments", "daemonsets", "services"),
    *("leases", "serviceaccounts", "namespaces", "clusterroles", "clusterrolebindings", "roles", "rolebindings"),
)


def test_no_key_of_any_step_is_anywhere_else(world: Harness, running: None, tmp_path: Path) -> None:
    """Neither in the API (status, plans, history, inventory, events) nor in a log, on a node, in evidence."""
    plans = {item["metadata"]["name"] for item in world.get("configmaps", "-n", "cnichain-system")["items"]}
    assert any("plan" in name for name in plans), f"a held plan is among what is looked through: {plans}"
    done = CliRunner().invoke(
        evidence, ["--out", str(tmp_path / "evidence"), f"--kubeconfig={world.control_plane.kubeconfig}"]
    )
    assert done.exit_code == 0, done.output
    places = {
        "the API": world.kubectl("get", ",".join(TOLD), "-A", "--show-managed-fields", "--output=json").encode(),
        "the audit log": world.control_plane.audit_log.read_bytes(),
        "what evidence prints": done.output.encode(),
        **files_below(tmp_path / "evidence"),
        **files_below(world.work / "cache"),
        **files_below(world.control_plane.nodes_dir),
        **{str(path): path.read_bytes() for path in world.work.glob("*.log")},
    }
    assert {"agent", "operator"} <= {Path(name).name.split("-")[0] for name in places}, "logs of both are among them"

    text = (world.work / "secrets.watch").read_text(encoding="utf-8")
    assert leaks({"Secrets": text.encode()}, ()), "the search must find a key where there are keys"
    watched = [*Watched.objects_in(text), *world.get("secrets", *SYSTEM)["items"]]
    keys = private_values(item.get("data") or {} for item in watched)
    assert len(keys) > len(LEAVES), "keys of all CAs and of all leaves, old and new"
    tokens = tokens_in(world.work.glob("*.kubeconfig"))
    assert tokens, "the operator's own token is among what must not be told"
    forms = set().union(*map(forms_of_key, keys), *map(forms_of_token, tokens))
    assert leaks(places, forms) == []
