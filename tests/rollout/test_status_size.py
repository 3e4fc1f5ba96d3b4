"""What status says of thousands of nodes is no longer than what it says of a hundred: an object has room for 1.5 MB."""

import json
from datetime import UTC, datetime

from cnichain.api.chain import parse_spec
from cnichain.api.chainnode import NodeState
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, chain_node, node_spec
from cnichain.reconcile.nodesync import NodeView
from cnichain.rollout.decide import decide
from cnichain.rollout.situations import situations, target

SPEC = parse_spec({"cilium": {"version": "1.17.3"}, "rollout": {"maxUnavailable": "100%"}})
WANTED = node_spec(SPEC, {})
LONG = "a file that stands before the chained conflist, and many words about it. " * 10


def size(nodes: int) -> int:
    """Bytes of the parts of status that are about nodes, when every one of them has something to say."""
    records = {
        name: NodeRecord(name, f"uid-{name}", {"cnichain.io/chained": "true"})
        for name in (f"ip-10-0-{index:05}.eu-central-1.compute.internal" for index in range(nodes))
    }
    reports = {
        name: ChainNodeRecord(
            name=name,
            node_uid=node.uid,
            spec=chain_node(node, WANTED, "default")["spec"],
            generation=1,
            observed_generation=1,
            state=NodeState.SHADOWED.value,
            reason="ConflistShadowed",
            message=LONG,
            ready=False,
        )
        for name, node in records.items()
    }
    view, now = NodeView(records, reports), datetime.now(UTC)
    wanted = target({}, WANTED, back=False)
    fresh = decide(situations(records, {}, [], WANTED), wanted, SPEC.rollout, None, now)
    moving = decide(situations(records, reports, [], WANTED), wanted, SPEC.rollout, fresh.memory, now)
    told = [view.counts(SPEC), fresh.memory, moving.memory]
    words = [fresh.waiting_for, moving.waiting_for]
    return len(json.dumps([*(part.model_dump(mode="json") for part in told), *words, view.states(SPEC)]))


def test_status_of_five_thousand_nodes_is_as_long_as_that_of_a_hundred() -> None:
    hundred, many = size(100), size(5000)
    assert many < hundred * 1.1, f"{hundred} bytes for 100 nodes, {many} for 5,000"
    assert many < 50_000
