"""What `cnichain render` writes: manifests with a heading, the same bytes for the same input. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from cnichain import __version__
from cnichain.cli.offline import STANDS_FOR, OfflineRender
from cnichain.render.manifests import Manifest
from cnichain.render.stages import Stage

WIDE = 120


def heading(made: OfflineRender) -> dict[str, str]:
    """What the manifests were made from, and what a cluster would decide otherwise."""
    told = {
        "cnichain": __version__,
        "cilium": f"{made.release.version} (chart {made.rendered.chart_digest})",
        "kubernetes": f"{made.kubernetes} (assumed)",
        "values": made.rendered.values_digest,
    }
    return told | ({"calico": made.calico.version} if made.calico else {})


def documents(made: OfflineRender) -> Iterator[tuple[Stage, tuple[Manifest, ...]]]:
    """The stages that have objects, in order."""
    for stage in Stage:
        if items := made.stages.get(stage):
            yield stage, items


def as_yaml(made: OfflineRender) -> str:
    """All manifests as one stream."""
    head = "".join(f"# {name}: {value}\n" for name, value in heading(made).items())
    notes = "".join(f"# note: {one}\n" for one in made.rendered.notes)
    return head + notes + "".join(stage_text(stage, items) for stage, items in documents(made))


def stage_text(stage: Stage, items: Iterable[Manifest]) -> str:
    """The manifests of one stage as a stream."""
    return "".join(f"---\n# stage: {stage.value}\n{_secret(item)}{_dump(item.body)}" for item in items)


def _secret(item: Manifest) -> str:
    """A comment beside a Secret, for whoever looks for its data."""
    what = (item.body["metadata"].get("annotations") or {}).get(STANDS_FOR)
    return f"# Stands for {what}.\n" if what else ""


def _dump(body: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(body, sort_keys=True, allow_unicode=True, width=WIDE)
    return text


def as_data(made: OfflineRender) -> dict[str, Any]:
    """All manifests for programs, by stage."""
    return {
        **heading(made),
        "notes": list(made.rendered.notes),
        "stages": {stage.value: [item.body for item in items] for stage, items in documents(made)},
    }


def file_names() -> dict[Stage, str]:
    """A file for each stage; their names sort in order of application."""
    return {stage: f"{number}-{stage.value}.yaml" for number, stage in enumerate(Stage, start=1)}
