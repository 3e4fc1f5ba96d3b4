"""Which charts the demo uses: a folder that is named or lies beside the repository, the official repository, or, where
none can be reached, a small stand-in that is packed from demo/chart."""

import gzip
import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from cnichain.reconcile.settings import OFFICIAL_CHART_REPOSITORY

ROOT = Path(__file__).resolve().parent.parent
REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Charts:
    """What the operator is given, and what the demo says about it.

    folder: where charts are taken from, None for the official repository. catalogue: extra entries, or None.
    """

    folder: Path | None
    catalogue: Path | None
    said: str


def find_charts(version: str, work: Path, *, stand_in: bool = False) -> Charts:
    """The charts for a Cilium version; stand_in: do not look for the official one.

    Raises FileNotFoundError when CHART_DIR names a folder without the chart.
    """
    archive = f"cilium-{version}.tgz"
    if stand_in:
        return Charts(
            work, pack_stand_in(version, work), "A STAND-IN CHART from demo/chart, as asked. It is not Cilium."
        )
    if named := os.environ.get("CHART_DIR"):
        if not (Path(named) / archive).is_file():
            raise FileNotFoundError(f"CHART_DIR is {named}, but there is no {archive} in it.")
        return Charts(Path(named), None, f"the official chart from CHART_DIR ({named})")
    beside = ROOT.parent / "shared" / "charts"
    if (beside / archive).is_file():
        return Charts(beside, None, "the official chart from ../shared/charts")
    if _reachable(OFFICIAL_CHART_REPOSITORY + archive):
        return Charts(None, None, f"the official chart from {OFFICIAL_CHART_REPOSITORY}")
    said = "A STAND-IN CHART from demo/chart: no official chart could be reached. What runs is not Cilium."
    return Charts(work, pack_stand_in(version, work), said)


def _reachable(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a constant https URL
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS) as answer:  # noqa: S310 - a constant https URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, OSError):
        return False


def pack_stand_in(version: str, work: Path) -> Path:
    """Pack demo/chart as the chart of a version and write the catalogue entry that pins it; the entry's path."""
    data = io.BytesIO()
    source = ROOT / "demo" / "chart"
    with (
        gzip.GzipFile(fileobj=data, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for path in sorted(item for item in source.rglob("*") if item.is_file()):
            text = path.read_text(encoding="utf-8")
            if path.name == "Chart.yaml":
                text = text.replace("version: 0.0.0", f"version: {version}")
            member = tarfile.TarInfo(f"cilium/{path.relative_to(source)}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    work.mkdir(parents=True, exist_ok=True)
    (work / f"cilium-{version}.tgz").write_bytes(data.getvalue())
    entry = {
        "version": version,
        "source": "stand-in",
        "chartSha256": hashlib.sha256(data.getvalue()).hexdigest(),
        "kubernetes": {"min": "1.29", "max": "1.36"},
        "kernel": "5.4",
    }
    catalogue = work / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump({"cilium": [entry]}), encoding="utf-8")
    return catalogue
