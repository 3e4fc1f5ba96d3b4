"""Nothing in the shipped roles is idle: each verb on each resource and name is used by a scenario of this file, which
runs operator and agent under their own accounts; `escalate` and `bind`, which no request names, are proven by taking
them away."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cnichain.dev.errors import DevError
from harness import ROOT, Harness, harness
from installers import CHAINED, Cilium, helm_client_side

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

Object = dict[str, Any]
FILES = ("rbac.yaml", "rbac-calico.yaml")
ACCOUNTS = ("cnichain-operator", "cnichain-agent")
OLD, NEW = "1.17.18", "1.18.12"
BY_CERTGEN = CHAINED | {
    "nodeinit": {"enabled": True},
    "hubble": CHAINED["hubble"] | {"tls": {"auto": {"method": "cronJob"}}},
}
EVERYTHING: Object = {
    "cilium": {
        "version": NEW,
        "values": {
            "envoy": {"enabled": True},
            "operator": {"podDisruptionBudget": {"enabled": True}},
            "hubble": {"relay": {"tls": {"server": {"enabled": True}}}, "metrics": {"tls": {"enabled": True}}},
        },
    },
    "adopt": True,
    "unmanagedPods": {"action": "Restart"},
    "deletionPolicy": "Uninstall",
    "rollout": {"probe": {"enabled": True}},
}
BY_CHART = "rbac.authorization.k8s.io"
"""Roles and bindings are named as the charts name them (tests/security/test_rbac_names.py); values decide which of them
there are, so that it is enough when a verb is used on one."""
LEFT_OF_AN_ADOPTION = "an uninstallation in the middle of an adoption watches what is left of the other installation"
OTHERS = "an adoption takes it over and deletes it, where the other installation has it"
NEW_ONLY = "a new installation makes it, as test_permissions.py does; here it is adopted"
IDLE = {
    ("create", "deployments/cilium-operator"): NEW_ONLY,
    ("create", "daemonsets/cilium"): NEW_ONLY,
    ("patch", "deployments/cilium-pre-flight-check"): OTHERS,
    ("delete", "deployments/cilium-pre-flight-check"): OTHERS,
    ("patch", "deployments/clustermesh-apiserver"): OTHERS,
    ("delete", "deployments/clustermesh-apiserver"): OTHERS,
    ("watch", "cronjobs"): LEFT_OF_AN_ADOPTION,
    ("watch", "jobs"): LEFT_OF_AN_ADOPTION,
}
"""(verb, resource or resource/name) that no scenario of this file uses, and why it is granted all the same."""
SOMETIMES = {
    ("patch", "events"): "an event that repeats for a minute is counted, which a fast machine does not come to"
}
"""The same for what is used on some machines only."""


class Permission(NamedTuple):
    """One verb of one rule. namespace, name: "" for all of them."""

    role: str
    namespace: str
    verb: str
    group: str
    resource: str
    name: str

    def __str__(self) -> str:
        place = f" in {self.namespace}" if self.namespace else ""
        named = f"/{self.name}" if self.name else ""
        return f"{self.role}{place}: {self.verb} {self.resource}.{self.group}{named}"


def shipped() -> list[Permission]:
    """Every verb of every rule in the shipped files."""
    documents = [item for name in FILES for item in yaml.safe_load_all((ROOT / "deploy/base" / name).read_text())]
    found = [
        Permission(
            *(item["metadata"]["name"], item["metadata"].get("namespace", ""), verb, group, resource),
            "" if group == BY_CHART else name,
        )
        for item in documents
        if item["kind"] in {"Role", "ClusterRole"}
        for rule in item["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    ]
    return list(dict.fromkeys(found))


def verbs_of(entry: Object) -> set[str]:
    """The verbs that a request needed. An apply of an object that is not there needs `create` beside `patch`."""
    is_created = entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201
    return {entry["verb"]} | ({"create"} if is_created else set())


def is_use(permission: Permission, entry: Object) -> bool:
    """Whether a request of the audit log is one that a permission allows."""
    target = entry.get("objectRef") or {}
    resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
    account = entry["user"]["username"].rsplit(":", 1)[1]
    return (
        permission.role.startswith(account)
        and permission.verb in verbs_of(entry)
        and permission.group == target.get("apiGroup", "")
        and permission.resource == resource
        and permission.namespace in {"", target.get("namespace", "")}
        and permission.name in {"", target.get("name", "")}
    )


def idle(permissions: list[Permission], entries: list[Object]) -> list[Permission]:
    """The permissions that no request has used."""
    return [one for one in permissions if not any(is_use(one, entry) for entry in entries)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chart_dir: Path, calico_dir: Path) -> Iterator[Harness]:
    """A cluster with the shipped roles, and one folder of charts and Calico's manifests."""
    folder = tmp_path_factory.mktemp("charts-and-manifests")
    for item in (*chart_dir.iterdir(), *calico_dir.iterdir()):
        (folder / item.name).symlink_to(item)
    with harness(tmp_path_factory.mktemp("permissions"), folder) as running:
        for file in FILES:
            running.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base' / file}")
        yield running


