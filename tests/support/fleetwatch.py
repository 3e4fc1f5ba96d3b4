"""Every change of a rollout, none left out, and how many nodes were unavailable at each moment of it.

    with watching(world.control_plane) as record:
        ...
    assert worst(record.history).count <= 3

The watches of nodes, agent pods, DaemonSets and our own resources start from one resourceVersion. It is etcd's
revision, which all kinds share, so the events of all of them have one order. A watch that breaks fails the test, since
events may be missing then; at the end the API server's own lists are waited for, so that no event is still on its way.
"""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from cnichain.dev.controlplane import ControlPlane

Object = dict[str, Any]

COLLECTIONS = {
    "Node": ("/api/v1/nodes", {}),
    "Pod": ("/api/v1/namespaces/kube-system/pods", {"labelSelector": "k8s-app in (cilium,cilium-envoy)"}),
    "CNIChainNode": ("/apis/cnichain.io/v1alpha1/cnichainnodes", {}),
    "DaemonSet": ("/apis/apps/v1/namespaces/kube-system/daemonsets", {}),
    "CNIChain": ("/apis/cnichain.io/v1alpha1/cnichains", {}),
}
"""Kind to path and query."""
REQUEST_SECONDS = 20.0
SILENCE_SECONDS = 180.0
"""Without a word for so long a watch is broken: the API server sends a bookmark each minute."""
CATCH_UP_SECONDS = 30.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Change:
    """One event. version: the resourceVersion, that is etcd's revision. verb: ADDED, MODIFIED or DELETED."""

    version: int
    kind: str
    verb: str
    item: Object


@dataclass(frozen=True)
class History:
    """What was there at `version`, and every change since, in the order in which they happened."""

    version: int
    before: dict[str, list[Object]]
    changes: list[Change]

    @classmethod
    def of(cls, version: int, before: dict[str, list[Object]], changes: list[Change]) -> "History":
        """changes: in any order, as several watches bring them."""
        return cls(version, before, sorted(changes, key=lambda change: change.version))


class WatchBrokenError(Exception):
    """Events may be missing; the message says of which kind and why."""


@dataclass
class Recorder:
    """Watches all kinds, each in a thread of its own. history: once it was stopped."""

    control_plane: ControlPlane
    history: History = field(default_factory=lambda: History(0, {}, []))
    _version: int = 0
    _before: dict[str, list[Object]] = field(default_factory=dict)
    _threads: "list[_Watch]" = field(default_factory=list)

    def start(self) -> None:
        """Look at what is there, and watch from that very moment on."""
        self._version = self._now()
        self._before = {kind: self._list(kind, self._version) for kind in COLLECTIONS}
        for kind in COLLECTIONS:
            watch = _Watch(_connect(self.control_plane, SILENCE_SECONDS), self._headers, kind, self._version)
            self._threads.append(watch)
            watch.start()

    def stop(self) -> None:
        """Wait until all that has happened so far is recorded, and end. WatchBrokenError when something is missing."""
        try:
            until = self._now()
            for watch in self._threads:
                self._wait(watch, until, {_name(item): _version(item) for item in self._list(watch.kind, until)})
        finally:
            for watch in self._threads:
                watch.end()
        changes = [change for watch in self._threads for change in watch.changes]
        self.history = History.of(self._version, self._before, changes)

    def so_far(self) -> History:
        """What is recorded by now; the newest events may be missing. WatchBrokenError when others are."""
        broken = [f"{watch.kind}: {watch.trouble}" for watch in self._threads if watch.trouble]
        if broken:
            raise WatchBrokenError("; ".join(broken))
        return History.of(self._version, self._before, [item for watch in self._threads for item in [*watch.changes]])

    def _wait(self, watch: "_Watch", until: int, wanted: dict[str, int]) -> None:
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while not watch.trouble:
            found = self._standing(watch, until)
            if found == wanted:
                return
            if time.monotonic() > deadline:
                differ = sorted(dict(found.items() ^ wanted.items()))[:5]
                raise WatchBrokenError(f"{watch.kind}: events are missing, as of {differ}")
            time.sleep(LOOK_SECONDS)
        raise WatchBrokenError(f"{watch.kind}: {watch.trouble}")

    def _standing(self, watch: "_Watch", until: int) -> dict[str, int]:
        """Name and version of what is there at a moment, by what is recorded."""
        found = {_name(item): _version(item) for item in self._before[watch.kind]}
        for change in [*watch.changes]:
            if change.version <= until:
                found.pop(_name(change.item), None)
                if change.verb != "DELETED":
                    found[_name(change.item)] = change.version
        return found

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.control_plane.token}", "Accept": "application/json"}

    def _now(self) -> int:
        return int(self._get(f"{COLLECTIONS['DaemonSet'][0]}?limit=1")["metadata"]["resourceVersion"])

    def _list(self, kind: str, version: int) -> list[Object]:
        path, query = COLLECTIONS[kind]
        exactly = {"resourceVersion": str(version), "resourceVersionMatch": "Exact"}
        items: list[Object] = self._get(f"{path}?{urlencode({**query, **exactly})}")["items"]
        return items

    def _get(self, path: str) -> Object:
        deadline = time.monotonic() + REQUEST_SECONDS
        while (answer := self._answer(path))[0] == 429 and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)  # the API server is not ready for a CRD that is new
        if answer[0] != 200:
            raise WatchBrokenError(f"GET {path} answered {answer[0]}: {answer[1].get('message')}")
        return answer[1]

    def _answer(self, path: str) -> tuple[int, Object]:
        with closing(_connect(self.control_plane, REQUEST_SECONDS)) as connection:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())


