"""The main job with a real Cilium, on a real kernel: from a cluster with its primary alone, and back to it.

The tests run in the order in which they stand: each takes the cluster as the one before has left it. Real are Cilium
(the agent with its eBPF programs, the operator, Hubble), containerd, kubelet and the plugins ptp, portmap and
cilium-cni. The VPC CNI is a stand-in, see kindrig/primary.py.
"""

import json
from collections.abc import Iterator

import pytest

from kindrig.cluster import KindCluster
from kindrig.primary import conflist
from kindrig.settings import CONNECT, NAMESPACE, PORT, Object, chain, client, policy, server

pytestmark = [pytest.mark.e2e_kind, pytest.mark.timeout(3000)]

CHAIN_SECONDS = 900.0
"""Cilium's images are pulled meanwhile: about 500 MB."""
SOON = 120.0
CHAINED, PRIMARY = "05-cilium.conflist", "10-aws.conflist"
NET_D = "/etc/cni/net.d"
HERE = f"--namespace={NAMESPACE}"
CLIENTS = {"allowed": {"role": "allowed"}, "denied": {"role": "denied"}}


@pytest.fixture(scope="module")
def before(cluster: KindCluster, image: str) -> str:
    """A pod from before the chain; its address."""
    cluster.apply(client("before", image))
    return wait_running(cluster, "before")


@pytest.fixture(scope="module")
def chained(cluster: KindCluster, before: str) -> Iterator[None]:
    """The CNIChain is Ready."""
    cluster.apply(chain())
    cluster.wait("the CNIChain is Ready", lambda: is_ready(cluster), CHAIN_SECONDS)
    yield
    cluster.kubectl.run("delete", "cnichain", "default", "--ignore-not-found", "--wait=false")


def wait_running(cluster: KindCluster, name: str) -> str:
    """The address of a pod once it is Ready."""
    cluster.kubectl.run("wait", f"pod/{name}", HERE, "--for=condition=Ready", "--timeout=110s", timeout=120)
    return str(cluster.get("pod", name, HERE)["status"]["podIP"])


def is_ready(cluster: KindCluster) -> bool:
    found = cluster.get("cnichain", "default")
    generation = found.get("metadata", {}).get("generation")
    conditions = found.get("status", {}).get("conditions") or []
    return any(
        one["type"] == "Ready" and one["status"] == "True" and one["observedGeneration"] == generation
        for one in conditions
    )


def files(cluster: KindCluster) -> list[str]:
    """The configuration files of the node's CNI folder that a runtime may load, the first one first."""
    return sorted(
        name for name in cluster.in_node("ls", NET_D).split() if name.endswith((".conf", ".conflist", ".json"))
    )


def plugins(cluster: KindCluster, name: str) -> list[str]:
    """The types of the plugins of a list."""
    return [one["type"] for one in json.loads(cluster.in_node("cat", f"{NET_D}/{name}"))["plugins"]]


def connect(cluster: KindCluster, source: str, address: str) -> str:
    """`connected`, `timeout`, or an error number, of a connection from a pod."""
    command = ("python3", "-c", CONNECT, address, str(PORT))
    return cluster.kubectl.run("exec", source, HERE, "--", *command, timeout=60).strip()


def test_before_the_chain_pods_run_by_the_primary_alone(cluster: KindCluster, before: str) -> None:
    assert files(cluster) == [PRIMARY]
    assert cluster.in_node("cat", f"{NET_D}/{PRIMARY}") == conflist()
    assert before.startswith("10.244.0.")


def test_the_chain_is_ready_and_the_node_verified(cluster: KindCluster, chained: None) -> None:
    assert files(cluster)[0] == CHAINED
    assert plugins(cluster, CHAINED) == ["ptp", "portmap", "cilium-cni"]
    assert cluster.in_node("cat", f"{NET_D}/{PRIMARY}") == conflist(), "the primary's file is never written"
    status = cluster.get("cnichainnode", cluster.node)["status"]
    assert (status["state"], status["effectiveFile"]) == ("InSync", CHAINED)


