"""A live view of one kind of object: list, watch, and a true diff after every new list.

Own code because Kopf's index keeps objects that were deleted while its watch was away (410 Gone), and starts in
quadratic time over thousands of nodes (docs/architecture.md, "What Kopf does here"). Only a small record per object is
kept, never the object itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from cnichain.api.reasons import Reason
from cnichain.kube.client import KubeClient, Object, backoff
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import Resource

Record = TypeVar("Record")
logger = logging.getLogger(__name__)

RELIST_CAP_SECONDS = 30.0
SHORT_WATCH_SECONDS = 1.0


def unheeded() -> None:
    """For `changed` where somebody looks every few seconds anyway: a single event wakes nobody."""


class Reflector(Generic[Record]):
    """Keeps `records` equal to what the server has, and calls `changed` when a record appears, differs or goes.

    project: makes the record of an object; equal records count as no change. records: by (namespace, name).
    is_current: whether it lists or watches without a failure, so that `records` lags behind by no more than an event.
    `run` goes on for ever: whatever fails, it lists again with a capped, jittered backoff and says so in the log.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        project: Callable[[Object], Record],
        changed: Callable[[], None] = unheeded,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> None:
        self._client = client
        self._resource = resource
        self._project = project
        self._changed = changed
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._metadata_only = metadata_only
        self.records: dict[tuple[str, str], Record] = {}
        self.synced = asyncio.Event()
        self.is_current = False

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        while True:
            began: float | None = None
            try:
                version = await self._list()
                self.is_current = True
                while True:
                    began = time.monotonic()
                    version = await self._watch(version)
                    # A server ends a watch after minutes. One that ends at once would be asked without a pause.
                    failures = failures + 1 if time.monotonic() - began < SHORT_WATCH_SECONDS else 0
                    self.is_current = not failures
                    if failures:
                        await asyncio.sleep(backoff(failures, cap=RELIST_CAP_SECONDS))
            except ApiError as error:
                self.is_current = False
                if began is not None and time.monotonic() - began >= SHORT_WATCH_SECONDS:
                    failures = 0
                failures += 1
                if error.expired and failures == 1:
                    continue  # it was away for too long, which is normal
                delay = max(backoff(failures, cap=RELIST_CAP_SECONDS), min(error.retry_after, RELIST_CAP_SECONDS))
                logger.warning("%s; list again in %.1f s", _words(self._resource, error), delay)
                await asyncio.sleep(delay)

    async def _list(self) -> str:
        records: dict[tuple[str, str], Record] = {}
        version = ""
        # Page by page: 50,000 pods in full would take half a gigabyte before the first record is made.
        async for objects, version in self._client.pages(  # noqa: B007 - the last version counts
            self._resource,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
            metadata_only=self._metadata_only,
        ):
            records |= {key_of(item): self._project(item) for item in objects}
        first = not self.synced.is_set()
        if records != self.records or first:
            self.records = records
            self.synced.set()
            self._changed()
        return version

    async def _watch(self, version: str) -> str:
        """Follow events until the server ends the watch; the resourceVersion to go on from."""
        async for event in self._client.watch(
            self._resource,
            version,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
            metadata_only=self._metadata_only,
        ):
            version = event.object["metadata"]["resourceVersion"]
            if event.type == "BOOKMARK":
                continue
            key = key_of(event.object)
            if event.type == "DELETED":
                if self.records.pop(key, None) is not None:
                    self._changed()
                continue
            record = self._project(event.object)
            if self.records.get(key) != record:
                self.records[key] = record
                self._changed()
        return version


def _words(resource: Resource, error: ApiError) -> str:
    if error.expired:
        code, words = Reason.API_UNAVAILABLE.value, "the API server ends it at once, time and again (410)"
        return f"{code}: watch of {resource.plural}: {words}: {error.message}"
    return str(error.as_chain_error(f"watch of {resource.plural}"))


def key_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name) of an object; "" for no namespace."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
