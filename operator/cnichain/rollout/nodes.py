"""Where one node is on the way of a change: what it has, what it should have, and what it waits for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

CRASH_RESTARTS = 3
"""So many restarts of one agent pod are a crash: an agent that starts well does not restart at all."""
AGENT = "cilium"
"""The DaemonSet of the Cilium agents."""
CRASHING = "CrashLoopBackOff"
PULL_FAILURES = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True, slots=True)
class AgentPod:
    """A pod of one of Cilium's DaemonSets.

    template: digest of the pod template that it was made from, "" when an operator before this one, or somebody else,
    made it. restarts: of all its containers. waiting: why a container of it waits, as the kubelet says it.
    ready_since: RFC 3339, "" while it is not Ready.
    """

    name: str
    uid: str
    node: str
    daemon_set: str
    template: str = ""
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    deleting: bool = False
    ready_since: str = ""

    def is_outdated(self, templates: Mapping[str, str]) -> bool:
        """Whether it is made from another template than its DaemonSet's. One that goes already is not."""
        return not self.deleting and self.template != templates.get(self.daemon_set)

    @property
    def crashed(self) -> bool:
        """Whether it crashes, again and again."""
        return not self.deleting and (self.waiting == CRASHING or self.restarts >= CRASH_RESTARTS)


class Step(StrEnum):
    """How far a node is. FRESH: it runs the primary alone, its wave is not open yet. OUTDATED: it has the chain, as it
    was before the change. MOVING: it was given the change and is not well yet. CURRENT: it has the change, verified."""

    FRESH = "Fresh"
    OUTDATED = "Outdated"
    MOVING = "Moving"
    CURRENT = "Current"


@dataclass(frozen=True, slots=True)
class NodeSituation:
    """One node in scope as a pass sees it.

    reachable: its kubelet is Ready. closed: it has the startup taint. opened: its wave is open. told: its CNIChainNode
    says what it should say. verified: its agent has seen that and finds the chain right; chain: its words if not.
    probe: what its probe pod waits for, "" when there is none or it has passed.
    """

    name: str
    zone: str
    pool: str
    reachable: bool
    closed: bool
    opened: bool
    told: bool
    verified: bool
    chain: str
    pods: tuple[AgentPod, ...]
    uid: str = ""
    probe: str = ""

    @property
    def agent(self) -> AgentPod | None:
        """Its Cilium agent, as far as it is Ready."""
        return next((pod for pod in self.pods if pod.daemon_set == AGENT and pod.ready and not pod.deleting), None)

    @property
    def agent_uid(self) -> str:
        """uid of that pod."""
        return self.agent.uid if self.agent else ""

    @property
    def ready_since(self) -> str:
        """Since when that pod is Ready, RFC 3339; "" when it is not."""
        return self.agent.ready_since if self.agent else ""

    def step(self, templates: Mapping[str, str]) -> Step:
        """How far it is. templates: what the pods of each DaemonSet should be made from."""
        if not self.opened:
            return Step.FRESH
        if not self.told or any(pod.is_outdated(templates) for pod in self.pods):
            return Step.OUTDATED
        return Step.MOVING if self.waits_for(templates) else Step.CURRENT

    def available(self, templates: Mapping[str, str]) -> bool:
        """Whether the chain serves its pods, be it as before the change or as after it."""
        return self.reachable and self.opened and self.verified and not self._pods_missing(templates)

    def waits_for(self, templates: Mapping[str, str]) -> str:
        """What is missing for it to be well, in words; "" when nothing is."""
        missing = self._pods_missing(templates)
        if missing or self.verified:
            return missing or self.probe
        return self.chain or "its chain is not verified"

    def _pods_missing(self, templates: Mapping[str, str]) -> str:
        for daemon_set in sorted(templates):
            mine = [pod for pod in self.pods if pod.daemon_set == daemon_set and not pod.deleting]
            if not mine:
                return f"no {daemon_set} pod yet"
            for pod in mine:
                if not pod.ready:
                    return f"pod {pod.name} is not Ready" + (f" ({pod.waiting})" if pod.waiting else "")
        return ""

    def crash(self, templates: Mapping[str, str]) -> str:
        """What of its pods with the change crashes, in words; "" when none does."""
        for pod in self.pods:
            if pod.crashed and pod.template == templates.get(pod.daemon_set):
                return f"pod {pod.name} crashes ({pod.waiting or 'restarted'}, {pod.restarts} restarts)"
        return ""
