"""docs/permissions.md: every permission of operator and agent with its reason, from the comments beside the rules."""

from pathlib import Path
from typing import Any

import yaml

HEAD = """\
<!-- Generated from deploy/base/rbac*.yaml by `make generate`; do not edit. -->
# Permissions

What the shipped roles allow, rule by rule, and what each is for. There is no `*` in them. What it adds up to is on the
page [Security](security.md). `tests/operator/test_permissions.py` runs operator and agents with these roles alone, and
`test_permissions_used.py` looks whether each of them is used.
"""
RULE = "  - apiGroups:"


def permissions_page(base: Path) -> str:
    """The page; base: the folder with the manifests. Raises ValueError when a rule cannot be told from the text."""
    lines = [HEAD]
    for path in sorted(base.glob("rbac*.yaml"), key=lambda path: path.stem):
        for text in path.read_text(encoding="utf-8").split("\n---\n"):
            document = yaml.safe_load(text)
            if document and document["kind"] in ("ClusterRole", "Role"):
                lines += _role(path.name, document, text)
    return "\n".join(lines).rstrip() + "\n"


def _role(file: str, role: dict[str, Any], text: str) -> list[str]:
    name, namespace = role["metadata"]["name"], role["metadata"].get("namespace")
    where = f"in the namespace {namespace}" if namespace else "in the whole cluster"
    why = _reasons(text)
    if len(why) != len(role["rules"]):
        raise ValueError(f"{file}: {len(role['rules'])} rules in {name}, and {len(why)} of them found in the text")
    lines = [f"## {name}, {where}", "", f"`deploy/base/{file}`", ""]
    lines += ["| Resources | Verbs | What for |", "| --- | --- | --- |"]
    for rule, reason in zip(role["rules"], why, strict=True):
        lines.append(f"| {_what(rule)} | {', '.join(rule['verbs'])} | {reason} |")
    return [*lines, ""]


def _what(rule: dict[str, Any]) -> str:
    (group,) = rule["apiGroups"]
    resources = ", ".join(f"`{_full(resource, group)}`" for resource in rule["resources"])
    names = rule.get("resourceNames")
    return f"{resources}: {', '.join(names)}" if names else resources


def _full(resource: str, group: str) -> str:
    """pods/eviction, cnichains.cnichain.io/status: as `kubectl auth can-i` takes them."""
    kind, slash, sub = resource.partition("/")
    return f"{kind}.{group}{slash}{sub}" if group else resource


def _reasons(text: str) -> list[str]:
    """For each rule the comment above or in it. A rule without one belongs to the comment before: "as above"."""
    found: list[str] = []
    pending: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(RULE):
            found.append(" ".join(pending))
            pending, inside = [], True
        elif line.startswith("  # "):
            pending.append(line.removeprefix("  # ").strip())
            inside = False
        elif inside and line.startswith("    # "):
            found[-1] = f"{found[-1]} {line.removeprefix('    # ').strip()}".strip()
    if found and not found[0]:
        raise ValueError(f"the first rule of each role needs a comment that says what it is for: {text[:200]}")
    return [reason.replace("|", "\\|") or "as above" for reason in found]
