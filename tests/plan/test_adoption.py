"""Which Cilium may be taken over: who made it is told, and what stands in the way has its own reason."""

from typing import Any

import pytest

from cnichain.api.errors import ChainError
from cnichain.api.objects import ObjectKey
from cnichain.api.reasons import REASONS, Reason
from cnichain.catalogue.load import load_catalogue
from cnichain.plan.adoption import (
    AGENT_CONFIG,
    AGENTS,
    Survey,
    check,
    data_path_differences,
    is_leftover,
    require_consent,
)
from cnichain.plan.immutable import immutable_differences
from cnichain.plan.installation import Installer, installer_of, reconciler_of
from cnichain.render.manifests import manifest

Object = dict[str, Any]
CHAINED = {"cni-chaining-mode": "aws-cni", "cni-exclusive": "false", "routing-mode": "native", "ipam": "cluster-pool"}
HELM = {"meta.helm.sh/release-name": "cilium", "meta.helm.sh/release-namespace": "kube-system"}
PART = {"app.kubernetes.io/part-of": "cilium"}


def thing(key: ObjectKey, *managers: str, **more: Any) -> Object:
    """A live object; more: annotations, labels, and parts of the body."""
    metadata: Object = {"name": key.name, "namespace": key.namespace}
    metadata |= {name: more.pop(name) for name in ("annotations", "labels", "ownerReferences") if name in more}
    metadata["managedFields"] = [{"manager": name, "operation": "Update"} for name in managers]
    return {"apiVersion": key.api_version, "kind": key.kind, "metadata": metadata, **more}


def agents(image: str = "quay.io/cilium/cilium:v1.17.3@sha256:" + "0" * 64, **more: Any) -> Object:
    template = {"spec": {"containers": [{"name": "cilium-agent", "image": image}]}}
    selector = more.pop("selector", {"matchLabels": {"k8s-app": "cilium"}})
    return thing(AGENTS, *more.pop("by", ["helm"]), spec={"selector": selector, "template": template}, **more)


def survey(**changed: Any) -> Survey:
    config = changed.get("config", CHAINED)
    return Survey(
        {
            AGENTS: changed.get("agents", agents(annotations=HELM)),
            AGENT_CONFIG: thing(AGENT_CONFIG, "helm", annotations=HELM, data=config),
        }
        | changed.get("more", {})
    )


WANTED = [
    manifest(agents(image="quay.io/cilium/cilium:v1.18.12")),
    manifest(thing(AGENT_CONFIG, data=CHAINED)),
]


def refusal(found: Survey, wanted: str = "1.18.12") -> ChainError:
    with pytest.raises(ChainError) as caught:
        check(found, WANTED, wanted, load_catalogue())
    return caught.value


def test_a_chained_cilium_within_a_minor_may_be_taken_over() -> None:
    check(survey(), WANTED, "1.17.18", load_catalogue())


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({**CHAINED, "cni-chaining-mode": "none"}, "cni-chaining-mode none"),
        ({key: value for key, value in CHAINED.items() if key != "cni-chaining-mode"}, "cni-chaining-mode"),
        ({**CHAINED, "cni-chaining-mode": "generic-veth"}, "cni-chaining-mode generic-veth"),
        ({**CHAINED, "cni-exclusive": "true"}, "cni-exclusive true"),
        ({key: value for key, value in CHAINED.items() if key != "cni-exclusive"}, "cni-exclusive"),
        ({**CHAINED, "kube-proxy-replacement": "true"}, "kube-proxy-replacement true"),
        ({**CHAINED, "kube-proxy-replacement": "strict"}, "kube-proxy-replacement strict"),
        ({**CHAINED, "routing-mode": "tunnel"}, "routing-mode tunnel"),
        ({**CHAINED, "ipam": "eni"}, "ipam eni"),
    ],
)
def test_a_cilium_that_is_not_chained_is_refused_with_the_setting(config: dict[str, str], named: str) -> None:
    error = refusal(survey(config=config))
    assert error.reason is Reason.ADOPTION_NOT_CHAINED
    assert named in error.message
    assert error.terminal


