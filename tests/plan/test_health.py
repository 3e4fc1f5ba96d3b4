"""Health of live objects, by the rules of kstatus: what a stage's gate says about each."""

import pytest

from cnichain.plan.health import health_of


def daemon_set(**status: int) -> dict[str, object]:
    return {"kind": "DaemonSet", "metadata": {"generation": 2}, "status": {"observedGeneration": 2, **status}}


def deployment(wanted: int, **status: int) -> dict[str, object]:
    return {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 2, **status},
    }


CASES = [
    (None, "does not exist yet"),
    ({"kind": "ConfigMap", "metadata": {}}, ""),
    ({"kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "is being deleted"),
    (daemon_set(desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3), ""),
    (daemon_set(desiredNumberScheduled=3, updatedNumberScheduled=1, numberAvailable=3), "1 of 3 pods updated"),
    (daemon_set(desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=2), "2 of 3 pods available"),
    (daemon_set(), ""),
    (
        {"kind": "DaemonSet", "metadata": {"generation": 3}, "status": {"observedGeneration": 2}},
        "its controller has not seen the new spec",
    ),
    (deployment(2, replicas=2, updatedReplicas=2, availableReplicas=2), ""),
    (deployment(2, replicas=3, updatedReplicas=2, availableReplicas=2), "1 old replicas are still there"),
    (deployment(2, replicas=2, updatedReplicas=2, availableReplicas=1), "1 of 2 replicas available"),
    (deployment(2, replicas=2, updatedReplicas=1, availableReplicas=2), "1 of 2 replicas updated"),
    (deployment(0), ""),
    ({"kind": "CustomResourceDefinition", "metadata": {}}, "is not established yet"),
    (
        {
            "kind": "CustomResourceDefinition",
            "metadata": {},
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        },
        "",
    ),
    ({"kind": "Namespace", "metadata": {}, "status": {"phase": "Terminating"}}, "is not Active"),
]


@pytest.mark.parametrize(("live", "message"), CASES)
def test_health_says_what_is_missing(live: dict[str, object] | None, message: str) -> None:
    health = health_of(live, "Thing ns/name")
    assert health.healthy is (message == ""), health
    assert message in health.message
    assert health.healthy or health.message.startswith("Thing ns/name"), "the message must name the object"
