"""/healthz and /readyz of the operator, for the one that leads and for the one that stands by."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from cnichain.controller.keeper import Keeper
from cnichain.controller.served import served
from cnichain.kube.lease import Elector
from cnichain.reconcile.cluster import Cluster


@dataclass
class Health:
    """What the operator is, and what ails it.

    elector: None without leader election. keeper, cluster: None for one that stands by, which is healthy.
    """

    elector: Elector | None = None
    keeper: Keeper | None = None
    cluster: Cluster | None = None

    def ailment(self) -> str:
        """Why this process should be started anew; empty when all is well."""
        if self.keeper is not None and self.keeper.stuck:
            return "a pass has been running for longer than any pass can"
        if self.keeper is not None and (broken := self.keeper.broken):
            return f"the loop of CNIChain {broken} has ended"
        if self.cluster is not None and (broken := self.cluster.broken()):
            return f"the watch of {broken} has ended"
        return ""

    def unready(self) -> str:
        """Why this process could not take over if it had to; empty when it could, or leads already."""
        if self.elector is not None and not self.elector.in_touch:
            return "the Lease could not be read lately; the log says why"
        return self.ailment()

    @property
    def role(self) -> str:
        """`leads`, or who does."""
        if self.elector is None or self.keeper is not None:
            return "leads"
        return f"stands by for {self.elector.holder or 'nobody'}"


@asynccontextmanager
async def serving(health: Health, port: int | None) -> AsyncIterator[None]:
    """Serve both on a port of all addresses for the time of the block; on no port: nothing happens."""
    if not port:
        yield
        return

    def answering(trouble: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            found = trouble()
            return web.Response(status=503 if found else 200, text=f"{found or f'ok, {health.role}'}\n")

        return answer

    pages = {"/healthz": answering(health.ailment), "/readyz": answering(health.unready)}
    async with served(pages, None, port):
        yield
