"""The catalogue from its files: those in the package, and an operator's own beside them."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue

CONFIG_MAP = "cnichain-catalogue"
"""Name of the ConfigMap in the operator's namespace that extends the catalogue of a running operator."""
CONFIG_MAP_KEY = "catalogue.yaml"

MESSAGE_LIMIT = 160
"""Of what is said about one field: pydantic lists all members of an enumeration."""


@cache
def builtin_catalogue() -> Catalogue:
    """The catalogue that this release ships, with the images of every release in it."""
    folder = files("cnichain.catalogue")
    raw = yaml.safe_load(folder.joinpath("catalogue.yaml").read_text("utf-8"))
    images = yaml.safe_load(folder.joinpath("images.yaml").read_text("utf-8"))
    for release in raw["cilium"]:
        release["images"] = images.get(release["version"], [])
    return Catalogue.model_validate(raw)


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The catalogue of this release, with the entries of a file of the same form added or put in their place.

    Raises ChainError(CatalogueInvalid) when that file cannot be read or does not have the form; the message names the
    file and every field that is wrong.
    """
    if extra is None:
        return builtin_catalogue()
    where = f"catalogue file {extra}"
    try:
        text = extra.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChainError(Reason.CATALOGUE_INVALID, f"{where} cannot be read: {_on_one_line(error)}") from error
    return extended(builtin_catalogue(), text, where)


def extended(base: Catalogue, text: str, where: str) -> Catalogue:
    """`base` with the entries of a YAML text added or put in their place. where: names the text's origin in messages.

    Raises ChainError(CatalogueInvalid) that names the origin and every field that is wrong.
    """
    try:
        raw: Any = yaml.safe_load(text)
        return base.with_entries(Catalogue.model_validate(raw))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg'][:MESSAGE_LIMIT]}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ChainError(Reason.CATALOGUE_INVALID, f"{where}: {found}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: PyYAML lets it through for a date that does not exist.
        raise ChainError(Reason.CATALOGUE_INVALID, f"{where} cannot be read: {_on_one_line(error)}") from error


def _on_one_line(error: Exception) -> str:
    return str(error).replace("\n", " ")[:500]
