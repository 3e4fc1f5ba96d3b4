"""The brake against a war of two writers: pure bookkeeping over a monotonic clock that the caller reads.

Anchors: istio-cni throttles to one rewrite a second and warns after five; wars seen in the field are Cilium with
`cni.exclusive=true` against istio-cni, multus or a second Cilium-like agent.
"""

from collections import deque

WINDOW = 60.0
"""Seconds in which rewrites by others are counted, and that ours must have stood for the war to be over."""
LIMIT = 5
"""So many rewrites by others in WINDOW are answered at once; the next one puts the brake on."""
FIRST_HOLD, LONGEST_HOLD = 1.0, 60.0
"""Seconds that the agent holds back: doubled with each rewrite that answers ours."""


class Brake:
    """Counts how often others changed our file, and says whether to hold back."""

    def __init__(self) -> None:
        self._rewrites: deque[float] = deque()
        self._hold = FIRST_HOLD
        self._until = 0.0
        self._found: str | None = None
        self._standing_since: float | None = None

    def seen(self, now: float, found: str) -> None:
        """Another writer's content (its digest, empty for a deleted file) stands where ours should.

        The same content is counted once, however often it is looked at, until it was answered.
        """
        if found == self._found:
            return
        if self._standing_since is not None and now - self._standing_since >= WINDOW:
            self._rewrites.clear()
            self._hold = FIRST_HOLD
        self._found, self._standing_since = found, None
        while self._rewrites and self._rewrites[0] <= now - WINDOW:
            self._rewrites.popleft()
        self._rewrites.append(now)
        if len(self._rewrites) > LIMIT or self._hold > FIRST_HOLD:
            self._until = now + self._hold
            self._hold = min(self._hold * 2, LONGEST_HOLD)

    def answered(self) -> None:
        """What was seen is put right: the same content is a rewrite of its own if it comes again."""
        self._found = None

    def stands(self, now: float) -> None:
        """Our own content is in its place."""
        self._found = None
        if self._standing_since is None:
            self._standing_since = now

    def remaining(self, now: float) -> float:
        """Seconds to hold back from now; 0.0 when the brake is off."""
        return max(0.0, self._until - now)
