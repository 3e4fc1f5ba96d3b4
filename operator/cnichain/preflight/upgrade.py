"""Is the step from the installed Cilium to the wanted one a step that Cilium tests? Pure.

Source: Cilium's upgrade guide (Documentation/operations/upgrade.rst): only from one minor to the next, or back by one,
and upwards only from the latest patch.
"""

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import Catalogue, parse_version


def check_step(installed: str, wanted: str, catalogue: Catalogue) -> None:
    """Raise ChainError for a step that is not tested; installed is empty when there is no Cilium yet.

    UpgradeSkipsMinor: a minor would be skipped. LatestPatchFirst: to a newer minor, but not from the latest patch that
    the catalogue has of the older one.
    """
    old, new = parse_version(installed), parse_version(wanted)
    if old is None or new is None:
        return
    if old[0] != new[0] or abs(new[1] - old[1]) > 1:
        step = 1 if new > old else -1
        raise ChainError(
            Reason.UPGRADE_SKIPS_MINOR,
            f"spec.cilium.version: from {installed} to {wanted} skips a minor. Go to {old[0]}.{old[1] + step} first.",
        )
    known = [version for item in catalogue.cilium if (version := parse_version(item.version)) is not None]
    latest = max((version for version in known if version[:2] == old[:2]), default=old)
    if new[1] > old[1] and latest > old:
        patch = ".".join(map(str, latest))
        raise ChainError(
            Reason.LATEST_PATCH_FIRST,
            f"spec.cilium.version: from {installed} to {wanted} is a step to another minor. Go to {patch} first, the "
            f"latest patch of {old[0]}.{old[1]}.",
        )


def is_older(version: str, than: str) -> bool:
    """Whether a version is older than another one; False when either is none."""
    left, right = parse_version(version), parse_version(than)
    return left is not None and right is not None and left < right
