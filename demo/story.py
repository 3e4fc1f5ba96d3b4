"""What the demo shows: a chain that becomes Ready, that follows its primary CNI, and a bad change that goes back."""

import json
import time
from pathlib import Path
from typing import Any

from cnichain.api.names import CONFLIST_FILE
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.nodefolder import write_aws_conflist
from cnichain.dev.parts import Parts
from cnichain.dev.podstages import STUCK
from demo.charts import ROOT
from demo.show import Screen

READY_SECONDS = 180.0
FOLLOW_SECONDS = 10.0
LOOK_SECONDS = 0.25
FAST_LOOK_SECONDS = 0.0005


def adopt(screen: Screen, control_plane: ControlPlane, parts: Parts) -> None:
    """Apply demo/chain.yaml and show each step until the chain is Ready."""
    screen.head("One YAML: kubectl apply -f demo/chain.yaml")
    control_plane.run_kubectl("apply", f"--filename={ROOT / 'demo/chain.yaml'}")
    _watch(screen, control_plane, parts, "Ready", "True")
    wait = control_plane.run_kubectl("wait", "--for=condition=Ready", "cnichain/default", "--timeout=10s")
    screen.command("kubectl wait --for=condition=Ready cnichain/default", wait)
    screen.command("kubectl get cnichain", control_plane.run_kubectl("get", "cnichain"))
    screen.command("kubectl get cnichainnodes", control_plane.run_kubectl("get", "cnichainnodes"))
    workloads = control_plane.run_kubectl("-n", "kube-system", "get", "daemonsets,deployments", "--no-headers")
    screen.command("kubectl -n kube-system get daemonsets,deployments --no-headers", workloads)


def follow_upgrade(screen: Screen, control_plane: ControlPlane, parts: Parts) -> None:
    """Rewrite 10-aws.conflist on each node as a VPC CNI upgrade did, and time until the chain has followed."""
    screen.head("A VPC CNI upgrade rewrites 10-aws.conflist: an mtu becomes a string")
    screen.say(
        "VPC CNI 1.12.5 to 1.12.6 did this (aws/amazon-vpc-cni-k8s#2364). With cni.exclusive=false, as its guide asks "
        "for, Cilium itself does not follow: new pods failed until it was restarted."
    )
    for folder in parts.folders:
        chained = folder.conf_dir / CONFLIST_FILE
        if _egress_mtu(chained) != 9001:
            raise DevError(f"{chained} does not hold the chain that was expected before the upgrade.")
        began = time.perf_counter()
        write_aws_conflist(folder.conf_dir, egress_mtu="9001")
        while _egress_mtu(chained) != "9001":
            if time.perf_counter() - began > FOLLOW_SECONDS:
                raise DevError(f"{chained} did not follow within {FOLLOW_SECONDS:.0f} s.")
            time.sleep(FAST_LOOK_SECONDS)
        followed = (time.perf_counter() - began) * 1000
        screen.good(f"{folder.root.name}: followed in {followed:.1f} ms")
    deadline = time.monotonic() + FOLLOW_SECONDS
    while sum(_drifts(control_plane)) < len(parts.folders):
        if time.monotonic() > deadline:
            raise DevError("the repairs did not appear in the status of the nodes.")
        time.sleep(LOOK_SECONDS)
    screen.command("kubectl get cnichainnodes", control_plane.run_kubectl("get", "cnichainnodes"))
    screen.command("kubectl get cnichain", control_plane.run_kubectl("get", "cnichain"))


def go_back(screen: Screen, control_plane: ControlPlane, parts: Parts) -> None:
    """Apply a change whose agents crash, and show that the canary alone gets it and that it goes back."""
    screen.head("A change whose agents crash: it reaches the canary, and goes back by itself")
    screen.say(
        "The change is an annotation on Cilium's pods, for which kwok, who plays the pods here, plays a crash. Two "
        "nodes out of three never see it."
    )
    before = _agents(control_plane)
    _patch_values(control_plane, {"podAnnotations": {STUCK: "CrashLoopBackOff"}})
    _watch(screen, control_plane, parts, "Stalled", "True")
    restarted = [node for node, uid in _agents(control_plane).items() if before.get(node) != uid]
    if len(restarted) != 1:
        raise DevError(f"one node was to be restarted, the canary; it were {restarted}.")
    screen.good(f"restarted: {restarted[0]}; the other two kept their agents")
    screen.command("kubectl get cnichain", control_plane.run_kubectl("get", "cnichain"))
    _patch_values(control_plane, None)
    _watch(screen, control_plane, parts, "Ready", "True")


def _watch(screen: Screen, control_plane: ControlPlane, parts: Parts, kind: str, value: str) -> None:
    """Show what Ready says, word by word, until a condition about the newest generation has a value."""
    deadline = time.monotonic() + READY_SECONDS
    last = ""
    while True:
        chain = _chain(control_plane)
        status = chain.get("status") or {}
        seen = status.get("observedGeneration") == chain["metadata"]["generation"]
        ready = _condition(status, "Ready")
        nodes = (status.get("nodes") or {}).get("summary", "")
        line = ready.get("message", "waiting for the operator") + (f" [{nodes} nodes]" if nodes else "")
        if line != last and seen:
            screen.progress(line)
            last = line
        if seen and _condition(status, kind).get("status") == value:
            return
        if ended := parts.ended():
            raise DevError(f"{ended} ended by itself; its log is in {parts.log_of('operator').parent}.")
        if time.monotonic() > deadline:
            raise DevError(
                f"{kind} was not {value} within {READY_SECONDS:.0f} s. The operator's log: {parts.log_of('operator')}"
            )
        time.sleep(LOOK_SECONDS)


def _patch_values(control_plane: ControlPlane, values: dict[str, Any] | None) -> None:
    patch = json.dumps({"spec": {"cilium": {"values": values}}})
    control_plane.run_kubectl("patch", "cnichain", "default", "--type=merge", f"--patch={patch}")


def _agents(control_plane: ControlPlane) -> dict[str, str]:
    """uid of the Cilium pod on each node."""
    flags = ("--namespace=kube-system", "--selector=k8s-app=cilium", "--output=json")
    items = json.loads(control_plane.run_kubectl("get", "pods", *flags))["items"]
    return {item["spec"]["nodeName"]: item["metadata"]["uid"] for item in items}


def _chain(control_plane: ControlPlane) -> dict[str, Any]:
    chain: dict[str, Any] = json.loads(control_plane.run_kubectl("get", "cnichain", "default", "--output=json"))
    return chain


def _condition(status: dict[str, Any], kind: str) -> dict[str, str]:
    return next((item for item in status.get("conditions") or [] if item["type"] == kind), {})


def _egress_mtu(conflist: Path) -> object:
    plugins = json.loads(conflist.read_bytes())["plugins"]
    return next(plugin["mtu"] for plugin in plugins if plugin["type"] == "egress-cni")


def _drifts(control_plane: ControlPlane) -> list[int]:
    items = json.loads(control_plane.run_kubectl("get", "cnichainnodes", "--output=json"))["items"]
    return [(item.get("status") or {}).get("repairs", {}).get("drifts", 0) for item in items]
