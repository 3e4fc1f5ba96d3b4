"""Two operators, one writer: by the audit log of the real API server, where each of the two has a user agent of its
own, the name under which it holds the Lease."""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cnichain.controller.runtime import EXIT_LEASE_LOST
from cnichain.dev.linux import free_ports
from faultproxy import Fault, fault_proxy
from harness import WRITES, Harness

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

Object = dict[str, Any]
SHORT = {"leader_elect": "true", "lease_seconds": "8", "renew_seconds": "6", "retry_seconds": "0.5"}
ENDLESS = {"leader_elect": "true", "lease_seconds": "3000", "renew_seconds": "2000", "retry_seconds": "0.5"}
"""With these only a release lets another in within the time of a test."""
LEASE = ("lease", "cnichain-operator", "--namespace=cnichain-system")
NAMED = re.compile(r"(cnichain-operator-\S+) (?:holds the lease|stands by)")
NAMELESS = (
    *("env", "--unset=LOGNAME", "--unset=USER", "--unset=LNAME", "--unset=USERNAME"),
    *("unshare", "--user", "--map-user=65532", "--map-group=65532", "--"),
)
"""As in a pod: the user has a number and no name. In a user namespace, where its files stay readable."""
STOPPED_AFTER = (1, 4, 9, 15, 20)
"""Writes of a pass after which a leader is stopped."""

NOTHING_HUNG = "Hung tasks stopping is skipped"
"""What Kopf logs when all tasks have ended by themselves."""


@dataclass
class Operator:
    """One operator process. start: of the audit log, when it was started."""

    world: Harness
    process: "subprocess.Popen[bytes]"
    log: Path
    name: str
    start: int

    def requests(self) -> list[Object]:
        return self.world.audited(self.start, self.name)

    def writes(self) -> list[Object]:
        return [item for item in self.requests() if item["verb"] in WRITES]

    def work(self) -> list[Object]:
        """Its writes of other things than the Lease."""
        return [item for item in self.writes() if item["objectRef"]["resource"] != "leases"]

    def took_the_lease(self) -> str:
        """When the API server received the request by which it holds the lease."""
        mine = [item for item in self.writes() if item["objectRef"]["resource"] == "leases"]
        taken = [item for item in mine if item["responseStatus"]["code"] in {200, 201}]
        return str(min(item["requestReceivedTimestamp"] for item in taken))

    def leads(self) -> bool:
        return holder(self.world) == self.name

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(timeout=60)

    def wait_for_work(self, count: int) -> None:
        self.world.wait(f"{count} writes of {self.name}", lambda: len(self.work()) >= count)


def holder(world: Harness) -> str:
    return str(world.get(*LEASE)["spec"].get("holderIdentity", "")) if world.exists(*LEASE) else ""


@contextmanager
def started(world: Harness, **options: str) -> Iterator[Operator]:
    """An operator that leads or stands by."""
    start = world.audit_length()
    with world.operator(without=(), **(SHORT | options)) as log:
        process = world.processes[-1]
        said = world.wait("it leads or stands by", lambda: NAMED.search(log.read_text(encoding="utf-8")))
        try:
            yield Operator(world, process, log, said.group(1), start)
        finally:
            process.send_signal(signal.SIGCONT)  # one that a test has left stopped would not end


@contextmanager
def fresh(world: Harness) -> Iterator[None]:
    """No Lease before and no operator after."""
    world.kubectl("delete", *LEASE, "--ignore-not-found")
    yield


def change(world: Harness, number: int) -> None:
    """A change of the spec that costs a pass with a write of nearly every object."""
    values = {"commonLabels": {"example.com/change": str(number)}}
    world.apply_chain({"cilium": {"version": "1.17.3", "values": values}})


def assert_one_after_the_other(old: Operator, new: Operator) -> None:
    """No write of the old one reached the API server, or was still being carried out there, when the new one began."""
    taken = new.took_the_lease()
    assert [item for item in old.writes() if item["stageTimestamp"] >= taken] == [], "writes of two at a time"
    assert all(item["requestReceivedTimestamp"] > taken for item in new.work())


