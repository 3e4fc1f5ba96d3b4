"""A Cilium that somebody else has installed: what it is, and whether it may be taken over. Pure.

An adoption changes who looks after the objects and what stands in them. It never changes the data path: an
installation that is not chained as the spec asks for is refused, with the settings that differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnichain.api.errors import ChainError
from cnichain.api.names import CILIUM_NAMESPACE, OWNER_LABEL
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue
from cnichain.plan.fieldowners import is_untracked
from cnichain.plan.immutable import immutable_differences
from cnichain.plan.installation import (
    Installer,
    Release,
    installer_of,
    owner_in_words,
    reconciler_of,
    release_of,
)
from cnichain.preflight.primary import version_of
from cnichain.preflight.upgrade import check_step
from cnichain.render.manifests import Manifest

Object = Mapping[str, Any]

AGENTS = ObjectKey("apps/v1", "DaemonSet", CILIUM_NAMESPACE, "cilium")
AGENT_CONTAINER = "cilium-agent"
AGENT_CONFIG = ObjectKey("v1", "ConfigMap", CILIUM_NAMESPACE, "cilium-config")
CHART_LABEL = "helm.sh/chart"
SHOWN = 5

CLOUD_IPAM = frozenset({"alibabacloud", "azure", "eni"})
ON = frozenset({"true", "strict", "partial", "probe"})
"""Values of kube-proxy-replacement that take work from kube-proxy; those beside `true` are of releases before 1.16."""


@dataclass(frozen=True)
class Survey:
    """The objects of another installation. found: those that are about to be applied, as they are in the cluster.

    leftovers: those that are not wanted any more. unseen: kinds that could not be looked through, for lack of a
    permission.
    """

    found: Mapping[ObjectKey, Object]
    leftovers: tuple[ObjectKey, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def release(self) -> Release | None:
        """helm's release, when there is one."""
        return next(filter(None, map(release_of, self.found.values())), None)

    @property
    def installer(self) -> Installer:
        """What has installed most of it."""
        kinds = [installer_of(live) for live in self.found.values()]
        return max(Installer, key=kinds.count)

    @property
    def version(self) -> str:
        """The version of Cilium that runs, "" when no agents do or when it cannot be read."""
        agents = self.found.get(AGENTS)
        return (_version(agents) or "") if agents else ""

    def in_words(self) -> str:
        """What was found, in a sentence or two."""
        release = f" (release {self.release})" if self.release else ""
        what = f"installed Cilium {self.version}" if self.version else "made objects of Cilium"
        text = f"{self.installer.value}{release} has {what}: {shown(self.found)}."
        if self.leftovers:
            text += (
                f" Of the same installation and not part of this spec, so deleted once the new state is healthy: "
                f"{shown(self.leftovers)}."
            )
        if self.unseen:
            text += f" Not looked through, for lack of a permission: {', '.join(self.unseen)}."
        return text


def shown(keys: Iterable[ObjectKey]) -> str:
    """The first of some objects by name, and how many more there are."""
    names = sorted(str(key) for key in keys)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def check(survey: Survey, manifests: Sequence[Manifest], wanted: str, catalogue: Catalogue) -> None:
    """Refuse an installation that cannot be taken over.

    manifests: what is about to be applied. wanted: spec.cilium.version.

    Raises ChainError: ForeignObject, AdoptionNotChained, AdoptionImmutable, AdoptionVersionUnknown or
    UpgradeSkipsMinor, the first that holds.
    """
    _check_owners(survey)
    by_key = {item.key: item for item in manifests}
    _check_chained(survey, by_key.get(AGENT_CONFIG))
    _check_immutable(survey, by_key)
    if AGENTS in survey.found:
        if not survey.version:
            raise ChainError(
                Reason.ADOPTION_VERSION_UNKNOWN, f"{AGENTS}: neither its image nor its labels name a version."
            )
        check_step(survey.version, wanted, catalogue)


def require_consent(survey: Survey) -> ChainError:
    """The refusal of an installation that could be taken over, but must not without spec.adopt."""
    text = survey.in_words()
    if survey.release:
        text += (
            f" First make sure that no helm operation is under way (`helm -n {survey.release.namespace} status "
            f"{survey.release.name}` says deployed): the operator cannot see it."
        )
    return ChainError(Reason.ADOPTION_REQUIRED, text)


def release_left(release: Release) -> str:
    """What to do about helm's record of a release that was taken over."""
    return (
        f"helm still has its record of release {release}. Delete it: `kubectl -n {release.namespace} delete secret "
        f"-l owner=helm,name={release.name}`. Do not run `helm uninstall` or `helm upgrade` for it."
    )


def is_leftover(live: Object, key: ObjectKey, survey: Survey) -> bool:
    """Whether an object that is not wanted belongs to the installation that was found, and to nobody else.

    Of helm's release, when there is one; else made by kubectl and labelled as part of Cilium, or one of the few that
    the charts give no label.
    """
    metadata = live["metadata"]
    if metadata.get("ownerReferences") or metadata.get("deletionTimestamp") or reconciler_of(live):
        return False
    if release := release_of(live):
        return release == survey.release
    labels = metadata.get("labels") or {}
    named = labels.get("app.kubernetes.io/part-of") == "cilium" or key.name in UNLABELLED.get(key.kind, ())
    # helm gives hooks no release annotation, so what its manager made and calls part of Cilium is taken as well.
    return named and installer_of(live) is (survey.installer if survey.release else Installer.KUBECTL)


