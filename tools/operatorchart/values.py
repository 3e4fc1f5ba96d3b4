"""The values of the chart: one table, of which values.yaml, values.schema.json and docs/chart.md are made.

What deploy/base says already (replicas, resources, tolerations ...) is read from there and stands nowhere else.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Schema = Mapping[str, Any]
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
STRINGS: Schema = {"type": "array", "items": {"type": "string"}}
TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT_OR_PERCENT: Schema = {
    "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^([1-9][0-9]?|100)%$"}]
}


@dataclass(frozen=True)
class Value:
    """One value. path: with dots. schema: of JSON Schema. doc: a sentence or two for users."""

    path: str
    default: Any
    schema: Schema
    doc: str


@dataclass(frozen=True)
class Workload:
    """A Deployment or DaemonSet of deploy/base, as far as the table needs it."""

    spec: Mapping[str, Any]
    pod: Mapping[str, Any] = field(init=False)
    container: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        pod = self.spec["template"]["spec"]
        (container,) = pod["containers"]
        object.__setattr__(self, "pod", pod)
        object.__setattr__(self, "container", container)


def table(operator: Workload, agent: Workload) -> list[Value]:
    """Every value, in the order of values.yaml."""
    repository, _, _ = operator.container["image"].rpartition(":")
    return [
        Value(
            "oneNode", False, SWITCH, "For a cluster with one node: one operator, whatever `operator.replicas` says."
        ),
        Value("imagePullSecrets", [], OBJECTS, "Of both pods, as `[{name: registry}]`."),
        Value("image.repository", repository, TEXT, "Image of operator and agent."),
        Value("image.tag", "", TEXT, "Empty: the version of the chart."),
        Value(
            "image.digest",
            "",
            {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "`sha256:...`, in place of a tag. A released chart has that of its image here.",
        ),
        Value(
            "image.pullPolicy",
            "",
            {"enum": ["", "Always", "IfNotPresent", "Never"]},
            "Empty: the default of Kubernetes.",
        ),
        Value(
            "namespace.create",
            False,
            SWITCH,
            "Make the Namespace `cnichain-system` with its Pod Security label as an object of the chart. For GitOps "
            "tools, which render the chart; `helm install` needs the namespace before.",
        ),
        Value(
            "kubernetesApi.host",
            "",
            TEXT,
            "Address of the API server that operator and agents use in place of the Service `kubernetes`. For clusters "
            "without kube-proxy, where that Service works only once Cilium runs.",
        ),
        Value("kubernetesApi.port", 443, {"type": "integer", "minimum": 1, "maximum": 65535}, "Its port."),
        Value(
            "charts.configMap",
            "",
            TEXT,
            "Take Cilium's charts from this ConfigMap of `cnichain-system`, and make no request for them "
            "([Clusters without internet](airgap.md)).",
        ),
        Value("charts.dir", "", TEXT, "The same from a folder of the image. Not together with `charts.configMap`."),
        Value(
            "charts.repository", "", TEXT, "Helm repository of Cilium's charts, such as a mirror. Empty: Cilium's own."
        ),
        Value("calico.enabled", True, SWITCH, "The permissions for `spec.calico`. Without them it cannot be enabled."),
        Value(
            "calico.createNamespace",
            True,
            SWITCH,
            "Make the Namespace `tigera-operator`. False where Calico's operator is there already, or Helm refuses the "
            "install. `helm uninstall` leaves the namespace.",
        ),
        Value("metrics.enabled", True, SWITCH, "Serve `/metrics` on ports 9818 (operator) and 9819 (agent)."),
        Value(
            "leaderElection.enabled",
            True,
            SWITCH,
            "Write only while holding the Lease. False is refused with more than one replica.",
        ),
        *_operator(operator),
        *_agent(agent),
        Value("monitoring.podMonitors.enabled", False, SWITCH, "PodMonitors of the Prometheus operator, for both."),
        Value("monitoring.podMonitors.labels", {}, TEXTS, "More labels, such as the one your Prometheus selects by."),
        Value("monitoring.prometheusRule.enabled", False, SWITCH, "The alerts ([Metrics](metrics.md))."),
        Value("monitoring.prometheusRule.labels", {}, TEXTS, "More labels."),
        Value("monitoring.dashboards.enabled", False, SWITCH, "Grafana's dashboards, as a ConfigMap for its sidecar."),
        Value("monitoring.dashboards.labels", {}, TEXTS, "More labels."),
    ]


def _operator(operator: Workload) -> Iterator[Value]:
    yield Value(
        "operator.replicas",
        operator.spec["replicas"],
        {"type": "integer", "minimum": 0, "maximum": 5},
        "One works, the others stand by.",
    )
    levels = {"enum": ["debug", "info", "warning"]}
    yield Value("operator.logLevel", "info", levels, "`debug`, `info` or `warning`.")
    yield Value(
        "operator.hostNetwork",
        operator.pod["hostNetwork"],
        SWITCH,
        "On the host's network a broken pod network does not cut the operator off. False lets its pod pass the Pod "
        "Security level `restricted`.",
    )
    yield Value(
        "operator.podDisruptionBudget.enabled",
        True,
        SWITCH,
        "At most one replica is evicted at a time. Holds up no drain.",
    )
    yield from _both("operator", operator)


def _agent(agent: Workload) -> Iterator[Value]:
    yield Value(
        "agent.logLevel", "info", {"enum": ["debug", "info", "warning", "error"]}, "Least level that is logged."
    )
    yield Value(
        "agent.maxUnavailable",
        agent.spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
        COUNT_OR_PERCENT,
        "How many nodes get a new agent at a time.",
    )
    yield from _both("agent", agent)


def _both(name: str, workload: Workload) -> Iterator[Value]:
    pod, container = workload.pod, workload.container
    yield Value(f"{name}.priorityClassName", pod["priorityClassName"], TEXT, "Empty: none.")
    yield Value(f"{name}.resources", container["resources"], OBJECT, "Requests and limits.")
    yield Value(f"{name}.nodeSelector", pod["nodeSelector"], TEXTS, "Nodes by label.")
    yield Value(f"{name}.tolerations", pod["tolerations"], OBJECTS, "The list replaces this one as a whole.")
    yield Value(f"{name}.podLabels", {}, TEXTS, "More labels of its pods.")
    yield Value(f"{name}.podAnnotations", {}, TEXTS, "Annotations of its pods.")
    yield Value(f"{name}.extraArgs", [], STRINGS, "More arguments, after those of the chart.")
    yield Value(f"{name}.extraEnv", [], OBJECTS, "More environment variables, such as those of a proxy.")


def values_yaml(values: list[Value], head: str) -> str:
    """values.yaml, with the sentence of each value above it."""
    lines = [head.rstrip("\n")]
    open_at: list[str] = []
    for value in values:
        *above, key = value.path.split(".")
        shared = next((i for i, (a, b) in enumerate(zip(open_at, above, strict=False)) if a != b), len(open_at))
        shared = min(shared, len(above))
        for depth in range(shared, len(above)):
            lines.append(f"{'  ' * depth}{above[depth]}:")
        open_at = above
        margin = "  " * len(above)
        lines += textwrap.wrap(_plain(value.doc), 110, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# ")
        lines += [f"{margin}{line}" for line in _dumped({key: value.default})]
    return "\n".join(lines) + "\n"


def _dumped(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False).splitlines()


def _plain(doc: str) -> str:
    """A link as the name of its page, since nothing can be clicked there."""
    return re.sub(r"\[[^\]]+\]\(([^)]+)\)", r"docs/\1", doc)


def schema_json(values: list[Value]) -> str:
    """values.schema.json: an unknown or misspelt value is refused by helm, by name."""
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "global": {"type": "object", "description": "Helm's own, for charts that have this one below them."}
        },
    }
    for value in values:
        *above, key = value.path.split(".")
        at = root
        for name in above:
            fresh = {"type": "object", "additionalProperties": False, "properties": {}}
            at = at["properties"].setdefault(name, fresh)
        at["properties"][key] = {"description": _plain(value.doc), **value.schema, "default": value.default}
    return json.dumps(root, indent=2) + "\n"


def page(values: list[Value], head: str) -> str:
    """docs/chart.md: a table of the values for each first part of their names."""
    lines = [head]
    part = ""
    for value in values:
        first = value.path.partition(".")[0]
        group = first if "." in value.path else "Top level"
        if group != part:
            lines += ["", f"## {group}", "", "| Value | Default | What it does |", "| --- | --- | --- |"]
            part = group
        shown = json.dumps(value.default) if value.default != "" else '""'
        lines.append(f"| `{value.path}` | `{shown}` | {value.doc} |")
    return "\n".join(lines) + "\n"