def by_account(world: Harness) -> list[Object]:
    """The requests of both accounts."""
    return [item for item in world.audit() if "cnichain-system:cnichain-" in item["user"].get("username", "")]


def job_of_helm(world: Harness) -> None:
    """The Job of certgen's, as the chart's hook leaves it."""
    metadata = {
        "name": "hubble-generate-certs",
        "namespace": "kube-system",
        "labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "cilium"},
        "annotations": {"meta.helm.sh/release-name": "cilium", "meta.helm.sh/release-namespace": "kube-system"},
    }
    pod = {"restartPolicy": "Never", "containers": [{"name": "certgen", "image": "certgen"}]}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))


OLD_PODS = ("deployment", "statefulset", "daemonset")
"""A workload of each kind has a pod from before the chain, so that it is restarted; named by its kind."""


def workload_from_before(world: Harness, kind: str) -> None:
    """A workload of one pod (a DaemonSet: one for each node), and wait for it."""
    labels = {"app": kind}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "main"}]}}
    spec: Object = {"selector": {"matchLabels": labels}, "template": template}
    spec |= {"serviceName": kind} if kind == "statefulset" else {}
    named = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}[kind]
    body = {"apiVersion": "apps/v1", "kind": named, "metadata": {"name": kind, "namespace": "default"}, "spec": spec}
    world.kubectl("create", "--filename=-", stdin=json.dumps(body))
    world.kubectl("rollout", "status", f"{kind}/{kind}", "--timeout=50s")


def is_restarted(world: Harness) -> bool:
    """Whether a pod of each kind of workload was evicted, and its workload told so."""
    made = [item for item in world.audited() if item["requestURI"].partition("?")[0].endswith("/eviction")]
    gone = {item["objectRef"]["name"].split("-")[0] for item in made if item["responseStatus"]["code"] == 201}
    return set(OLD_PODS) <= gone


def cilium_version(world: Harness) -> str:
    """The Cilium whose every stage is applied and healthy."""
    return str(world.get("cnichain", "default")["status"]["versions"].get("cilium"))


def calico(version: str) -> Object:
    return EVERYTHING | {"policyEngine": "Calico", "calico": {"enabled": True, "version": version}}