def test_new_pods_go_through_the_chain(cluster: KindCluster, chained: None, image: str) -> None:
    cluster.apply(server(image), *(client(name, image, **labels) for name, labels in CLIENTS.items()))
    for name in ("server", *CLIENTS):
        address = wait_running(cluster, name)
        endpoint = wait_endpoint(cluster, name)
        assert [one["ipv4"] for one in endpoint["status"]["networking"]["addressing"]] == [address]


def wait_endpoint(cluster: KindCluster, name: str) -> Object:
    """The CiliumEndpoint of a pod once Cilium has given it its eBPF programs."""

    def found() -> Object:
        endpoint = cluster.get("ciliumendpoint", name, HERE)
        return endpoint if endpoint.get("status", {}).get("state") == "ready" else {}

    endpoint: Object = cluster.wait(f"Cilium has an endpoint for {name}", found, SOON)
    return endpoint


def test_a_pod_from_before_the_chain_is_reported(cluster: KindCluster, chained: None) -> None:
    def causes() -> Object:
        found: Object = (cluster.get("cnichain", "default")["status"].get("pods") or {}).get("byNamespace") or {}
        return found

    cluster.wait("the old pod is reported as unmanaged", lambda: causes().get(NAMESPACE) == 1, 240)


def test_a_policy_is_enforced_by_cilium(cluster: KindCluster, chained: None) -> None:
    address = wait_running(cluster, "server")
    reach = {name: connect(cluster, name, address) for name in CLIENTS}
    assert reach == dict.fromkeys(CLIENTS, "connected"), "without a policy both reach the server"
    cluster.apply(policy())
    cluster.wait("the denied pod is held off", lambda: connect(cluster, "denied", address) == "timeout", SOON)
    assert connect(cluster, "allowed", address) == "connected"


def test_hubble_sees_both_flows(cluster: KindCluster, chained: None) -> None:
    address = wait_running(cluster, "server")
    for name, verdict in (("allowed", "FORWARDED"), ("denied", "DROPPED")):

        def seen(name: str = name, verdict: str = verdict) -> list[Object]:
            connect(cluster, name, address)
            pods = (f"--from-pod={NAMESPACE}/{name}", f"--to-pod={NAMESPACE}/server")
            command = ("hubble", "observe", *pods, f"--verdict={verdict}", "--last=20", "--output=jsonpb")
            agent = ("exec", "daemonset/cilium", "--namespace=kube-system", "--container=cilium-agent", "--")
            text = cluster.kubectl.run(*agent, *command, timeout=60)
            return [found for line in text.splitlines() if (found := json.loads(line).get("flow"))]

        flow = cluster.wait(f"Hubble has a flow {name}: {verdict}", seen, SOON)[-1]
        assert flow["source"]["labels"], "Hubble knows who it was"


def test_a_deleted_chain_is_written_again(cluster: KindCluster, chained: None, image: str) -> None:
    wanted = cluster.in_node("cat", f"{NET_D}/{CHAINED}")
    cluster.in_node("rm", f"{NET_D}/{CHAINED}")
    cluster.wait("the agent has put it back", lambda: files(cluster)[0] == CHAINED, SOON)
    assert cluster.in_node("cat", f"{NET_D}/{CHAINED}") == wanted
    cluster.apply(client("repaired", image))
    wait_running(cluster, "repaired")
    wait_endpoint(cluster, "repaired")


def test_an_uninstallation_leaves_the_primary(cluster: KindCluster, chained: None, image: str) -> None:
    cluster.kubectl.run("delete", "ciliumnetworkpolicy", "server", HERE)
    cluster.kubectl.run("delete", "cnichain", "default", "--timeout=290s", timeout=300)
    assert cluster.get("daemonset", "cilium", "--namespace=kube-system") == {}
    assert files(cluster) == [PRIMARY]
    assert cluster.in_node("cat", f"{NET_D}/{PRIMARY}") == conflist()
    cluster.kubectl.run("delete", "pod", "server", HERE, "--timeout=60s", timeout=70)
    cluster.apply(client("after", image), server(image))
    wait_running(cluster, "after")
    address = wait_running(cluster, "server")
    cluster.wait("pods reach each other", lambda: connect(cluster, "after", address) == "connected", SOON)
