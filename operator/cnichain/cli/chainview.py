"""The CNIChain as the subcommands read it, with its status as far as this release can read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.chainnode import Condition
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.errors import ChainError
from cnichain.api.names import KIND_CHAIN, SINGLETON
from cnichain.cli.common import UnansweredError
from cnichain.kube.client import KubeClient, Object
from cnichain.kube.errors import ApiError
from cnichain.kube.resources import CHAINS

NO_CHAIN = f"there is no {KIND_CHAIN} {SINGLETON}. `cnichain check --pre` says whether the cluster can take one."


@dataclass(frozen=True)
class ChainView:
    """A CNIChain. spec: None when this release cannot read it. unread: parts of spec and status that it cannot read."""

    raw: Object
    spec: CNIChainSpec | None
    status: CNIChainStatus
    unread: tuple[str, ...] = ()

    @property
    def generation(self) -> int:
        """metadata.generation."""
        return int(self.raw["metadata"].get("generation", 0))

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type."""
        return next((item for item in self.status.conditions if item.type == kind), None)

    @property
    def is_ready(self) -> bool:
        """Whether the spec of now is in force."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True" and ready.observed_generation >= self.generation

    @property
    def is_stalled(self) -> bool:
        """Whether the spec of now needs a person."""
        stalled = self.condition("Stalled")
        return stalled is not None and stalled.status == "True" and stalled.observed_generation >= self.generation


async def get_chain(client: KubeClient) -> ChainView:
    """The CNIChain of the cluster. Raises UnansweredError when there is none, ApiError."""
    try:
        found = await client.get(CHAINS, SINGLETON)
    except ApiError as error:
        if error.not_served:
            raise UnansweredError(f"the cluster does not serve {KIND_CHAIN}s: apply the folder crds first.") from error
        raise
    if found is None:
        raise UnansweredError(NO_CHAIN)
    return view(found)


def view(raw: Object) -> ChainView:
    """A CNIChain as the API serves it. What a newer or broken writer has left is set aside, part by part."""
    unread = []
    spec = None
    try:
        spec = parse_spec(raw.get("spec"))
    except ChainError as error:
        unread.append(error.message)
    status, bad = read_status(raw.get("status"))
    return ChainView(raw, spec, status, (*unread, *(f"status.{name}" for name in bad)))


def read_status(raw: Any) -> tuple[CNIChainStatus, list[str]]:
    """A status without what cannot be read in it, and the names of that: a condition by itself, else a whole field."""
    if raw is None:
        return CNIChainStatus(), []
    if not isinstance(raw, Mapping):
        return CNIChainStatus(), ["(all of it)"]
    kept, bad = dict(raw), list[str]()
    while True:
        try:
            return CNIChainStatus.model_validate(kept), bad
        except ValidationError as error:
            places = [item["loc"] for item in error.errors(include_url=False)]
        for field in sorted({str(place[0]) for place in places if place and place[0] in kept}):
            numbers = {place[1] for place in places if place[0] == field and len(place) > 1}
            if field == "conditions" and isinstance(kept[field], list) and all(isinstance(one, int) for one in numbers):
                kept[field] = [one for number, one in enumerate(kept[field]) if number not in numbers]
                bad += [f"conditions[{number}]" for number in sorted(numbers)]
                if numbers:
                    continue
            bad.append(field)
            del kept[field]
