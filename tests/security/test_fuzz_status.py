"""Whatever a node, a runtime, an API server or a chart says: the status is one that the API server takes.

A status that it refuses is worse than a wrong one: nobody would ever hear of that node, or of that chain, again.
`make fuzz` runs the same with many more examples.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cnichain.api.chainnode import Condition, LastRepair, NodeState, Repairs, to_wire
from cnichain.api.chainstatus import CNIChainStatus
from cnichain.api.crd import chain_crd, node_crd
from cnichain.api.errors import ChainError
from cnichain.api.names import CHAINED_LABEL
from cnichain.api.reasons import Reason
from cnichain.node.ciliumhealth import Health
from cnichain.node.decision import Decision
from cnichain.node.folder import Folder, FolderFile, Kind, Source
from cnichain.node.runtimeview import Loaded, RuntimeSeen
from cnichain.node.state import Memory
from cnichain.node.status import Seen, build, with_ready
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, count
from cnichain.reconcile.conditions import MESSAGE_LIMIT, conditions
from cnichain.reconcile.report import Report, StageReport, Type
from cnichain.render.stages import Stage
from fuzzing import examples
from structural import Schema, violations

NOW = "2026-01-01T00:00:00Z"
ETCD_LIMIT = 1_500_000
"""Bytes that etcd takes for one object."""


def status_schema(crd: Callable[[], Schema]) -> Schema:
    found: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return found


CHAIN, NODE = status_schema(chain_crd), status_schema(node_crd)
_CHARACTERS = st.characters() | st.sampled_from("\0\x1b\n\x7f\u202e😀é")  # lone halves of a pair too
_TEXT = st.text(_CHARACTERS, max_size=40) | st.builds(
    lambda text, times: text * times, st.text(_CHARACTERS, min_size=1, max_size=4), st.integers(100, 30_000)
)
_NAMES = st.binary(min_size=1, max_size=255).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")))


def assert_is_taken(status: dict[str, Any], schema: Schema) -> None:
    """The API server takes it, in the bytes that would be sent."""
    sent = json.loads(json.dumps(status).encode().decode())
    # A lone half of a pair is sent as an escape, and the server puts U+FFFD there.
    seen = json.loads(json.dumps(sent, ensure_ascii=False).encode("utf-8", "replace"))
    assert not list(violations(seen, schema)), "the API server would refuse this status"
    size = len(json.dumps(seen, ensure_ascii=False).encode())
    assert size < ETCD_LIMIT, f"a status of {size} bytes is more than etcd takes"


@st.composite
def _files(draw: st.DrawFn) -> FolderFile:
    """A file as any installer, or anybody with root on the node, may leave it."""
    types = draw(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=90), max_size=100))
    types = [kind * draw(st.integers(1, 3)) for kind in types]
    body = {
        "cniVersion": "0.4.0",
        "name": "n" * draw(st.integers(1, 400)),
        "plugins": [{"type": kind} for kind in types],
    }
    content = draw(st.just(json.dumps(body).encode()) | st.binary(max_size=30) | st.none())
    children = draw(st.lists(_NAMES.map(lambda name: FolderFile(name, Kind.REGULAR)), max_size=32))
    kind = draw(st.sampled_from(list(Kind)))
    return FolderFile(draw(_NAMES), kind, content, problem=draw(_TEXT), children=tuple(children))


@examples(120)
@given(st.data(), st.lists(_files(), min_size=1, max_size=3), _TEXT, _TEXT)
def test_the_status_of_a_node_is_always_taken(
    data: st.DataObject, files: list[FolderFile], message: str, other: str
) -> None:
    folder = Folder("/etc/cni/net.d", (1, 2), tuple(files))
    first = files[0]
    decision = Decision(
        data.draw(st.sampled_from(list(NodeState))),
        data.draw(st.sampled_from(list(Reason))),
        message,
        source=Source(first, first.conflist) if first.conflist else None,
        missing=first.conflist.types if first.conflist else (),
    )
    runtime = RuntimeSeen(data.draw(st.sampled_from(list(Loaded))), other, other, other)
    seen = Seen(
        *(folder, first, frozenset(), 2**31 - 1, first.name, data.draw(st.sampled_from(list(Health)))),
        *(data.draw(st.sampled_from([None, runtime])), other, "0.1.0", "uid"),
    )
    memory = Memory(repairs=Repairs(1, 1, {"Publish": 1}), last_repair=LastRepair(NOW, "Publish", 3, first.digest))
    memory = with_ready(memory, decision, NOW)
    aside = [data.draw(_NAMES) for _ in range(data.draw(st.integers(0, 32)))]
    assert_is_taken(to_wire(build(decision, seen, memory, aside)), NODE)


@st.composite
def _reports(draw: st.DrawFn) -> Report:
    """A pass that met anything."""
    report = Report(
        generation=draw(st.integers(0, 2**31 - 1)),
        preflight=draw(_TEXT),
        current=draw(st.sampled_from([None, *Stage])),
        chained=draw(_TEXT),
        drift=draw(_TEXT),
        fight=draw(_TEXT),
        mutated=draw(_TEXT),
        overdue=draw(st.booleans()),
        suspended=draw(st.booleans()),
        calico=draw(st.sampled_from([None, "", "3.32.1"])),
        error_in=draw(st.sampled_from([Type.PREFLIGHT_PASSED, Type.CILIUM_READY, Type.HUBBLE_READY])),
    )
    if draw(st.booleans()):
        report.error = ChainError(draw(st.sampled_from(list(Reason))), draw(_TEXT))
    if draw(st.booleans()):
        report.refused = ChainError(draw(st.sampled_from(list(Reason))), draw(_TEXT))
    for stage in draw(st.sets(st.sampled_from(list(Stage)))):
        report.stages[stage] = StageReport(draw(_TEXT), draw(st.sampled_from(list(Reason))))
    return report


@examples(150)
@given(_reports(), st.sampled_from(list(Type)), _TEXT)
def test_the_conditions_of_a_chain_are_always_taken(report: Report, kind: Type, text: str) -> None:
    previous = [Condition(kind.value, "True", Reason.READY.value, text[:32768], NOW, 1)]
    now = conditions(report, previous, "2026-01-01T00:01:00Z")
    assert [item.type for item in now] == list(dict.fromkeys(item.type for item in now)), "a condition stands twice"
    assert {"Ready", "Reconciling", "Stalled"} <= {item.type for item in now}
    assert_is_taken({"observedGeneration": report.generation, "conditions": to_wire(now)}, CHAIN)


def test_all_conditions_at_their_longest_leave_room_for_the_rest_of_the_status() -> None:
    longest = "😀" * 40_000
    previous = [Condition(kind.value, "True", "Ready", longest[:MESSAGE_LIMIT], NOW, 1) for kind in Type]
    report = Report(1, preflight=longest, chained=longest, fight=longest, calico="3.32.1", error_in=Type.CILIUM_READY)
    report.error = ChainError(Reason.READY, longest)
    report.stages = {stage: StageReport(longest) for stage in Stage}
    status = {"observedGeneration": 1, "conditions": to_wire(conditions(report, previous, "2026-01-01T00:01:00Z"))}
    assert_is_taken(status, CHAIN)
    assert len(json.dumps(status, ensure_ascii=False).encode()) < ETCD_LIMIT / 3


@examples(100)
@given(st.lists(st.tuples(_TEXT, _TEXT, st.booleans()), max_size=40))
def test_what_agents_say_does_not_swell_the_status_of_the_chain(agents: list[tuple[str, str, bool]]) -> None:
    """The schema of CNIChainNode bounds the words of an agent: 64 characters of a reason."""
    scope = {f"node-{at}": NodeRecord(f"node-{at}", str(at), {CHAINED_LABEL: "true"}) for at in range(len(agents))}
    records = {
        f"node-{at}": ChainNodeRecord(f"node-{at}", str(at), {}, 1, 1, state[:64], reason[:64], "", ready=False)
        for at, (state, reason, is_there) in enumerate(agents)
        if is_there
    }
    status = CNIChainStatus(nodes=count(scope, {}, records))
    assert_is_taken(status.model_dump(by_alias=True, exclude_none=True, mode="json"), CHAIN)
