"""What runs with the watches ends when it is told to, whatever it is doing just then."""

import asyncio

import pytest

from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials
from cnichain.reconcile.cluster import AGAIN_SECONDS, Cluster

STEPS = 12
"""Turns of the event loop: more than it takes to ask for nodes and reports that are there."""


def cluster_with_nodes(client: KubeClient) -> Cluster:
    """Its watches do not run; their first lists count as there."""
    cluster = Cluster(client, lambda: None)
    for reflector in (cluster._nodes, cluster._reports):
        reflector.synced.set()
    return cluster


async def ended_after(cluster: Cluster, turns: int) -> float:
    """Seconds that it takes to end a timer that looks at the nodes, so many turns of the event loop after its start."""

    async def timer() -> None:
        while True:
            await cluster.nodes()
            await cluster.node_reports()
            await asyncio.sleep(0.01)

    cluster.run("timer", timer())
    for _ in range(turns):
        await asyncio.sleep(0)
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        await cluster.end("timer")
    return asyncio.get_running_loop().time() - begun


@pytest.mark.parametrize("turns", range(STEPS))
def test_a_timer_ends_at_once_wherever_it_is(turns: int) -> None:
    """asyncio.wait_for lost the cancellation in Python 3.11, and the deletion of a CNIChain hung until a restart."""

    async def run() -> float:
        async with KubeClient(Credentials("http://127.0.0.1:1")) as client:
            return await ended_after(cluster_with_nodes(client), turns)

    taken = asyncio.run(run())
    assert taken < AGAIN_SECONDS, f"cancelled after {turns} turns, it went on and had to be told again: {taken:.2f} s"


def test_a_task_that_loses_a_cancellation_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    async def run() -> None:
        async with KubeClient(Credentials("http://127.0.0.1:1")) as client:
            cluster = Cluster(client, lambda: None)
            cluster.run("deaf", deaf())
            await asyncio.sleep(0)
            async with asyncio.timeout(20):
                await cluster.end("deaf")

    asyncio.run(run())
    assert lost == 3
    assert "watch deaf was told to end and goes on" in caplog.text
