"""Memory that is free goes back to the system, and is not kept for a next time.

A list of objects takes megabytes for a moment, and glibc keeps them: what a small record between them still uses holds
the heap together. With 50 nodes each restart of the API server, after which everything is listed anew, left 1 to 2 MB
behind, up to 12 MB; nothing of it was in use, and malloc_trim gave all of it back (bench/soak.py).
"""

import asyncio
import ctypes

SECONDS = 60.0
"""Some milliseconds of work, so that it is not done after each pass."""


def release() -> None:
    """Give free memory back now. Does nothing where the C library has no malloc_trim (musl)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


async def keep_releasing() -> None:
    """Do so from time to time, until cancelled."""
    while True:
        await asyncio.sleep(SECONDS)
        release()
