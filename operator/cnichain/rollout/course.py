"""Which spec is in force: the user's, or the last good one after a change that failed. Pure.

Only what reaches the nodes goes back. How a change is rolled out, which nodes are in scope, and what deleting does stay
as the user's spec says them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cnichain.api.chain import Approval, CNIChainSpec, parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.names import RETRY_ANNOTATION
from cnichain.api.rolloutstatus import RejectedStatus
from cnichain.plan.history import Good, History
from cnichain.render.manifests import short_digest

HOW = frozenset({"rollout", "nodes", "suspend", "adopt", "deletion_policy", "unmanaged_pods"})
"""Fields of spec that say how, not what: they are never rolled back."""

EARLIER_KEPT = 5
"""Good revisions before the last one that a person may go back to; a spec has a few kilobytes."""


class Action(StrEnum):
    """What was done about a change that failed."""

    ROLLED_BACK = "RolledBack"
    UNCHAINED = "Unchained"
    HELD = "Held"


@dataclass(frozen=True)
class Course:
    """spec: what is in force. content: digest of what the user asks for. rejected: the failure of this very content.

    action: what is done about that; None when nothing has failed.
    """

    spec: CNIChainSpec
    content: str
    rejected: RejectedStatus | None = None
    action: Action | None = None


def content_of(spec: CNIChainSpec) -> dict[str, Any]:
    """What of a spec reaches the nodes."""
    return spec.model_dump(mode="json", by_alias=True, exclude=set(HOW))


def content_digest(spec: CNIChainSpec, annotations: Mapping[str, str]) -> str:
    """Digest of it, with the word of the annotation that asks for another try."""
    retry = annotations.get(RETRY_ANNOTATION, "")
    return short_digest([content_of(spec), retry])


def course(spec: CNIChainSpec, annotations: Mapping[str, str], history: History) -> Course:
    """Which spec is in force."""
    content = content_digest(spec, annotations)
    rejected = history.rejected
    if rejected is None or rejected.content != content:
        return Course(spec, content)
    action = Action(rejected.action)
    good = history.good
    if action is Action.HELD and may_go_back(spec, content, good):
        # A person has switched autoRollback on meanwhile.
        action = Action.ROLLED_BACK
    if action is not Action.ROLLED_BACK:
        return Course(spec, content, rejected, action)
    earlier = restored(good, spec)
    if good is None or earlier is None:
        return Course(spec, content, rejected.model_copy(update={"action": Action.HELD.value}), Action.HELD)
    rejected = rejected.model_copy(update={"action": action.value, "back_to": good.cilium})
    return Course(earlier, content, rejected, action)


def may_go_back(spec: CNIChainSpec, content: str, good: Good | None) -> bool:
    """Whether there is another revision that was good, and spec lets a failure go back to it."""
    if not spec.rollout.auto_rollback or good is None or good.content == content:
        return False
    return restored(good, spec) is not None


def restored(good: Good | None, spec: CNIChainSpec) -> CNIChainSpec | None:
    """The spec of a good revision, with the user's HOW fields; None when there is none that this release can read.

    Nobody needs to approve the way back: it was in force before.
    """
    if good is None:
        return None
    try:
        earlier = parse_spec(good.spec)
    except ChainError:
        return None
    how = {name: getattr(spec, name) for name in HOW}
    how["rollout"] = spec.rollout.model_copy(update={"approval": Approval.AUTOMATIC})
    return earlier.model_copy(update=how)


def action_for(spec: CNIChainSpec, content: str, good: Good | None, *, only_canary: bool) -> Action:
    """What to do about a change that has failed.

    only_canary: no node but the canary has Cilium, so that taking the chain off is the way back when no revision was
    good yet. Later it is not: nodes that are well would lose their policy for one that is not.
    """
    if good is None and only_canary and spec.rollout.auto_rollback:
        return Action.UNCHAINED
    return Action.ROLLED_BACK if may_go_back(spec, content, good) else Action.HELD


def reject(history: History, rejected: RejectedStatus) -> History:
    """The history with a failure in it."""
    return replace(history, rejected=rejected)


def accept(history: History, spec: CNIChainSpec, content: str, time: str, revision: int = 0) -> History:
    """The history with a good revision in it; the same when it is in it already. revision: its number in status."""
    was = history.good
    if was is not None and was.content == content and history.rejected is None:
        return history
    if was is not None and was.content == content:
        return replace(history, rejected=None)
    good = Good(content, spec.cilium.version, content_of(spec), time, revision)
    before = (was, *history.earlier) if was is not None else history.earlier
    earlier = tuple(one for one in before if one.spec != good.spec)[:EARLIER_KEPT]
    return replace(history, good=good, rejected=None, earlier=earlier)