UNLABELLED: Mapping[str, tuple[str, ...]] = {
    "ServiceAccount": (
        *("cilium-envoy", "cilium-nodeinit", "hubble-generate-certs", "hubble-relay", "hubble-ui"),
        "cilium-pre-flight",
    ),
    "ConfigMap": ("cilium-envoy-config", "cilium-nodeinit-bootstrap", "hubble-relay-config", "hubble-ui-nginx"),
}
"""Objects of the charts in kube-system that carry no label, by kind."""


def _check_owners(survey: Survey) -> None:
    """Refuse what a controller would do again, what nobody is known for, and a Cilium in another namespace."""
    known = any(map(installer_of, survey.found.values()))
    others = {
        key: owner_in_words(live)
        for key, live in survey.found.items()
        # An object of which nothing is known (a ServiceAccount without a label has no fields that anyone could own)
        # goes with the others.
        if reconciler_of(live) or (installer_of(live) is None and not (known and is_untracked(live)))
    }
    for key, live in survey.found.items():
        elsewhere = sorted(_namespaces(key, live) - {CILIUM_NAMESPACE})
        if elsewhere:
            others[key] = f"of a Cilium in namespace {elsewhere[0]}; the operator looks after one in {CILIUM_NAMESPACE}"
    if others:
        listed = "; ".join(f"{key} ({why})" for key, why in sorted(others.items())[:SHOWN])
        more = f"; and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise ChainError(
            Reason.FOREIGN_OBJECT,
            f"exist already and are not CNIChain's: {listed}{more}. An object that you know to be nobody's is handed "
            f"over with the label {OWNER_LABEL}.",
        )


def _namespaces(key: ObjectKey, live: Object) -> set[str]:
    """Namespaces of the installation that a cluster-scoped object speaks of."""
    found = {release.namespace for release in [release_of(live)] if release}
    if key.kind == "ClusterRoleBinding":
        found |= {str(item["namespace"]) for item in live.get("subjects") or [] if item.get("namespace")}
    return found


def _check_chained(survey: Survey, wanted: Manifest | None) -> None:
    """Refuse an installation whose agents run on another data path than the manifests ask for."""
    config = survey.found.get(AGENT_CONFIG)
    if config is None or wanted is None or AGENTS not in survey.found:
        return
    differences = data_path_differences(config.get("data") or {}, wanted.body.get("data") or {})
    if differences:
        raise ChainError(
            Reason.ADOPTION_NOT_CHAINED, f"{AGENT_CONFIG} of the installed Cilium has {'; '.join(differences)}."
        )


def data_path_differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Settings of cilium-config, in words, by which an adoption would change how pods are connected.

    A key that is missing counts as cilium-agent's own default.
    """

    def differs(key: str, default: str) -> bool:
        return old.get(key, default) != new.get(key, default)

    found = []
    if differs("cni-chaining-mode", "none"):
        found.append("cni-chaining-mode")
    if old.get("cni-exclusive", "true") == "true" != new.get("cni-exclusive", "true"):
        found.append("cni-exclusive")
    if (old.get("kube-proxy-replacement") in ON) != (new.get("kube-proxy-replacement") in ON):
        found.append("kube-proxy-replacement")
    if differs("routing-mode", "tunnel"):
        found.append("routing-mode")
    if old.get("ipam") in CLOUD_IPAM and old.get("ipam") != new.get("ipam"):
        found.append("ipam")
    return [f"{key} {old.get(key, '(default)')} where the chain needs {new.get(key, '(default)')}" for key in found]


def _check_immutable(survey: Survey, wanted: Mapping[ObjectKey, Manifest]) -> None:
    found = [
        f"{key}: {path}"
        for key, live in survey.found.items()
        if key in wanted
        for path in immutable_differences(live, wanted[key].body)
    ]
    if found:
        raise ChainError(Reason.ADOPTION_IMMUTABLE, f"{'; '.join(sorted(found)[:SHOWN])} cannot be changed.")


def _version(agents: Object) -> str | None:
    if version := version_of(agents, AGENT_CONTAINER):
        return version.removeprefix("v")
    pods = agents["spec"]["template"].get("metadata", {})
    charts = (part.get("labels", {}).get(CHART_LABEL, "") for part in (agents["metadata"], pods))
    return next((chart.removeprefix("cilium-") for chart in charts if chart.startswith("cilium-")), None)


def foreign(keys: Iterable[ObjectKey], owner: str) -> ChainError:
    """The refusal of objects that are another installation's, and are not taken over by spec.adopt."""
    return ChainError(
        Reason.FOREIGN_OBJECT,
        f"{shown(keys)} exist already and are not CNIChain's: another installation of Calico? Remove it, or "
        f"hand its objects over with the label {OWNER_LABEL}={owner}.",
    )
