"""Every change of a rollout, none left out, and how many nodes were unavailable at each moment of it.

    with watching(world.control_plane) as record:
        ...
    assert worst(record.history).count <= 3

Nodes, agent pods, DaemonSets and our own resources are watched. A resourceVersion is etcd's revision, which all kinds
share, so the events of all watches have one order; the record begins with the last of them to begin. A watch that
breaks fails the test, since events may be missing then; at the end what is recorded must lead to what the API server
lists, so that no event is still on its way.
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
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark after the objects that were there when a watch began."""


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
        """before: each kind as it was at that version or earlier. changes: since then, in any order."""
        ordered = sorted(changes, key=lambda change: change.version)
        then = {kind: {_name(item): item for item in items} for kind, items in before.items()}
        for change in ordered:
            if change.version <= version:
                _apply(then.setdefault(change.kind, {}), change)
        since = [change for change in ordered if change.version > version]
        return cls(version, {kind: [*items.values()] for kind, items in then.items()}, since)


class WatchBrokenError(Exception):
    """Events may be missing; the message says of which kind and why."""


@dataclass
class Recorder:
    """Watches all kinds, each in a thread of its own. history: once it was stopped."""

    control_plane: ControlPlane
    history: History = field(default_factory=lambda: History(0, {}, []))
    _watches: "list[_Watch]" = field(default_factory=list)

    def start(self) -> None:
        """Watch all kinds. Returns when each has told what is there. WatchBrokenError when one has not."""
        self._watches = [_Watch(self.control_plane, kind) for kind in COLLECTIONS]
        for watch in self._watches:
            watch.start()
        for watch in self._watches:
            if not watch.started.wait(CATCH_UP_SECONDS) or watch.trouble:
                raise WatchBrokenError(f"{watch.kind}: {watch.trouble or 'it does not begin'}")

    def stop(self) -> None:
        """Wait until all that has happened so far is recorded, and end. WatchBrokenError when something is missing."""
        try:
            until = int(_get(self.control_plane, COLLECTIONS["Node"][0], {"limit": "1"})["metadata"]["resourceVersion"])
            for watch in self._watches:
                self._wait(watch, until)
        finally:
            for watch in self._watches:
                watch.end()
        version = max(watch.version for watch in self._watches)
        before = {watch.kind: watch.before for watch in self._watches}
        self.history = History.of(version, before, [change for watch in self._watches for change in watch.changes])

    def _wait(self, watch: "_Watch", until: int) -> None:
        """Wait until what is recorded leads to what the API server says was there at a moment."""
        path, query = COLLECTIONS[watch.kind]
        exactly = {**query, "resourceVersion": str(until), "resourceVersionMatch": "Exact"}
        wanted = {_name(item): _version(item) for item in _get(self.control_plane, path, exactly)["items"]}
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while not watch.trouble:
            (items,) = History.of(until, {watch.kind: watch.before}, [*watch.changes]).before.values()
            found = {_name(item): _version(item) for item in items}
            if found == wanted:
                return
            if time.monotonic() > deadline:
                differ = sorted(dict(found.items() ^ wanted.items()))[:5]
                raise WatchBrokenError(f"{watch.kind}: events are missing, as of {differ}")
            time.sleep(LOOK_SECONDS)
        raise WatchBrokenError(f"{watch.kind}: {watch.trouble}")


class _Watch(threading.Thread):
    """One watch. before: what was there at `version`; changes: since then. Both are known once `started` is set.

    trouble: why it brings no more; empty while it does.
    """

    def __init__(self, control_plane: ControlPlane, kind: str) -> None:
        super().__init__(name=f"watch of {kind}", daemon=True)
        self.kind, self.version, self.trouble = kind, 0, ""
        self.before, self.changes = list[Object](), list[Change]()
        self._beginning: dict[str, Object] = {}
        self.started = threading.Event()
        self._control_plane, self._ending = control_plane, False
        self._connection = _connect(control_plane, SILENCE_SECONDS)
        path, query = COLLECTIONS[kind]
        more = {"watch": "1", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        more |= {"allowWatchBookmarks": "true", "timeoutSeconds": "7200"}
        self._path = f"{path}?{urlencode({**query, **more})}"

    def run(self) -> None:
        try:
            trouble = self._follow()
        except (OSError, http.client.HTTPException, ValueError, WatchBrokenError) as error:
            trouble = f"{type(error).__name__} {error}"
        self.trouble = "" if self._ending else trouble
        self.started.set()

    def _follow(self) -> str:
        """Takes events until there are no more; why."""
        response = self._open()
        if response.status != 200:
            return f"the API server answered {response.status}"
        while line := response.readline():
            self._take(json.loads(line))
        return "the API server ended the watch"

    def _open(self) -> http.client.HTTPResponse:
        """The answer; while the API server makes itself ready for a CRD that is new (429), it is asked again."""
        deadline = time.monotonic() + REQUEST_SECONDS
        while True:
            self._connection.request("GET", self._path, headers=_headers(self._control_plane))
            response = self._connection.getresponse()
            if response.status != 429 or time.monotonic() > deadline:
                return response
            response.read()
            time.sleep(LOOK_SECONDS)

    def _take(self, event: Object) -> None:
        metadata = event["object"].get("metadata") or {}
        if event["type"] == "BOOKMARK" and INITIAL_EVENTS_END in (metadata.get("annotations") or {}):
            self.version = int(metadata["resourceVersion"])
            self.before = [*self._beginning.values()]
            self.started.set()
        elif change := parse_event(self.kind, event):
            if self.started.is_set():
                self.changes.append(change)
            else:
                _apply(self._beginning, change)

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


def _get(control_plane: ControlPlane, path: str, query: dict[str, str]) -> Object:
    with closing(_connect(control_plane, REQUEST_SECONDS)) as connection:
        connection.request("GET", f"{path}?{urlencode(query)}", headers=_headers(control_plane))
        response = connection.getresponse()
        body: Object = json.loads(response.read())
    if response.status != 200:
        raise WatchBrokenError(f"GET {path} answered {response.status}: {body.get('message')}")
    return body


def _headers(control_plane: ControlPlane) -> dict[str, str]:
    return {"Authorization": f"Bearer {control_plane.token}", "Accept": "application/json"}


def _connect(control_plane: ControlPlane, seconds: float) -> http.client.HTTPSConnection:
    parts = urlsplit(control_plane.server)
    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])


def _apply(items: dict[str, Object], change: Change) -> None:
    items.pop(_name(change.item), None)
    if change.verb != "DELETED":
        items[_name(change.item)] = change.item
