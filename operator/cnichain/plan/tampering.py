"""Who changed what of an applied object, for messages. Pure."""

from collections.abc import Mapping
from typing import Any

from cnichain.api.objects import ObjectKey
from cnichain.plan.fields import lost, managers_of, owned_tree
from cnichain.plan.inventory import last_foreign_manager
from cnichain.plan.model import in_words


def tampering(key: ObjectKey, body: Mapping[str, Any], live: Mapping[str, Any] | None, why: str) -> str:
    """The object, the fields that others took over or removed, and their field managers, in words.

    body: the manifest as applied. why: what to say where no field tells (the object was deleted or made anew).
    """
    paths = lost(body, owned_tree(live)) if live is not None else []
    if live is None or not paths:
        return why
    managers = sorted({manager for path in paths for manager in managers_of(path, live)})
    return f"{key}: {in_words(paths)} by {' and '.join(managers) or last_foreign_manager(live)}"
