"""Writes to many objects, a few at a time: neither one after the other nor thousands at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CONCURRENT_WRITES = 16


async def each(items: Iterable[Item], act: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Do something for each item; what came of it, in their order. Raises the first error that one of them raises."""
    limit = asyncio.Semaphore(CONCURRENT_WRITES)

    async def one(item: Item) -> Result:
        async with limit:
            return await act(item)

    return await asyncio.gather(*(one(item) for item in items))
