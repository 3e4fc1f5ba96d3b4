"""`cnichain evidence`: what an audit asks of the chain, as a signed archive with a report; and the check of one."""

import os
import sys
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cnichain import __version__
from cnichain.api.errors import ChainError
from cnichain.api.times import utc_now
from cnichain.catalogue.load import load_catalogue
from cnichain.cli.common import FILE, TEXT, UnansweredError, ask, emit, kubeconfig_option, output_option
from cnichain.cli.evidencetext import as_text
from cnichain.evidence.archive import (
    MANIFEST,
    EvidenceError,
    TamperedError,
    Verified,
    fingerprint,
    generate_key,
    json_bytes,
    load_private_key,
    load_public_key,
    pack,
    public_pem,
    signed_files,
    unpack,
    verify,
)
from cnichain.evidence.collect import Collector
from cnichain.evidence.model import Evidence, as_files
from cnichain.evidence.report import as_html

ARCHIVE_ENDINGS = (".tar.gz", ".tgz")
REPORT = "report.html"
TAMPERED = 1
NEW = click.Path(path_type=Path)


@click.group(
    invoke_without_command=True,
    epilog="Exit status: 0 the evidence is written (gaps do not count), 2 it cannot be made. Reads only; of Secrets it "
    "takes the certificates, never a key.",
)
@click.option("--out", type=NEW, help="A new folder, or a file that ends in .tar.gz.")
@click.option("--key", "key_file", type=FILE, help="Ed25519 key in PEM to sign with. Left out: one for this archive.")
@click.option("--html", "html_file", type=NEW, help="Write the report to this file too.")
@click.option("--metrics/--no-metrics", default=True, help="Ask the nodes for Hubble's counts of verdicts.")
@click.option("--catalogue", "extra", type=FILE, help="A file that adds entries to the catalogue.")
@output_option
@kubeconfig_option
@click.pass_context
def evidence(context: click.Context, /, **options: Any) -> None:
    """Gather what supports an audit: versions, chain, policies, flow export, and the gaps."""
    if context.invoked_subcommand is not None:
        return
    if options["out"] is None:
        raise click.UsageError("Missing option '--out'.", context)
    _make(**options)


def _make(
    out: Path,
    key_file: Path | None,
    html_file: Path | None,
    metrics: bool,
    extra: Path | None,
    output: str,
    kubeconfig: Path | None,
) -> None:
    key = _private_key(key_file)
    if out.exists():
        raise UnansweredError(f"{out} exists; evidence is never written over. Name another place.")
    try:
        catalogue = load_catalogue(extra)
    except ChainError as error:
        raise UnansweredError(str(error)) from error
    created = utc_now()
    if sys.stderr.isatty():
        click.echo("Reading the cluster; with thousands of pods this takes a while ...", err=True)
    found = ask(
        "evidence",
        "gather evidence",
        lambda client: Collector(client, catalogue, created=created, tool=__version__, metrics=metrics).collect(),
        kubeconfig,
    )
    page = as_html(found).encode()
    files = {name: json_bytes(data) for name, data in as_files(found).items()} | {REPORT: page}
    signed = signed_files(files, created, key)
    written = [*_write(out, signed, created), *([] if html_file is None else [_write_file(html_file, page)])]
    if key_file is None:
        written.append(_write_file(_beside(out), public_pem(key.public_key())))
    _say(found, written, fingerprint(key.public_key()), output)


def _private_key(path: Path | None) -> Ed25519PrivateKey:
    if path is None:
        return generate_key()
    try:
        return load_private_key(path.read_bytes())
    except (OSError, EvidenceError) as error:
        raise UnansweredError(f"--key {path}: {error}") from error


def _beside(out: Path) -> Path:
    """Where the public key of a generated key goes: beside the archive, since one inside proves nothing."""
    name = next((out.name.removesuffix(end) for end in ARCHIVE_ENDINGS if out.name.endswith(end)), out.name)
    return out.with_name(f"{name}.pub.pem")


def _write(out: Path, files: dict[str, bytes], created: str) -> list[str]:
    if out.name.endswith(ARCHIVE_ENDINGS):
        return [_write_file(out, pack(files, created))]
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise UnansweredError(f"{out} cannot be made: {error.strerror}.") from error
    for name, data in files.items():
        _write_file(out / name, data)
    return [f"{out}{os.sep}"]


def _write_file(path: Path, data: bytes) -> str:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UnansweredError(f"{path} cannot be written: {error.strerror}.") from error
    return str(path)


def _say(found: Evidence, written: list[str], key: str, output: str) -> None:
    if output == TEXT:
        click.echo(as_text(found, written, key))
    else:
        gaps = [{"code": one.code, "count": one.count, "detail": one.detail} for one in found.gaps]
        emit({"created": found.created, "written": written, "key": key, "gaps": gaps}, output)


@evidence.command(
    name="verify",
    short_help="Check an archive, without a cluster.",
    epilog="Exit status: 0 it is what was signed, 1 it is not, 2 it cannot be read.",
)
@click.argument("archive", type=click.Path(exists=True, path_type=Path))
@click.option("--public-key", "key_file", type=FILE, required=True, help="The signer's Ed25519 public key in PEM.")
@output_option
def verify_command(archive: Path, key_file: Path, output: str) -> None:
    """Check an archive, or a folder of one, against the key of who signed it. Needs no cluster."""
    try:
        key = load_public_key(key_file.read_bytes())
    except (OSError, EvidenceError) as error:
        raise UnansweredError(f"--public-key {key_file}: {error}") from error
    try:
        result = verify(_files_of(archive), key)
    except TamperedError as error:
        _say_verdict(None, str(error), output)
        sys.exit(TAMPERED)
    except (OSError, EvidenceError) as error:
        raise UnansweredError(f"{archive}: {error}") from error
    _say_verdict(result, "", output)


def _files_of(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        return unpack(path.read_bytes())
    if not (path / MANIFEST).is_file():
        raise EvidenceError(f"the folder has no {MANIFEST}.")
    return {item.name: item.read_bytes() if item.is_file() else b"" for item in path.iterdir()}


def _say_verdict(result: Verified | None, why: str, output: str) -> None:
    if output != TEXT:
        data = {"valid": result is not None}
        emit(data | ({"message": why} if result is None else {"created": result.created, "key": result.key}), output)
    elif result is None:
        click.echo(f"NOT VALID: {why}", err=True)
    else:
        click.echo(f"Valid: {len(result.files)} files of {result.created}, signed by\n{result.key}")
