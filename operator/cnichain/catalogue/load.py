"""The catalogue from its files: the one in the package, and an operator's own beside it."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue


@cache
def builtin_catalogue() -> Catalogue:
    """The catalogue that this release ships."""
    text = files("cnichain.catalogue").joinpath("catalogue.yaml").read_text("utf-8")
    return Catalogue.model_validate(yaml.safe_load(text))


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The catalogue of this release, with the entries of a file of the same form added or put in their place.

    Raises ChainError(CatalogueInvalid) when that file cannot be read or does not have the form; the message names the
    file and every field that is wrong.
    """
    if extra is None:
        return builtin_catalogue()
    try:
        raw: Any = yaml.safe_load(extra.read_text("utf-8"))
        return builtin_catalogue().with_entries(Catalogue.model_validate(raw))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ChainError(Reason.CATALOGUE_INVALID, f"catalogue file {extra}: {found}.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        detail = str(error).replace("\n", " ")
        raise ChainError(Reason.CATALOGUE_INVALID, f"catalogue file {extra} cannot be read: {detail}") from error
