"""Small pages of the operator, served for the time of a block."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(pages: Mapping[str, Page], host: str | None, port: int) -> AsyncIterator[int]:
    """Serve pages by path; the port. host: None for all addresses. port: 0 for any free one.

    Raises OSError when the port is taken.
    """
    application = web.Application()
    for path, page in pages.items():
        application.router.add_get(path, page)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