def test_only_the_one_that_holds_the_lease_writes(world: Harness) -> None:
    began = world.audit_length()
    with fresh(world), started(world) as leader, started(world) as standby:
        assert leader.leads()
        assert leader.name in standby.log.read_text(encoding="utf-8"), "the standby's log says who leads"
        change(world, 100)
        leader.wait_for_work(30)
        world.wait_reason("RollingOut", "WaitingForHealth")
        world.wait("the standby looks now and then", lambda: len(standby.requests()) >= 4)
        assert standby.writes() == []
        assert {item["objectRef"]["resource"] for item in standby.requests()} == {"leases"}, "a standby costs little"
    written = [item for item in world.audit(began) if item["verb"] in WRITES]
    assert [item for item in written if item.get("userAgent", "").startswith("kopf")] == [], (
        "Kopf knows nothing of the lease"
    )


def test_one_whose_user_has_no_name_works(world: Harness) -> None:
    """An image names no user 65532. Kopf, left to itself, asks for the name and ends."""
    tried = subprocess.run([*NAMELESS, "id", "--user"], capture_output=True, text=True, timeout=20, check=False)
    if tried.returncode:
        pytest.skip(f"no user namespace can be made here: {tried.stderr.strip()}")
    assert tried.stdout.strip() == "65532"
    start = world.audit_length()

    def work() -> list[Object]:
        mine = [item for item in world.audited(start) if item["verb"] in WRITES]
        return [item for item in mine if item["objectRef"]["resource"] != "leases"]

    with fresh(world), replace(world, by=NAMELESS).operator(without=(), **SHORT):
        change(world, 50)
        world.wait("it works", work, 60)


def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(world: Harness) -> None:
    """SIGSTOP in the middle of a pass; SIGCONT while the other is at work. The one that wakes is in the middle of its
    requests, has a pass to finish and news of what the other does: all of it wants to be written."""
    with fresh(world), ExitStack() as stack:
        leader = stack.enter_context(started(world))
        for count in STOPPED_AFTER:
            standby = stack.enter_context(started(world))
            before = len(leader.work())
            change(world, count)
            leader.wait_for_work(before + count)
            leader.process.send_signal(signal.SIGSTOP)
            world.wait("the other leads", standby.leads)
            standby.wait_for_work(3)
            leader.process.send_signal(signal.SIGCONT)
            assert leader.ended() == EXIT_LEASE_LOST
            assert "LeaseLost" in leader.log.read_text(encoding="utf-8")
            assert_one_after_the_other(leader, standby)
            leader = standby
        world.wait("the last one does the work", lambda: world.exists("daemonset", "cilium", "-n", "kube-system"))


def test_one_that_is_told_to_end_releases_the_lease(world: Harness) -> None:
    """At rest: in the middle of a write that has no answer yet it would leave the lease to end by itself."""
    with fresh(world), started(world, **ENDLESS, log_level="debug") as leader, started(world, **ENDLESS) as standby:
        change(world, 101)
        leader.wait_for_work(5)
        world.wait_quiet(lambda: len(leader.work()))
        leader.process.terminate()
        assert leader.ended() == 0
        said = leader.log.read_text(encoding="utf-8")
        assert NOTHING_HUNG in said, (
            "Kopf has waited five seconds for a task that did not end; so long the lease was held"
        )
        world.wait("the other leads", standby.leads)
        change(world, 102)
        standby.wait_for_work(3)
        assert_one_after_the_other(leader, standby)
        world.wait_quiet(lambda: len(standby.work()))
        standby.process.terminate()
        assert standby.ended() == 0
        assert holder(world) == ""


def test_a_standby_that_is_told_to_end_leaves_the_lease_alone(world: Harness) -> None:
    with fresh(world), started(world, **ENDLESS) as leader, started(world, **ENDLESS) as standby:
        standby.process.terminate()
        assert standby.ended() == 0
        assert leader.leads()
        assert standby.writes() == []


