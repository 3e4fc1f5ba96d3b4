"""tools/tools.toml and tools/*/go.mod, read: which programs there are, from which package, in which version."""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnichain.dev.errors import DevError

MANIFEST = "tools.toml"


@dataclass(frozen=True)
class Tool:
    """One program: its file name, its Go package, its group (toolchain.GROUPS)."""

    name: str
    package: str
    group: str


@dataclass(frozen=True)
class Family:
    """The programs of one Go module.

    version: of the upstream module, as "v1.36.1". go: the Go version that go.mod asks for, as (1, 26, 6).
    ldflags: the value of `go build -ldflags`.
    """

    name: str
    directory: Path
    version: str
    go: tuple[int, ...]
    ldflags: str
    tools: tuple[Tool, ...]

    def sources(self) -> list[Path]:
        """Every file here that the built programs depend on, in a stable order."""
        own = sorted(self.directory.rglob("*.go"))
        return [self.directory / "go.mod", self.directory / "go.sum", *own]


def find_tools_dir() -> Path:
    """The folder with tools.toml: $CNICHAIN_TOOLS_DIR, else tools/ of the source checkout this package runs from."""
    given = os.environ.get("CNICHAIN_TOOLS_DIR")
    if given:
        directory = Path(given).resolve()
        if (directory / MANIFEST).is_file():
            return directory
        raise DevError(f"CNICHAIN_TOOLS_DIR={given} has no {MANIFEST}. Set it to the tools/ folder of a checkout.")
    directory = Path(__file__).resolve().parents[3] / "tools"
    if (directory / MANIFEST).is_file():
        return directory
    raise DevError(
        f"The Go modules of the local control plane are not here ({directory} has no {MANIFEST}): they are part of the "
        "source checkout, not of the installed package. Clone the repository and install it with `pip install -e .`, "
        "or set CNICHAIN_TOOLS_DIR to the tools/ folder of a checkout."
    )


def load_manifest(tools_dir: Path) -> list[Family]:
    """All families in the order of the file. DevError when it is not as described in its own head comment."""
    path = tools_dir / MANIFEST
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return [_family(name, table, tools_dir / name) for name, table in data.items()]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DevError(f"{path} cannot be read as the list of tools: {error!r}. Restore it from git.") from error


def _family(name: str, table: dict[str, Any], directory: Path) -> Family:
    go_mod = directory / "go.mod"
    try:
        text = go_mod.read_text(encoding="utf-8")
    except OSError as error:
        raise DevError(f"The Go module of {name} cannot be read: {error}. Restore {directory} from git.") from error
    version = _search(rf"^\s*(?:require\s+)?{re.escape(table['version_of'])}\s+(v\S+)", text, go_mod)
    major, minor = version.removeprefix("v").split(".")[:2]
    x_flags = [flag.format(version=version, major=major, minor=minor) for flag in table.get("ldflags", [])]
    return Family(
        name=name,
        directory=directory,
        version=version,
        go=tuple(int(part) for part in _search(r"^go\s+([\d.]+)", text, go_mod).split(".")),
        ldflags=" ".join(["-s -w", *x_flags]),
        tools=tuple(Tool(tool, entry["package"], entry["group"]) for tool, entry in table["tools"].items()),
    )


def _search(pattern: str, text: str, path: Path) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise DevError(f"{path} has no line that matches {pattern!r}. Restore it from git.")
    return match.group(1)
