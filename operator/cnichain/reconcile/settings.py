"""What the operator process was started with."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cnichain.api.names import SYSTEM_NAMESPACE
from cnichain.render.rotation import DEFAULT_WAIT

OFFICIAL_CHART_REPOSITORY = "https://helm.cilium.io/"
OFFICIAL_CALICO_REPOSITORY = "https://raw.githubusercontent.com/projectcalico/calico/"
"""Under it, vVERSION/manifests/ holds a release's manifests."""


@dataclass(frozen=True)
class Settings:
    """Process settings, from flags and environment; the same for every pass.

    chart_dir: folder of chart archives and of Calico's manifests, None to fetch them from chart_repository and
    calico_repository. helm: path or name of the program.
    catalogue: a file that adds to or overrides the catalogue. resync_seconds: a full look even if nothing woke us.
    rotation_wait: how long every step of replacing the CA lasts at least, so that the pods have the files of it.
    coverage_seconds: pods are counted this often; an unmanaged one is older than twice this, and was seen so twice.
    overhead_seconds: the cost of the chain is measured this often at most, in passes that are made anyway.
    """

    cache_dir: Path
    chart_dir: Path | None = None
    chart_repository: str = OFFICIAL_CHART_REPOSITORY
    calico_repository: str = OFFICIAL_CALICO_REPOSITORY
    helm: str = "helm"
    catalogue: Path | None = None
    namespace: str = SYSTEM_NAMESPACE
    resync_seconds: float = 600.0
    rotation_wait: timedelta = DEFAULT_WAIT
    coverage_seconds: float = 30.0
    overhead_seconds: float = 600.0
    instance: str = "cnichain-operator"
