"""An API server that answers badly: busy, broken, too late, with 410 on every watch, or one of two replicas not at all.
A proxy before the real API server does it; docs/chaos.md has what holds and what is reported."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from chaos import SPEC, assert_nothing_is_lost, children, metric, turn, written
from cnichain.api.reasons import Reason
from cnichain.controller.runtime import EXIT_LEASE_LOST
from cnichain.dev.linux import free_ports
from faultproxy import Fault, FaultProxy, fault_proxy
from harness import Harness

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
GONE = Fault(event={"type": "ERROR", "object": EXPIRED})
BUSY = Fault(429, headers={"Retry-After": "1"})
BROKEN = Fault(500)
HOW_IT_STANDS = ("/cnichains", "/events", "/leases")
"""What status, events and the lease need."""
STORM_SECONDS = 8.0


@dataclass
class OnceEach:
    """Lets each request fail the first time: one in five with 429, which costs a second, the others with 500."""

    failed: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> Fault | None:
        target, _, query = path.partition("?")
        kind = "WATCH" if "watch=" in query else method
        with self.lock:
            key = f"{kind} {target}"
            if key in self.failed:
                return None
            fault = BROKEN if len(self.failed) % 5 else BUSY
            self.failed[key] = fault.status
            return fault


@dataclass
class Behind:
    """The operator behind the proxy, and what its install went through."""

    proxy: FaultProxy
    metrics: int
    once: OnceEach
    children: dict[str, object]

    def well(self) -> None:
        """From here on the API server answers as it should."""
        self.proxy.fault = lambda _method, _path: None
        self.proxy.late = lambda _method, _path: 0.0


@pytest.fixture(scope="module")
def behind(world: Harness) -> Iterator[Behind]:
    """An operator that has installed a chain while each of its requests failed the first time."""
    with ExitStack() as stack:
        proxy = stack.enter_context(fault_proxy(world.control_plane))
        (port,) = free_ports(1)
        once = OnceEach()
        proxy.fault = once
        world.apply_chain(SPEC)
        path = str(proxy.kubeconfig(world.control_plane, world.work))
        stack.enter_context(world.operator(kubeconfig=path, metrics_port=str(port), leader_elect="true"))
        world.wait_ready()
        one = Behind(proxy, port, once, {})
        one.well()
        one.children = children(world)
        yield one


def log(world: Harness) -> str:
    return world.logs[-1].read_text(encoding="utf-8")


def put_back(world: Harness, name: str) -> None:
    """Somebody deletes a child; the operator must notice by itself, and make it anew."""
    there = ("serviceaccount", name, "--namespace=kube-system")
    before = world.get(*there)["metadata"]["uid"]
    world.kubectl("delete", *there)
    world.wait(
        f"{name} is put back", lambda: world.exists(*there) and world.get(*there)["metadata"]["uid"] != before, 90
    )


def test_an_install_in_which_each_request_fails_once(world: Harness, behind: Behind) -> None:
    """429 with Retry-After, and 500: each request of an install gets one of them before it gets through."""
    failed = behind.once.failed
    assert {key.split()[0] for key in failed} >= {"GET", "WATCH", "PATCH", "POST", "PUT"}
    assert {429, 500} == set(failed.values())
    assert len(failed) > 80, f"an install has more requests: {sorted(failed)}"
    assert Reason.API_UNAVAILABLE.value in log(world)
    for code in ("429", "500"):
        patched = metric(behind.metrics, f'cnichain_api_requests_total{{code="{code}",method="PATCH"')
        assert patched > 0, f"the metrics count what was answered with {code}"
    assert_nothing_is_lost(world, behind.children)


def test_every_request_is_refused_in_steady_state(world: Harness, behind: Behind) -> None:
    """First all but the lease, status among it, with 500; then all but status and events, with 429."""
    behind.proxy.fault = lambda _method, path: None if "/leases" in path else BROKEN
    turn(world)
    world.wait_log("ApiUnavailable: read CNIChain default, or write its status: the API server failed (500)", 60)
    behind.proxy.fault = lambda _method, path: None if any(part in path for part in HOW_IT_STANDS) else BUSY
    found = world.wait_reason("Reconciling", "ApiUnavailable")
    conditions = world.conditions()
    assert found["status"] == "True"
    assert "is too busy (429)" in found["message"]
    assert conditions["Ready"]["status"] == "True", "it is a passing error: Ready falls after two minutes"
    assert conditions["Stalled"]["status"] == "False"
    errors = metric(behind.metrics, 'cnichain_reconcile_total{result="error"')
    assert errors > 0
    behind.well()
    assert_nothing_is_lost(world, behind.children)
    world.wait("an event tells of it", lambda: Reason.API_UNAVAILABLE.value in world.reasons_of_events(), 30)
    world.wait_log("the API server answers again", 30)


def test_410_on_every_watch(world: Harness, behind: Behind) -> None:
    """No watch is ever good for an event: what changes is found by lists, and those do not come without a pause."""
    start = len(behind.proxy.seen)
    behind.proxy.fault = lambda _method, path: GONE if "watch=" in path else None
    behind.proxy.cut()
    began = time.monotonic()
    put_back(world, "hubble-relay")
    world.wait_log("ends it at once, time and again (410)", 60)
    time.sleep(max(0.0, STORM_SECONDS - (time.monotonic() - began)))  # the length of the sample
    lasted = time.monotonic() - began
    watches = [line.partition("?")[0] for line in behind.proxy.seen[start:] if "watch=" in line]
    most = max(watches.count(line) for line in set(watches))
    assert len(set(watches)) > 10
    assert most <= lasted + 5, f"one watch began {most} times within {lasted:.0f} s"
    behind.well()
    behind.proxy.cut()
    assert written(world, 0), "the log has the install"
    world.wait_ready()
    behind.children = children(world)  # with the one that was made anew
    assert_nothing_is_lost(world, behind.children)


def test_late_answers(world: Harness, behind: Behind) -> None:
    """Each answer a third of a second late, and the CNIChain itself six: what is wrong is put right all the same."""

    def late(method: str, path: str) -> float:
        return 6.0 if method == "GET" and path.endswith("/cnichains/default") else 0.3

    behind.proxy.late = late
    put_back(world, "cilium-operator")
    world.wait_log(f"{Reason.API_SLOW.value}: GET /apis/cnichain.io/v1alpha1/cnichains/default took 6", 60)
    slow = metric(behind.metrics, 'cnichain_api_request_duration_seconds_count{method="GET"')
    fast = metric(behind.metrics, 'cnichain_api_request_duration_seconds_bucket{le="2.5",method="GET"')
    assert slow > fast, "the metrics show it"
    assert "the lease was not renewed" not in log(world)
    behind.well()
    world.wait_ready()
    behind.children = children(world)
    assert_nothing_is_lost(world, behind.children)


def test_one_of_two_replicas_is_cut_off(world: Harness, behind: Behind) -> None:
    """The one that leads sends and hears nothing any more, on open connections too. It ends by it."""
    leader = world.processes[-1]
    told = world.logs[-1]
    with world.operator(leader_elect="true"):
        world.wait_log("stands by", 60)
        cut_off = world.audit_length()
        behind.proxy.fault = lambda _method, _path: Fault(hang=True)
        world.kubectl("delete", "serviceaccount", "hubble-relay", "--namespace=kube-system")
        assert leader.wait(timeout=60) == EXIT_LEASE_LOST
        said = told.read_text(encoding="utf-8")
        assert Reason.LEASE_LOST.value in said
        assert "renew the lease: the API server does not answer" in said
        world.wait_log("holds the lease: it leads", 60)
        there = ("serviceaccount", "hubble-relay", "--namespace=kube-system")
        world.wait("the other one puts it back", lambda: world.exists(*there))
        behind.well()  # whatever the proxy holds would get through now
        world.wait_ready()
        assert [item for item in world.audited(cut_off, "Python/") if item["verb"] != "watch"] == []
        after = children(world)
        assert_nothing_is_lost(world, after)
        key = "ServiceAccount kube-system/hubble-relay"
        assert {**after, key: 0} == {**behind.children, key: 0}, "but for what was made anew, the children are the same"


def test_an_error_in_the_middle_of_kopfs_watch(world: Harness, behind: Behind) -> None:
    """Not 410, as the API server sends it when etcd has lost its leader: Kopf ends, and with it the process, which the
    kubelet starts again."""
    before = children(world)
    broken = Fault(event={"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd has no leader"}})
    behind.proxy.fault = lambda _method, path: broken if "/cnichains?" in path and "watch=" in path else None
    with world.operator(kubeconfig=str(behind.proxy.kubeconfig(world.control_plane, world.work))):
        assert world.processes[-1].wait(timeout=60) == 1
    assert f"{Reason.API_UNAVAILABLE.value}: the watch of CNIChains has ended" in log(world)
    assert "etcd has no leader" in log(world)
    behind.well()
    with world.operator(kubeconfig=str(behind.proxy.kubeconfig(world.control_plane, world.work))):
        assert_nothing_is_lost(world, before)
