"""Reads that need no request: an answer is used again for as long as a watch says that nothing else is there.

An answer and a watch are compared by the resourceVersions of all their objects, so that the two agree on the same state
or the API server is asked. Own writes are no exception: an answer from before one is dropped at once, and the answer
after it does not agree with the watch until the watch has seen the write as well. What others write comes by the watch,
which also starts the pass that acts on it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnichain.kube.client import KubeClient, Object
from cnichain.kube.reflector import key_of
from cnichain.kube.resources import Resource

Versions = Mapping[tuple[str, str], str]
"""resourceVersion by (namespace, name)."""
REMEMBERED_SECONDS = 60.0
"""After so long the API server is asked in any case: a connection that died without a word tells of no change."""


@dataclass(frozen=True)
class Query:
    """A list as a watch is opened for it: all objects of a resource in a namespace ("" for no namespace)."""

    resource: Resource
    namespace: str
    labels: str = ""
    fields: str = ""


@dataclass(frozen=True)
class _Answer:
    items: list[Object]
    versions: Versions
    when: float


_Ask = Callable[[], Awaitable[list[Object]]]
Watched = Callable[[Query], Versions | None]
"""What a watch of this very query has seen; None when there is none that is up to date as far as anybody knows."""


class Remembered:
    """Lists and objects of one client, which tells of its writes. What it hands out must not be changed."""

    def __init__(self, client: KubeClient, watched: Watched) -> None:
        self._client = client
        self._watched = watched
        self._answers: dict[tuple[Any, ...], _Answer] = {}
        self._writes = 0
        client.tell_of_writes(self._written)

    async def objects(self, query: Query, *, metadata_only: bool = False) -> list[Object]:
        """All objects of a query. Raises ApiError."""

        async def ask() -> list[Object]:
            items, _ = await self._client.list(
                query.resource,
                namespace=query.namespace or None,
                labels=query.labels,
                fields=query.fields,
                metadata_only=metadata_only,
            )
            return items

        return await self._read((query, metadata_only), self._watched(query), ask)

    async def one(self, query: Query, name: str, slim: Callable[[Object], Object] = lambda item: item) -> Object | None:
        """One of the objects of a query, None when there is none of that name. Raises ApiError.

        slim: what is kept of the object, where it is large; its metadata must be left.
        """

        async def ask() -> list[Object]:
            found = await self._client.get(query.resource, name, query.namespace or None)
            return [] if found is None else [slim(found)]

        key, seen = (query.namespace, name), self._watched(query)
        of_it = None if seen is None else {key: seen[key]} if key in seen else {}
        items = await self._read((query, name), of_it, ask)
        return items[0] if items else None

    async def _read(self, key: tuple[Any, ...], seen: Versions | None, ask: _Ask) -> list[Object]:
        answer, now = self._answers.get(key), time.monotonic()
        if answer is not None and answer.versions == seen and now - answer.when < REMEMBERED_SECONDS:
            return answer.items
        writes = self._writes
        items = await ask()
        self._answers.pop(key, None)
        if seen is not None and writes == self._writes:  # else nobody knows on which side of the write it is
            self._answers[key] = _Answer(items, {key_of(item): version_of(item) for item in items}, now)
        return items

    def _written(self, path: str) -> None:
        """A write to a path begins, or has ended."""
        self._writes += 1
        for key in [key for key in self._answers if _is_about(path, key[0])]:
            del self._answers[key]


def _is_about(path: str, query: Query) -> bool:
    collection = query.resource.path(query.namespace or None)
    return path == collection or path.startswith(f"{collection}/")


def version_of(item: Object) -> str:
    """The resourceVersion of an object."""
    return str(item["metadata"]["resourceVersion"])
