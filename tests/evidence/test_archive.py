"""The archive: the same for the same input, checked offline, and nothing in it can be changed unseen."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from cnichain.cli.evidence import evidence
from cnichain.evidence import archive
from cnichain.evidence.archive import EvidenceError, TamperedError, pack, public_pem, signed_files, unpack, verify
from cnichain.evidence.model import as_files
from cnichain.evidence.report import as_html
from evidencesample import CREATED, sample

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
Files = dict[str, bytes]


def whole() -> Files:
    found = sample()
    files = {name: archive.json_bytes(data) for name, data in as_files(found).items()}
    return signed_files(files | {"report.html": as_html(found).encode()}, CREATED, KEY)


FILES = whole()


def test_it_checks_and_names_every_file() -> None:
    done = verify(unpack(pack(FILES, CREATED)), PUBLIC)
    assert done.created == CREATED
    assert set(done.files) == set(FILES) - {"manifest.json", "manifest.sig"}
    assert {"about.json", "chain.json", "nodes.json", "policies.json", "gaps.json", "report.html"} <= set(done.files)


def test_the_same_evidence_is_the_same_archive_to_the_byte() -> None:
    assert pack(whole(), CREATED) == pack(FILES, CREATED)


def drop(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: data for key, data in files.items() if key != name}


def put(name: str, data: bytes) -> Callable[[Files], Files]:
    return lambda files: {**files, name: data}


def with_manifest_of_its_own(files: Files) -> Files:
    """A clever one: changes a file and its digest, and signs with a key of its own, which it puts in."""
    mine = {name: data for name, data in files.items() if not name.startswith("manifest")} | {"gaps.json": b"[]\n"}
    return signed_files(mine, CREATED, Ed25519PrivateKey.generate())


def with_changed_manifest(files: Files) -> Files:
    manifest = json.loads(files["manifest.json"])
    manifest["created"] = "2020-01-01T00:00:00Z"
    return files | {"manifest.json": archive.json_bytes(manifest)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("gaps.json", b"[]\n"), "gaps.json was changed"),
        (drop("gaps.json"), "gaps.json is missing"),
        (put("more.json", b"{}"), "more.json was added"),
        (drop("manifest.json"), "manifest.json is missing"),
        (drop("manifest.sig"), "manifest.sig is missing"),
        (put("manifest.sig", b"zz"), "the signature"),
        (put("manifest.sig", b"00" * 64), "the signature"),
        (with_changed_manifest, "the manifest was changed"),
        (with_manifest_of_its_own, "somebody else has signed it"),
    ],
)
def test_tampering_is_found_and_named(change: Callable[[Files], Files], said: str) -> None:
    with pytest.raises(TamperedError, match=said):
        verify(unpack(pack(change(FILES), CREATED)), PUBLIC)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**31), st.integers(1, 255))
def test_no_byte_of_any_file_can_be_changed(name: str, where: int, by: int) -> None:
    data = bytearray(FILES[name])
    data[where % len(data)] ^= by
    try:
        verify({**FILES, name: bytes(data)}, PUBLIC)
    except TamperedError:
        return
    # Hexadecimal digits of the signature may change their case, which changes nothing that they say.
    assert name == "manifest.sig"
    assert bytes(data).split() == [] or bytes.fromhex(data.decode()) == bytes.fromhex(FILES[name].decode())


def tar_of(*entries: tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return raw.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.type, item.size, item.linkname = kind, 0, "/etc/passwd"
    return item


@pytest.mark.parametrize(
    "entries",
    [
        [entry("evidence/../../etc/cron.d/x")],
        [entry("/etc/passwd")],
        [entry("other/gaps.json")],
        [entry("evidence/a/b")],
        [entry("evidence/link", tarfile.SYMTYPE)],
        [entry("evidence/link", tarfile.LNKTYPE)],
        [entry("evidence/twice"), entry("evidence/twice")],
    ],
)
def test_entries_that_evidence_never_has_are_refused(entries: list[tarfile.TarInfo]) -> None:
    with pytest.raises(TamperedError, match="never has"):
        unpack(tar_of(*entries))


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"no tar, but long enough " * 100), b"\x1f\x8b\x08\x00"],
    ids=["nothing", "text", "gzip of no tar", "the beginning of gzip"],
)
def test_what_is_no_archive_is_told_apart(data: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify(unpack(data), PUBLIC)
    assert "manifest.json is missing" in str(caught.value) or "cannot be read" in str(caught.value)


def test_a_bomb_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    with pytest.raises(EvidenceError, match="larger than 1 MiB"):
        unpack(gzip.compress(bytes(4 << 20)))


def test_another_kind_of_key_is_refused_with_the_way_to_make_one() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for wrong in (pem, b"nothing"):
        with pytest.raises(EvidenceError, match="openssl genpkey -algorithm ed25519"):
            archive.load_private_key(wrong)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path]:
    """An archive and the public key of who signed it."""
    (tmp_path / "key.pub.pem").write_bytes(public_pem(PUBLIC))
    (tmp_path / "e.tar.gz").write_bytes(pack(FILES, CREATED))
    return tmp_path / "e.tar.gz", tmp_path / "key.pub.pem"


def test_the_command_checks_an_archive_and_an_unpacked_one(written: tuple[Path, Path], tmp_path: Path) -> None:
    path, key = written
    subprocess.run(["tar", "-xzf", path, "-C", tmp_path], check=True, timeout=20)
    for one in (path, tmp_path / "evidence"):
        done = CliRunner().invoke(evidence, ["verify", str(one), "--public-key", str(key)])
        assert done.exit_code == 0, done.output
        assert f"files of {CREATED}" in done.output
    (tmp_path / "evidence" / "gaps.json").write_text("[]", encoding="utf-8")
    done = CliRunner().invoke(evidence, ["verify", str(tmp_path / "evidence"), "--public-key", str(key)])
    assert done.exit_code == 1
    assert "NOT VALID: gaps.json was changed." in done.output


def test_the_command_tells_no_from_it_cannot_be_told(written: tuple[Path, Path], tmp_path: Path) -> None:
    path, key = written
    (tmp_path / "other.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk.tar.gz").write_bytes(b"junk")
    for arguments, status in (
        ([str(path), "--public-key", str(tmp_path / "other.pem"), "-o", "json"], 1),
        ([str(tmp_path / "empty"), "--public-key", str(key)], 2),
        ([str(tmp_path / "junk.tar.gz"), "--public-key", str(key)], 2),
        ([str(path), "--public-key", str(path)], 2),
    ):
        done = CliRunner().invoke(evidence, ["verify", *arguments])
        assert done.exit_code == status, f"{arguments}: {done.output}"


def test_the_signature_is_one_that_openssl_checks(tmp_path: Path) -> None:
    """An auditor need not have this program."""
    (tmp_path / "manifest.json").write_bytes(FILES["manifest.json"])
    (tmp_path / "sig").write_bytes(bytes.fromhex(FILES["manifest.sig"].decode()))
    (tmp_path / "key.pem").write_bytes(public_pem(PUBLIC))
    command = "openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in manifest.json -sigfile sig"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
