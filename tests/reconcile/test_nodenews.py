"""Events about nodes: each change is told once, both ways, and a restart tells nothing anew."""

from cnichain.plan.nodes import ChainNodeRecord
from cnichain.reconcile.nodenews import NodeNews


def reports(**reasons: str) -> dict[str, ChainNodeRecord]:
    return {
        name: ChainNodeRecord(name, name, {}, 1, 1, "", reason, "", ready=reason == "ChainVerified")
        for name, reason in reasons.items()
    }


def test_a_change_is_told_once_and_its_end_too() -> None:
    news = NodeNews()
    assert news.news(reports(a="ChainVerified", b="ChainVerified")) == []
    ((reason, message),) = news.news(reports(a="CiliumDownOpen", b="ChainVerified"))
    assert (reason.value, message.startswith("Node a runs the primary CNI alone")) == ("CiliumDownOpen", True)
    assert news.news(reports(a="CiliumDownOpen", b="ChainVerified")) == [], "it was told already"
    ((reason, message),) = news.news(reports(a="ChainVerified", b="ChainVerified"))
    assert reason.value == "ChainVerified"
    assert message == "Node a: CiliumDownOpen is over, the chain is verified again."


def test_the_first_look_after_a_start_only_remembers() -> None:
    news = NodeNews()
    assert news.news(reports(a="CiliumDownOpen")) == []
    assert news.news(reports(a="CiliumDownOpen")) == []
    assert len(news.news(reports(a="ChainVerified"))) == 1, "its end is told"


def test_many_nodes_make_one_event_each_way() -> None:
    news = NodeNews()
    names = [f"n{number:02}" for number in range(9)]
    news.news(reports(**dict.fromkeys(names, "ChainVerified")))
    ((_, message),) = news.news(reports(**dict.fromkeys(names, "ConflistShadowed")))
    assert message.startswith("Nodes n00, n01, n02, n03, n04 and 4 more ")


def test_what_is_over_without_being_well_is_not_told_as_well() -> None:
    news = NodeNews()
    news.news(reports(a="ChainVerified", gone="ChainVerified"))
    news.news(reports(a="CiliumDownOpen", gone="CiliumDownOpen"))
    assert news.news(reports(a="PrimaryConflistMissing")) == [], "neither a node that is gone nor one that is not well"
