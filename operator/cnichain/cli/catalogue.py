"""`cnichain catalogue`: what this release installs and knows, for people and for programs."""

import json
from pathlib import Path

import click
import yaml

from cnichain.api.errors import ChainError
from cnichain.catalogue.load import load_catalogue
from cnichain.catalogue.table import as_data, as_table

WIDE = 120
"""Columns of the YAML output."""
FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.command()
@click.option("-o", "--output", default="table", show_default=True, type=click.Choice(["table", "json", "yaml"]))
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
def catalogue(output: str, extra: Path | None) -> None:
    """Show which versions this release installs, and which parts go badly together.

    With -o yaml the output has the form of a catalogue file, and of the ConfigMap cnichain-catalogue.
    """
    try:
        known = load_catalogue(extra)
    except ChainError as error:
        raise click.ClickException(str(error)) from error
    if output == "table":
        click.echo(as_table(known), nl=False)
    elif output == "json":
        click.echo(json.dumps(as_data(known), indent=2))
    else:
        click.echo(yaml.safe_dump(as_data(known), sort_keys=False, allow_unicode=True, width=WIDE), nl=False)
