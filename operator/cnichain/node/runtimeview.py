"""What the runtime has loaded against the file that it should have loaded. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cnichain.api.chainnode import RuntimeReport, RuntimeView
from cnichain.node.conflist import Conflist, ConflistError, parse
from cnichain.node.splice import explain, same_list

CRI_O = "cri-o"
"""What CRI-O calls itself."""
_CONTAINERD = "containerd"
_OK = "OK"


class Loaded(StrEnum):
    """What is known of the runtime's list, compared with the effective file.

    PENDING: the file has just changed and the runtime is being asked. NOT_READY: it says that it has no network.
    """

    PENDING = "Pending"
    VERIFIED = "Verified"
    STALE = "Stale"
    NOT_READY = "NotReady"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class RuntimeSeen:
    """The newest that is known of the runtime.

    name: as it calls itself, `cri-o` or `containerd`; empty until it has answered once. version: its own.
    message: what differs, or why it is not known; one sentence without its full stop. answers: whether it answered
    the last question at all.
    """

    loaded: Loaded = Loaded.PENDING
    name: str = ""
    version: str = ""
    message: str = ""
    answers: bool = True

    @property
    def is_cri_o(self) -> bool:
        """Whether CRI-O's rule of which file is picked counts."""
        return self.name == CRI_O

    @property
    def appends_drop_ins(self) -> bool:
        """Whether it is known to append drop-ins to a list: containerd does since 2.1, which has libcni 1.3."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version)
        return self.name == _CONTAINERD and found is not None and (int(found[1]), int(found[2])) >= (2, 1)

    @property
    def is_wrong(self) -> bool:
        """Whether pods start by something else than the effective file, for all that is known."""
        return self.loaded in (Loaded.STALE, Loaded.NOT_READY)


def judge(
    name: str,
    version: str,
    conditions: Sequence[tuple[str, bool, str]],
    load_status: str | None,
    networks: Sequence[Any] | None,
    wanted: Conflist | None,
) -> RuntimeSeen:
    """The runtime's answer against what the effective file says.

    conditions: type, whether it holds, and the runtime's words. load_status: of its last load, None when it does not
    tell. networks: as `cri.networks`. wanted: the effective file; None when there is none that could be loaded, and
    then nothing is compared.
    """
    seen = RuntimeSeen(Loaded.UNKNOWN, name, version)
    if wanted is None:
        return replace(seen, message="there is no valid file that it could have loaded")
    for kind, holds, words in conditions:
        if kind in ("RuntimeReady", "NetworkReady") and not holds:
            return replace(seen, loaded=Loaded.NOT_READY, message=f"{name} is not {kind}: {words or 'no reason given'}")
    if load_status is not None and load_status != _OK:
        return replace(seen, loaded=Loaded.NOT_READY, message=f"{name} could not load it: {load_status}")
    if networks is None:
        return replace(seen, message=f"{name} does not tell which list it has loaded")
    if any(_is_same(network, wanted) for network in networks):
        return replace(seen, loaded=Loaded.VERIFIED)
    said = "; ".join(_difference(network, wanted) for network in networks) or "no list at all"
    return replace(seen, loaded=Loaded.STALE, message=f"{name} has loaded {said}")


def report(seen: RuntimeSeen | None) -> RuntimeReport:
    """The part of the status. None: the runtime is not asked."""
    if seen is None:
        return RuntimeReport(message="the runtime is not asked")
    views = {
        Loaded.VERIFIED: RuntimeView.VERIFIED,
        Loaded.STALE: RuntimeView.STALE,
        Loaded.NOT_READY: RuntimeView.STALE,
    }
    name = f"{seen.name} {seen.version}".strip()[:64]
    return RuntimeReport(name, views.get(seen.loaded, RuntimeView.UNKNOWN), seen.message[:1024])


def _is_same(network: Any, wanted: Conflist) -> bool:
    found = _conflist(network)
    if found is not None:
        return same_list(found, wanted)
    return (network.get("Name"), _types(network)) == (wanted.network, wanted.types)


def _difference(network: Any, wanted: Conflist) -> str:
    shown = f"the network {str(network.get('Name'))[:64]} ({', '.join(_types(network))[:200]})"
    found = _conflist(network)
    return f"{shown}: {explain(found, wanted)}" if found is not None else shown


def _conflist(network: Any) -> Conflist | None:
    """The list from its source text, which newer runtimes may add drop-ins to; None when it is not shown."""
    source = network.get("Source")
    if not isinstance(source, str) or not source:
        return None
    try:
        return parse(source.encode("utf-8", "surrogatepass"))
    except ConflistError:
        return None


def _types(network: Any) -> tuple[str, ...]:
    plugins = network.get("Plugins")
    networks = [item.get("Network") for item in plugins or [] if isinstance(item, dict)]
    return tuple(str(item.get("type")) for item in networks if isinstance(item, dict))
