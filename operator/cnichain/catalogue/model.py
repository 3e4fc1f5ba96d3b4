"""The catalogue's records, and how versions are read and compared. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from cnichain.api.chain import VERSION_PATTERN
from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason

Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Minor = Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

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


class _Record(BaseModel):
    """Base of the catalogue's records: camelCase in the file, unknown keys refused, values immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class KubernetesRange(_Record):
    """The Kubernetes minors that a release was tested with, both ends included."""

    min: Minor
    max: Minor


class CiliumRelease(_Record):
    """A Cilium release whose chart is known.

    chart_sha256: hex digest of the chart archive. source: `official` for Cilium's own chart, `stand-in` for one that
    only has its shape (demo, tests). kernel: oldest Linux kernel. crds: names of the CRDs that must be established
    before agents start.
    """

    version: Version
    source: Literal["official", "stand-in"]
    chart_sha256: Sha256
    kubernetes: KubernetesRange
    kernel: Minor
    crds: tuple[str, ...] = GATE_CRDS

    @property
    def archive(self) -> str:
        """File name of the chart archive."""
        return f"cilium-{self.version}.tgz"


class PrimaryRule(_Record):
    """Where a primary CNI is found in a cluster, and which of its versions can be chained after.

    avoid: versions (x.y.z) that are refused, with the reason.
    """

    namespace: str
    daemon_set: str
    container: str
    floor: Version
    recommended_minimum: Version
    avoid: Mapping[Version, str] = {}


class Catalogue(_Record):
    """Everything that is known, by version and by plugin."""

    cilium: tuple[CiliumRelease, ...] = ()
    primaries: Mapping[PrimaryPlugin, PrimaryRule] = {}

    @model_validator(mode="after")
    def _one_entry_per_version(self) -> Self:
        versions = [release.version for release in self.cilium]
        twice = sorted({version for version in versions if versions.count(version) > 1})
        if twice:
            raise ValueError(f"two entries for Cilium {', '.join(twice)}")
        return self

    def cilium_release(self, version: str) -> CiliumRelease:
        """The release of that very version.

        Raises ChainError(VersionUnknown) that lists the known versions, the nearest first.
        """
        for release in self.cilium:
            if release.version == version:
                return release
        raise ChainError(
            Reason.VERSION_UNKNOWN,
            f"spec.cilium.version: the catalogue has no Cilium {version}. "
            f"Known, nearest first: {', '.join(self._nearest(version)) or 'none'}.",
        )

    def primary(self, plugin: PrimaryPlugin) -> PrimaryRule:
        """The rule of a primary CNI. Raises ChainError(FeatureNotAvailable) when there is none in this release."""
        rule = self.primaries.get(plugin)
        if rule is None:
            known = ", ".join(sorted(self.primaries)) or "none"
            raise ChainError(
                Reason.FEATURE_NOT_AVAILABLE,
                f"spec.primary.plugin: this release cannot chain after {plugin.value} yet. Available: {known}.",
            )
        return rule

    def with_entries(self, extra: "Catalogue") -> "Catalogue":
        """This catalogue with the entries of another added; an entry of the same version or plugin is replaced."""
        releases = {release.version: release for release in (*self.cilium, *extra.cilium)}
        return Catalogue(cilium=tuple(releases.values()), primaries={**self.primaries, **extra.primaries})

    def _nearest(self, version: str) -> list[str]:
        wanted = parse_version(version) or (0, 0, 0)

        def distance(known: str) -> tuple[int, ...]:
            parts = parse_version(known) or (0, 0, 0)
            return tuple(abs(mine - asked) for mine, asked in zip(parts, wanted, strict=True))

        return sorted((release.version for release in self.cilium), key=distance)