def test_one_that_is_killed_is_followed_when_its_lease_is_over(world: Harness) -> None:
    with fresh(world), started(world) as leader, started(world) as standby:
        change(world, 103)
        leader.wait_for_work(5)
        leader.process.kill()
        world.wait("the other leads", standby.leads)
        change(world, 104)
        standby.wait_for_work(3)
        assert_one_after_the_other(leader, standby)


def test_one_whose_lease_is_deleted_or_taken_by_force_ends(world: Harness) -> None:
    with fresh(world), ExitStack() as stack:
        leader, standby = (stack.enter_context(started(world)) for _ in range(2))
        world.kubectl("delete", *LEASE)
        assert leader.ended() == EXIT_LEASE_LOST
        world.wait("the other leads", standby.leads)
        assert_one_after_the_other(leader, standby)
        world.kubectl("patch", *LEASE, "--type=merge", '--patch={"spec":{"holderIdentity":"somebody"}}')
        assert standby.ended() == EXIT_LEASE_LOST
        assert "held by somebody" in standby.log.read_text(encoding="utf-8")


def test_one_that_cannot_reach_the_api_server_ends_in_time(world: Harness) -> None:
    with fresh(world), fault_proxy(world.control_plane) as proxy, ExitStack() as stack:
        leader = stack.enter_context(started(world, kubeconfig=str(proxy.kubeconfig(world.control_plane, world.work))))
        standby = stack.enter_context(started(world))
        change(world, 105)
        world.wait("the leader writes", lambda: proxy.count("PATCH") >= 5)
        away = world.audit_length()
        proxy.fault = lambda _method, _path: Fault(drop=True)
        assert leader.ended() == EXIT_LEASE_LOST
        proxy.fault = lambda _method, _path: None
        assert "could not be renewed" in leader.log.read_text(encoding="utf-8")
        world.wait("the other leads", standby.leads)
        standby.wait_for_work(3)
        taken = standby.took_the_lease()
        # The proxy's own user agent stands in the log for the leader.
        late = [item for item in world.audited(away, "Python") if item["stageTimestamp"] >= taken]
        assert [item for item in late if item["verb"] in WRITES] == []


def health(port: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


def test_both_are_healthy_and_say_what_they_are(world: Harness) -> None:
    first, second = (str(port) for port in free_ports(2))
    with fresh(world), started(world, health_port=first) as leader, started(world, health_port=second):
        world.wait("it leads", lambda: health(first, "/healthz") == (200, "ok, leads"))
        assert health(first, "/readyz") == (200, "ok, leads")
        for path in ("/healthz", "/readyz"):
            assert health(second, path) == (200, f"ok, stands by for {leader.name}")


def test_one_that_cannot_read_the_lease_is_alive_and_not_ready(world: Harness) -> None:
    """So a new version that may not or cannot reach the API server does not replace the old one."""
    (port,) = (str(port) for port in free_ports(1))
    with fresh(world), fault_proxy(world.control_plane) as proxy:
        proxy.fault = lambda _method, path: Fault(403) if "/leases" in path else None
        options = SHORT | {"kubeconfig": str(proxy.kubeconfig(world.control_plane, world.work)), "health_port": port}
        with world.operator(without=(), **options):
            world.wait_log("acquire the lease: the API server denied it", 60)
            assert health(port, "/healthz")[0] == 200
            assert health(port, "/readyz") == (503, "the Lease could not be read lately; the log says why")
            proxy.fault = lambda _method, _path: None
            world.wait_log("holds the lease", 60)
            assert health(port, "/readyz")[0] == 200


def test_times_that_do_not_fit_are_refused_with_what_to_do(world: Harness) -> None:
    with world.operator(leader_elect="true", lease_seconds="10", renew_seconds="10") as log:
        assert world.processes[-1].wait(timeout=60) == 2
    assert "the deadline must be shorter than the lease" in log.read_text(encoding="utf-8")
