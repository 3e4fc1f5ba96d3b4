"""Flow export, drop events and the audit mode of policies: what the real charts make of spec, through the real helm."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cnichain.api.chain import CNIChainSpec, parse_spec
from cnichain.api.errors import ChainError
from cnichain.api.flowexport import ExportProfile, FlowFilter, HubbleExport
from cnichain.catalogue.load import builtin_catalogue
from cnichain.preflight.facts import ClusterFacts
from cnichain.render.charts import ChartStore
from cnichain.render.flowlogs import FILE, PROFILES, hubble_filter, include_filters
from cnichain.render.manifests import Manifest
from cnichain.render.pipeline import render_cilium

ALL = [release.version for release in builtin_catalogue().cilium]
VERSIONS = list({release.minor: release.version for release in builtin_catalogue().cilium}.values())
"""The newest of each minor: a patch release moves no values."""
DENIED = {"verdict": ["DROPPED", "ERROR", "AUDIT"]}
VERDICTS = [{"event_type": [{"type": 5}]}, DENIED]
Objects = dict[str, Manifest]
Render = Callable[..., Objects]


@pytest.fixture(scope="module")
def render(
    charts_dir: Path, helm: str, make_spec: Callable[..., CNIChainSpec], facts: ClusterFacts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Render:  # fmt: skip
    """render(version, **spec): the objects by `Kind/name`; each render is made once."""
    charts = ChartStore(tmp_path_factory.mktemp("charts"), charts_dir, "http://127.0.0.1:9/")
    kept: dict[str, Objects] = {}

    def run(version: str, **spec: Any) -> Objects:
        key = json.dumps([version, spec], sort_keys=True)
        if key not in kept:
            release = builtin_catalogue().cilium_release(version)
            done = asyncio.run(render_cilium(make_spec(version, **spec), release, facts, charts=charts, helm=helm))
            kept[key] = {f"{item.kind}/{item.name}": item for stage in done.stages.values() for item in stage}
        return kept[key]

    return run


def export(profile: str, **more: Any) -> dict[str, Any]:
    return {"export": {"profile": profile, **more}}


def exporters(objects: Objects) -> list[dict[str, Any]]:
    """What an agent reads: the exporters in the ConfigMap that is mounted into it."""
    text = objects["ConfigMap/cilium-flowlog-config"].body["data"]["flowlogs.yaml"]
    found: list[dict[str, Any]] = yaml.safe_load(text)["flowLogs"]
    return found


@pytest.mark.parametrize(
    ("version", "profile", "includes"),
    [
        *((version, "denied", [DENIED]) for version in ALL),
        *((version, "verdicts", VERDICTS) for version in VERSIONS),
        *((version, "all", []) for version in VERSIONS),
    ],
)
def test_a_profile_is_the_one_exporter_that_agents_read(
    render: Render, version: str, profile: str, includes: list[dict[str, Any]]
) -> None:
    (one,) = exporters(render(version, hubble=export(profile)))
    assert one["includeFilters"] == includes
    assert one["excludeFilters"] == []
    assert one["filePath"] == FILE
    assert "end" not in one


@pytest.mark.parametrize("version", VERSIONS)
def test_off_is_an_exporter_whose_time_is_over(render: Render, version: str) -> None:
    (one,) = exporters(render(version))
    assert one["end"].startswith("1970-"), "an agent would export"
    assert one["name"] == exporters(render(version, hubble=export("all")))[0]["name"], (
        "an exporter of another name is added beside the one that runs, which has the same file"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_agents_are_told_of_the_configuration_and_have_it_mounted(render: Render, version: str) -> None:
    objects = render(version)
    settings = objects["ConfigMap/cilium-config"].body["data"]
    assert settings["hubble-flowlogs-config-path"] == "/flowlog-config/flowlogs.yaml"
    assert "hubble-export-file-path" not in settings, "the static exporter would write into the same file"
    pod = objects["DaemonSet/cilium"].body["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "hubble-flowlog-config"]
    assert volume["configMap"]["name"] == "cilium-flowlog-config"
    mounts = [item for one in pod["containers"] for item in one["volumeMounts"] if item["name"] == volume["name"]]
    assert [item["mountPath"] for item in mounts] == ["/flowlog-config"]
    assert "subPath" not in mounts[0], "a mount with a subPath never changes in a running pod"


@pytest.mark.parametrize("version", VERSIONS)
def test_another_profile_restarts_no_pod(render: Render, version: str) -> None:
    """Only the ConfigMap of the exporters changes: no workload, and no ConfigMap that a workload has a checksum of."""
    plain = render(version)
    for hubble in (export("denied"), export("verdicts"), export("all")):
        changed = {key for key, item in render(version, hubble=hubble).items() if plain[key].digest != item.digest}
        assert changed == {"ConfigMap/cilium-flowlog-config"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_rotation_is_where_the_minor_reads_it(render: Render, version: str) -> None:
    wanted = {"rotation": {"maxSizeMB": 7, "maxFiles": 3}}
    plain, objects = render(version, hubble=export("all")), render(version, hubble=export("all", **wanted))
    (one,) = exporters(objects)
    settings = objects["ConfigMap/cilium-config"].body["data"]
    restarted = plain["DaemonSet/cilium"].digest != objects["DaemonSet/cilium"].digest
    if version.startswith("1.17."):
        assert settings["hubble-export-file-max-size-mb"] == "7"
        assert settings["hubble-export-file-max-backups"] == "3"
        assert "fileMaxSizeMb" not in one
        assert restarted, "1.17 reads the rotation at its start alone, which docs/audit.md says"
    else:
        assert (one["fileMaxSizeMb"], one["fileMaxBackups"]) == (7, 3)
        assert not restarted, "from 1.18 on the rotation restarts no agent, which docs/audit.md says"


ALLOW = [{"sourcePod": ["shop/"], "destinationPort": [443, 8443]}, {"destinationIP": ["10.0.0.0/8"]}]
DENY = [{"sourceLabel": ["app=prober"], "protocol": ["icmp"], "trafficDirection": ["INGRESS"]}]
EVERYTHING: dict[str, Any] = {
    "hubble": {**export("denied", allow=ALLOW, deny=DENY), "dropEvents": {"enabled": True, "interval": "5m"}},
    "policyAuditMode": True,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_allow_and_deny_reach_the_exporter_in_the_words_of_hubble(render: Render, version: str) -> None:
    (one,) = exporters(render(version, **EVERYTHING))
    assert one["includeFilters"] == [
        DENIED | {"source_pod": ["shop/"], "destination_port": ["443", "8443"]},
        DENIED | {"destination_ip": ["10.0.0.0/8"]},
    ]
    assert one["excludeFilters"] == [
        {"source_label": ["app=prober"], "protocol": ["icmp"], "traffic_direction": ["INGRESS"]}
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_drop_events_bring_their_permission(render: Render, version: str) -> None:
    def may_post(objects: Objects) -> bool:
        rules = objects["ClusterRole/cilium"].body["rules"]
        return any("events" in rule["resources"] and "create" in rule["verbs"] for rule in rules)

    objects = render(version, **EVERYTHING)
    settings = objects["ConfigMap/cilium-config"].body["data"]
    assert settings["hubble-drop-events"] == "true"
    assert settings["hubble-drop-events-interval"] == "5m"
    assert "policy_denied" in settings["hubble-drop-events-reasons"]
    assert may_post(objects)
    assert not may_post(render(version)), "a permission that nobody needs"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_audit_mode_is_set_only_when_it_is_asked_for(render: Render, version: str) -> None:
    assert "policy-audit-mode" not in render(version)["ConfigMap/cilium-config"].body["data"]
    objects = render(version, **EVERYTHING)
    assert objects["ConfigMap/cilium-config"].body["data"]["policy-audit-mode"] == "true"
    assert objects["DaemonSet/cilium"].digest != render(version)["DaemonSet/cilium"].digest, (
        "agents read the mode at their start alone, so they have to restart"
    )


PODS = st.lists(st.from_regex(r"[a-z]{1,5}/[a-z0-9]{0,5}", fullmatch=True), min_size=1, max_size=3)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "sourcePod": PODS,
        "destinationPod": PODS,
        "destinationPort": st.lists(st.integers(1, 65535), min_size=1, max_size=3),
        "protocol": st.lists(st.sampled_from(["tcp", "udp"]), min_size=1, max_size=2, unique=True),
    },
).filter(bool)
FLOWS = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(["FORWARDED", "DROPPED", "AUDIT"]),
        "event_type": st.sampled_from([1, 4, 5]),
        "source_pod": st.sampled_from(["a/web", "b/db", "c/x"]),
        "destination_pod": st.sampled_from(["a/web", "b/db", "c/x"]),
        "destination_port": st.sampled_from(["53", "443"]),
        "protocol": st.sampled_from(["tcp", "udp"]),
    }
)


def passes(filters: list[dict[str, Any]], flow: dict[str, Any]) -> bool:
    """Hubble's rule for a list of filters."""

    def field(name: str, wanted: list[Any]) -> bool:
        if name == "event_type":
            return any(flow[name] == one["type"] for one in wanted)
        if name.endswith("_pod"):
            return any(flow[name].startswith(one) for one in wanted)
        return flow[name] in wanted

    return not filters or any(all(field(name, wanted) for name, wanted in one.items()) for one in filters)


