"""Values at keys that moved or went away: nothing that a user asked for is lost between minors without a word."""

import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.load import builtin_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.moved import MOVES, REMOVALS, Move, Removal, get, placed
from cnichain.render.reserved import RESERVED
from cnichain.render.values import NODE_MARKS, build_values, value_notes

MINORS = {(1, 17): "1.17.18", (1, 18): "1.18.12", (1, 19): "1.19.6", (1, 20): "1.20.0"}
MakeSpec = Callable[..., CNIChainSpec]


def nested(path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    return {head: nested(rest, value) if rest else value}


def at(values: Mapping[str, Any], path: str) -> Any:
    node: Any = values
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


class Chart:
    """A real chart: the keys of its values, and the text of its templates."""

    def __init__(self, archive: Path) -> None:
        with tarfile.open(archive) as tar:
            files = {item.name: tar.extractfile(item) for item in tar.getmembers() if item.isfile()}
            texts = {name: file.read().decode() for name, file in files.items() if file is not None}
        self.values = yaml.safe_load(texts["cilium/values.yaml"])
        # These two mention removed keys in order to refuse them or to warn of them.
        silent = ("validate.yaml", "warnings.txt")
        self.templates = "\n".join(
            text for name, text in texts.items() if "/templates/" in name and not name.endswith(silent)
        )

    def reads(self, path: str) -> bool:
        """Whether a template mentions the key."""
        parent, _, leaf = path.rpartition(".")
        direct = rf"\.Values\.{re.escape(path)}(?![A-Za-z0-9])"
        by_name = rf'(?:hasKey|get) \$?\.Values\.?{re.escape(parent)} "{re.escape(leaf)}"'
        return bool(re.search(f"{direct}|{by_name}", self.templates))

    def has(self, path: str) -> bool:
        """Whether the values have the key, or a template mentions it."""
        return get(self.values, path) is not get({}, "absent") or self.reads(path)


@pytest.fixture(scope="session")
def real(charts_dir: Path) -> dict[tuple[int, int], Chart]:
    """The newest real chart of each minor."""
    return {minor: Chart(charts_dir / f"cilium-{version}.tgz") for minor, version in MINORS.items()}


PLACES = [(move, minor) for move in MOVES for minor in MINORS]


@pytest.mark.parametrize(("move", "minor"), PLACES, ids=[f"{move.old}-{minor[0]}.{minor[1]}" for move, minor in PLACES])
def test_each_minors_chart_reads_the_place_that_the_value_is_taken_to(
    real: dict[tuple[int, int], Chart], move: Move, minor: tuple[int, int]
) -> None:
    place = move.new if minor >= move.since else move.old
    assert real[minor].reads(place), f"the chart of {MINORS[minor]} does not read {place}"


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.path)
def test_what_is_said_to_be_gone_is_in_no_template(real: dict[tuple[int, int], Chart], removal: Removal) -> None:
    for minor, version in MINORS.items():
        if minor >= removal.since:
            assert not real[minor].reads(removal.path), f"the chart of {version} still reads {removal.path}"


@pytest.mark.parametrize("key", sorted(RESERVED))
def test_every_reserved_key_is_one_that_a_chart_has(real: dict[tuple[int, int], Chart], key: str) -> None:
    """A reserved key that no chart has is a typing error, and protects nothing."""
    assert any(chart.has(key) for chart in real.values()), f"no chart has {key}"


