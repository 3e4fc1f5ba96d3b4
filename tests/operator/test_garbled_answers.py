"""Answers that are none: a login page, an empty object, half a text, in place of each answer of a pass, one at a time.

As from a proxy or a load balancer between operator and API server, or an aggregated API that has lost its mind. Nothing
of it may be taken for the truth: an empty list would prune, a missing inventory would adopt or delete.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from faultproxy import Fault, FaultProxy, fault_proxy
from harness import WRITES, Harness

pytestmark = pytest.mark.controlplane

SPEC: dict[str, Any] = {
    "cilium": {"version": "1.17.3"},
    "hubble": {"relay": {"enabled": False}, "ui": {"enabled": False}},
}
GARBAGE = ["<html><body>Please log in</body></html>", "{}", "null", '{"kind": "List", "items": [{"metadata":', "[1, 2]"]
PROXY = "Python/"
"""What the user agent of the proxy begins with."""
LOOKED_AT = (
    "daemonsets,deployments,configmaps,secrets,services,namespaces,"
    "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
)
HARMLESS = ("/status", "/events", "/leases")
"""What the operator may write meanwhile: how it stands."""


@pytest.fixture(scope="module")
def behind(world: Harness) -> Iterator[FaultProxy]:
    """A chain that is Ready, and the proxy that its operator goes through."""
    with ExitStack() as stack:
        proxy = stack.enter_context(fault_proxy(world.control_plane))
        cluster = {"name": "c", "cluster": {"server": proxy.url}}
        user = {"name": "u", "user": {"token": "the-proxy-adds-its-own"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        config: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "x"}
        config |= {"clusters": [cluster], "users": [user], "contexts": [context]}
        path = world.work / "proxy.kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        stack.enter_context(world.agents())
        world.apply_chain(SPEC)
        stack.enter_context(world.operator(kubeconfig=str(path)))
        world.wait_ready()
        yield proxy


def answered_once(path: str, text: str, told: list[str]) -> Callable[[str, str], Fault | None]:
    """Answers the next such request with the text, and any later one truly."""

    def fault(method: str, target: str) -> Fault | None:
        if told or f"{method} {target}" != path:
            return None
        told.append(target)
        return Fault(text=text)

    return fault


def test_no_garbled_answer_is_taken_for_the_truth(world: Harness, behind: FaultProxy) -> None:
    # What is asked in each pass, and not once in a while.
    first, second = of_a_pass(world, behind, 1), of_a_pass(world, behind, 2)
    requests = [line for line in first if line in second]
    assert len(requests) > 20, f"a pass should ask for more: {requests}"
    objects = owned(world)
    start = world.audit_length()
    for number, request in enumerate(requests):
        told: list[str] = []
        behind.fault = answered_once(request, GARBAGE[number % len(GARBAGE)], told)
        turn(world, number + 3)
        world.wait(f"the operator asks again: {request}", partial(bool, told), 30)
        world.wait_ready()
        assert world.processes[-1].poll() is None, f"the operator ended after a garbled answer to {request}"
    behind.fault = lambda _method, _path: None
    # What comes through the proxy has the proxy's name; the install is there to be seen by it.
    assert any(item["verb"] in WRITES for item in world.audited(agent=PROXY)), "the log has nothing by that name"
    through = world.audited(start, agent=PROXY)
    writes = [f"{item['verb']} {item['requestURI']}" for item in through if item["verb"] in WRITES]
    harmful = [line for line in writes if not any(part in line for part in HARMLESS)]
    assert harmful == [], "garbled answers made the operator write"
    assert owned(world) == objects


def of_a_pass(world: Harness, behind: FaultProxy, number: int) -> list[str]:
    """What the operator asks for in a pass."""
    before, asked = len(behind.seen), partial(behind.count, "GET /apis/cnichain.io/v1alpha1/cnichains/default")
    least = asked() + 1
    turn(world, number)
    world.wait("a pass through the proxy", lambda: asked() >= least, 30)
    world.wait_quiet(lambda: len(asked_for(behind, 0)))
    return list(dict.fromkeys(asked_for(behind, before)))


def asked_for(behind: FaultProxy, start: int) -> list[str]:
    """What was asked for since the request `start`, but for watches, which come and go by themselves."""
    return [line for line in behind.seen[start:] if "watch=" not in line]


def turn(world: Harness, number: int) -> None:
    """Make the operator pass again, and look at everything: what has not changed it does not ask for.

    CRDs are left alone: after a change of one Kopf asks what is served, and ends the process where that is garbled.
    """
    mark = (f"test/turn={number}", "--overwrite")
    world.kubectl("annotate", LOOKED_AT, "--all-namespaces", "--selector=cnichain.io/owner=default", *mark)
    world.kubectl("annotate", "daemonset", "aws-node", "--namespace=kube-system", *mark)
    world.kubectl("annotate", "cnichain", "default", *mark)


def owned(world: Harness) -> set[tuple[str, str]]:
    """Kind and uid of everything that the operator owns."""
    kinds = "daemonsets,deployments,configmaps,serviceaccounts,secrets,services,clusterroles,cnichainnodes"
    items = world.get(kinds, "--all-namespaces", "--selector=cnichain.io/owner=default")["items"]
    return {(item["kind"], item["metadata"]["uid"]) for item in items}
