"""Admission webhooks that could keep the chain's pods from starting. Pure.

A webhook with failurePolicy Fail that does not answer denies. When it runs on the pod network itself, an outage locks
out the very pods that would end it (seen in deckhouse issue 2886).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cnichain.api.reasons import Reason
from cnichain.preflight.finding import Finding, ok, warning
from cnichain.preflight.gathered import WebhookSeen, known
from cnichain.preflight.subject import Subject

Object = Mapping[str, Any]

KINDS = {"pods": "", "daemonsets": "apps"}
"""What the chain needs to be let in, and the API group of each."""
POD_LABELS = {"k8s-app": "cilium", "app.kubernetes.io/name": "cilium-agent", "app.kubernetes.io/part-of": "cilium"}
"""Labels of Cilium's pods and DaemonSet that an objectSelector may look at."""
SHOWN = 3


def webhooks_seen(configurations: Iterable[Object], namespace: Object | None) -> tuple[WebhookSeen, ...]:
    """The webhooks that may deny pods or DaemonSets of the chain's namespace, by name.

    configurations: Mutating- and ValidatingWebhookConfigurations. namespace: the chain's namespace.
    """
    labels = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    return tuple(sorted(_seen(configurations, labels), key=lambda item: item.name))


def _seen(configurations: Iterable[Object], labels: Mapping[str, str]) -> Iterator[WebhookSeen]:
    for configuration in configurations:
        for webhook in configuration.get("webhooks") or []:
            resources = tuple(kind for kind, group in KINDS.items() if _asks(webhook.get("rules") or [], kind, group))
            if not resources or webhook.get("failurePolicy", "Fail") != "Fail":
                continue
            if not matches(webhook.get("namespaceSelector"), labels):
                continue
            if not matches(webhook.get("objectSelector"), POD_LABELS):
                continue
            yield WebhookSeen(
                name=f"{configuration['metadata']['name']}/{webhook['name']}",
                resources=resources,
                target=_target(webhook.get("clientConfig") or {}),
                conditional=bool(webhook.get("matchConditions")),
            )


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector of the API selects these labels; an empty one selects everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(expression["operator"], True)


def _asks(rules: Iterable[Object], kind: str, group: str) -> bool:
    """Whether a webhook is asked when one of the kind is created or updated."""
    return any(
        {group, "*"} & set(rule.get("apiGroups") or [])
        and {kind, "*", "*/*"} & set(rule.get("resources") or [])
        and {"CREATE", "UPDATE", "*"} & set(rule.get("operations") or [])
        and rule.get("scope", "*") != "Cluster"
        for rule in rules
    )


def _target(client: Object) -> str:
    service = client.get("service")
    if service:
        return f"Service {service['namespace']}/{service['name']}"
    return str(client.get("url", "")).partition("//")[2].partition("/")[0]


def check_webhooks(subject: Subject) -> Finding:
    """No webhook can keep the chain's pods out."""
    found = known(subject.gathered.webhooks)
    if not found:
        return ok("none may deny pods or DaemonSets of kube-system.")
    told = "; ".join(_told(item) for item in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return warning(
        Reason.WEBHOOK_MAY_BLOCK,
        f"{len(found)} with failurePolicy Fail: {told}{more}.",
        "Mutating- and ValidatingWebhookConfigurations",
    )


def _told(item: WebhookSeen) -> str:
    conditional = ", unless its matchConditions leave them out" if item.conditional else ""
    return f"{item.name} is asked about {' and '.join(item.resources)} of kube-system by {item.target}{conditional}"
