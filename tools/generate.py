"""The one command that writes the generated files: `make generate`. With --check it fails when one is stale."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cnichain.api.crd import chain_crd, node_crd, render
from cnichain.api.reasons import REASONS
from cnichain.catalogue.load import CONFIG_MAP, CONFIG_MAP_KEY, builtin_catalogue
from cnichain.catalogue.table import matched, minors, span, traps
from cnichain.catalogue.verdict import Level
from monitoring.dashboards import DASHBOARDS, as_json
from monitoring.page import metrics_page
from monitoring.rules import prometheus_rule
from operatorchart.chart import chart_files, install_yaml
from permissions_page import permissions_page
from resource_page import resource_page

ROOT = Path(__file__).resolve().parent.parent


def reasons_page() -> str:
    """docs/reasons.md: every reason code with its cause and fix."""
    lines = [
        "<!-- Generated from operator/cnichain/api/reasons.py by `make generate`; do not edit. -->",
        "# Reason codes",
        "",
        "Conditions, events and messages carry these codes. *Stalled* marks those that cannot heal by themselves.",
        "",
    ]
    for reason, info in sorted(REASONS.items(), key=lambda item: item[0].value):
        kind = "Stalled" if info.terminal else "warning" if info.warning else "normal"
        lines += [f"## {reason.value}", "", f"*{kind}*", "", f"**Cause.** {info.cause}", "", f"**Fix.** {info.fix}", ""]
    return "\n".join(lines)


COMPATIBILITY_HEAD = f"""\
<!-- Generated from operator/cnichain/catalogue by `make generate`; do not edit. -->
# Compatibility

What this release installs, and what it knows of the parts. `cnichain catalogue` prints the same.

- **Supported**: someone upstream tests it.
- **Untested**: nobody is known to test it. A warning in `PreflightPassed`; nothing is held back.
- **Refused**: it is known to break the network. Nothing is applied, and `Stalled` carries the reason.

A fact that cannot be read refuses nothing.

To add a version or a pair without a new release, put entries of the form that `cnichain catalogue -o yaml` prints into
the key `{CONFIG_MAP_KEY}` of the ConfigMap `{CONFIG_MAP}` in the operator's namespace. An entry of the same version,
minor, plugin or name replaces the one here. A ConfigMap that cannot be read is left aside as a whole; the condition
`CatalogueValid` names the field. The file option `--catalogue` of the operator takes the same form.
"""


def compatibility_page() -> str:
    """docs/compatibility.md: the catalogue in the package."""
    known = builtin_catalogue()
    lines = [COMPATIBILITY_HEAD, "## Cilium", ""]
    lines += _table("Version", "Kubernetes", "EKS behind the VPC CNI", "Oldest kernel", "Upstream", "Chart sha256")
    for minor in known.known_minors:
        tested = minors(minor.kubernetes), minors(minor.eks)
        lines.append(_row(f"{minor.minor}.x", *tested, minor.kernel, "ended", "to upgrade from only"))
    for item in known.cilium:
        upstream = "maintained" if item.maintained else "ended"
        tested = minors(item.kubernetes), minors(item.eks)
        lines.append(_row(item.version, *tested, item.kernel, upstream, f"`{item.chart_sha256}`"))
    lines += ["", "## Calico", "", *_table("Version", "Kubernetes", "Operator", "Manifest", "sha256")]
    for calico in known.calico:
        for name, digest in calico.manifests.items():
            tested_on = f"[{minors(calico.kubernetes)}]({calico.kubernetes_source})"
            lines.append(_row(calico.version, tested_on, f"`{calico.operator}`", f"`{name}`", f"`{digest}`"))
    lines += ["", "## Primary CNI", "", *_table("Plugin", "Floor", "Recommended", "Newest known", "Refused versions")]
    for plugin, rule in known.primaries.items():
        avoided = "; ".join(f"{version}: {why}" for version, why in rule.avoid.items()) or "-"
        lines.append(_row(plugin.value, rule.floor, rule.recommended_minimum, rule.newest or "-", avoided))
    lines += ["", "## Traps of versions", "", *_table("Of", "Versions", "Verdict", "What", "Source")]
    for owner, trap in traps(known):
        verdict = "note" if trap.level is Level.SUPPORTED else trap.level.value
        lines.append(_row(owner, span(trap), verdict, trap.text, f"[source]({trap.source})"))
    lines += ["", "## Parts that do not go together", "", *_table("When", "Verdict", "Reason", "What", "Source")]
    for pair in known.pairs:
        reason = f"[{pair.reason.value}](reasons.md#{pair.reason.value.lower()})"
        lines.append(_row(matched(pair), pair.level.value, reason, pair.text, f"[source]({pair.source})"))
    return "\n".join(lines) + "\n"


def _table(*head: str) -> list[str]:
    return [_row(*head), _row(*("---" for _ in head))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


ARGOCD_HEAD = """\
# Generated from resource_customizations by `make generate`; do not edit.
# Health checks and actions of Argo CD for CNIChain and CNIChainNode, to merge into the ConfigMap argocd-cm.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
data:
"""
ARGOCD = ROOT / "deploy" / "argocd"
MONITORING = ROOT / "deploy" / "monitoring"


def argocd_cm() -> str:
    """deploy/argocd/argocd-cm.yaml: each script under the key that Argo CD looks for."""
    text = ARGOCD_HEAD
    for script in sorted(ARGOCD.glob("resource_customizations/*/*/health.lua")):
        group, kind = script.parts[-3:-1]
        text += f"  resource.customizations.health.{group}_{kind}: |\n{_indented(script, 4)}"
    for discovery in sorted(ARGOCD.glob("resource_customizations/*/*/actions/discovery.lua")):
        group, kind = discovery.parts[-4:-2]
        text += f"  resource.customizations.actions.{group}_{kind}: |\n"
        text += f"    discovery.lua: |\n{_indented(discovery, 6)}    definitions:\n"
        for action in sorted(discovery.parent.glob("*/action.lua")):
            text += f"    - name: {action.parent.name}\n      action.lua: |\n{_indented(action, 8)}"
    return text


def _indented(script: Path, spaces: int) -> str:
    lines = script.read_text(encoding="utf-8").splitlines()
    return "".join(f"{' ' * spaces}{line}\n" if line else "\n" for line in lines)


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold."""
    for crd in (chain_crd(), node_crd()):
        yield ROOT / "crds" / f"{crd['metadata']['name']}.yaml", render(crd)
    yield ROOT / "docs" / "reasons.md", reasons_page()
    yield ROOT / "docs" / "compatibility.md", compatibility_page()
    yield ROOT / "docs" / "resource.md", resource_page()
    yield ROOT / "docs" / "permissions.md", permissions_page(ROOT / "deploy" / "base")
    yield ARGOCD / "argocd-cm.yaml", argocd_cm()
    yield ROOT / "docs" / "metrics.md", metrics_page()
    yield MONITORING / "prometheusrule.yaml", prometheus_rule()
    for dashboard in DASHBOARDS:
        yield MONITORING / "dashboards" / f"{dashboard.uid}.json", as_json(dashboard)
    yield from chart_files(ROOT)
    yield ROOT / "deploy" / "install.yaml", install_yaml(ROOT)


def main() -> int:
    """Write the files, or with --check say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args().check
    stale = [path for path, text in generated() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in generated():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
