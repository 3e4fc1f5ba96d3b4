"""From objects of the API to the facts of the evidence: the little that is kept of each. Pure."""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client.parser import text_string_to_metric_families

from cnichain.api.chainnode import camel
from cnichain.api.times import parse_rfc3339, rfc3339
from cnichain.evidence.model import (
    CertificateFact,
    ChainFact,
    ConditionFact,
    ExporterFact,
    ExportFact,
    ImageFact,
    NodeFact,
)
from cnichain.plan.nodes import ChainNodeRecord, NodeRecord, out_of_scope_kind
from cnichain.render.pki import dns_names, ip_addresses

Object = Mapping[str, Any]

SETTINGS = (
    "enable-policy",
    "policy-audit-mode",
    "enable-k8s-networkpolicy",
    "enable-hubble",
    "hubble-metrics",
    "hubble-flowlogs-config-path",
    "hubble-export-file-path",
    "hubble-drop-events",
    "hubble-drop-events-reasons",
    "hubble-disable-tls",
    "hubble-redact-enabled",
    "cni-chaining-mode",
    "cni-exclusive",
    "enable-wireguard",
)
"""Settings of cilium-config that say how policies are enforced and flows are recorded. None of them is a secret."""
FLOWS, DROPS = "hubble_flows_processed_total", "hubble_drop_total"
POD_IDENTITY_AUDIENCE = "pods.eks.amazonaws.com"
POD_IDENTITY_ADDRESSES = ("169.254.170.23", "fd00:ec2::23")
POD_IDENTITY_VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")


def chain_fact(chain: Object) -> ChainFact:
    """The CNIChain, without what may be a secret: the values of spec.cilium.values."""
    metadata, status = chain["metadata"], chain.get("status") or {}
    spec = dict(chain.get("spec") or {})
    cilium = dict(spec.get("cilium") or {})
    keys = tuple(sorted(_paths(cilium.pop("values", None) or {})))
    conditions = tuple(
        ConditionFact(
            *(str(one.get(camel(key)) or "") for key in ("type", "status", "reason", "message", "last_transition_time"))
        )
        for one in status.get("conditions") or ()
    )
    return ChainFact(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        spec=spec | {"cilium": cilium},
        value_keys=keys,
        effective=status.get("effective") or {},
        versions=status.get("versions") or {},
        conditions=conditions,
        inventory_digest=str((status.get("inventory") or {}).get("digest", "")),
    )


