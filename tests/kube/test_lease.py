"""The election's own rules, over a modelled API server: never two who believe that they may write at the same time.

The electors are the real ones. The model is of what is around them: one Lease with resourceVersions, requests that are
carried out late or whose answer is lost, a true time, clocks that do not run alike, and processes that are stopped.
"""

import copy
from collections.abc import Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.kube.client import Object
from cnichain.kube.errors import ApiError
from cnichain.kube.fence import Fence, Timing
from cnichain.kube.lease import Candidate, Elector, holder_of

TIMING = Timing(lease=15, renew=10, retry=2)

Order = tuple[str, float, Object | None]
"""What an elector waits for: get, create, replace or sleep; the seconds that it may take; a body."""


@dataclass
class Server:
    """The Lease as the API server keeps it."""

    lease: Object | None = None
    version: int = 0

    def carry_out(self, order: Order) -> Object | None:
        verb, _, body = order
        if verb == "get":
            return copy.deepcopy(self.lease)
        assert body is not None
        there = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != there:
            raise ApiError(409, "Conflict", "another version", request=verb)
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"] |= {"uid": "1", "resourceVersion": str(self.version)}
        return copy.deepcopy(self.lease)


class Suspended:
    """What an elector waits for: an order to the model, answered when the model sees fit."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __await__(self) -> Generator[Order, Any, Any]:
        return (yield self._order)


class ModelStore:
    """The Store of one elector. The model decides when a request has taken too long."""

    async def get(self, seconds: float) -> Object | None:
        found: Object | None = await Suspended(("get", seconds, None))
        return found

    async def create(self, body: Object, seconds: float) -> Object:
        made: Object = await Suspended(("create", seconds, body))
        return made

    async def replace(self, body: Object, seconds: float) -> Object:
        made: Object = await Suspended(("replace", seconds, body))
        return made


class Ended(BaseException):
    """The process has ended by the fence."""


def end(words: str) -> NoReturn:
    raise Ended(words)


async def sleep(seconds: float) -> None:
    await Suspended(("sleep", seconds, None))


@dataclass
class Process:
    """The lives of one operator: an elector, driven by hand from one await to the next.

    rate: of its clock, to the true time `now`. order: what it waits for. writes_until: in true time, when the last of
    its writes is over whose answer nobody has.
    """

    name: str
    server: Server
    rate: float = 1.0
    now: float = 0.0
    order: Order = ("sleep", 0.0, None)
    due: float = 0.0
    life: int = 0
    is_over: bool = False
    answer: Any = None
    carried_out: bool = False
    writes_until: float = 0.0
    late: list[Order] = field(default_factory=list)
    _run: Coroutine[Any, Any, None] = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    @property
    def identity(self) -> str:
        return f"{self.name}-{self.life}"

    @property
    def may_write(self) -> bool:
        return not self.is_over and self.fence.left > 0

    @property
    def is_asking(self) -> bool:
        return not self.is_over and self.order[0] != "sleep"

    def reach(self) -> None:
        """The request that is under way reaches the server and is carried out; the answer is on its way."""
        if self.is_asking and not self.carried_out:
            self.carried_out = True
            try:
                self.answer = self.server.carry_out(self.order)
            except ApiError as error:
                self.answer = error

    def go_on(self) -> None:
        """The process gets its turn: with the answer, if there is one, or after its sleep."""
        is_due = self.carried_out if self.is_asking else self.now * self.rate >= self.due
        if not self.is_over and is_due:
            self._resume(self.answer)

    def turn(self) -> None:
        """An undisturbed exchange with the server."""
        self.reach()
        self.go_on()

    def lose(self) -> None:
        """The answer, or the request, is lost. A request that was not carried out may still be, later."""
        if self.is_asking:
            self._leave_request()
            self._resume(ApiError(0, "TimeoutError", "no answer in time", request=self.order[0]))

    def reach_late(self) -> None:
        """A request that nobody waits for any more is carried out."""
        if self.late:
            with suppress(ApiError):
                self.server.carry_out(self.late.pop(0))

    def write(self) -> None:
        """A write is sent, and its answer never comes: it may be carried out until its limit is over."""
        if self.may_write:
            limit = self.fence.check("PATCH")
            self.fence.unanswered(limit)
            self.writes_until = self.now + limit / self.rate

    def restart(self) -> None:
        """It is killed in the middle of a write, or has ended; and is started again, as another one."""
        self.write()
        self._leave_request()
        self._run.close()
        self._begin()

    def stop(self) -> None:
        """It is told to end in an orderly way, with no work under way: it releases the lease."""
        if self.may_write and not self.is_asking:
            self._run.close()
            self._run = self.elector.release()
            self._resume(None)

    def close(self) -> None:
        self._run.close()

    def _begin(self) -> None:
        self.life += 1
        self.is_over, self.carried_out, self.answer = False, False, None
        self.order, self.due = ("sleep", 0.0, None), 0.0
        self.fence = Fence(TIMING, end, lambda: self.now * self.rate)
        store = ModelStore()
        self.elector = Elector(self.identity, outside=store, inside=store, fence=self.fence, sleep=sleep)
        self._run = self._live()

    async def _live(self) -> None:
        await self.elector.acquire()
        await self.elector.keep()

    def _leave_request(self) -> None:
        if self.is_asking and not self.carried_out:
            self.late.append(self.order)

    def _resume(self, value: Any) -> None:
        self.answer, self.carried_out = None, False
        try:
            self.order = self._run.throw(value) if isinstance(value, BaseException) else self._run.send(value)
        except (Ended, StopIteration):
            self.is_over = True
            return
        if self.order[0] == "sleep":
            self.due = self.now * self.rate + self.order[1]


TICK = 0.5
TROUBLES = st.sampled_from(["frozen", "cut", "held up", "unheard", "unanswered writes"])
WELL = st.just("well")
EVENTS = st.sampled_from(["", "", "", "", "restart", "stop", "reach_late"])
EPISODES = st.tuples(
    st.sampled_from([1.0, 3.0, 6.0, 11.0, 16.0]),
    st.tuples(EVENTS, EVENTS),
    st.one_of(
        st.tuples(WELL, WELL), st.tuples(TROUBLES, WELL), st.tuples(WELL, TROUBLES), st.tuples(TROUBLES, TROUBLES)
    ),
)
"""Seconds, what happens to each of the two at the beginning, and how each fares."""


def fare(one: Process, mode: str) -> None:
    """What happens to a process within one tick. Frozen: nothing does, but that time goes by."""
    if mode in {"well", "unanswered writes"}:
        one.turn()
        one.turn()
    elif mode == "cut":
        one.go_on()
        one.lose()
    elif mode == "held up":  # the answer, until the next episode
        if not one.is_asking:
            one.go_on()
        one.reach()
    elif mode == "unheard":
        one.go_on()
        one.reach()
        one.lose()
    if mode == "unanswered writes":
        one.write()


@settings(max_examples=500)
@given(
    rates=st.tuples(*[st.sampled_from([0.95, 1.0, 1.05])] * 2),
    episodes=st.lists(EPISODES, min_size=3, max_size=12),
)
def test_two_never_believe_that_they_may_write(
    rates: tuple[float, float], episodes: list[tuple[float, tuple[str, str], tuple[str, str]]]
) -> None:
    """Whatever is late, lost, stopped, killed or released.

    What was sent while it was allowed has a limit, which the server keeps to: that is over before another may write.
    """
    server = Server()
    both = [Process(name, server, rate) for name, rate in zip("ab", rates, strict=True)]
    for seconds, events, modes in episodes:
        for one, event in zip(both, events, strict=True):
            if event:
                getattr(one, event)()
        for _ in range(int(seconds / TICK)):
            for one, mode in zip(both, modes, strict=True):
                fare(one, mode)
            for one, other in (both, both[::-1]):
                if one.may_write:
                    assert not other.may_write, "both may write"
                    assert one.now >= other.writes_until, "a write of the other's may still be carried out"
            for one in both:
                one.now += TICK
    for one in both:
        one.close()


def leaders(processes: list[Process]) -> list[str]:
    return [one.name for one in processes if one.may_write]


def test_the_model_elects_one_after_the_other() -> None:
    """That the property holds is not because nobody is ever elected."""
    server = Server()
    first, second = both = [Process(name, server) for name in "ab"]
    seen: list[str] = []
    for number in range(200):
        for one in both:
            one.now += 1.0
        (first if number < 100 else second).turn()
        seen += leaders(both)
    assert seen[:90] == ["a"] * 90
    assert seen[-60:] == ["b"] * 60
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 2
    for one in both:
        one.close()


def test_a_release_lets_the_other_write_at_once() -> None:
    server = Server()
    first, second = both = [Process(name, server) for name in "ab"]
    for _ in range(4):
        first.turn()
        second.turn()
    assert leaders(both) == ["a"]
    first.stop()
    first.turn()
    assert leaders(both) == []
    for one in both:
        one.now += 2.5
    for _ in ("get", "replace", "the answer"):
        second.turn()
    assert leaders(both) == ["b"]
    second.close()


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """The others count from when it was carried out, which may be long before the answer is there."""
    one = Process("a", Server())
    while not one.may_write:
        one.turn()
    one.now += 3.0
    one.go_on()
    one.reach()
    one.now += 6.0
    one.go_on()
    assert one.fence.left == 4.0
    one.close()


def lease(holder: str, version: str, duration: int = 15) -> Object:
    metadata = {"name": "cnichain-operator", "uid": "1", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration}}


def test_a_lease_is_over_when_it_has_not_changed_for_its_duration_by_our_own_clock() -> None:
    one = Candidate("b", TIMING)
    assert one.bid(lease("a", "1"), 100.0) is None, "what stands in it about times counts for nothing"
    assert one.bid(lease("a", "2"), 114.0) is None
    assert one.bid(lease("a", "2"), 128.9) is None
    taken = one.bid(lease("a", "2"), 129.0)
    assert taken is not None
    assert holder_of(taken) == "b"
    assert taken["metadata"]["resourceVersion"] == "2", "another who has read the same must fail"


def test_the_longer_duration_counts() -> None:
    """During an update of the operator the two may hold the lease for different times."""
    one = Candidate("b", TIMING)
    assert one.bid(lease("a", "1", duration=60), 0.0) is None
    assert one.bid(lease("a", "1", duration=60), 59.0) is None
    assert one.bid(lease("a", "1", duration=60), 60.0) is not None


def test_a_released_lease_is_taken_at_once() -> None:
    one = Candidate("b", TIMING)
    assert one.bid(lease("a", "1"), 0.0) is None
    assert one.bid(lease("", "2"), 1.0) is not None


def test_a_lease_that_never_was_is_made_at_once_and_one_that_was_deleted_is_waited_out() -> None:
    assert Candidate("b", TIMING).bid(None, 0.0) is not None
    one = Candidate("b", TIMING)
    assert one.bid(lease("a", "1"), 0.0) is None
    assert one.bid(None, 1.0) is None, "its holder may not know yet"
    assert one.bid(None, 16.0) is not None


@pytest.mark.parametrize("figures", [(10, 10, 2), (15, 10, 6), (15, 0, 0), (15, 10, 0)])
def test_times_that_do_not_fit_are_refused(figures: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Timing(*figures)


def test_before_the_first_renewal_and_after_the_release_no_write_is_let_through() -> None:
    fence = Fence(TIMING, end, lambda: 0.0)
    with pytest.raises(Ended, match="without the lease"):
        fence.check("PATCH /x")
    fence.renewed(0.0)
    assert fence.check("PATCH /x") == 12.5
    fence.close()
    with pytest.raises(Ended, match="PATCH /x"):
        fence.check("PATCH /x")
