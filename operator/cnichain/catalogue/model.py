"""The catalogue: every entry by version, plugin or name, how two of them are merged, and what it answers. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import model_validator

from cnichain.api.errors import ChainError
from cnichain.api.primaries import PrimaryPlugin
from cnichain.api.reasons import Reason
from cnichain.catalogue.records import (
    CalicoRelease,
    CiliumRelease,
    KnownMinor,
    KubernetesRange,
    Pair,
    PrimaryRule,
    Record,
    parse_version,
)

__all__ = ["CalicoRelease", "Catalogue", "CiliumRelease", "KubernetesRange", "PrimaryRule", "parse_version"]


class Catalogue(Record):
    """Everything that is known, by version, by plugin and by name."""

    cilium: tuple[CiliumRelease, ...] = ()
    known_minors: tuple[KnownMinor, ...] = ()
    primaries: Mapping[PrimaryPlugin, PrimaryRule] = {}
    calico: tuple[CalicoRelease, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @model_validator(mode="after")
    def _one_entry_each(self) -> Self:
        for what, names in (
            ("Cilium", [item.version for item in self.cilium]),
            ("Calico", [item.version for item in self.calico]),
            ("the minor", [item.minor for item in self.known_minors]),
            ("the pair", [item.name for item in self.pairs]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two entries for {what} {', '.join(twice)}")
        return self

    def cilium_release(self, version: str) -> CiliumRelease:
        """The release of that very version.

        Raises ChainError(VersionUnknown) that lists the known versions, the nearest first.
        """
        for release in self.cilium:
            if release.version == version:
                return release
        only_from = any(version.startswith(f"{item.minor}.") for item in self.known_minors)
        more = " Cilium of this minor can be upgraded from, not installed." if only_from else ""
        raise ChainError(
            Reason.VERSION_UNKNOWN,
            f"spec.cilium.version: the catalogue has no Cilium {version}.{more} "
            f"Known, nearest first: {_nearest(version, (item.version for item in self.cilium))}.",
        )

    def calico_release(self, version: str) -> CalicoRelease:
        """The release of that very version. Raises ChainError(VersionUnknown) that lists the known ones."""
        for release in self.calico:
            if release.version == version:
                return release
        raise ChainError(
            Reason.VERSION_UNKNOWN,
            f"spec.calico.version: the catalogue has no Calico {version}. "
            f"Known, nearest first: {_nearest(version, (item.version for item in self.calico))}.",
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
        """This catalogue with the entries of another added.

        An entry of the same version, minor, plugin or name is replaced as a whole.
        """
        return Catalogue(
            cilium=_merged(self.cilium, extra.cilium, "version"),
            known_minors=_merged(self.known_minors, extra.known_minors, "minor"),
            primaries={**self.primaries, **extra.primaries},
            calico=_merged(self.calico, extra.calico, "version"),
            pairs=_merged(self.pairs, extra.pairs, "name"),
        )


def _merged(mine: Iterable[Any], extra: Iterable[Any], key: str) -> tuple[Any, ...]:
    return tuple({getattr(item, key): item for item in (*mine, *extra)}.values())


def _nearest(version: str, known: Iterable[str]) -> str:
    wanted = parse_version(version) or (0, 0, 0)

    def distance(candidate: str) -> tuple[int, ...]:
        parts = parse_version(candidate) or (0, 0, 0)
        return tuple(abs(mine - asked) for mine, asked in zip(parts, wanted, strict=True))

    return ", ".join(sorted(known, key=distance)) or "none"
