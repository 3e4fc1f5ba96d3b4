"""Stand-ins for what the fake pods of kwok cannot do, as they run no program. Run as `python -m cnichain.dev.standins`.

- For cilium-operator: once the Deployment kube-system/cilium-operator is available, Cilium's CRDs are registered, by
  tools/cilium/crds (Cilium's own code). The real operator does so at each start; here it is done once per generation
  of the Deployment, and again when the CRDs were removed.
- For the install container of the cilium DaemonSet: once a node's pod with the label k8s-app=cilium is Running, an
  executable `cilium-cni` is put into the bin folder of that node's folder. It is a placeholder, not the plugin.
- For cilium-agent: the CiliumEndpoints of the pods that went through the chain, see endpoints.py.
- For tigera-operator: see tigera.py.

It looks about twice a second, at the whole state each time, so nothing is missed. Where a look takes long, since there
are thousands of nodes, the pause is longer as well.
"""

import argparse
import base64
import contextlib
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cnichain.dev.endpoints import EndpointPublisher
from cnichain.dev.errors import DevError
from cnichain.dev.linux import die_with_parent
from cnichain.dev.nodefolder import NodeFolder, write_placeholder
from cnichain.dev.probe import send, status
from cnichain.dev.tigera import TigeraOperator

INTERVAL = 0.5
REST = 4.0
"""A pause is at least so many times as long as the look before it."""
MAX_BACKOFF = 10.0
_NAMESPACE = "kube-system"
_AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PODS = f"/api/v1/namespaces/{_NAMESPACE}/pods?labelSelector=k8s-app%3Dcilium&includeObject=None"
_FIRST_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ciliumidentities.cilium.io"


