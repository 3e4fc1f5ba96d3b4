"""`cnichain nodes` and `cnichain tree` fit 80 columns with the names that EKS gives to nodes."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chainobjects import NODE, PLUGINS, chain, chain_node, node
from cnichain.api.objects import ObjectKey
from cnichain.cli import treereport
from cnichain.cli.chainview import view
from cnichain.cli.layout import Style
from cnichain.cli.nodesreport import NodeRow, as_data, as_text, rows
from cnichain.plan.nodes import node_record

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
OTHER = "ip-10-0-200-201.eu-central-1.compute.internal"
PLAIN = Style()


def table(shown: list[NodeRow], total: int = 2) -> str:
    text = as_text(shown, total, NOW, PLAIN)
    assert max(map(len, text.splitlines())) <= 80, text
    return text


def test_nodes_of_eks_are_told_by_the_part_of_their_names_that_differs() -> None:
    text = table(rows([chain_node(), chain_node(OTHER)], {}))
    head, first, second = text.splitlines()[:3]
    assert head.split() == ["NODE", "STATE", "FILE", "WRITER", "DRIFTS", "REPAIR"]
    assert first.split() == ["√", "ip-10-0-1-23", "InSync", "05-cilium.conflist", "Agent", "3", "30m"]
    assert second.split()[1] == "ip-10-0-200-201"
    assert "Names of nodes end in .eu-central-1.compute.internal" in text
    assert "Chain on 2 nodes: aws-cni → egress-cni → portmap → cilium-cni" in text
    assert text.endswith("2 of 2 nodes are verified.")


def test_names_without_a_common_end_are_cut_and_whole_in_the_data() -> None:
    found = rows([chain_node(), chain_node("ip-10-9-0-1.us-east-1.compute.internal")], {})
    assert "Names of nodes end" not in table(found)
    assert as_data(found, 2)["nodes"][0]["name"] == NODE


def test_a_node_that_is_not_verified_says_why_and_what_to_do() -> None:
    text = table(rows([chain_node(), chain_node(OTHER, "Shadowed", ready=False)], {}))
    assert "× ip-10-0-200-201  Shadowed" in text
    assert "    ConflistShadowed: 00-multus.conf sorts before 05-cilium.conflist." in text
    assert "    -> Remove or rename the file that the message names" in text
    assert "Chain on ip-10-0-200-201: multus" in text
    assert text.endswith("1 of 2 nodes are verified.")
    data = as_data(rows([chain_node(OTHER, "Shadowed", ready=False)], {}), 1)
    assert data["nodes"][0]["fix"].startswith("Remove or rename")
    assert data["nodes"][0]["repairs"] == {"total": 4, "drifts": 3}
    assert data["verified"] == 0


def test_nodes_in_scope_without_a_report_are_shown_as_well() -> None:
    opened, closed = node_record(node()), node_record(node(OTHER, **{"cnichain.io/chained": "false"}))
    found = rows([], {one.name: one for one in (opened, closed)})
    assert [(one.state, one.ready) for one in found] == [("NoReport", False)] * 2
    text = table(found)
    assert "no CNIChainNode yet." in text
    assert "runs the primary alone until its wave is open." in text


def test_the_report_of_a_node_that_had_the_name_before_counts_for_nothing() -> None:
    reborn = node()
    reborn["metadata"]["uid"] = "another"
    (found,) = rows([chain_node()], {NODE: node_record(reborn)})
    assert (found.state, found.ready) == ("NoReport", False)


def test_without_nodes() -> None:
    assert as_text([], 0, NOW, PLAIN) == "No node is in scope, and none has a CNIChainNode."
    assert as_text([], 5, NOW, PLAIN) == "No node to show, of 5."


@given(
    names=st.lists(st.from_regex(r"[a-z0-9]{1,60}(\.[a-z0-9]{1,60}){0,3}", fullmatch=True), min_size=1, max_size=4),
    message=st.text(st.sampled_from("ab. ,:-/="), max_size=300),
    file=st.from_regex(r"[a-z0-9.-]{1,200}", fullmatch=True),
)
def test_every_line_fits_80_columns(names: list[str], message: str, file: str) -> None:
    items = [
        chain_node(name, "RuntimeStale", ready=False, message=message, effectiveFile=file, plugins=PLUGINS * 5)
        for name in names
    ]
    table(rows(items, {}))


def leaf(name: str, *, healthy: bool | None = True, message: str = "", stage: str = "agents") -> treereport.Leaf:
    return treereport.Leaf(stage, ObjectKey("apps/v1", "DaemonSet", "kube-system", name), healthy, message)


def test_the_tree_shows_stages_in_their_order_with_what_is_missing() -> None:
    leaves = [
        leaf("hubble", stage="hubble"),
        leaf("cilium", healthy=False, message="DaemonSet kube-system/cilium: 1 of 3 pods available"),
        leaf("config", stage="config"),
        leaf("hidden", healthy=None, message="you may not read it", stage="config"),
    ]
    nodes = rows([chain_node(), chain_node(OTHER, "Shadowed", ready=False)], {})
    text = treereport.as_text(view(chain()), leaves, nodes, PLAIN)
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("stage config: 2 objects, 1 not looked at") < text.index("stage agents: 1 object, 1 not healthy")
    assert text.index("stage agents") < text.index("stage hubble: 1 object")
    assert "│  └─ × DaemonSet kube-system/cilium  1 of 3 pods available" in text, "the object is named once"
    assert "└─ × CNIChainNodes: 1/2 verified (1 InSync, 1 Shadowed)" in text
    assert f"   └─ × {OTHER}  Shadowed ConflistShadowed" in text
    assert not treereport.is_well(leaves, [])
    assert treereport.is_well([leaf("hidden", healthy=None)], []), "what may not be read is no failure"
    assert treereport.as_text(view(chain()), leaves, nodes, Style(plain=True)).isascii()


def test_the_tree_cuts_long_names_and_counts_what_it_leaves_out() -> None:
    nodes = rows([chain_node(f"node-{number}", "Shadowed", ready=False) for number in range(9)], {})
    text = treereport.as_text(view(chain()), [leaf("x" * 200)], nodes, PLAIN)
    assert max(map(len, text.splitlines())) <= 80
    assert "and 4 more: cnichain nodes --not-verified" in text
