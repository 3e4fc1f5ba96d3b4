"""Signals of the programs that run in the foreground for a person."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def run_until_interrupted(work: Coroutine[Any, Any, Answer]) -> Answer:
    """As asyncio.run, but Ctrl-C cancels the work between two turns of the event loop.

    asyncio's own handler cancels at any moment, also in the middle of one of its callbacks, which then fails with a
    traceback (seen with Python 3.11 while a connection was being made). A second Ctrl-C ends it at once.
    """
    interrupted = False

    async def inside() -> Answer:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            nonlocal interrupted
            if interrupted or task is None:
                raise KeyboardInterrupt
            interrupted = True
            task.cancel()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            return await work
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)  # signals are the main thread's
    try:
        return asyncio.run(inside())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """For the time of the block SIGTERM is what Ctrl-C is, so that what was started is ended in order as well."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