@dataclass(frozen=True)
class Api:
    """Requests by the current context of a kubeconfig (a bearer token and an embedded CA, as ours has)."""

    server: str
    token: str
    ca: Path

    @staticmethod
    def of(kubeconfig: Path, scratch: Path) -> "Api":
        """Read the kubeconfig; the CA goes into a file in `scratch`. DevError when it is of another kind."""
        try:
            data = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
            context = next(item["context"] for item in data["contexts"] if item["name"] == data["current-context"])
            cluster = next(item["cluster"] for item in data["clusters"] if item["name"] == context["cluster"])
            user = next(item["user"] for item in data["users"] if item["name"] == context["user"])
            ca = scratch / "ca.crt"
            ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
            return Api(cluster["server"], user["token"], ca)
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, StopIteration) as error:
            raise DevError(
                f"{kubeconfig} cannot be used by the stand-ins ({error!r}). Give the kubeconfig that `cnichain dev up` "
                "wrote: it has a token and the CA inside."
            ) from error

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at `path`, None when there is none. OSError or HTTPException when the API does not answer."""
        code, body = status(self.server + path, ca=self.ca, token=self.token)
        if code == 404:
            return None
        if code != 200:
            raise http.client.HTTPException(f"GET {path} answered {code}: {body[:200]}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def table(self, path: str) -> list[dict[str, str]]:
        """What `kubectl get --output=wide` shows of a list, by column: a hundredth of what the objects are."""
        code, body = status(self.server + path, ca=self.ca, token=self.token, accept=_AS_TABLE)
        if code != 200:
            raise http.client.HTTPException(f"GET {path} answered {code}: {body[:200]}")
        answer = json.loads(body)
        columns = [column["name"] for column in answer["columnDefinitions"]]
        return [dict(zip(columns, map(str, row["cells"]), strict=True)) for row in answer["rows"] or ()]

    def apply(self, path: str, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """Server-side apply. OSError or HTTPException when the API does not take it."""
        return self._patch(f"{path}?fieldManager={manager}&force=true", body, "application/apply-patch+yaml")

    def merge(self, path: str, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """A JSON merge patch. OSError or HTTPException when the API does not take it."""
        return self._patch(f"{path}?fieldManager={manager}", body, "application/merge-patch+json")

    def delete(self, path: str) -> None:
        """Delete the object at `path`, if it is there."""
        code, answer = send("DELETE", self.server + path, ca=self.ca, token=self.token)
        if code not in {200, 202, 404}:
            raise http.client.HTTPException(f"DELETE {path} answered {code}: {answer[:200]}")

    def _patch(self, path: str, body: dict[str, Any], content_type: str) -> dict[str, Any]:
        text = json.dumps(body)
        code, answer = send(
            "PATCH", self.server + path, ca=self.ca, token=self.token, body=text, content_type=content_type
        )
        if code not in {200, 201}:
            raise http.client.HTTPException(f"PATCH {path} answered {code}: {answer[:200]}")
        result: dict[str, Any] = json.loads(answer)
        return result


@dataclass
class StandIns:
    """One look after the other at the cluster.

    registered: uid and generation of the cilium-operator that was served last. registering: cilium-crds, while it runs
    (seconds on a busy machine); it never holds up the other stand-in.
    """

    api: Api
    kubeconfig: Path
    nodes_dir: Path
    cilium_crds: Path
    registered: tuple[str, int] | None = None
    registering: subprocess.Popen[bytes] | None = None
    endpoints: EndpointPublisher = field(init=False)

    def __post_init__(self) -> None:
        self.endpoints = EndpointPublisher(self.api, self.nodes_dir, _say)

    def look(self) -> None:
        """See what is there and do what is due."""
        self._for_cilium_install()
        self._for_cilium_operator()
        self.endpoints.look()
        TigeraOperator(self.api, _say).look()

    def close(self) -> None:
        """End what still runs."""
        if self.registering is not None:
            self.registering.kill()
            self.registering.wait(timeout=10)

    def _for_cilium_operator(self) -> None:
        if self.registering is not None:
            if self.registering.poll() is None:
                return
            code, self.registering = self.registering.returncode, None
            if code != 0:
                self.registered = None
                raise DevError(f"registering Cilium's CRDs failed (exit code {code}); its words are above")
            _say("stand-in for cilium-operator: registered Cilium's CRDs")
        deployment = self.api.get(f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/cilium-operator")
        if deployment is None or not _is_available(deployment):
            self.registered = None
            return
        run = (deployment["metadata"]["uid"], deployment["metadata"]["generation"])
        if run == self.registered and self.api.get(_FIRST_CRD) is not None:
            return
        self.registered = run
        self.registering = subprocess.Popen(
            [str(self.cilium_crds), f"--kubeconfig={self.kubeconfig}"],
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - safe: this process has one thread
        )

    def _for_cilium_install(self) -> None:
        for pod in self.api.table(_PODS):
            if pod["Status"] != "Running":  # one that goes is Terminating
                continue
            node = pod["Node"]
            folder = NodeFolder(self.nodes_dir / node)
            binary = folder.bin_dir / "cilium-cni"
            if folder.bin_dir.is_dir() and not binary.exists():
                write_placeholder(binary)
                _say(f"stand-in for cilium's install container: put cilium-cni on {node}")


def _is_available(deployment: dict[str, Any]) -> bool:
    conditions = deployment.get("status", {}).get("conditions", [])
    current = deployment.get("status", {}).get("observedGeneration") == deployment["metadata"]["generation"]
    return current and any(item["type"] == "Available" and item["status"] == "True" for item in conditions)


def serve(stand_ins: StandIns, stop: threading.Event) -> None:
    """Look again and again until `stop` is set; while the API is away, ever more seldom (0.5 to 10 s, with jitter)."""
    failures = 0
    while True:
        begun = time.monotonic()
        try:
            stand_ins.look()
            failures = 0
        except (OSError, http.client.HTTPException, ValueError, DevError) as error:
            failures += 1
            if failures == 1:  # once per outage
                _say(f"cannot look at the cluster, trying on: {error}")
        delay = min(INTERVAL * 2**failures, MAX_BACKOFF) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
        if stop.wait(max(INTERVAL, REST * (time.monotonic() - begun)) if failures == 0 else delay):
            return


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True, help="as `cnichain dev up` writes it")
    parser.add_argument("--nodes-dir", type=Path, required=True, help="a folder with one folder per node")
    parser.add_argument(
        "--cilium-crds", type=Path, required=True, help="the program cilium-crds of `cnichain dev tools`"
    )
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="cnichain-standins-") as scratch:
        try:
            api = Api.of(arguments.kubeconfig, Path(scratch))
        except DevError as error:
            _say(str(error))
            return 1
        with contextlib.closing(
            StandIns(api, arguments.kubeconfig, arguments.nodes_dir, arguments.cilium_crds)
        ) as stand_ins:
            serve(stand_ins, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
