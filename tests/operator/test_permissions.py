"""The shipped RBAC is enough for the main job and for no more: operator and agents run under their own accounts."""

import json
from contextlib import ExitStack

import pytest

from harness import ROOT, Harness

pytestmark = pytest.mark.controlplane


def test_the_main_job_works_with_the_shipped_roles_alone(world: Harness) -> None:
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    operator, agent = world.kubeconfig_of("cnichain-operator"), world.kubeconfig_of("cnichain-agent")
    with ExitStack() as stack:
        stack.enter_context(world.operator(kubeconfig=str(operator)))
        stack.enter_context(world.agents(kubeconfig=agent))
        world.apply_chain({"cilium": {"version": "1.20.0"}})
        world.wait_ready()
        world.kubectl("delete", "deployment", "hubble-relay", "-n", "kube-system", "--timeout=30s")
        world.wait("hubble-relay is back", lambda: world.exists("deployment", "hubble-relay", "-n", "kube-system"), 30)
        world.apply_chain({"cilium": {"version": "1.20.0"}, "hubble": {"ui": {"enabled": False}}})
        world.wait("hubble-ui is pruned", lambda: not world.exists("deployment", "hubble-ui", "-n", "kube-system"), 60)
        world.wait("the event is there", lambda: "DriftCorrected" in world.reasons_of_events(), 20)
        world.kubectl("patch", "cnichain", "default", "--type=merge", '--patch={"spec":{"deletionPolicy":"Uninstall"}}')
        world.kubectl("taint", "nodes", "--all", "node.cilium.io/agent-not-ready=:PreferNoSchedule")
        world.kubectl("delete", "cnichain", "default", "--wait=false")
        world.wait("it is uninstalled", lambda: not world.exists("cnichain", "default"), 90)
        assert not world.exists("daemonset", "cilium", "-n", "kube-system")
    ours = [item for item in world.audit() if "cnichain-system:cnichain-" in item["user"].get("username", "")]
    assert {item["user"]["username"].rsplit(":", 1)[1] for item in ours} == {"cnichain-operator", "cnichain-agent"}
    denied = {f"{item['verb']} {item['requestURI']}" for item in ours if item["responseStatus"]["code"] == 403}
    assert denied == set(), "requests that the shipped roles do not allow"


@pytest.mark.parametrize(
    ("account", "verb", "what"),
    [
        ("cnichain-operator", "patch", "daemonsets.apps/aws-node --namespace=kube-system"),
        ("cnichain-operator", "delete", "daemonsets.apps/aws-node --namespace=kube-system"),
        ("cnichain-operator", "get", "secrets --namespace=default"),
        ("cnichain-operator", "list", "secrets --namespace=kube-system"),
        ("cnichain-operator", "get", "secrets/someone-elses --namespace=kube-system"),
        ("cnichain-operator", "update", "cnichains.cnichain.io"),
        ("cnichain-operator", "delete", "customresourcedefinitions.apiextensions.k8s.io"),
        ("cnichain-operator", "delete", "namespaces"),
        ("cnichain-operator", "delete", "nodes"),
        ("cnichain-operator", "create", "secrets --namespace=kube-system"),
        ("cnichain-operator", "create", "daemonsets.apps/mine --namespace=kube-system"),
        ("cnichain-operator", "patch", "deployments.apps/coredns --namespace=kube-system"),
        ("cnichain-operator", "delete", "deployments.apps/coredns --namespace=kube-system"),
        ("cnichain-operator", "patch", "clusterroles.rbac.authorization.k8s.io/cluster-admin"),
        ("cnichain-operator", "escalate", "clusterroles.rbac.authorization.k8s.io/mine"),
        ("cnichain-operator", "bind", "clusterroles.rbac.authorization.k8s.io/cluster-admin"),
        ("cnichain-operator", "create", "clusterrolebindings.rbac.authorization.k8s.io/mine"),
        ("cnichain-operator", "delete", "roles.rbac.authorization.k8s.io/theirs --namespace=default"),
        ("cnichain-operator", "list", "configmaps --namespace=argocd"),
        ("cnichain-operator", "get", "configmaps/argocd-secret --namespace=argocd"),
        ("cnichain-operator", "patch", "daemonsets.apps/istio-cni-node --namespace=istio-system"),
        ("cnichain-operator", "patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("cnichain-operator", "get", "installations.operator.tigera.io/other"),
        ("cnichain-operator", "patch", "installations.operator.tigera.io/default"),
        ("cnichain-operator", "delete", "pods --namespace=default"),
        ("cnichain-operator", "patch", "deployments.apps --namespace=default"),
        ("cnichain-agent", "get", "secrets --namespace=kube-system"),
        ("cnichain-agent", "patch", "cnichainnodes.cnichain.io"),
        ("cnichain-agent", "list", "pods"),
    ],
)
def test_what_the_shipped_roles_do_not_allow(world: Harness, account: str, verb: str, what: str) -> None:
    world.kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/rbac.yaml'}")
    user = f"--as=system:serviceaccount:cnichain-system:{account}"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes(verb, what)},
    }
    answer = json.loads(
        world.kubectl("create", user, "--validate=false", "--filename=-", "--output=json", stdin=json.dumps(review))
    )
    assert answer["status"]["allowed"] is False, f"{account} may {verb} {what}"


def attributes(verb: str, what: str) -> dict[str, str]:
    """The attributes of an access review from kubectl's way to name a resource."""
    target, *flags = what.split()
    kind, _, name = target.partition("/")
    resource, _, group = kind.partition(".")
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    return {"verb": verb, "resource": resource, "group": group, "name": name} | given
