"""Carries TCP connections out of a network namespace: listens inside, connects outside. Run by path, as root.

The control plane listens on the machine's 127.0.0.1 alone, which the node's namespace does not have.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CHUNK = 1 << 16


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--netns", type=Path, required=True, help="file of the namespace to listen in")
    parser.add_argument("--listen", action="append", required=True, help="IPv4 address:port in there; may be repeated")
    parser.add_argument("--to", required=True, help="IPv4 address:port out here")
    options = parser.parse_args()
    listeners = _listen_inside(options.netns, [_endpoint(text) for text in options.listen])
    asyncio.run(_serve(listeners, _endpoint(options.to)))
    return 0


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _listen_inside(netns: Path, addresses: list[tuple[str, int]]) -> list[socket.socket]:
    """A socket belongs to the namespace it was made in, wherever its process goes afterwards."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    inside = os.open(netns, os.O_RDONLY)
    try:
        _enter(inside)
        sockets = [socket.create_server(address) for address in addresses]
        _enter(home)
        return sockets
    finally:
        os.close(inside)
        os.close(home)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


async def _serve(listeners: list[socket.socket], target: tuple[str, int]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the far end is away: the near end sees its connection closed
            far_reader, far_writer = await asyncio.open_connection(*target)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()

    servers = [await asyncio.start_server(handle, sock=listener) for listener in listeners]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one end has gone: the other is told below
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