@pytest.mark.parametrize(
    ("minor", "values", "path", "expected"),
    [
        ((1, 17), {"localRedirectPolicies": {"enabled": True}}, "localRedirectPolicy", True),
        ((1, 20), {"localRedirectPolicy": True}, "localRedirectPolicies.enabled", True),
        ((1, 18), {"enableCiliumEndpointSlice": True}, "ciliumEndpointSlice.enabled", True),
        ((1, 20), {"l2podAnnouncements": {"interface": "eth1.5"}}, "l2podAnnouncements.interfacePattern", "^eth1\\.5$"),
        ((1, 17), {"l2podAnnouncements": {"interfacePattern": "^eth1$"}}, "l2podAnnouncements.interface", "eth1"),
        ((1, 18), {"clustermesh": {"enableMCSAPISupport": True}}, "clustermesh.enableMCSAPISupport", True),
        ((1, 20), {"clustermesh": {"enableMCSAPISupport": True}}, "clustermesh.mcsapi.enabled", True),
        ((1, 18), {"localRedirectPolicy": None}, "localRedirectPolicies.enabled", None),
    ],
)
def test_a_value_goes_where_the_minor_reads_it(
    minor: tuple[int, int], values: dict[str, Any], path: str, expected: Any
) -> None:
    result = placed(values, minor)
    assert at(result.values, path) == expected
    assert get(result.values, path) is expected or get(result.values, path) == expected


def test_a_moved_value_leaves_its_old_place_and_is_told(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    spec = make_spec("1.20.0", values={"localRedirectPolicy": True, "enableCiliumEndpointSlice": True})
    release = builtin_catalogue().cilium_release("1.20.0")
    values = build_values(spec, release, facts)
    assert "localRedirectPolicy" not in values
    assert "enableCiliumEndpointSlice" not in values
    assert values["ciliumEndpointSlice"] == {"enabled": True}
    assert value_notes(spec, release) == (
        "spec.cilium.values.localRedirectPolicy was taken to localRedirectPolicies.enabled, which Cilium 1.20 reads.",
        "spec.cilium.values.enableCiliumEndpointSlice was taken to ciliumEndpointSlice.enabled, "
        "which Cilium 1.20 reads.",
    )
    assert spec.cilium.values["localRedirectPolicy"] is True, "the spec itself was changed"


@pytest.mark.parametrize(
    ("minor", "values", "reason", "named"),
    [
        (
            (1, 20),
            {"localRedirectPolicy": True, "localRedirectPolicies": {"enabled": False}},
            Reason.VALUE_AMBIGUOUS,
            ["localRedirectPolicy and .localRedirectPolicies.enabled differ"],
        ),
        ((1, 18), {"ciliumEndpointSlice": {"sliceMode": "fcfs"}}, Reason.VALUE_REMOVED, ["sliceMode", "Cilium 1.18"]),
        ((1, 19), {"nodePort": {"enabled": True}}, Reason.VALUE_REMOVED, ["nodePort.enabled", "kubeProxyReplacement"]),
        ((1, 18), {"hostPort": {"enabled": "true"}}, Reason.VALUE_REMOVED, ["hostPort.enabled"]),
        ((1, 19), {"customCalls": {"enabled": True}}, Reason.VALUE_REMOVED, ["customCalls.enabled"]),
        (
            (1, 17),
            {"l2podAnnouncements": {"interfacePattern": "^eth[0-9]$"}},
            Reason.VALUE_REMOVED,
            ["l2podAnnouncements.interfacePattern", "l2podAnnouncements.interface,"],
        ),
    ],
)
def test_what_cannot_be_placed_is_refused_by_name(
    minor: tuple[int, int], values: dict[str, Any], reason: Reason, named: list[str]
) -> None:
    with pytest.raises(ChainError) as caught:
        placed(values, minor)
    assert caught.value.reason is reason
    assert caught.value.terminal
    for words in named:
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("minor", "values"),
    [
        ((1, 18), {"nodePort": {"enabled": True}}),
        ((1, 19), {"nodePort": {"enabled": False}}),
        ((1, 20), {"nodePort": {"enabled": True}, "kubeProxyReplacement": "true"}),
        ((1, 20), {"localRedirectPolicy": True, "localRedirectPolicies": {"enabled": True}}),
        ((1, 20), {"svcSourceRangeCheck": True, "hubble": {"redact": {"kafka": {"apiKey": True}}}}),
    ],
)
def test_what_loses_nothing_is_not_refused(minor: tuple[int, int], values: dict[str, Any]) -> None:
    placed(values, minor)


