"""What a CNIChain's `status.pods` holds: how many pods Cilium manages, which it does not, and what is done about it.

Of one size however many pods there are: the largest groups and a few examples. `cnichain unmanaged` lists them all.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from cnichain.api.model import STATUS_CONFIG

GROUPS = 20
EXAMPLES = 10

Text = Annotated[str, Field(max_length=1024)]


class _Status(BaseModel):
    model_config = STATUS_CONFIG


class RestartStatus(_Status):
    """Restarts of unmanaged pods, with `unmanagedPods.action: Restart`."""

    restarted: int = 0
    """Pods that were evicted so far, in total."""
    held: Text = ""
    """Why no pod is evicted now; empty when nothing holds them all."""
    waiting: Annotated[list[Text], Field(max_length=EXAMPLES)] = []
    """Some of the workloads that have unmanaged pods and wait, with what for, or are only reported, and why."""
    stopped: Annotated[list[Text], Field(max_length=EXAMPLES)] = []
    """Workloads that are not restarted any more: three of their replacements were unmanaged again."""


class PodsStatus(_Status):
    """Pods in scope, by whether Cilium manages them. Counted anew every 30 seconds."""

    managed: int = 0
    """Pods that have a CiliumEndpoint of their own. Written at least every five minutes when it changes."""
    unmanaged: int = 0
    """Pods that run without one: no policy holds for them. Seen so twice, and older than a minute."""
    by_cause: Annotated[dict[str, int], Field(max_length=16)] = {}
    """The unmanaged ones by cause: OlderThanChain, ChainNotVerified, AgentDown, SecurityGroupPod, Unknown."""
    by_node: Annotated[dict[str, int], Field(max_length=GROUPS)] = {}
    """The same by node; the twenty nodes with the most."""
    by_namespace: Annotated[dict[str, int], Field(max_length=GROUPS)] = {}
    """The same by namespace; the twenty namespaces with the most."""
    examples: Annotated[list[Text], Field(max_length=EXAMPLES)] = []
    """Some of them, each with its node, cause and owner."""
    out_of_scope: int = 0
    """Running pods that the chain is not for."""
    out_of_scope_by_kind: Annotated[dict[str, int], Field(max_length=16)] = {}
    """The same by kind: host network, static, Fargate, Auto Mode, hybrid, Windows, not selected."""
    restarts: RestartStatus | None = None
    """Restarts of unmanaged pods; left out with `unmanagedPods.action: Report`."""
