"""The real containerd loader (go-cni on libcni) on what the agent publishes and refuses (fault cases 11 to 24)."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.node.conftest import CHAINED, DEFAULT_ENTRY, HISTORY, SOURCE, Load, decided, written
from tests.node.test_conflist import OK, REFUSED
from tests.node.test_primaries import BINARIES, SAMPLES

from cnichain.api.chainnode import NodeSpec
from cnichain.api.primaries import PrimaryPlugin
from cnichain.node.conflist import ConflistError, loads_as_runtime, parse
from cnichain.node.pluginconf import wrong_member
from cnichain.node.splice import derive

pytestmark = pytest.mark.controlplane

PUBLISHED: dict[str, tuple[PrimaryPlugin, str, bytes]] = {
    **{f"aws-vpc-cni {version}": (PrimaryPlugin.AWS_VPC_CNI, SOURCE, text) for version, text in HISTORY.items()},
    **SAMPLES,
}
STRICTER = {
    "17 plugins twice": "the loader takes the last one, Cilium's merge edits the first",
    "17 plugins twice, escaped": "as above",
    "20 type with a path": "loaded, then refused at each ADD",
    "20 type longer than a file name": "loaded, then refused at each ADD: no program can have that name",
    "20 type half a character": "loaded with another character in its place, which no binary is named after",
    "21 name with a space": "loaded, then refused at each ADD",
    "22 no version": "loaded as 0.1.0, though the CNI specification asks each list for its version",
    "22 version 2.0.0": "loaded, then refused by each plugin",
    "22 unknown in cniVersions": "loaded in the known version",
}
"""What the agent refuses and the loader takes, and what comes of it."""


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(parents=True)
    for name, content in files.items():
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_published_chain_is_what_the_runtime_loads(name: str, tmp_path: Path, load: Load) -> None:
    primary, file, content = PUBLISHED[name]
    binaries = BINARIES | set(parse(content).types)
    chained = written(decided({file: content}, NodeSpec(primary=primary), binaries=binaries))
    alone = _folder(tmp_path / "alone", {file: content})
    both = _folder(tmp_path / "both", {file: content, CHAINED: chained})
    before, after = load(alone, both)
    assert (before["error"], after["error"]) == ("", "")
    assert after["plugins"] == [*before["plugins"], "cilium-cni"]
    assert (after["network"], after["cniVersion"]) == (before["network"], before["cniVersion"])
    assert before["plugins"] == list(parse(content).types)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_agent_refuses_the_runtime_refuses_too_or_it_is_said_why_not(
    name: str, tmp_path: Path, load: Load
) -> None:
    content, _ = REFUSED[name]
    (found,) = load(_folder(tmp_path / "conf", {SOURCE: content}))
    if name in STRICTER:
        assert found["error"] == "", f"no longer stricter than the runtime: {STRICTER[name]}"
    else:
        assert found["error"], f"the runtime loads what the agent refuses: {found}"


SINGLE = b'{"cniVersion":"0.4.0","name":"aws-cni","type":"aws-cni"}'


@pytest.mark.parametrize("content", [OK.encode(), SINGLE], ids=["list", "single plugin"])
@pytest.mark.parametrize("name", ["10-aws.conflist", "10-aws.conf", "10-aws.json"])
def test_which_file_name_the_runtime_wants(name: str, content: bytes, tmp_path: Path, load: Load) -> None:
    """Fault cases 23 and 24."""
    (found,) = load(_folder(tmp_path / "conf", {name: content}))
    assert (found["error"] == "") is loads_as_runtime(name, parse(content)), found


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "true", "host-local"]))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["type", "domain", "search", "x"]), inner)
    ),
    max_leaves=4,
)
_KEYS = ["name", "Name", "cniVersion", "capabilities", "ipam", "IPAM", "dns", "prevResult", "mtu", "TYPE"]
_PLUGINS = st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=3)
_BOOLS = st.sampled_from([None, True, "true", "TRUE", "False", False])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=_PLUGINS, inlined=_BOOLS)
def test_no_chain_is_derived_from_what_the_runtime_would_not_load(
    members: dict[str, Any], inlined: object, tmp_path: Path, load: Load
) -> None:
    """A chain that a runtime refuses would take the network from a node that still had its last good one."""
    plugin = {"type": "aws-cni", **members}
    value: dict[str, object] = {"cniVersion": "0.4.0", "name": "aws-cni", "plugins": [plugin]}
    if inlined is not None:
        value["loadOnlyInlinedPlugins"] = inlined
    content = json.dumps(value).encode()
    (found,) = load(_folder(_fresh(tmp_path), {SOURCE: content}))
    assert bool(found["error"]) == bool(wrong_member(plugin)), f"{found}, {wrong_member(plugin)!a}"
    try:
        chained = derive(parse(content), DEFAULT_ENTRY)
    except ConflistError:
        return
    (found,) = load(_folder(_fresh(tmp_path), {CHAINED: chained}))
    assert found["error"] == ""
    assert found["plugins"][-1] == "cilium-cni"


_numbers = count()


def _fresh(root: Path) -> Path:
    return root / str(next(_numbers))
