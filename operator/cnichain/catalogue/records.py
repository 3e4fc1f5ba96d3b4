"""The forms of the catalogue's entries. `model.py` has the catalogue itself; a file of the same form extends it."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cnichain.api.chain import VERSION_PATTERN
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason
from cnichain.catalogue.verdict import Level

Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Minor = Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, Field(pattern=r"^https://\S+$", max_length=300)]
Text = Annotated[str, Field(min_length=1, max_length=600)]

VERSION_TEXT = re.compile(r"v?([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:[-+].*)?")

GATE_CRDS = (
    "ciliumnodes.cilium.io",
    "ciliumendpoints.cilium.io",
    "ciliumidentities.cilium.io",
    "ciliumnetworkpolicies.cilium.io",
    "ciliumclusterwidenetworkpolicies.cilium.io",
)
"""CRDs that cilium-operator registers in every minor from 1.17 to 1.20 and that cilium-agent waits for with default
features (upstream pkg/k8s/synced/crd.go). The agent waits for a few more and gives up after five minutes."""


def parse_version(text: str) -> tuple[int, int, int] | None:
    """`1.18.5`, `v1.18.5` and `v1.18.5-eksbuild.1` as (1, 18, 5); None when the text is no such version."""
    match = VERSION_TEXT.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def parse_minor(text: str) -> tuple[int, int] | None:
    """The minor of `1.33`, `1.33.4` or `v1.33.4-eks-1` as (1, 33); None when there is none."""
    match = re.match(r"v?([0-9]{1,9})\.([0-9]{1,9})(?![0-9])", text)
    return (int(match[1]), int(match[2])) if match else None


class Record(BaseModel):
    """Base of the entries: camelCase in the file, unknown keys refused, values immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class KubernetesRange(Record):
    """Minors of Kubernetes that were tested, both ends included."""

    min: Minor
    max: Minor

    def holds(self, minor: tuple[int, int]) -> bool:
        """Whether a minor is in the range."""
        return (parse_minor(self.min) or minor) <= minor <= (parse_minor(self.max) or minor)

    def __str__(self) -> str:
        return f"{self.min} to {self.max}"


class Image(Record):
    """A container image of a release. part: path of the values that name it. optional: the chain does not use it."""

    image: Annotated[str, Field(pattern=r"^\S+$", max_length=300)]
    part: str
    optional: bool = False


class CiliumRelease(Record):
    """A Cilium release whose chart is known.

    chart_sha256: hex digest of the chart archive. source: `official` for Cilium's own chart, `stand-in` for one that
    only has its shape (demo, tests). eks: minors of EKS on which Cilium's CI chained it after the VPC CNI. kernel:
    oldest Linux kernel. maintained: upstream still makes patch releases of the minor. crds: names of the CRDs that
    must be established before agents start. images: with digests, for mirrors and for pulling before a rollout.
    """

    version: Version
    source: Literal["official", "stand-in"]
    chart_sha256: Sha256
    kubernetes: KubernetesRange
    eks: KubernetesRange | None = None
    kernel: Minor
    maintained: bool = True
    crds: tuple[str, ...] = GATE_CRDS
    images: tuple[Image, ...] = ()

    @property
    def archive(self) -> str:
        """File name of the chart archive."""
        return f"cilium-{self.version}.tgz"

    @property
    def minor(self) -> str:
        """`1.19` of 1.19.6."""
        return self.version.rpartition(".")[0]

    @property
    def chain_images(self) -> tuple[str, ...]:
        """The images that the chain runs, in order of their parts."""
        return tuple(item.image for item in self.images if not item.optional)


class KnownMinor(Record):
    """A minor of Cilium that is not installed any more, and may be upgraded from."""

    minor: Minor
    kubernetes: KubernetesRange
    eks: KubernetesRange | None = None
    kernel: Minor


class Trap(Record):
    """What changes, or breaks, in a range of versions. below: the first version without it; left out: still so.

    level: Supported for a note, Untested for a warning, Refused for what must not be chained.
    """

    since: Version
    below: Version | None = None
    level: Level = Level.SUPPORTED
    text: Text
    source: Url

    def covers(self, version: tuple[int, int, int]) -> bool:
        """Whether a version is in the range."""
        end = parse_version(self.below) if self.below else None
        return (parse_version(self.since) or version) <= version and (end is None or version < end)


class PrimaryRule(Record):
    """Where a primary CNI is found in a cluster, and which of its versions can be chained after.

    avoid: versions (x.y.z) that are refused, with the reason. newest: the newest version that was looked at.
    """

    namespace: str
    daemon_set: str
    container: str
    floor: Version
    recommended_minimum: Version
    newest: Version | None = None
    avoid: Mapping[Version, str] = {}
    traps: tuple[Trap, ...] = ()


class CalicoRelease(Record):
    """A Calico release: manifests of the tigera-operator by file name, each with its sha256.

    operator: the image of the tigera-operator that the manifest names.
    """

    version: Version
    operator: str
    kubernetes: KubernetesRange
    kubernetes_source: Url
    manifests: Mapping[str, Sha256]
    traps: tuple[Trap, ...] = ()


class VersionRange(Record):
    """From `min` (inclusive) to `below` (exclusive); an end that is left out is open."""

    min: Version | None = None
    below: Version | None = None

    def holds(self, version: tuple[int, int, int]) -> bool:
        """Whether a version is in the range."""
        low, high = parse_version(self.min or ""), parse_version(self.below or "")
        return (low is None or low <= version) and (high is None or version < high)


class KernelRange(Record):
    """Linux kernels from `min` (inclusive) to `below` (exclusive); an end that is left out is open."""

    min: Minor | None = None
    below: Minor | None = None

    def holds(self, kernel: tuple[int, int]) -> bool:
        """Whether a kernel's minor is in the range."""
        low, high = parse_minor(self.min or ""), parse_minor(self.below or "")
        return (low is None or low <= kernel) and (high is None or kernel < high)


class When(Record):
    """The combination that a pair is about. Every condition that is given must hold; an empty one holds always.

    Versions are ranges; texts are lists of what matches. os_image: beginnings of a node's osImage; with kernel, both
    must hold on one node. cluster_id: pairs of first and last. policy_engines: at least that many engines enforce
    NetworkPolicy. values: dotted keys of spec.cilium.values, each with the texts that match; a key that is not set does
    not match.
    """

    cilium: VersionRange | None = None
    primary: tuple[PrimaryPlugin, ...] = ()
    primary_version: VersionRange | None = None
    calico: VersionRange | None = None
    calico_dataplane: tuple[str, ...] = ()
    kube_proxy_mode: tuple[str, ...] = ()
    chaining_mode: tuple[str, ...] = ()
    cluster_id: tuple[tuple[int, int], ...] = ()
    os_image: tuple[str, ...] = ()
    kernel: KernelRange | None = None
    policy_engines: int | None = None
    pod_security_groups: bool | None = None
    values: Mapping[str, tuple[str, ...]] = {}


class Pair(Record):
    """Parts that are known to go badly together.

    name: unique; an extension of the same name replaces it. when_unknown: what to say, as a warning, when the facts do
    not tell whether it holds; left out: nothing.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
    level: Literal[Level.UNTESTED, Level.REFUSED]
    reason: Reason
    when: When
    text: Text
    when_unknown: Text | None = None
    source: Url
