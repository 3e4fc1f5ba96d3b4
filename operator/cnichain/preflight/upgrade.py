"""Is the step from the installed Cilium to the wanted one a step that Cilium tests? Pure.

Source: Cilium's upgrade guide (Documentation/operations/upgrade.rst): only from one minor to the next, or back by one.
"""

from cnichain.api.errors import ChainError
from cnichain.api.reasons import Reason
from cnichain.catalogue.model import parse_version


def check_step(installed: str, wanted: str) -> None:
    """Raise ChainError(UpgradeSkipsMinor) when a minor would be skipped; installed is empty when there is none yet."""
    old, new = parse_version(installed), parse_version(wanted)
    if old is None or new is None:
        return
    if old[0] == new[0] and abs(new[1] - old[1]) <= 1:
        return
    step = 1 if new > old else -1
    raise ChainError(
        Reason.UPGRADE_SKIPS_MINOR,
        f"spec.cilium.version: from {installed} to {wanted} skips a minor. Go to {old[0]}.{old[1] + step} first.",
    )
