"""Argo CD's actions on a CNIChain, run by Argo CD's Lua interpreter: when each is offered, and what it changes.

The files beside the scripts have the form of Argo CD's own repository, whose tests would run them as they are.
"""

import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.gitops import states
from tests.gitops.conftest import ARGOCD, CUSTOMIZATIONS, SECONDS, Object

from cnichain.api.chain import parse_spec
from cnichain.api.names import RETRY_ANNOTATION
from cnichain.api.reasons import REASONS, Reason
from cnichain.reconcile.report import StageReport
from cnichain.render.stages import Stage

pytestmark = pytest.mark.controlplane

FOLDER = CUSTOMIZATIONS / "CNIChain" / "actions"
KEY = "resource.customizations.actions.cnichain.io_CNIChain"
Act = Callable[[str, Iterable[Object]], list[Any]]


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    """The scripts as they reach Argo CD: out of the ConfigMap. `discovery` is the one that offers the others."""
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text(encoding="utf-8"))["data"]
    given = yaml.safe_load(data[KEY])
    return {"discovery": given["discovery.lua"]} | {one["name"]: one["action.lua"] for one in given["definitions"]}


@pytest.fixture(scope="module")
def act(gitops_verdict: Path, scripts: dict[str, str]) -> Act:
    """What a script returns for each object."""

    def run(name: str, objects: Iterable[Object]) -> list[Any]:
        done = subprocess.run(
            [str(gitops_verdict), "action"],
            input=json.dumps({"script": scripts[name], "objects": list(objects)}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        return found

    return run


def live(made: Object, paused: bool | None = None, **annotations: str) -> Object:
    """A CNIChain as Argo CD reads it from the cluster."""
    body = copy.deepcopy(made)
    body["metadata"] |= {"resourceVersion": "4711"} | ({"annotations": annotations} if annotations else {})
    if paused is not None:
        body["spec"]["rollout"] = {"maxUnavailable": "10%", "paused": paused}
    return body


def rejected(reason: Reason) -> Object:
    """A CNIChain after a change that has failed."""
    if reason is Reason.ROLLED_BACK:
        return states.after(states.rejected("RolledBack"))
    stage = {Stage.AGENTS: StageReport("it stays", Reason.ROLLOUT_FAILED)}
    if reason is Reason.ROLLBACK_FAILED:
        return states.after(states.rejected("RolledBack", stages=stage, rollback_failed="node-a: pod cilium-x crashes"))
    return states.after(states.rejected("Held", stages=stage, nodes=states.SOME))


CASES: dict[str, tuple[Object, set[str]]] = {
    "unseen": (live(states.unseen_chain()), {"pause"}),
    "running": (live(states.after(states.waiting(Stage.AGENTS, Reason.WAVE)), paused=False), {"pause"}),
    "paused": (live(states.after(states.held(Reason.PAUSED)), paused=True), {"resume"}),
    "healthy": (live(states.after(states.report())), {"pause"}),
    "rolled_back": (live(rejected(Reason.ROLLED_BACK)), {"pause", "retry"}),
    "rollout_failed": (live(rejected(Reason.ROLLOUT_FAILED)), {"pause", "retry"}),
    "rollback_failed": (live(rejected(Reason.ROLLBACK_FAILED), paused=True), {"resume", "retry"}),
    "uninstalling": (live(states.after(states.removing(Reason.UNINSTALLING), deleting=True), paused=True), set()),
}
"""A state, and the actions that are offered for it."""


def test_actions_are_offered_when_they_do_something(act: Act) -> None:
    found = act("discovery", (body for body, _ in CASES.values()))
    offered = {
        name: {action for action, about in one.items() if not about["disabled"]}
        for name, one in zip(CASES, found, strict=True)
    }
    assert offered == {name: wanted for name, (_, wanted) in CASES.items()}


def test_retry_is_offered_for_every_reason_whose_fix_names_it() -> None:
    asked = {reason for reason, about in REASONS.items() if RETRY_ANNOTATION in about.fix}
    cases = {name: body for name, (body, wanted) in CASES.items() if "retry" in wanted}
    shown = {
        item["reason"] for body in cases.values() for item in body["status"]["conditions"] if item["type"] == "Ready"
    }
    assert shown == {reason.value for reason in asked}


@pytest.mark.parametrize(("name", "state", "paused"), [("pause", "running", True), ("resume", "paused", False)])
def test_pause_and_resume_change_that_field_and_nothing_else(act: Act, name: str, state: str, paused: bool) -> None:
    before = CASES[state][0]
    (after,) = act(name, [before])
    wanted = copy.deepcopy(before)
    wanted["spec"]["rollout"]["paused"] = paused
    assert after == wanted
    assert parse_spec(after["spec"]).rollout.paused is paused


def test_pause_needs_no_rollout_in_the_spec(act: Act) -> None:
    (after,) = act("pause", [CASES["unseen"][0]])
    assert after["spec"] == {**CASES["unseen"][0]["spec"], "rollout": {"paused": True}}


def test_retry_sets_a_word_that_was_not_there_before_and_keeps_other_annotations(act: Act) -> None:
    first = live(rejected(Reason.ROLLED_BACK), other="kept")
    (once,) = act("retry", [first])
    assert once["metadata"]["annotations"] == {"other": "kept", RETRY_ANNOTATION: "4711"}
    once["metadata"]["resourceVersion"] = "4712"  # as the API server would, by that very write
    (twice,) = act("retry", [once])
    assert twice["metadata"]["annotations"][RETRY_ANNOTATION] == "4712"


def test_empty_lists_and_maps_come_back_as_they_were(act: Act) -> None:
    """An empty Lua table is either; Argo CD gives it the form that it had."""
    body = live(states.unseen_chain())
    body["spec"] |= {"hubble": {"metrics": []}, "nodes": {"selector": {}}}
    (after,) = act("pause", [body])
    assert after["spec"]["hubble"] == {"metrics": []}
    assert after["spec"]["nodes"] == {"selector": {}}


ACTIONS = {"pause": "running", "resume": "paused", "retry": "rolled_back"}
"""Each action, and the state that the files for upstream show it on."""


def _files(act: Act) -> dict[Path, str]:
    data: dict[Path, Any] = {FOLDER / "testdata" / f"{name}.yaml": body for name, (body, _) in CASES.items()}
    discovery, actions = [], []
    for (name, (body, _)), found in zip(
        CASES.items(), act("discovery", (one for one, _ in CASES.values())), strict=True
    ):
        result = [{"name": action, "disabled": about["disabled"]} for action, about in sorted(found.items())]
        discovery.append({"inputPath": f"testdata/{name}.yaml", "result": result})
        for action, state in ACTIONS.items():
            if state == name:
                after = f"testdata/{name}_after_{action}.yaml"
                (data[FOLDER / after],) = act(action, [body])
                actions.append({"action": action, "inputPath": f"testdata/{name}.yaml", "expectedOutputPath": after})
    data[FOLDER / "action_test.yaml"] = {"discoveryTests": discovery, "actionTests": actions}
    return {path: yaml.safe_dump(one, sort_keys=False, width=120) for path, one in data.items()}


def test_the_files_for_upstream_are_what_the_scripts_do(act: Act) -> None:
    files = _files(act)
    if os.environ.get("UPDATE_GOLDEN"):
        for path, text in files.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    there = {FOLDER / "action_test.yaml", *(FOLDER / "testdata").glob("*")}
    assert there == set(files)
    stale = [path.name for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run with UPDATE_GOLDEN=1 if this is meant: {stale}"


def test_the_config_map_has_every_script_to_the_byte(scripts: dict[str, str]) -> None:
    wanted = {"discovery": FOLDER / "discovery.lua"} | {path.parent.name: path for path in FOLDER.glob("*/action.lua")}
    assert scripts == {name: path.read_text(encoding="utf-8") for name, path in wanted.items()}
    assert set(scripts) == {"discovery", *ACTIONS}