def test_a_key_without_effect_is_left_out_and_told() -> None:
    result = placed({"svcSourceRangeCheck": False, "nodePort": {"range": "1,2", "enabled": False}}, (1, 20))
    assert result.values == {"nodePort": {"range": "1,2"}}
    assert [note.split(" ")[0] for note in result.notes] == [
        "spec.cilium.values.nodePort.enabled",
        "spec.cilium.values.svcSourceRangeCheck",
    ]


LEAVES = st.sampled_from(
    [item.old for item in MOVES] + [item.new for item in MOVES] + [item.path for item in REMOVALS] + ["cluster.name"]
)


@given(st.dictionaries(LEAVES, st.none() | st.booleans() | st.sampled_from(["eth0", "^eth0$", "x"])), st.data())
def test_placing_twice_changes_nothing_more_and_loses_nothing_unsaid(flat: dict[str, Any], data: st.DataObject) -> None:
    values: dict[str, Any] = {}
    for path, value in flat.items():
        head = path.split(".")[0]
        values[head] = _joined(values.get(head), nested(path, value)[head])
    minor = data.draw(st.sampled_from(sorted(MINORS)))
    try:
        once = placed(values, minor)
    except ChainError as error:
        if error.reason not in {Reason.VALUE_AMBIGUOUS, Reason.VALUE_REMOVED}:
            raise
        return
    assert placed(once.values, minor).values == once.values
    for path in flat:
        if at(values, path) is not None and at(once.values, path) is None:
            assert any(f".{path} " in note for note in once.notes), f"{path} is gone and nobody was told"


def _joined(left: Any, right: Any) -> Any:
    if not isinstance(left, dict) or not isinstance(right, dict):
        return right
    return {**left, **{key: _joined(left.get(key), value) for key, value in right.items()}}


@pytest.mark.parametrize("version", MINORS.values())
def test_what_the_operator_sets_stands_where_the_minor_reads_it(
    make_spec: MakeSpec, facts: ClusterFacts, version: str, real: dict[tuple[int, int], Chart]
) -> None:
    minor = {text: number for number, text in MINORS.items()}[version]
    values = build_values(make_spec(version), builtin_catalogue().cilium_release(version), facts)
    for path in _leaf_paths(values):
        assert real[minor].reads(path), f"the chart of {version} does not read {path}, which the operator sets"


def _leaf_paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        found += _leaf_paths(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"]
    return found


def test_what_cilium_operator_writes_on_nodes_is_said_outright(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    for version in MINORS.values():
        values = build_values(make_spec(version), builtin_catalogue().cilium_release(version), facts)
        assert {key: values["operator"][key] for key in NODE_MARKS} == NODE_MARKS


def test_the_first_minor_is_given_to_the_chart_and_nothing_before_there_is_one(
    make_spec: MakeSpec, facts: ClusterFacts
) -> None:
    release = builtin_catalogue().cilium_release("1.20.0")
    assert build_values(make_spec("1.20.0"), release, facts, first_minor="1.17")["upgradeCompatibility"] == "1.17"
    assert "upgradeCompatibility" not in build_values(make_spec("1.20.0"), release, facts)


def test_wireguard_leaves_room_for_its_header(make_spec: MakeSpec, facts: ClusterFacts) -> None:
    release = builtin_catalogue().cilium_release("1.20.0")
    user = {"encryption": {"enabled": True, "type": "wireguard"}}
    assert build_values(make_spec(values=user), release, facts)["cni"]["enableRouteMTUForCNIChaining"] is True
    own = {**user, "cni": {"enableRouteMTUForCNIChaining": False}}
    assert build_values(make_spec(values=own), release, facts)["cni"]["enableRouteMTUForCNIChaining"] is False