def test_every_verb_is_used(world: Harness) -> None:
    """Adoption, drift, a part that is switched off, Calico on, upgraded and off, and the uninstallation."""
    kube_system = ("-n", "kube-system")
    operator, agent = (world.kubeconfig_of(account) for account in ACCOUNTS)
    helm_client_side(world, Cilium(OLD, BY_CERTGEN), "--no-hooks")
    job_of_helm(world)
    world.kubectl("delete", "namespace", "cilium-secrets", "--timeout=50s")  # it is made anew, with the roles in it
    world.kubectl("taint", "nodes", "--all", "cnichain.io/chain-not-ready=:PreferNoSchedule")
    for kind in OLD_PODS:
        workload_from_before(world, kind)
    with ExitStack() as stack:
        stack.enter_context(world.operator(kubeconfig=str(operator), leader_elect="true", coverage_seconds="1"))
        stack.enter_context(world.agents(kubeconfig=agent))
        # Adopted in its own version, then upgraded: the nodes pull the new images first.
        world.apply_chain(EVERYTHING | {"cilium": EVERYTHING["cilium"] | {"version": OLD}})
        world.wait_ready()
        world.apply_chain(EVERYTHING)
        world.wait(f"Cilium {NEW}", lambda: cilium_version(world) == NEW)
        world.wait("a pod of each kind of workload is restarted", lambda: is_restarted(world), 60)
        lost = ("deployment/hubble-relay", "daemonset/cilium-envoy")
        world.kubectl("delete", *lost, *kube_system, "--timeout=30s")
        world.wait("both are back", lambda: all(world.exists(one, *kube_system) for one in lost), 60)
        world.apply_chain(EVERYTHING | {"hubble": {"ui": {"enabled": False}}})
        world.wait("hubble-ui is pruned", lambda: not world.exists("deployment", "hubble-ui", *kube_system), 90)
        for version in ("3.26.0", "3.32.1"):
            world.apply_chain(calico(version))
            world.wait(
                f"Calico {version}",
                lambda version=version: (  # type: ignore[misc]  # its type is the default's
                    world.get("cnichain", "default")["status"]["versions"].get("calico") == version
                ),
            )
        world.apply_chain(EVERYTHING)
        world.wait("Calico is off", lambda: not world.exists("installation", "default"))
        world.wait_ready()
        world.kubectl("delete", "cnichain", "default", "--wait=false")
        world.wait("it is uninstalled", lambda: not world.exists("cnichain", "default"))
    entries = by_account(world)
    # An adoption looks whether there are Ingresses of the other installation, and does without where it may not.
    denied = {f"{item['verb']} {item['requestURI']}" for item in entries if item["responseStatus"]["code"] == 403}
    assert {uri for uri in denied if "networking.k8s.io" not in uri} == set(), "the shipped roles are not enough"
    told = [one for one in idle(shipped(), entries) if one.verb not in {"bind", "escalate"}]
    found = {(one.verb, "/".join(part for part in (one.resource, one.name) if part)): str(one) for one in told}
    assert [text for key, text in found.items() if key not in IDLE | SOMETIMES] == [], (
        "verbs that are never used: take them off"
    )
    assert set(IDLE) - set(found) == set(), "these are used now: take them off the exceptions"


def test_a_verb_that_is_never_used_is_named(world: Harness) -> None:
    extra = Permission("cnichain-operator", "kube-system", "update", "apps", "deployments", "")
    assert idle([extra], by_account(world)) == [extra]


@pytest.mark.parametrize("verb", ["escalate", "bind"])
@pytest.mark.parametrize("resource", ["clusterroles", "roles"])
def test_escalate_and_bind_are_needed(world: Harness, verb: str, resource: str) -> None:
    """Cilium's roles and their bindings hold permissions that the operator does not have itself."""
    kind, name = {"clusterroles": ("ClusterRole", "cilium"), "roles": ("Role", "cilium-config-agent")}[resource]
    metadata = {"name": name} | ({"namespace": "kube-system"} if kind == "Role" else {})
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]
    role_body: Object = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    body = role_body
    apply = ("apply", "--server-side", "--force-conflicts", "--filename=-")
    if verb == "bind":
        world.kubectl(*apply, stdin=json.dumps(role_body))
        body = {"apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": metadata}
        body["roleRef"] = {"apiGroup": group, "kind": kind, "name": name}
        body["subjects"] = [{"kind": "ServiceAccount", "name": "cilium", "namespace": "kube-system"}]

    def is_allowed() -> bool:
        user = "--as=system:serviceaccount:cnichain-system:cnichain-operator"
        try:
            world.kubectl(*apply, user, "--dry-run=server", stdin=json.dumps(body))
        except DevError as error:
            if "forbidden" not in str(error).lower():
                raise
            return False
        return True

    world.wait(f"{verb} of {resource} is allowed", is_allowed, 20)
    role = world.get("clusterrole", "cnichain-operator")
    without = [{**rule, "verbs": [one for one in rule["verbs"] if one != verb or resource not in rule["resources"]]}
               for rule in role["rules"]]  # fmt: skip
    less = json.dumps({"rules": [rule for rule in without if rule["verbs"]]})
    world.kubectl("patch", "clusterrole", "cnichain-operator", "--type=merge", f"--patch={less}")
    try:
        world.wait(f"without {verb} of {resource} it is forbidden", lambda: not is_allowed(), 20)
    finally:
        world.kubectl("patch", "clusterrole", "cnichain-operator", "--type=merge",
                      f"--patch={json.dumps({'rules': role['rules']})}")  # fmt: skip
