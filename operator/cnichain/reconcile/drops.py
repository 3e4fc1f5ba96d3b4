"""How many packets the agents of some nodes have dropped because of policies: asked of Hubble's metrics on each node.

A node that does not answer is no error: on many clusters a security group keeps the port closed between nodes.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp

from cnichain.rollout.drops import METRIC, PORT, DropSample, policy_drops

NODE_SECONDS = 2.0
CONCURRENT_NODES = 10
ALL_SECONDS = 10.0
"""A pass does not wait: nodes whose turn has not come by then are not measured."""
BODY_LIMIT = 16 << 20
"""Bytes of an answer. Hubble's metrics have some MB where a user adds labels to them."""
KEPT_LIMIT = 1 << 20
"""Bytes of it that are kept: the lines of the one metric."""
HEADERS = {"Accept": "text/plain; version=0.0.4", "Accept-Encoding": "identity"}
_PREFIX = METRIC.encode()


async def sample_drops(addresses: Mapping[str, str], port: int = PORT) -> dict[str, DropSample]:
    """A sample for each node. addresses: InternalIP by the node's name."""
    turns = asyncio.Semaphore(CONCURRENT_NODES)
    clock = asyncio.get_running_loop().time
    end = clock() + ALL_SECONDS

    async def one(session: aiohttp.ClientSession, address: str) -> DropSample:
        async with turns:
            if clock() > end:
                return DropSample(datetime.now(UTC), why="not asked, since others took too long to answer")
            return await _sample(session, address, port)

    connector = aiohttp.TCPConnector(limit=CONCURRENT_NODES, force_close=True)
    timeout = aiohttp.ClientTimeout(total=NODE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=HEADERS, auto_decompress=False
    ) as session:
        samples = await asyncio.gather(*(one(session, address) for address in addresses.values()))
    return dict(zip(addresses, samples, strict=True))


async def _sample(session: aiohttp.ClientSession, address: str, port: int) -> DropSample:
    host = f"[{address}]" if ":" in address else address
    try:
        # A node's address is what its kubelet says it is: it must not lead the operator elsewhere.
        async with session.get(f"http://{host}:{port}/metrics", allow_redirects=False) as response:
            if response.status != 200:
                return _unknown(f"port {port} answers with status {response.status}")
            text = await _lines_of_metric(response)
        return DropSample(datetime.now(UTC), await asyncio.to_thread(policy_drops, text))
    except TimeoutError:
        return _unknown(f"port {port} does not answer within {NODE_SECONDS:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        return _unknown(f"port {port}: {error}")
    except ValueError as error:  # not text, too long, or no metrics
        return _unknown(f"what port {port} answers cannot be read: {error}")


async def _lines_of_metric(response: aiohttp.ClientResponse) -> str:
    """The lines of the one metric. Raises ValueError when there is too much to read."""
    read, rest, kept = 0, b"", bytearray()
    async for chunk in response.content.iter_any():
        read += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        kept += b"".join(line + b"\n" for line in whole if line.startswith(_PREFIX))
        if read > BODY_LIMIT or len(kept) > KEPT_LIMIT:
            raise ValueError("too long")
    return kept.decode("utf-8")


def _unknown(why: str) -> DropSample:
    return DropSample(datetime.now(UTC), why=why[:200])
