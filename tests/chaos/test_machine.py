"""What the operator's own machine does to it: helm killed, the disk full, the clock wrong; and a webhook that is in its
way. docs/chaos.md has what holds and what is reported."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos import SPEC, assert_nothing_is_lost, children, metric, written
from cnichain.api.reasons import REASONS, Reason
from cnichain.api.times import parse_rfc3339
from cnichain.dev.linux import free_ports
from harness import Harness
from preload import fault_library
from webhook import Webhook, webhook

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

Object = dict[str, Any]
RELAY = ("serviceaccount", "hubble-relay", "--namespace=kube-system")
OTHER_VALUES: Object = {**SPEC, "cilium": {"version": "1.17.3", "values": {"debug": {"verbose": "flow"}}}}


def test_helm_is_killed_in_the_middle_of_a_render(world: Harness, tmp_path: Path) -> None:
    """As by the kernel when the container's memory is used up. The first test of the module, since it installs."""
    running, go = tmp_path / "running", tmp_path / "go"
    helm = tmp_path / "helm"
    real = world.control_plane.toolbox.path("helm")
    helm.write_text(
        f"#!/bin/sh\necho $$ > {running}.new && mv {running}.new {running}\n"
        f'while [ ! -f {go} ]; do sleep 0.1; done\nexec {real} "$@"\n',
        encoding="utf-8",
    )
    helm.chmod(0o755)
    start = world.audit_length()
    with world.operator(helm=str(helm)):
        world.apply_chain(SPEC)
        world.wait("helm runs", running.is_file)
        os.kill(int(running.read_text(encoding="utf-8")), signal.SIGKILL)
        ready = world.wait_reason("Ready", "HelmFailed")
        assert "ended by SIGKILL" in ready["message"]
        assert REASONS[Reason.HELM_FAILED].fix in world.conditions()["Reconciling"]["message"]
        world.wait("an event tells of it", lambda: Reason.HELM_FAILED.value in world.reasons_of_events(), 20)
        assert [line for line in written(world, start) if "/cnichains" not in line] == [], "nothing was applied"
        go.touch()
        world.wait_ready()
        assert_nothing_is_lost(world, children(world))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MiB and 64 names."""
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=64", "tmpfs", str(mount)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], timeout=10, check=True)


def fill(folder: Path) -> None:
    """Until neither a byte nor a name has room."""
    try:
        with (folder / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(64 * 1024))
    except OSError:
        pass
    try:
        for number in range(1000):
            (folder / f"filler-{number}").touch()
    except OSError:
        return
    pytest.fail(f"{folder} was to be full")


def in_environment(world: Harness, **variables: str) -> Harness:
    """The same cluster, with operators whose environment has these variables."""
    return replace(world, by=("env", *(f"{name}={value}" for name, value in variables.items())))


def make_room(folder: Path) -> None:
    for path in folder.glob("filler*"):
        path.unlink()


def test_the_disk_is_full(world: Harness, small_disk: Path) -> None:
    """Of charts and temporary files: at the start, when no chart can be kept, and later, when helm has no folder."""
    before = children(world)
    cache = small_disk / "cache"
    fill(small_disk)
    with in_environment(world, TMPDIR=str(small_disk)).operator(cache_dir=str(cache)):
        ready = world.wait_reason("Ready", "FolderNotWritable")
        assert f"the chart cannot be kept in the cache {cache}" in ready["message"]
        assert "No space left on device" in ready["message"]
        assert REASONS[Reason.FOLDER_NOT_WRITABLE].fix in world.conditions()["Reconciling"]["message"]
        world.wait("an event", lambda: Reason.FOLDER_NOT_WRITABLE.value in world.reasons_of_events(), 20)
        make_room(small_disk)
        world.wait_ready()
        fill(small_disk)
        assert_nothing_is_lost(world, before)  # what is rendered already needs no room
        world.apply_chain(OTHER_VALUES)
        ready = world.wait_reason("Ready", "FolderNotWritable")
        assert f"helm gets no temporary folder in {small_disk}" in ready["message"]
        assert children(world) == before, "the chain goes on as it was"
        make_room(small_disk)
        world.wait_ready()
        assert_nothing_is_lost(world, children(world))


def test_the_clock_jumps(world: Harness, tmp_path: Path) -> None:
    """The operator's own clock (a library before libc, faults.c) runs 400 days ahead, then 400 days behind. Each
    certificate of Hubble ends within 400 days, and would be made anew."""
    before = children(world)
    hubble = ("secret", "hubble-server-certs", "--namespace=kube-system")
    certificate = world.get(*hubble)["data"]["tls.crt"]
    offset = tmp_path / "offset"
    offset.write_text("0", encoding="utf-8")
    faulty = in_environment(
        world, LD_PRELOAD=str(fault_library(tmp_path)), FAULT=f"clock:{offset}", FAULT_DIR="/nowhere"
    )
    (port,) = free_ports(1)
    with faulty.operator(leader_elect="true", metrics_port=str(port)) as log:
        assert_nothing_is_lost(world, before)
        holder = world.get("lease", "cnichain-operator", "-n", "cnichain-system")["spec"]["holderIdentity"]
        for days, words in ((400, "400 d 0 h ahead of the API server's"), (-400, "d 23 h behind the API server's")):
            offset.write_text(str(days * 86_400), encoding="utf-8")
            world.wait_log("ClockSkewed: This operator's clock is", 60)
            world.kubectl("delete", *RELAY)
            world.wait("it goes on", lambda: world.exists(*RELAY), 60)
            world.wait(words, lambda: words in log.read_text(encoding="utf-8"), 60)  # noqa: B023 - called in this round
            assert round(metric(port, "cnichain_clock_skew_seconds") / 86_400) == -days
            world.wait_ready()
            assert world.get(*hubble)["data"]["tls.crt"] == certificate, "no certificate is renewed by a wrong clock"
            times = [parse_rfc3339(item["lastTransitionTime"]) for item in world.conditions().values()]
            far = [one for one in times if one is None or abs(datetime.now(UTC) - one) > timedelta(days=1)]
            assert far == [], "status has times of the API server's clock"
        world.wait("an event", lambda: Reason.CLOCK_SKEWED.value in world.reasons_of_events(), 20)
        offset.write_text("0", encoding="utf-8")
        world.wait_log("this operator's clock and the API server's agree again", 60)
        assert metric(port, "cnichain_clock_skew_seconds") == 0
        assert world.get("lease", "cnichain-operator", "-n", "cnichain-system")["spec"]["holderIdentity"] == holder
        after = children(world)
        assert_nothing_is_lost(world, after)
        key = "ServiceAccount kube-system/hubble-relay"
        assert {**after, key: 0} == {**before, key: 0}


@pytest.fixture
def hook(world: Harness, tmp_path: Path) -> Iterator[Webhook]:
    """A webhook that has to agree to each ServiceAccount of the chain that is made or changed."""
    with webhook(tmp_path) as one:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts"]}
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "chaos"},
            "webhooks": [
                {
                    "name": "policy.cnichain.test",
                    "clientConfig": {"url": f"https://127.0.0.1:{one.port}/", "caBundle": one.ca_bundle},
                    "rules": [{**rule, "operations": ["CREATE", "UPDATE"]}],
                    "objectSelector": {"matchLabels": {"cnichain.io/owner": "default"}},
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 1,
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
        world.kubectl("apply", "--filename=-", stdin=json.dumps(body))
        try:
            yield one
        finally:
            world.kubectl("delete", "validatingwebhookconfiguration", "chaos")


def test_a_webhook_rejects_and_then_does_not_answer(world: Harness, hook: Webhook) -> None:
    before = children(world)
    with world.operator():
        assert_nothing_is_lost(world, before)
        hook.denies = "this namespace is closed on Saturdays"
        world.kubectl("delete", *RELAY)
        ready = world.wait_reason("Ready", "ApplyRejected")
        assert "apply ServiceAccount kube-system/hubble-relay" in ready["message"]
        assert 'admission webhook "policy.cnichain.test" denied the request' in ready["message"]
        assert hook.denies in ready["message"]
        world.wait("an event", lambda: Reason.APPLY_REJECTED.value in world.reasons_of_events(), 20)
        hook.denies = ""
        world.wait_ready()
        assert "ServiceAccount kube-system/hubble-relay" in hook.asked
        after = children(world)
        assert_nothing_is_lost(world, after)
        hook.hangs.set()
        world.kubectl("delete", *RELAY)
        found = world.wait_reason("Reconciling", "WebhookUnavailable")
        assert found["status"] == "True"
        assert 'failed calling webhook "policy.cnichain.test"' in found["message"]
        assert REASONS[Reason.WEBHOOK_UNAVAILABLE].fix in found["message"]
        assert world.conditions()["Ready"]["status"] == "True", "it is a passing error: Ready falls after two minutes"
        hook.hangs.clear()
        world.wait("it is put back", lambda: world.exists(*RELAY), 90)
        last = children(world)
        assert_nothing_is_lost(world, last)
        key = "ServiceAccount kube-system/hubble-relay"
        assert {**last, key: 0} == {**before, key: 0}, "but for what was made anew, the children are the same"
