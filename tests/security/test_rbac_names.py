"""The names in the shipped roles are those that the charts and Calico's manifests have: no more, and no fewer."""

import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT

Object = dict[str, Any]
BASE = ROOT / "deploy/base"
RBAC = "rbac.authorization.k8s.io"
KINDS = {"Role": "roles", "ClusterRole": "roles", "RoleBinding": "bindings", "ClusterRoleBinding": "bindings"}
REFUSED = "authentication.mutual.spire.install"
"""Its names come from values; spec cannot ask for it (render/reserved.py)."""


def granted(file: str) -> dict[str, set[str]]:
    """Names of roles and of bindings that the operator may write."""
    found: dict[str, set[str]] = {"roles": set(), "bindings": set()}
    for item in yaml.safe_load_all((BASE / file).read_text(encoding="utf-8")):
        for rule in item.get("rules", []) if item["kind"] in KINDS else []:
            if rule["apiGroups"] == [RBAC] and "patch" in rule["verbs"]:
                kind = "bindings" if rule["resources"][0].endswith("bindings") else "roles"
                found[kind] |= set(rule["resourceNames"])
    return found


def named_in(template: str) -> set[tuple[str, str]]:
    """(roles or bindings, name) of each such object in the text of a template."""
    found, kind = set(), ""
    for line in template.splitlines():
        if at := re.match(r"kind: (\S+)$", line):
            kind = at[1]
        elif kind and (at := re.match(r"  name: (.+)$", line)):
            if kind in KINDS:
                found.add((KINDS[kind], at[1].strip("\"'")))
            kind = ""
    return found


def test_cilium_has_the_roles_that_its_charts_name(chart_dir: Path) -> None:
    charts = sorted(chart_dir.glob("cilium-*.tgz"))
    assert len(charts) >= 5
    found: dict[str, set[str]] = {"roles": set(), "bindings": set()}
    for chart in charts:
        with tarfile.open(chart) as archive:
            for member in archive:
                if "/templates/" in member.name and (file := archive.extractfile(member)) is not None:
                    for kind, name in named_in(file.read().decode()):
                        found[kind].add(name)
    templated = {name for names in found.values() for name in names if "{{" in name}
    assert all(REFUSED in name for name in templated), f"a name that values decide: {templated}"
    allowed = granted("rbac.yaml")
    for kind, names in found.items():
        assert sorted(allowed[kind]) == sorted(names - templated), (
            f"{kind} that the operator may write, and the charts'"
        )


def test_calico_has_the_roles_that_its_manifests_name(calico_dir: Path) -> None:
    found: dict[str, set[str]] = {"roles": set(), "bindings": set()}
    for file in calico_dir.glob("*/tigera-operator.yaml"):
        for item in filter(None, yaml.safe_load_all(file.read_text(encoding="utf-8"))):
            if item["kind"] in KINDS:
                found[KINDS[item["kind"]]].add(item["metadata"]["name"])
    assert granted("rbac-calico.yaml") == found


@pytest.mark.parametrize("path", sorted(BASE.glob("rbac*.yaml")), ids=lambda path: path.name)
def test_nothing_is_written_without_a_name_where_a_name_is_known(path: Path) -> None:
    """What stays open, each with its reason; a new rule without names has to be argued for here."""
    is_open = {
        "cnichains": "one, named default by the CRD",
        "cnichains/status": "the same",
        "cnichainnodes": "one for each node",
        "cnichainnodes/status": "one for each node; deploy/base/agent-policy.yaml",
        "nodes": "all of them",
        "namespaces": "values name those of Secrets",
        "pods": "generated names",
        "pods/eviction": "any workload's",
        "events": "generated names",
        "configmaps": "values and records name them",
        "serviceaccounts": "values name them",
        "services": "values name the one of Ingress",
        "poddisruptionbudgets": "only ever delay an eviction",
        "cronjobs": "generated names of other installers",
        "jobs": "generated names of other installers",
        "leases": "a create by POST names nothing",
    }
    writes = {"create", "update", "patch", "delete", "deletecollection", "bind", "escalate"}
    for item in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        for rule in item.get("rules", []) if item["kind"] in KINDS else []:
            assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
            if writes & set(rule["verbs"]) and "resourceNames" not in rule:
                unexplained = set(rule["resources"]) - set(is_open)
                assert not unexplained, f"{item['metadata']['name']} may write any of {unexplained}"
