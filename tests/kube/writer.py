"""Writes as fast as it can, on a lease that is never renewed: `writer.py KUBECONFIG NAME fenced|free`.

A program of the tests alone. It has no elector, so nothing but the fence keeps it from writing for ever. It says
`writing` on standard output when it has begun.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import load_credentials
from cnichain.kube.fence import Fence, Timing, boot_clock
from cnichain.kube.resources import CONFIG_MAPS

TIMING = Timing(lease=20, renew=15, retry=1)
EXIT_FENCED = 75


def end(words: str) -> NoReturn:
    sys.stderr.write(words)
    os._exit(EXIT_FENCED)


async def write(kubeconfig: Path, name: str, fence: Fence | None) -> None:
    async with KubeClient(load_credentials(kubeconfig), user_agent=name, fence=fence) as client:

        async def one_after_the_other(number: int) -> None:
            metadata = {"name": f"{name}-{number}", "namespace": "default"}
            count = 0
            while True:
                count += 1
                data = {"count": str(count)}
                await client.apply(
                    CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
                )

        sys.stdout.write("writing\n")
        sys.stdout.flush()
        await asyncio.gather(*(one_after_the_other(number) for number in range(3)))


if __name__ == "__main__":
    fence = None
    if sys.argv[3] == "fenced":
        fence = Fence(TIMING, end)
        fence.renewed(boot_clock())
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], fence))
