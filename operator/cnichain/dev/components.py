"""The programs of the control plane: how each is started, and how one knows that it is ready."""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cnichain.dev import pki as pki_module
from cnichain.dev.layout import Layout, write_private
from cnichain.dev.pki import SERVICE_CIDR, Pki
from cnichain.dev.probe import why_not_ok
from cnichain.dev.stages import stages_yaml

FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node"
POD_CIDR = "192.168.128.1/17"
"""The upper half of eksctl's default VPC; cluster.py gives node addresses of the lower half."""

READY_TIMEOUT = 60.0
"""Seconds for one component to get ready; a second or two is usual, a busy CI machine takes longer."""
STOP_TIMEOUT = 15.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True)
class Config:
    """What `up` hands to the supervisor.

    run_id: any string that tells this run from others in the same folder.
    programs: name to path, for etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, kubectl and
    cilium-crds. port: of the apiserver, 0 for any free one. attached: stop when standard input ends.
    stand_ins: run cnichain.dev.standins as well. large: for thousands of nodes. The nodes renew their Leases ten times
    as seldom, the audit log leaves out what the cluster's own programs ask, and one DaemonSet is looked at at a time:
    of 5,000 nodes all this would be most of what the machine does.
    """

    run_id: str
    programs: dict[str, str] = field(default_factory=dict)
    port: int = 0
    attached: bool = False
    stand_ins: bool = False
    large: bool = False

    @property
    def lease_seconds(self) -> int:
        """How long a node's Lease lasts; kwok renews it four times within that. 40 is kubelet's default."""
        return 400 if self.large else 40

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Config":
        return Config(**json.loads(text))


