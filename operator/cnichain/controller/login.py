"""Kopf's way to the API server: what it logs in with, and how often.

Kopf ends the process when it gets the same credentials again that a 401 has made it put aside. But the API server also
answers 401 while it cannot check a token (etcd is away, an authentication webhook is down), or when the kubelet is late
with the next token; all of that ends by itself.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from cnichain.api.reasons import REASONS, Reason
from cnichain.kube.client import backoff
from cnichain.kube.credentials import Credentials, CredentialsError

logger = logging.getLogger(__name__)

CAP_SECONDS = 30.0
LASTED_SECONDS = 60.0
"""What was good for longer than this was no failure to log in."""


class Login:
    """Credentials for Kopf, each time as something new; asked for time and again, after a pause that grows."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._sleep = sleep
        self._monotonic = monotonic
        self._given = 0
        self._at = float("-inf")
        self._failures = 0

    async def connection(self) -> kopf.ConnectionInfo:
        """What to go on with. Goes on for ever while there is no token to be had."""
        if self._monotonic() - self._at > LASTED_SECONDS:
            self._failures = 0
        else:
            await self._pause("the API server does not take the operator's token (401) for the watch of CNIChains")
        token = await self._read()
        self._given += 1
        self._at = self._monotonic()
        return kopf.ConnectionInfo(
            server=self._credentials.server,
            ca_data=_encoded(self._credentials.ca_pem),
            token=token,
            certificate_data=_encoded(self._credentials.client_cert_pem),
            private_key_data=_encoded(self._credentials.client_key_pem),
            # Of no use but that Kopf takes it for other credentials than the ones that it has put aside.
            priority=self._given,
        )

    async def _read(self) -> str | None:
        while True:
            try:
                return await asyncio.to_thread(self._credentials.token, refresh=True)
            except (OSError, CredentialsError) as error:
                await self._pause(f"no token can be had: {error}")

    async def _pause(self, words: str) -> None:
        self._failures += 1
        pause = backoff(self._failures, base=0.5, cap=CAP_SECONDS)
        fix = REASONS[Reason.ACCESS_DENIED].fix
        logger.warning("%s: %s; tried again in %.1f s. %s", Reason.ACCESS_DENIED.value, words, pause, fix)
        await self._sleep(pause)


def _encoded(pem: bytes | None) -> str | None:
    return base64.b64encode(pem).decode() if pem else None
