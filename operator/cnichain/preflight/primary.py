"""Is the primary CNI there, and new enough to chain after? Read-only; pure but for what it is given."""

import re
from collections.abc import Mapping
from typing import Any

from cnichain.api.chain import CNIChainSpec
from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import PrimaryRule, parse_version

VERSION_LABEL = "app.kubernetes.io/version"
TAG = re.compile(r":([^:/@]+)(?:@sha256:[0-9a-f]{64})?$")


def container_of(daemon_set: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A container of a DaemonSet, an init container too; empty when there is no such container."""
    pod = daemon_set.get("spec", {}).get("template", {}).get("spec", {})
    both = [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]
    found: Mapping[str, Any] = next((item for item in both if item.get("name") == name), {})
    return found


def image_of(daemon_set: Mapping[str, Any], container: str) -> str:
    """The image of a container of a DaemonSet; empty when there is no such container."""
    return str(container_of(daemon_set, container).get("image", ""))


def environment_of(daemon_set: Mapping[str, Any], container: str) -> dict[str, str]:
    """The variables of a container that have a plain value; those that come from elsewhere are left out."""
    variables = container_of(daemon_set, container).get("env") or []
    return {str(item["name"]): str(item["value"]) for item in variables if item.get("value") is not None}


def arguments_of(daemon_set: Mapping[str, Any], container: str) -> list[str]:
    """Command and arguments of a container."""
    found = container_of(daemon_set, container)
    return [str(item) for item in [*(found.get("command") or []), *(found.get("args") or [])]]


def version_of(daemon_set: Mapping[str, Any], container: str) -> str | None:
    """The primary's version as its image's tag says (v1.18.5-eksbuild.1), else as the version label does.

    None when neither holds a version, as with an image that is named by digest alone.
    """
    tag = TAG.search(image_of(daemon_set, container))
    candidates = [tag.group(1) if tag else "", (daemon_set["metadata"].get("labels") or {}).get(VERSION_LABEL, "")]
    return next((text for text in candidates if parse_version(text)), None)


def check_primary(rule: PrimaryRule, spec: CNIChainSpec, daemon_set: Mapping[str, Any] | None) -> str:
    """The primary's version, when the chain may go after it.

    Raises ChainError: PrimaryNotFound, PrimaryVersionUnknown or PrimaryTooOld.
    """
    where = f"DaemonSet {rule.namespace}/{rule.daemon_set}"
    if daemon_set is None:
        raise ChainError(
            Reason.PRIMARY_NOT_FOUND, f"spec.primary.plugin is {spec.primary.plugin.value}, but there is no {where}."
        )
    text = version_of(daemon_set, rule.container)
    version = parse_version(text or "")
    if text is None or version is None:
        image = image_of(daemon_set, rule.container) or f"(no container {rule.container})"
        raise ChainError(Reason.PRIMARY_VERSION_UNKNOWN, f"{where} runs image {image}, which names no version.")
    for minimum, why in (
        (rule.floor, "the oldest that Cilium documents for chaining"),
        (spec.primary.min_version or rule.recommended_minimum, "spec.primary.minVersion, or the catalogue's minimum"),
    ):
        if version < (parse_version(minimum) or version):
            raise ChainError(Reason.PRIMARY_TOO_OLD, f"{where} runs {text}, older than {minimum} ({why}).")
    if reason := rule.avoid.get(".".join(map(str, version))):
        raise ChainError(Reason.PRIMARY_TOO_OLD, f"{where} runs {text}, which cannot be chained: {reason}.")
    return text
