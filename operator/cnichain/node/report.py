"""The two threads that speak with the API server: one brings the spec in, one carries the status out.

Neither is ever waited for by the guard. What the server does not take now is tried again with a capped, jittered
backoff, and only the newest status counts.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cnichain.api.chainnode import NodeStatus, node_spec_from_wire, to_wire
from cnichain.node.api_client import ApiClient, ApiError, ApiUnreachableError, Event
from cnichain.node.holding import Holds
from cnichain.node.log import log
from cnichain.node.state import GivenSpec, StateDir
from cnichain.node.timing import Backoff, random_share

WATCH_SECONDS = 300
"""A watch is asked to end after so long; keepalive finds a dead server much sooner."""


class Reporter(threading.Thread):
    """Sends the newest status to the object, once there is an object, and only when it differs.

    What is expected to be over in a moment waits for that moment (holding.py).
    """

    def __init__(self, client: ApiClient, holds: Holds) -> None:
        super().__init__(name="reporter", daemon=True)
        self._client, self._holds = client, holds
        self._changed = threading.Condition()
        self._wanted: dict[str, Any] | None = None
        self._sent: Mapping[str, Any] | None = None
        self._uid = self._wanted_for = ""
        self._is_given = False
        self._since = 0.0
        """Since when the object is there and the node is in the state to tell of, monotonic."""
        self._news_since, self._share = 0.0, 0.0
        """Since when there is something to tell, monotonic; and which share of a spread it waits for."""
        self._stopping = False
        self._backoff = Backoff(1, 60)
        self.reported = False
        """Whether the server has the newest status."""
        self.errors = 0
        """How often the server did not take one."""

    def publish(self, status: NodeStatus, uid: str) -> None:
        """Takes a status over; never blocks on the network. uid: of the object whose spec it is about."""
        with self._changed:
            if self._wanted is None or self._wanted["state"] != status.state:
                self._since = time.monotonic()
            if self._wanted is None or self._wanted == self._sent:
                self._news_since, self._share = time.monotonic(), random_share()
            self._wanted, self._wanted_for = to_wire(status), uid
            self.reported = self._wanted == self._sent
            self._changed.notify()

    def object_seen(self, uid: str, status: Mapping[str, Any], *, given: bool) -> None:
        """The object exists, with this status. What a new object says already is not sent again.

        given: the guard has its spec, so that a status about that spec comes next.
        """
        with self._changed:
            self._is_given = given
            if uid != self._uid:
                self._uid, self._sent, self._since = uid, status, time.monotonic()
                self._backoff.reset()
                self.reported = self._wanted == self._sent
                self._changed.notify()

    def object_gone(self) -> None:
        """There is no object (any more) to report to."""
        with self._changed:
            self._uid, self._sent = "", None
            self.reported = False

    @property
    def due(self) -> float:
        """When the newest status is to be sent, monotonic, if it differs from what the object says."""
        wanted = self._wanted or {}
        held = self._since + self._holds.of(wanted, self._sent)
        return max(held, self._news_since + self._share * self._holds.spread(wanted, self._sent))

    def stop(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Sends until `stop`."""
        while (job := self._next()) is not None:
            status, uid = job
            try:
                self._client.apply_status(status, uid)
            except (ApiError, ApiUnreachableError) as error:
                self._wait_after(error)
                continue
            self._backoff.reset()
            with self._changed:
                if uid == self._uid:
                    self._sent = status
                    self.reported = self._wanted == status

    def _next(self) -> tuple[dict[str, Any], str] | None:
        with self._changed:
            while not self._stopping:
                left: float | None = None
                if self._wanted is not None and self._wanted != self._sent and self._may_send(self._wanted):
                    left = self.due - time.monotonic()
                    if left <= 0:
                        return self._wanted, self._uid
                self._changed.wait(left)
            return None

    def _may_send(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the status is about the object that is there now.

        An object that was made anew counts its generations anew: what was said about the old one would pass for news.
        A status about no spec at all is for an object whose spec is none that the guard can be given.
        """
        if not self._uid:
            return False
        return self._wanted_for == self._uid or not (wanted.get("observedGeneration") or self._is_given)

    def _wait_after(self, error: ApiError | ApiUnreachableError) -> None:
        delay = self._backoff.delay()
        if isinstance(error, ApiError):
            delay = min(max(delay, error.retry_after), 60.0)
        self.errors += 1
        log.warning("The status was not taken", error=str(error), retryInSeconds=round(delay, 1))
        with self._changed:
            if isinstance(error, ApiError) and error.status in (404, 409):
                self._uid, self._sent = "", None  # gone or made anew: the watch brings the one that counts
            self._changed.wait_for(lambda: self._stopping, timeout=delay)


class SpecIntake:
    """Takes the node's one object as the API server has it: keeps each new spec on the node, gives it to the guard."""

    def __init__(
        self, client: ApiClient, reporter: Reporter, state: StateDir, give: Callable[[GivenSpec], None]
    ) -> None:
        self._client, self._reporter, self._state, self._give = client, reporter, state, give
        self._given: GivenSpec | None = None

    def catch_up(self) -> str:
        """Reads what is there now; the resourceVersion to watch from. Raises ApiError, ApiUnreachableError."""
        item, version = self._client.fetch()
        self.take(item)
        return version

    def handle(self, event: Event) -> None:
        """Takes what a watch tells."""
        if event.kind in ("ADDED", "MODIFIED"):
            self.take(event.item)
        elif event.kind == "DELETED":
            self.take(None)

    def take(self, item: dict[str, Any] | None) -> None:
        """Takes the object as it is now, None when there is none."""
        if item is None:
            log.info("There is no CNIChainNode for this node; the last spec stays in force")
            self._reporter.object_gone()
            return
        metadata, raw = item.get("metadata") or {}, item.get("spec")
        uid = str(metadata.get("uid") or "")
        given = isinstance(raw, dict) and self._take_spec(raw, int(metadata.get("generation") or 0), uid)
        self._reporter.object_seen(uid, item.get("status") or {}, given=given)

    def _take_spec(self, raw: dict[str, Any], generation: int, uid: str) -> bool:
        """Gives a spec to the guard, if it is new; False for one that this agent does not understand."""
        try:
            given = GivenSpec(node_spec_from_wire(raw), generation, uid)
        except (ValueError, TypeError, AttributeError) as error:
            message = "This agent does not understand the spec; the last one stays in force"
            log.error(message, error=str(error), generation=generation)
            return False
        if given != self._given:
            self._given = given
            self._state.save_spec(raw, generation)
            self._give(given)
        return True


class Intake(Protocol):
    """Takes objects as the API server has them: `SpecIntake`, or one that hands them on to many."""

    def catch_up(self) -> str:
        """Reads what is there now; the resourceVersion to watch from. Raises ApiError, ApiUnreachableError."""

    def handle(self, event: Event) -> None:
        """Takes what a watch tells."""


class SpecWatcher(threading.Thread):
    """Follows what its client reads: the node's one object."""

    def __init__(self, client: ApiClient, intake: Intake) -> None:
        super().__init__(name="watcher", daemon=True)
        self._client, self._intake = client, intake
        self._stopping = threading.Event()
        self._backoff = Backoff(1, 60)

    def stop(self) -> None:
        """Ends the thread, once the client's requests are closed."""
        self._stopping.set()

    def run(self) -> None:
        """Follows until `stop`."""
        while not self._stopping.is_set():
            try:
                self._follow(self._intake.catch_up())
            except ApiError as error:
                self._wait_after(error, error.retry_after)  # 410 too: the version is too old, so all is fetched anew
            except ApiUnreachableError as error:
                self._wait_after(error, 0.0)

    def _follow(self, version: str) -> None:
        """One watch after the other, from where the last one ended."""
        while not self._stopping.is_set():
            started = time.monotonic()
            for event in self._client.watch(version, WATCH_SECONDS):
                version = event.version or version
                self._intake.handle(event)
                self._backoff.reset()
            if time.monotonic() - started < 1:
                raise ApiUnreachableError("the watch ended as soon as it had begun")

    def _wait_after(self, error: Exception, at_least: float) -> None:
        delay = min(max(self._backoff.delay(), at_least), 60.0)
        if not self._stopping.is_set():
            log.warning("The API is not followed", error=str(error), retryInSeconds=round(delay, 1))
        self._stopping.wait(delay)