def test_settings_that_do_not_change_the_data_path_are_no_difference() -> None:
    assert data_path_differences({**CHAINED, "ipam": "kubernetes", "debug": "true"}, CHAINED) == []
    assert data_path_differences({**CHAINED, "kube-proxy-replacement": "false"}, CHAINED) == []
    both = {**CHAINED, "kube-proxy-replacement": "true"}
    assert data_path_differences(both, both) == [], "what the spec asks for as well is no migration"


@pytest.mark.parametrize("wanted", ["1.19.6", "1.15.0"])
def test_a_skipped_minor_is_refused(wanted: str) -> None:
    error = refusal(survey(), wanted)
    assert error.reason is Reason.UPGRADE_SKIPS_MINOR
    assert "1.17.3" in error.message


def test_the_version_comes_from_the_image_or_the_labels() -> None:
    assert survey().version == "1.17.3"
    by_digest = "quay.io/cilium/cilium@sha256:" + "0" * 64
    assert survey(agents=agents(by_digest, labels={"helm.sh/chart": "cilium-1.18.1"})).version == "1.18.1"
    assert survey(agents=agents(by_digest, labels={"app.kubernetes.io/version": "1.18.2"})).version == "1.18.2"
    assert refusal(survey(agents=agents(by_digest))).reason is Reason.ADOPTION_VERSION_UNKNOWN


def test_another_selector_is_refused_with_its_path() -> None:
    error = refusal(survey(agents=agents(selector={"matchLabels": {"app": "old"}})))
    assert error.reason is Reason.ADOPTION_IMMUTABLE
    assert "DaemonSet kube-system/cilium: spec.selector" in error.message


def test_other_fields_that_cannot_be_changed() -> None:
    binding = {"kind": "RoleBinding", "roleRef": {"name": "a"}}
    assert immutable_differences(binding, {**binding, "roleRef": {"name": "b"}}) == ["roleRef"]
    secret = {"kind": "Secret", "type": "Opaque"}
    assert immutable_differences(secret, {**secret, "type": "kubernetes.io/tls"}) == ["type"]
    service = {"kind": "Service", "spec": {"clusterIP": "10.0.0.7"}}
    assert immutable_differences(service, {"kind": "Service", "spec": {"clusterIP": "None"}}) == ["spec.clusterIP"]
    assert immutable_differences(service, {"kind": "Service", "spec": {}}) == []


@pytest.mark.parametrize(
    ("item", "installer"),
    [
        (agents(by=["helm"], annotations=HELM), Installer.HELM),
        (agents(by=["terraform-provider-helm"], annotations=HELM), Installer.HELM),
        (agents(by=["cilium"], annotations=HELM), Installer.CILIUM_CLI),
        (agents(by=["kubectl-client-side-apply"]), Installer.KUBECTL),
        (agents(by=["kubectl-create", "kubectl-replace"]), Installer.KUBECTL),
        (agents(by=["kubectl"]), Installer.KUBECTL),
        (agents(by=[], annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"}), Installer.KUBECTL),
        (agents(by=["cilium-certgen"]), Installer.CERTGEN),
        (agents(by=["somebody"]), None),
        (agents(by=[]), None),
    ],
)
def test_the_installer_is_told_by_managers_and_annotations(item: Object, installer: Installer | None) -> None:
    assert installer_of(item) is installer


@pytest.mark.parametrize(
    ("item", "tool"),
    [
        (agents(by=["argocd-controller"]), "Argo CD"),
        (agents(by=["kubectl"], annotations={"argocd.argoproj.io/tracking-id": "x"}), "Argo CD"),
        (agents(annotations=HELM, labels={"helm.toolkit.fluxcd.io/name": "cilium"}), "Flux (HelmRelease)"),
        (agents(by=["kustomize-controller"]), "Flux (Kustomization)"),
        (agents(by=["cert-manager-certificates-issuing"]), "cert-manager"),
    ],
)
def test_what_a_controller_would_do_again_is_refused_by_name(item: Object, tool: str) -> None:
    assert reconciler_of(item) == tool
    error = refusal(survey(agents=item))
    assert error.reason is Reason.FOREIGN_OBJECT
    assert f"DaemonSet kube-system/cilium ({tool} keeps applying it)" in error.message


def test_an_unknown_maker_is_refused_by_name() -> None:
    error = refusal(survey(agents=agents(by=["deployer"])))
    assert error.reason is Reason.FOREIGN_OBJECT
    assert "field manager deployer" in error.message


def test_a_cilium_in_another_namespace_is_refused() -> None:
    key = ObjectKey("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", "cilium")
    binding = thing(key, "kubectl-create", subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "cilium"}])
    error = refusal(survey(more={key: binding}))
    assert error.reason is Reason.FOREIGN_OBJECT
    assert "a Cilium in namespace cilium" in error.message