@dataclass(frozen=True)
class Ports:
    """TCP ports of 127.0.0.1."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    kwok: int


@dataclass(frozen=True)
class Component:
    """One child of the supervisor. not_ready: None when ready, else why not (for the message of a time-out)."""

    name: str
    argv: list[str]
    log: Path
    not_ready: Callable[[], str | None]


def server_url(ports: Ports) -> str:
    return f"https://127.0.0.1:{ports.apiserver}"


def write_kubeconfig(path: Path, server: str, pki: Pki, user: str) -> None:
    """A kubeconfig that holds everything in itself: it may be copied elsewhere. JSON is YAML, so no library is used."""
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cnichain-dev",
        "clusters": [{"name": "cnichain-dev", "cluster": {"server": server, "certificate-authority-data": _ca64(pki)}}],
        "users": [{"name": user, "user": {"token": pki.tokens[user]}}],
        "contexts": [{"name": "cnichain-dev", "context": {"cluster": "cnichain-dev", "user": user}}],
    }
    write_private(path, json.dumps(data, indent=2) + "\n")


def components(layout: Layout, config: Config, ports: Ports, pki: Pki) -> list[Component]:
    """All of them in the order of start; files they need are written."""
    server = server_url(ports)
    for name, user in (
        ("controller-manager", pki_module.CONTROLLER_MANAGER),
        ("scheduler", pki_module.SCHEDULER),
        ("kwok", pki_module.KWOK),
        ("standins", pki_module.STAND_INS),
    ):
        write_kubeconfig(layout.conf / f"{name}.kubeconfig", server, pki, user)
    result = [
        _etcd(layout, config, ports),
        _apiserver(layout, config, ports, pki),
        _controller_manager(layout, config, ports, pki),
        _scheduler(layout, config, ports, pki),
        _kwok(layout, config, ports),
    ]
    if config.stand_ins:
        result.append(_stand_ins(layout, config))
    return result


def _component(
    layout: Layout, config: Config, name: str, flags: list[str], not_ready: Callable[[], str | None]
) -> Component:
    return Component(name, [config.programs[name], *flags], layout.logs / f"{name}.log", not_ready)


def _etcd(layout: Layout, config: Config, ports: Ports) -> Component:
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    flags = [
        "--name=dev",
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=dev={peer}",
        f"--quota-backend-bytes={8 * 1024**3}",  # 2 GB is the default, which 5,000 nodes with their pods come near
        "--unsafe-no-fsync",  # a throw-away cluster: speed, and no wear of the disk
        "--log-level=warn",
    ]
    return _component(layout, config, "etcd", flags, lambda: why_not_ok(f"{client}/readyz"))


def _apiserver(layout: Layout, config: Config, ports: Ports, pki: Pki) -> Component:
    policy = layout.conf / "audit-policy.json"
    write_private(policy, json.dumps(_audit_policy(config), indent=2) + "\n")
    flags = [
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.apiserver}",
        f"--tls-cert-file={pki.serving_cert}",
        f"--tls-private-key-file={pki.serving_key}",
        f"--client-ca-file={pki.ca_cert}",
        f"--token-auth-file={pki.token_file}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.account_public_key}",
        f"--service-account-signing-key-file={pki.account_key}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",  # no resolver knows the names of the nodes
        "--endpoint-reconciler-type=none",  # a loopback address is not allowed in the Endpoints of a Service
        f"--audit-policy-file={policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=10000",
        "--shutdown-watch-termination-grace-period=1s",  # else open watches hold up the end for a minute
        "--profiling=false",
    ]
    server, token = server_url(ports), pki.tokens[pki_module.ADMIN]
    return _component(
        layout, config, "kube-apiserver", flags, lambda: why_not_ok(f"{server}/readyz", ca=pki.ca_cert, token=token)
    )


def _controller_manager(layout: Layout, config: Config, ports: Ports, pki: Pki) -> Component:
    kubeconfig = layout.conf / "controller-manager.kubeconfig"
    flags = [
        f"--kubeconfig={kubeconfig}",
        *_serving_flags(ports.controller_manager, pki),
        "--leader-elect=false",
        f"--node-monitor-grace-period={config.lease_seconds + 10}s",  # 50 s is the default
        "--use-service-account-credentials=true",
        # The default of 20 a second makes it fetch the tokens of its forty controllers for four seconds.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        f"--service-account-private-key-file={pki.account_key}",
        f"--root-ca-file={pki.ca_cert}",
        f"--cluster-signing-cert-file={pki.ca_cert}",
        f"--cluster-signing-key-file={pki.ca_key}",
        # A DaemonSet is looked at whole, all its nodes and pods, for each few of them that change.
        *(["--concurrent-daemonset-syncs=1"] if config.large else []),
    ]
    not_ready = _controllers_not_ready(ports, pki)
    return _component(layout, config, "kube-controller-manager", flags, not_ready)


def _controllers_not_ready(ports: Ports, pki: Pki) -> Callable[[], str | None]:
    """Ready is more than a healthy process: without the account `default` no pod of the namespace is admitted."""
    token = pki.tokens[pki_module.ADMIN]
    accounts = [
        f"{server_url(ports)}/api/v1/namespaces/{namespace}/serviceaccounts/default"
        for namespace in ("default", "kube-system")
    ]

    def not_ready() -> str | None:
        healthz = why_not_ok(f"https://127.0.0.1:{ports.controller_manager}/healthz", ca=pki.ca_cert)
        return healthz or next((why for url in accounts if (why := why_not_ok(url, ca=pki.ca_cert, token=token))), None)

    return not_ready


def _scheduler(layout: Layout, config: Config, ports: Ports, pki: Pki) -> Component:
    kubeconfig = layout.conf / "scheduler.kubeconfig"
    flags = [f"--kubeconfig={kubeconfig}", *_serving_flags(ports.scheduler, pki), "--leader-elect=false"]
    flags += ["--kube-api-qps=500", "--kube-api-burst=1000"]
    url = f"https://127.0.0.1:{ports.scheduler}/readyz"
    return _component(layout, config, "kube-scheduler", flags, lambda: why_not_ok(url, ca=pki.ca_cert))


def _serving_flags(port: int, pki: Pki) -> list[str]:
    return [
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={pki.serving_cert}",
        f"--tls-private-key-file={pki.serving_key}",
        "--profiling=false",
    ]


def _kwok(layout: Layout, config: Config, ports: Ports) -> Component:
    stages = layout.conf / "stages.yaml"
    write_private(stages, stages_yaml())
    flags = [
        f"--kubeconfig={layout.conf / 'kwok.kubeconfig'}",
        f"--config={stages}",
        f"--manage-nodes-with-annotation-selector={FAKE_NODE_ANNOTATION}=fake",
        f"--cidr={POD_CIDR}",
        "--node-ip=192.168.0.10",  # of nodes that bring no address of their own
        f"--node-lease-duration-seconds={config.lease_seconds}",
        f"--server-address=127.0.0.1:{ports.kwok}",
    ]
    return _component(layout, config, "kwok", flags, lambda: why_not_ok(f"http://127.0.0.1:{ports.kwok}/healthz"))


def _stand_ins(layout: Layout, config: Config) -> Component:
    argv = [
        sys.executable,
        "-m",
        "cnichain.dev.standins",
        f"--kubeconfig={layout.conf / 'standins.kubeconfig'}",
        f"--nodes-dir={layout.nodes}",
        f"--cilium-crds={config.programs['cilium-crds']}",
    ]
    return Component("stand-ins", argv, layout.logs / "stand-ins.log", lambda: None)


def _ca64(pki: Pki) -> str:
    return base64.b64encode(pki.ca_cert.read_bytes()).decode("ascii")


def _audit_policy(config: Config) -> dict[str, object]:
    """Who did what to which object, without bodies: enough to prove that no write happened."""
    rules: list[dict[str, object]] = [{"level": "Metadata"}]
    if config.large:
        users = [pki_module.CONTROLLER_MANAGER, pki_module.SCHEDULER, pki_module.KWOK, pki_module.STAND_INS]
        own: dict[str, object] = {"level": "None", "users": [*users, "system:apiserver"]}
        rules = [own, {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]}, *rules]
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
