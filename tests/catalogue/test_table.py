"""`cnichain catalogue`: a table that fits a terminal, and data that can be fed back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cnichain.catalogue.load import builtin_catalogue, load_catalogue
from cnichain.catalogue.model import Catalogue
from cnichain.catalogue.table import WIDTH, as_data, as_table
from cnichain.cli.catalogue import catalogue

KNOWN = builtin_catalogue()


def test_the_table_fits_80_columns_and_names_everything() -> None:
    table = as_table(KNOWN)
    assert WIDTH == 80
    too_long = [line for line in table.splitlines() if len(line) > WIDTH]
    assert too_long == []
    for version in [item.version for item in KNOWN.cilium] + [item.version for item in KNOWN.calico]:
        assert version in table
    for pair in KNOWN.pairs:
        assert pair.reason.value in table
    assert "1.16.x" in table
    assert "upgrade from" in table


def test_a_line_that_would_not_fit_is_cut_with_a_sign() -> None:
    calico = KNOWN.calico[0].model_copy(update={"operator": "registry.example.com/" + "x" * 90})
    lines = as_table(KNOWN.model_copy(update={"calico": (calico,)})).splitlines()
    assert max(map(len, lines)) == WIDTH
    assert any(line.endswith("…") for line in lines)


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_data_is_a_catalogue_again(output: str, read: Callable[[str], Any]) -> None:
    done = CliRunner().invoke(catalogue, ["-o", output])
    assert done.exit_code == 0, done.output
    assert Catalogue.model_validate(read(done.output)) == KNOWN


def test_the_yaml_can_be_used_as_an_extension(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(yaml.safe_dump(as_data(KNOWN)), encoding="utf-8")
    assert load_catalogue(file) == KNOWN
    done = CliRunner().invoke(catalogue, ["--catalogue", str(file)])
    assert done.output == as_table(KNOWN)


def test_a_bad_extension_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text("cilium: [{version: x}]", encoding="utf-8")
    done = CliRunner().invoke(catalogue, ["--catalogue", str(file)])
    assert done.exit_code == 1
    assert "CatalogueInvalid" in done.output
    assert "cilium.0.version" in done.output


def test_sources_are_links_and_texts_are_no_sentences_of_their_own() -> None:
    """A verdict ends a pair's text with a full stop; a trap's text has its own."""
    for pair in KNOWN.pairs:
        assert not pair.text.endswith("."), pair.name
        assert not (pair.when_unknown or "").endswith("."), pair.name
    for rule in KNOWN.primaries.values():
        assert all(trap.text.endswith(".") for trap in rule.traps)
    for release in KNOWN.calico:
        assert all(trap.text.endswith(".") for trap in release.traps)