def test_the_refusal_tells_everything_that_consent_needs() -> None:
    keys = [ObjectKey("batch/v1", "CronJob", "kube-system", "hubble-generate-certs")]
    found = Survey(survey().found, tuple(keys), ("ServiceMonitor",))
    error = require_consent(found)
    assert error.reason is Reason.ADOPTION_REQUIRED
    assert error.terminal
    for text in (
        "helm (release kube-system/cilium) has installed Cilium 1.17.3",
        "DaemonSet kube-system/cilium",
        "CronJob kube-system/hubble-generate-certs",
        "ServiceMonitor",
        "helm -n kube-system status cilium",
    ):
        assert text in error.message
    assert "spec.adopt" in REASONS[error.reason].fix


CRON = ObjectKey("batch/v1", "CronJob", "kube-system", "hubble-generate-certs")
ACCOUNT = ObjectKey("v1", "ServiceAccount", "kube-system", "hubble-generate-certs")
OTHER = ObjectKey("v1", "ServiceAccount", "kube-system", "other")


@pytest.mark.parametrize(
    ("key", "item", "left"),
    [
        (CRON, thing(CRON, "helm", annotations=HELM), True),
        (CRON, thing(CRON, "helm", annotations={**HELM, "meta.helm.sh/release-name": "tetragon"}, labels=PART), False),
        (CRON, thing(CRON, "helm", labels=PART), True),
        (CRON, thing(CRON, "kubectl-create", labels=PART), False),
        (CRON, thing(CRON, "helm", annotations=HELM, ownerReferences=[{"kind": "X"}]), False),
        (CRON, thing(CRON, "helm", annotations=HELM, labels={"argocd.argoproj.io/instance": "x"}), False),
        (OTHER, thing(OTHER, "helm"), False),
    ],
)
def test_leftovers_are_of_the_same_release(key: ObjectKey, item: Object, left: bool) -> None:
    assert is_leftover(item, key, survey()) is left


@pytest.mark.parametrize(
    ("key", "item", "left"),
    [
        (CRON, thing(CRON, "kubectl-create", labels=PART), True),
        (ACCOUNT, thing(ACCOUNT, "kubectl-client-side-apply"), True),
        (OTHER, thing(OTHER, "kubectl-client-side-apply"), False),
        (CRON, thing(CRON, "somebody", labels=PART), False),
        (CRON, thing(CRON, "helm", annotations=HELM), False),
    ],
)
def test_leftovers_of_kubectl_are_named_or_labelled_as_part_of_cilium(key: ObjectKey, item: Object, left: bool) -> None:
    by_kubectl = Survey({AGENTS: agents(by=["kubectl-create"])})
    assert is_leftover(item, key, by_kubectl) is left