def _paths(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def node_fact(
    node: NodeRecord, record: ChainNodeRecord | None, report: Object | None, selector: Mapping[str, str], pods: int
) -> NodeFact:
    """The chain of one node. report: its CNIChainNode; one of an earlier node of that name counts for nothing."""
    kind = out_of_scope_kind(node, selector)
    if kind or record is None or record.node_uid != node.uid:
        return NodeFact(node.name, kind, pods=pods)
    status = (report or {}).get("status") or {}
    return NodeFact(
        name=node.name,
        verified=record.verified,
        state=record.state,
        reason=record.reason,
        chain=str(status.get("chain", "")),
        file=record.effective_file,
        digest=str(status.get("resultDigest", "")),
        source_digest=str(status.get("sourceDigest", "")),
        runtime=str((status.get("runtime") or {}).get("view", "")),
        agent=str(status.get("agentVersion", "")),
        since=record.ready_since,
        pods=pods,
    )


def image_facts(running: Iterable[tuple[str, str, str]], catalogue: frozenset[str]) -> tuple[ImageFact, ...]:
    """Images by workload. running: (workload, image, the digest that the runtime reports or "").

    catalogue: images of the Cilium that is installed; images of that repository must be among them.
    """
    repositories = {_repository(image) for image in catalogue}
    found = {
        ImageFact(
            workload=workload,
            image=image if "@" in image or not digest else f"{image}@{digest}",
            pinned="@sha256:" in image or bool(digest),
            known=image in catalogue or _repository(image) not in repositories,
        )
        for workload, image, digest in running
    }
    return tuple(sorted(found, key=lambda one: (one.workload, one.image)))


def _repository(image: str) -> str:
    return image.partition("@")[0].rsplit(":", 1)[0]


def images_of(pod: Object, workload: str) -> Iterator[tuple[str, str, str]]:
    """(workload, image, digest that the runtime reports) of each container of a pod, init containers too."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for key in ("initContainers", "containers"):
        ids = {
            str(one.get("name")): str(one.get("imageID") or "")
            for one in status.get("initContainerStatuses" if key == "initContainers" else "containerStatuses") or ()
        }
        for container in spec.get(key) or ():
            digest = DIGEST.search(ids.get(str(container.get("name")), ""))
            yield workload, str(container.get("image", "")), digest[0] if digest else ""


def uses_pod_identity(pod: Object) -> bool:
    """Whether EKS has prepared a pod for Pod Identity: its webhook sets a variable and mounts a token."""
    spec = pod.get("spec") or {}
    for container in spec.get("containers") or ():
        for variable in container.get("env") or ():
            if variable.get("name") == POD_IDENTITY_VARIABLE and any(
                address in str(variable.get("value", "")) for address in POD_IDENTITY_ADDRESSES
            ):
                return True
    return any(
        (source.get("serviceAccountToken") or {}).get("audience") == POD_IDENTITY_AUDIENCE
        for volume in spec.get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    )


def export_fact(profile: str, config: Object | None, flow_logs: Object | None, now: str) -> ExportFact:
    """What agents are told. config: the ConfigMap cilium-config; flow_logs: that of the exporters."""
    settings = (config or {}).get("data") or {}
    text = ((flow_logs or {}).get("data") or {}).get("flowlogs.yaml") or ""
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError:
        parsed = None  # agents cannot read it either: they export nothing
    listed = parsed.get("flowLogs") if isinstance(parsed, Mapping) else None
    exporters = tuple(_exporter(one, now) for one in listed or () if isinstance(one, Mapping))
    return ExportFact(profile, exporters, {key: str(settings[key]) for key in SETTINGS if key in settings})


def _exporter(raw: Object, now: str) -> ExporterFact:
    end, moment = parse_rfc3339(str(raw.get("end") or "")), parse_rfc3339(now)
    return ExporterFact(
        name=str(raw.get("name", "")),
        file=str(raw.get("filePath", "")),
        active=end is None or moment is None or end > moment,
        include=tuple(raw.get("includeFilters") or ()),
        exclude=tuple(raw.get("excludeFilters") or ()),
        max_size_mb=raw.get("fileMaxSizeMb"),
        max_files=raw.get("fileMaxBackups"),
    )


def certificate_facts(name: str, secret: Object) -> Iterator[CertificateFact]:
    """The public parts in a Secret of certificates. Entries that hold a key are never looked at."""
    for entry, encoded in sorted((secret.get("data") or {}).items()):
        if not entry.endswith(".crt"):
            continue
        try:
            pem = base64.b64decode(str(encoded), validate=True)
            found = x509.load_pem_x509_certificates(pem)
        except (binascii.Error, ValueError):
            continue
        for one in found:
            yield CertificateFact(
                secret=name,
                entry=entry,
                subject=one.subject.rfc4514_string(),
                issuer=one.issuer.rfc4514_string(),
                names=(*dns_names(one), *map(str, ip_addresses(one))),
                not_before=rfc3339(one.not_valid_before_utc),
                not_after=rfc3339(one.not_valid_after_utc),
                serial=f"{one.serial_number:x}",
                fingerprint=f"sha256:{one.fingerprint(hashes.SHA256()).hex()}",
            )


def counted(texts: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Flows by verdict and drops by reason, summed over the metrics of several nodes. Raises ValueError."""
    flows, drops = Counter[str](), Counter[str]()
    for text in texts:
        try:
            families = list(text_string_to_metric_families(text))
        except (IndexError, KeyError) as error:  # the parser trusts its input
            raise ValueError(f"no metrics: {error!r}") from error
        for sample in (one for family in families for one in family.samples):
            if not math.isfinite(sample.value):
                raise ValueError("a counter is no number")
            if sample.name == FLOWS:
                flows[sample.labels.get("verdict", "")] += int(sample.value)
            elif sample.name == DROPS:
                drops[sample.labels.get("reason", "")] += int(sample.value)
    return dict(sorted(flows.items())), dict(sorted(drops.items()))
