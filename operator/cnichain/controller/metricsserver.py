"""Serves the operator's metrics for Prometheus. No more than that: what is measured is said where it is measured."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from cnichain.controller.served import served

logger = logging.getLogger(__name__)


@asynccontextmanager
async def metrics_served(registry: CollectorRegistry, port: int | None) -> AsyncIterator[None]:
    """Serve /metrics on a port (0: any free one) for the time of the block; nothing when there is none.

    Raises OSError when the port is taken.
    """
    if port is None:
        yield
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    # As the health port: Prometheus comes from another host. A free port is one of a single family of addresses.
    async with served({"/metrics": metrics}, None if port else "0.0.0.0", port) as bound:  # noqa: S104
        logger.info("metrics are served on port %d", bound)
        yield