@given(st.sampled_from(["denied", "verdicts", "all"]), st.lists(FILTERS, max_size=4), FLOWS)
def test_a_flow_is_exported_when_both_the_profile_and_allow_let_it_through(
    profile: str, allow: list[dict[str, Any]], flow: dict[str, Any]
) -> None:
    wanted = HubbleExport.model_validate({"profile": profile, "allow": allow})
    expected = passes(PROFILES[ExportProfile(profile)], flow) and passes(list(map(hubble_filter, wanted.allow)), flow)
    assert passes(include_filters(wanted), flow) is expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "matches every flow"),
        ({"destinationIP": ["10.0.0.0/33"]}, "neither an IP address nor a CIDR"),
        ({"sourceIP": ["1.2.3"]}, "neither an IP address nor a CIDR"),
        ({"sourcePod": ["/web"]}, "pattern"),
        ({"verdict": ["DROPPED"]}, "Extra inputs"),
    ],
)
def test_a_filter_that_cilium_could_not_use_is_refused(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FlowFilter.model_validate(body)


def test_the_refusal_names_the_field() -> None:
    spec = {"cilium": {"version": "1.20.0"}, "hubble": {"export": {"deny": [{"sourceIP": ["10.0.0.0/99"]}]}}}
    with pytest.raises(ChainError, match=r"spec\.hubble\.export\.deny\.0\.sourceIP") as caught:
        parse_spec(spec)
    assert caught.value.reason.value == "SpecInvalid"


def test_the_example_in_the_docs_is_a_good_spec() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    body = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    wanted = parse_spec(body["spec"]).hubble.export
    assert include_filters(wanted) == [DENIED | {"source_pod": ["shop/", "pay/"]}]
    assert [hubble_filter(one) for one in wanted.deny] == [
        {"destination_pod": ["kube-system/"], "destination_port": ["53"]}
    ]
