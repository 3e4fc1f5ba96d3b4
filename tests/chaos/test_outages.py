"""An API server that is away: etcd stopped for half a minute, the API server started anew, a token that is over.
docs/chaos.md has what holds and what is reported."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from chaos import SPEC, assert_nothing_is_lost, children, metric
from cnichain.api.reasons import Reason
from cnichain.controller.runtime import EXIT_LEASE_LOST
from cnichain.dev.linux import free_ports
from harness import Harness

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

ETCD_SECONDS = 30.0
STOPPED_SECONDS = 15.0
"""So long etcd is stopped (SIGSTOP), for the rest of the time it is dead (SIGKILL)."""


@dataclass
class Replica:
    """One of the operators, in the place of its pod: when it ends by itself it is started again, as by the kubelet."""

    world: Harness
    health: int
    metrics: int
    stack: ExitStack
    log: Path = Path()
    number: int = -1

    def start(self) -> None:
        health, metrics = str(self.health), str(self.metrics)
        running = self.world.operator(leader_elect="true", health_port=health, metrics_port=metrics)
        self.log = self.stack.enter_context(running)
        self.number = len(self.world.processes) - 1

    def ended(self) -> int | None:
        """Its exit code, once it has ended by itself."""
        return self.world.processes[self.number].poll()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()


@pytest.fixture(scope="module")
def replicas(world: Harness) -> Iterator[list[Replica]]:
    """The one that leads, and the one that stands by, of a chain that is Ready."""
    with ExitStack() as stack:
        health, other, metrics, others = free_ports(4)
        leader, standby = Replica(world, health, metrics, stack), Replica(world, other, others, stack)
        world.apply_chain(SPEC)
        leader.start()
        world.wait("it leads", lambda: "holds the lease" in leader.said())
        standby.start()
        world.wait_ready()
        world.wait("the other stands by", lambda: "stands by" in standby.said())
        yield [leader, standby]


def until(what: str, check: Callable[[], object], seconds: float = 60.0) -> None:
    """As Harness.wait, which asks the API server for what to say, and that is away here."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def test_etcd_is_away_for_half_a_minute(world: Harness, replicas: list[Replica]) -> None:
    """It is stopped, then killed, then started again with its data. Who leads ends by itself; nobody writes twice."""
    leader, standby = replicas
    before, length = children(world), world.audit_length()
    away = time.monotonic()
    os.kill(world.control_plane.pid("etcd"), signal.SIGSTOP)
    until("it ends, since it cannot renew", lambda: leader.ended() is not None)
    assert leader.ended() == EXIT_LEASE_LOST
    assert Reason.LEASE_LOST.value in leader.said()
    assert f"{Reason.API_UNAVAILABLE.value}: renew the lease: the API server" in leader.said()
    leader.start()
    time.sleep(max(0.0, away + STOPPED_SECONDS - time.monotonic()))  # the length of the fault
    world.control_plane.kill("etcd")
    until("neither could take over", lambda: {one.ask("/readyz")[0] for one in (leader, standby)} == {503})
    assert "the Lease could not be read lately" in standby.ask("/readyz")[1]
    assert standby.ask("/healthz")[0] == 200, "a restart would help nobody"
    failed = [metric(standby.metrics, f'cnichain_api_requests_total{{code="{code}') for code in ("0", "5")]
    assert sum(failed) > 0, "the metrics count what had no answer, or a bad one"
    time.sleep(max(0.0, away + ETCD_SECONDS - time.monotonic()))  # the length of the fault
    world.control_plane.start("etcd")
    until("one of them leads", lambda: any(one.ask("/healthz")[1] == "ok, leads" for one in (leader, standby)))
    assert [one.ended() for one in (leader, standby)] == [None, None]
    assert Reason.API_UNAVAILABLE.value in standby.said()
    assert_nothing_is_lost(world, before)
    asked = [item for item in world.audited(length) if item["verb"] in {"update", "create"}]
    asked = [item for item in asked if item["objectRef"]["resource"] == "leases"]
    # Both ask for it once etcd is back, and one of them is refused: what counts is who was given it, one after another.
    given = [item["userAgent"] for item in asked if item["responseStatus"]["code"] < 300]
    holders = [name for name, _ in groupby(given)]
    assert holders, "nobody was given the lease"
    assert len(holders) == len(set(holders)), f"the lease went to and fro: {holders}"


