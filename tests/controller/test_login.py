"""What Kopf logs in with when its token is refused: it would end the process if it got the same thing twice."""

import asyncio
from itertools import pairwise
from pathlib import Path

import kopf
import pytest

from cnichain.controller.login import Login
from cnichain.kube.credentials import Credentials


class Pauses:
    """A clock that only a pause moves; what happens in one is the test's."""

    def __init__(self, at_the_third: Path | None = None) -> None:
        self.now = 1000.0
        self.taken: list[float] = []
        self._file = at_the_third

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.now += seconds
        if self._file is not None and len(self.taken) == 3:
            self._file.write_text("new", encoding="utf-8")


def logins(token: Path, pauses: Pauses, count: int, *, apart: float = 0.0) -> list[kopf.ConnectionInfo]:
    async def inside() -> list[kopf.ConnectionInfo]:
        login = Login(Credentials("https://x", _token_file=token), sleep=pauses.sleep, monotonic=lambda: pauses.now)
        found = []
        for _ in range(count):
            found.append(await login.connection())
            pauses.now += apart
        return found

    return asyncio.run(inside())


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old", encoding="utf-8")
    return path


def test_the_same_token_is_something_new_after_a_pause_that_grows(token: Path) -> None:
    pauses = Pauses()
    found = logins(token, pauses, 10)
    assert all(one != other for one, other in pairwise(found))
    assert {one.token for one in found} == {"old"}
    assert len(pauses.taken) == 9, "the first login does not wait"
    assert pauses.taken[0] <= 1.0
    assert 15.0 <= pauses.taken[-1] <= 30.0


def test_a_token_that_was_rotated_is_read_at_once(token: Path) -> None:
    pauses = Pauses()
    logins(token, pauses, 3, apart=3600.0)
    assert pauses.taken == []


def test_a_token_that_is_away_is_waited_for(token: Path) -> None:
    token.unlink()
    pauses = Pauses(at_the_third=token)
    (found,) = logins(token, pauses, 1)
    assert found.token == token.read_text(encoding="utf-8")
    assert len(pauses.taken) == 3