class _Watch(threading.Thread):
    """One watch. changes: what it has brought. trouble: why it brings no more; empty while it does."""

    def __init__(
        self, connection: http.client.HTTPSConnection, headers: dict[str, str], kind: str, version: int
    ) -> None:
        super().__init__(name=f"watch of {kind}", daemon=True)
        self.kind, self.changes, self.trouble = kind, list[Change](), ""
        self._connection, self._headers, self._ending = connection, headers, False
        path, query = COLLECTIONS[kind]
        more = {"watch": "1", "resourceVersion": str(version), "allowWatchBookmarks": "true", "timeoutSeconds": "7200"}
        self._path = f"{path}?{urlencode({**query, **more})}"

    def run(self) -> None:
        try:
            trouble = self._follow()
        except (OSError, http.client.HTTPException, ValueError, WatchBrokenError) as error:
            trouble = f"{type(error).__name__} {error}"
        self.trouble = "" if self._ending else trouble

    def _follow(self) -> str:
        """Takes events until there are no more; why."""
        self._connection.request("GET", self._path, headers=self._headers)
        response = self._connection.getresponse()
        if response.status != 200:
            return f"the API server answered {response.status}"
        while line := response.readline():
            if change := parse_event(self.kind, json.loads(line)):
                self.changes.append(change)
        return "the API server ended the watch"

    def end(self) -> None:
        """Close it, and wait for the thread."""
        self._ending = True
        if self._connection.sock is not None:
            with suppress(OSError):  # the other side was faster
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self.join(REQUEST_SECONDS)
        self._connection.close()


def parse_event(kind: str, event: Object) -> Change | None:
    """The change that an event tells; None of a bookmark. WatchBrokenError of an error, as 410 Gone is one."""
    if event["type"] == "ERROR":
        raise WatchBrokenError(f"{event['object'].get('code')} {event['object'].get('message')}")
    return (
        None if event["type"] == "BOOKMARK" else Change(_version(event["object"]), kind, event["type"], event["object"])
    )


@contextmanager
def watching(control_plane: ControlPlane) -> Iterator[Recorder]:
    """Records during the block; the history is there after it. A watch that broke fails the test."""
    recorder = Recorder(control_plane)
    try:
        recorder.start()
        yield recorder
    except BaseException:
        with suppress(WatchBrokenError):  # what went wrong in the block is told, and not this too
            recorder.stop()
        raise
    try:
        recorder.stop()
    except WatchBrokenError as error:
        pytest.fail(f"not every event was seen: {error}")


def _connect(control_plane: ControlPlane, seconds: float) -> http.client.HTTPSConnection:
    parts = urlsplit(control_plane.server)
    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])
