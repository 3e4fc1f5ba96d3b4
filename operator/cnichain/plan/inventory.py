"""The inventory: which objects the operator has applied, and what it needs to see a drift without writing.

A drift shows in two digests per object. `desired` is of the manifest that was applied; it differs when the chart,
the values or the certificates changed. `owned` is of the fields that server-side apply records under our field manager
(managedFields); whoever changes the value of one of them takes it over, so the digest differs. Equal digests mean that
the live object still holds every field as applied, whatever defaults and foreign fields stand beside them, and no
request has to be sent to know it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cnichain.api.names import FIELD_MANAGER
from cnichain.api.objects import ObjectKey
from cnichain.plan.admission import mutated_fields
from cnichain.plan.fields import owned_tree
from cnichain.render.calico import INSTALLATION
from cnichain.render.manifests import canonical_digest
from cnichain.render.stages import CALICO_STAGES

KEPT_KINDS = frozenset({"CustomResourceDefinition", "Namespace"})
"""Never deleted by the operator: everything of users in one would go with it."""


@dataclass(frozen=True)
class Entry:
    """One applied object. uid and owned are empty from before the apply until it has succeeded.

    mutated: fields that admission changed on the way in.
    """

    stage: str
    desired: str
    uid: str = ""
    owned: str = ""
    mutated: tuple[str, ...] = ()


Inventory = Mapping[ObjectKey, Entry]


def owned_digest(live: Mapping[str, Any], manager: str = FIELD_MANAGER) -> str:
    """Digest of the fields of a live object that our field manager owns; empty when it owns none."""
    tree = owned_tree(live, manager)
    return canonical_digest(tree) if tree else ""


def drift(key: ObjectKey, entry: Entry | None, desired: str, live: Mapping[str, Any] | None) -> str:
    """Why an object must be applied, in words; empty when it is as it should be.

    desired: digest of the manifest as it should be now.
    """
    if entry is None or not entry.owned:
        return f"{key} has not been applied yet"
    if live is None:
        return f"{key} was deleted"
    if entry.desired != desired:
        return f"{key} has a new manifest"
    if live["metadata"].get("uid") != entry.uid:
        return f"{key} was deleted and created anew by someone else"
    if owned_digest(live) != entry.owned:
        return f"{key} was changed by {last_foreign_manager(live)}"
    return ""


def is_tampering(entry: Entry | None, desired: str) -> bool:
    """True when a difference is someone else's doing, not a new manifest of ours."""
    return entry is not None and bool(entry.owned) and entry.desired == desired


def applied(entry: Entry, sent: Mapping[str, Any], answer: Mapping[str, Any]) -> Entry:
    """The entry after a successful apply of a body; `answer` is the server's to it."""
    return replace(
        entry, uid=answer["metadata"]["uid"], owned=owned_digest(answer), mutated=mutated_fields(sent, answer)
    )


def leftovers(inventory: Inventory, desired: Iterable[ObjectKey]) -> list[ObjectKey]:
    """Objects that were applied once and are not wanted any more, workloads first and RBAC last.

    CRDs and namespaces are never among them: deleting one deletes everything of users in it. Nor is anything of a
    Calico whose Installation is not gone yet: tigera-operator alone takes the Installation's finalizers off.
    """
    wanted = set(desired)
    kept = _needed_by_installation(inventory) if INSTALLATION not in wanted else set()
    gone = [key for key in inventory if key not in wanted and key not in kept and key.kind not in KEPT_KINDS]
    return sorted(gone, key=lambda key: (removal_rank(key.kind), key))


def _needed_by_installation(inventory: Inventory) -> set[ObjectKey]:
    """Everything of Calico's, for as long as the inventory lists its Installation."""
    if INSTALLATION not in inventory:
        return set()
    return {key for key, entry in inventory.items() if entry.stage in CALICO_STAGES}


def removal_rank(kind: str) -> int:
    """Order of kinds in a removal: workloads, then what they read, then what they are allowed."""
    if kind in {"DaemonSet", "Deployment", "Job"}:
        return 0
    if kind in {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}:
        return 2
    return 1


def dump(inventory: Inventory) -> str:
    """The inventory as the text of a ConfigMap: one JSON object per line, sorted, so that diffs are readable."""
    lines = [json.dumps({**key._asdict(), **asdict(entry)}, sort_keys=True) for key, entry in sorted(inventory.items())]
    return "\n".join(lines) + "\n" if lines else ""


def load(text: str) -> dict[ObjectKey, Entry]:
    """The inventory from that text. Raises ValueError when a line is not one."""
    inventory: dict[ObjectKey, Entry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            raw = json.loads(line)
            key = ObjectKey(raw["api_version"], raw["kind"], raw["namespace"], raw["name"])
            # `mutated` is younger than the others: an inventory of an older release has none.
            mutated = tuple(raw.get("mutated", ()))
            inventory[key] = Entry(raw["stage"], raw["desired"], raw["uid"], raw["owned"], mutated)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"inventory line {number} is not an entry: {error}") from error
    return inventory


def digest(inventory: Inventory) -> str:
    """Digest of the whole inventory."""
    return canonical_digest(dump(inventory))


def last_foreign_manager(live: Mapping[str, Any]) -> str:
    """The field manager other than ours that wrote last, for the message."""
    others = [item for item in live["metadata"].get("managedFields") or [] if item["manager"] != FIELD_MANAGER]
    others = [item for item in others if not item.get("subresource")]
    return max(others, key=lambda item: item.get("time", ""))["manager"] if others else "someone"
