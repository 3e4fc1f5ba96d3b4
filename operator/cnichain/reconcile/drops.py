"""Hubble's metrics, asked of each node: above all how many packets its agent has dropped because of policies.

A node that does not answer is no error: on many clusters a security group keeps the port closed between nodes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from cnichain.api import clock
from cnichain.kube.sockets import http_session
from cnichain.rollout.drops import METRIC, PORT, DropSample, policy_drops

NODE_SECONDS = 2.0
CONCURRENT_NODES = 10
ALL_SECONDS = 10.0
"""A pass does not wait: nodes whose turn has not come by then are not measured."""
BODY_LIMIT = 16 << 20
"""Bytes of an answer. Hubble's metrics have some MB where a user adds labels to them."""
KEPT_LIMIT = 1 << 20
"""Bytes of it that are kept: the lines of the metrics that were asked for."""
HEADERS = {"Accept": "text/plain; version=0.0.4", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class MetricLines:
    """What one node answered, and when: the lines of the metrics; None when it could not be read, and `why`."""

    at: datetime
    text: str | None = None
    why: str = ""


async def sample_drops(addresses: Mapping[str, str], port: int = PORT) -> dict[str, DropSample]:
    """A sample for each node. addresses: InternalIP by the node's name."""
    answers = await read_metrics(addresses, (METRIC,), port)
    return {node: await asyncio.to_thread(_drop_sample, answer, port) for node, answer in answers.items()}


def _drop_sample(answer: MetricLines, port: int) -> DropSample:
    if answer.text is None:
        return DropSample(answer.at, why=answer.why)
    try:
        return DropSample(answer.at, policy_drops(answer.text))
    except ValueError as error:
        return DropSample(answer.at, why=f"what port {port} answers cannot be read: {error}"[:200])


async def read_metrics(
    addresses: Mapping[str, str], names: tuple[str, ...], port: int = PORT
) -> dict[str, MetricLines]:
    """The lines of some metrics by node. addresses: InternalIP by the node's name. names: beginnings of metrics."""
    turns = asyncio.Semaphore(CONCURRENT_NODES)
    clock = asyncio.get_running_loop().time
    end = clock() + ALL_SECONDS
    prefixes = tuple(name.encode() for name in names)

    async def one(session: aiohttp.ClientSession, address: str) -> MetricLines:
        async with turns:
            if clock() > end:
                return _unknown("not asked, since others took too long to answer")
            return await _read(session, address, port, prefixes)

    timeout = aiohttp.ClientTimeout(total=NODE_SECONDS)
    async with http_session(
        limit=CONCURRENT_NODES, force_close=True, timeout=timeout, headers=HEADERS, auto_decompress=False
    ) as session:
        answers = await asyncio.gather(*(one(session, address) for address in addresses.values()))
    return dict(zip(addresses, answers, strict=True))


async def _read(session: aiohttp.ClientSession, address: str, port: int, prefixes: tuple[bytes, ...]) -> MetricLines:
    host = f"[{address}]" if ":" in address else address
    try:
        # A node's address is what its kubelet says it is: it must not lead the operator elsewhere.
        async with session.get(f"http://{host}:{port}/metrics", allow_redirects=False) as response:
            if response.status != 200:
                return _unknown(f"port {port} answers with status {response.status}")
            text = await _kept_lines(response, prefixes)
        return MetricLines(clock.now(), text)
    except TimeoutError:
        return _unknown(f"port {port} does not answer within {NODE_SECONDS:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        return _unknown(f"port {port}: {error}")
    except ValueError as error:  # not text, or too long
        return _unknown(f"what port {port} answers cannot be read: {error}")


async def _kept_lines(response: aiohttp.ClientResponse, prefixes: tuple[bytes, ...]) -> str:
    """The lines that begin with one of the prefixes. Raises ValueError when there is too much to read."""
    read, rest, kept = 0, b"", bytearray()
    async for chunk in response.content.iter_any():
        read += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        kept += b"".join(line + b"\n" for line in whole if line.startswith(prefixes))
        if read > BODY_LIMIT or len(kept) > KEPT_LIMIT:
            raise ValueError("too long")
    return kept.decode("utf-8")


def _unknown(why: str) -> MetricLines:
    return MetricLines(clock.now(), why=why[:200])