def test_the_api_server_is_started_anew(world: Harness, replicas: list[Replica]) -> None:
    """As in an upgrade of the control plane: every connection is cut, and for some seconds none is taken."""
    before = children(world)
    at = [len(one.said()) for one in replicas]
    world.control_plane.stop_apiserver()
    until(
        "the log says so",
        lambda: any(Reason.API_UNAVAILABLE.value in one.said()[then:] for one, then in zip(replicas, at, strict=True)),
    )
    world.control_plane.start_apiserver()
    for one in replicas:
        if one.ended() is not None:  # a machine so slow that the start took longer than the lease
            assert one.ended() == EXIT_LEASE_LOST
            one.start()
    until("one of them leads", lambda: any(one.ask("/healthz")[1] == "ok, leads" for one in replicas))
    assert_nothing_is_lost(world, before)
    there = ("serviceaccount", "hubble-relay", "--namespace=kube-system")
    world.kubectl("delete", *there)
    world.wait("watches see again what happens", lambda: world.exists(*there), 60)
    world.wait_ready()
    for one in replicas:
        world.processes[one.number].terminate()
    for one in replicas:
        assert world.processes[one.number].wait(timeout=20) == 0


ACCOUNT = ("serviceaccount", "chaos", "--namespace=default")


@contextmanager
def account(world: Harness) -> Iterator[Path]:
    """A kubeconfig that names a file with the token of a service account which may do everything."""
    world.kubectl("create", *ACCOUNT)
    role = ("--clusterrole=cluster-admin", "--serviceaccount=default:chaos")
    world.kubectl("create", "clusterrolebinding", "chaos", *role)
    config = json.loads(world.control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"tokenFile": "chaos.token"}}]
    path = world.work / "chaos.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    new_token(world)
    yield path


def new_token(world: Harness) -> None:
    """A new token in the file, as the kubelet puts it there: at once, and whole."""
    token = world.kubectl("create", "token", "chaos", "--namespace=default", "--duration=1h").strip()
    path = world.work / "chaos.token.new"
    path.write_text(token, encoding="utf-8")
    path.rename(world.work / "chaos.token")


def test_a_token_that_is_over_and_the_next_one(world: Harness) -> None:
    """The real API server answers 401 to everything, Kopf's watch among it, until the file has another token."""
    before = children(world)
    with account(world) as kubeconfig, world.operator(kubeconfig=str(kubeconfig)) as log:
        process = world.processes[-1]
        assert_nothing_is_lost(world, before)
        # Tokens go with the account that they are of; the restart makes the API server forget that it knew this one.
        world.kubectl("delete", *ACCOUNT)
        world.kubectl("create", *ACCOUNT)
        world.control_plane.stop_apiserver()
        world.control_plane.start_apiserver()
        own, kopf = "AccessDenied: watch of nodes: the API server does not take", "(401) for the watch of CNIChains"
        world.wait_log(own, 60)
        world.wait("Kopf is refused time and again", lambda: log.read_text(encoding="utf-8").count(kopf) > 2)
        world.kubectl("delete", "serviceaccount", "hubble-relay", "--namespace=kube-system")
        assert process.poll() is None, "the operator must not end by it"
        new_token(world)
        there = ("serviceaccount", "hubble-relay", "--namespace=kube-system")
        world.wait("it goes on", lambda: world.exists(*there), 90)
        world.wait_ready()
        world.apply_chain({**SPEC, "rollout": {"progressDeadline": "11m"}})
        world.wait("Kopf sees a new spec", lambda: world.conditions()["Ready"]["observedGeneration"] > 1, 90)
        world.wait_ready()
        assert process.poll() is None
        assert_nothing_is_lost(world, children(world))
        tokens = [part for part in log.read_text(encoding="utf-8").split() if part.startswith("eyJ")]
        assert tokens == [], "no token in the log"
