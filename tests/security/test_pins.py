"""Whatever is installed or built is pinned: what was looked at is what runs. Whether a pin has a known hole is for
`make audit`, which asks a database over the network (docs/security.md)."""

import re
import tomllib
from pathlib import Path

import pytest

from harness import ROOT

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
GO_MODULES = sorted((ROOT / "tools").glob("*/go.mod"))
PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;]+)")
GO_VERSION = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?")


def pins(path: Path) -> dict[str, str]:
    """Package to version. Fails the test for a line that is no pin with hashes."""
    found: dict[str, str] = {}
    for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        line = entry.split("#", 1)[0].strip()
        if not line:
            continue
        at = PIN.match(line)
        assert at, f"{path.name}: {line[:80]!r} is no exact version (an index address, an option, or a range)"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), f"{path.name}: {at[1]} has no sha256"
        found[at[1].lower()] = at[2]
    return found


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_python_package_is_pinned_by_version_and_hash(path: Path) -> None:
    assert pins(path), "the file must name something"


def test_what_ships_is_what_is_tested() -> None:
    base, dev = (pins(ROOT / "requirements" / name) for name in ("base.txt", "dev.txt"))
    assert {name: dev.get(name) for name in base} == base
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.split(r"[<>=\[]", one)[0].strip().lower() for one in wanted}
    assert names <= set(base), "run `make lock`"


def test_nothing_is_installed_past_the_hashes() -> None:
    """A `pip install` either checks hashes, or installs a wheel or folder of our own and nothing that it needs."""
    for name in ("Makefile", "Dockerfile"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(r"pip install[^&|;\n]*", text)
        assert found, f"{name} installs something"
        for command in found:
            assert "--require-hashes" in command or "--no-deps" in command, f"{name}: {command}"


@pytest.mark.parametrize("path", GO_MODULES, ids=lambda path: path.parent.name)
def test_every_go_module_is_pinned_by_version_and_hash(path: Path) -> None:
    text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"^\s*replace\s.*=>\s*[./]", text, re.MULTILINE), "a folder in place of a module has no hash"
    sums = {tuple(line.split()[:2]) for line in path.with_name("go.sum").read_text(encoding="utf-8").splitlines()}
    blocks = re.findall(r"^require \(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL)
    lines = [*"\n".join(blocks).splitlines(), *re.findall(r"^require ([^(\n]+)$", text, re.MULTILINE)]
    required = [tuple(line.split()[:2]) for line in lines if line.strip()]
    assert required
    replaced = set(re.findall(r"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>", text, re.MULTILINE))
    for module, version in required:
        assert GO_VERSION.fullmatch(version), f"{module} {version} is no exact version"
        if module not in replaced:
            assert (module, f"{version}/go.mod") in sums or (module, version) in sums, f"{module} {version} has no hash"


def test_actions_of_workflows_are_pinned_by_commit() -> None:
    """A tag of somebody else's action can be moved."""
    used = [
        (path.name, action)
        for path in sorted((ROOT / ".github/workflows").glob("*.y*ml"))
        for action in re.findall(r"uses:\s*([^\s#]+)", path.read_text(encoding="utf-8"))
    ]
    assert used
    for name, action in used:
        assert action.startswith("./") or re.search(r"@[0-9a-f]{40}$", action), f"{name}: {action}"
