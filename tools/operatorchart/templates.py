"""The templates of the chart, made from the manifests of deploy/base and deploy/monitoring.

A manifest that is added to deploy/base/kustomization.yaml is in the chart with the next `make generate`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from operatorchart.edits import Block, Edit, Replace, StaleEditError, escaped, only_if

Key = tuple[str, str]
"""Kind and name of an object."""


def _both(name: str) -> list[Edit]:
    """What operator and agent have in common."""
    values = f".Values.{name}"
    optional = f"""\
      {{{{- with {values}.priorityClassName }}}}
      priorityClassName: {{{{ . }}}}
      {{{{- end }}}}
      {{{{- with .Values.imagePullSecrets }}}}
      imagePullSecrets: {{{{- toYaml . | nindent 8 }}}}
      {{{{- end }}}}"""
    labels = rf"""      labels:
        \1
        {{{{- with {values}.podLabels }}}}
        {{{{- toYaml . | nindent 8 }}}}
        {{{{- end }}}}
      {{{{- with {values}.podAnnotations }}}}
      annotations: {{{{- toYaml . | nindent 8 }}}}
      {{{{- end }}}}"""
    env = rf"""\g<0>
            {{{{- include "cnichain.apiEnv" . | nindent 12 }}}}
            {{{{- with {values}.extraEnv }}}}
            {{{{- toYaml . | nindent 12 }}}}
            {{{{- end }}}}"""
    last_env = (
        r"^            - \{name: TMPDIR, .*$"
        if name == "operator"
        else r"^              valueFrom: .*spec\.nodeName.*$"
    )
    return [
        Replace(rf"^      labels: \{{(app\.kubernetes\.io/name: cnichain-{name})\}}$", labels),
        Block("priorityClassName", 6, optional),
        Block("nodeSelector", 6, f"      nodeSelector: {{{{- toYaml {values}.nodeSelector | nindent 8 }}}}"),
        Block("tolerations", 6, f"      tolerations: {{{{- toYaml {values}.tolerations | nindent 8 }}}}"),
        Replace(
            r"^          image: .*$",
            '          image: {{ include "cnichain.image" . }}\n'
            "          {{- with .Values.image.pullPolicy }}\n          imagePullPolicy: {{ . }}\n          {{- end }}",
        ),
        Replace(
            r", (--metrics-port=\d+)\]$",
            rf"{{{{ if .Values.metrics.enabled }}}}, \1{{{{ end }}}}"
            rf'{{{{ include "cnichain.{name}Args" . }}}}'
            rf'{{{{ if ne {values}.logLevel "info" }}}}, --log-level={{{{ {values}.logLevel }}}}{{{{ end }}}}'
            rf"{{{{ range {values}.extraArgs }}}}, {{{{ . | quote }}}}{{{{ end }}}}]",
        ),
        Replace(
            r"^            - \{name: metrics, containerPort: \d+\}$",
            "            {{- if .Values.metrics.enabled }}\n\\g<0>\n            {{- end }}",
        ),
        Replace(last_env, env),
        Block("resources", 10, f"          resources: {{{{- toYaml {values}.resources | nindent 12 }}}}"),
    ]  # fmt: skip


SINCE_1_30 = 'semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version'

EDITS: Mapping[Key, Sequence[Edit]] = {
    ("Deployment", "cnichain-operator"): [
        Replace(r"^  replicas: \d+$", '  replicas: {{ include "cnichain.replicas" . }}'),
        Replace(r"^      hostNetwork: true$", "      hostNetwork: {{ .Values.operator.hostNetwork }}"),
        Replace(
            r"^            - \{name: cache, mountPath: /cache\}$",
            "\\g<0>\n            {{- if .Values.charts.configMap }}\n"
            "            - {name: charts, mountPath: /charts, readOnly: true}\n            {{- end }}",
        ),
        Replace(
            r"^        - \{name: cache, emptyDir: .*\}$",
            "\\g<0>\n        {{- with .Values.charts.configMap }}\n"
            "        - {name: charts, configMap: {name: {{ . }}}}\n        {{- end }}",
        ),
        *_both("operator"),
    ],
    ("DaemonSet", "cnichain-agent"): [
        Replace(r"maxUnavailable: 10%\}", "maxUnavailable: {{ .Values.agent.maxUnavailable }}}"),
        *(
            Replace(
                rf"(\{{name: {volume}, .*), recursiveReadOnly: IfPossible\}}$",
                f"\\1{{{{ if {SINCE_1_30} }}}}, recursiveReadOnly: IfPossible{{{{ end }}}}}}",
            )
            for volume in ("containerd", "crio")
        ),
        *_both("agent"),
    ],
    # helm uninstall would take tigera-operator with it, and with that Calico.
    ("Namespace", "tigera-operator"): [
        Replace(
            r"^metadata: \{name: (.*)\}$", r"metadata:\n  name: \1\n  annotations: {helm.sh/resource-policy: keep}"
        ),
    ],
}
CONDITIONS: Mapping[Key, str] = {
    ("Namespace", "cnichain-system"): ".Values.namespace.create",
    ("Namespace", "tigera-operator"): ".Values.calico.createNamespace",
    ("PodDisruptionBudget", "cnichain-operator"): ".Values.operator.podDisruptionBudget.enabled",
}
FILE_CONDITIONS: Mapping[str, str] = {
    "rbac-calico.yaml": ".Values.calico.enabled",
    "agent-policy.yaml": SINCE_1_30,  # ValidatingAdmissionPolicy v1
}
MONITORING: Mapping[str, str] = {
    "podmonitors.yaml": ".Values.monitoring.podMonitors",
    "prometheusrule.yaml": ".Values.monitoring.prometheusRule",
}


def resources_of(folder: Path) -> list[Path]:
    """The manifests that the kustomization of a folder lists. ValueError when it does more than list them."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    more = set(kustomization) - {"apiVersion", "kind", "resources"}
    if more:
        raise ValueError(
            f"{folder}/kustomization.yaml: {', '.join(sorted(more))} would not be in chart and install.yaml"
        )
    return [folder / name for name in kustomization["resources"]]


def templates(base: Path, monitoring: Path) -> dict[str, str]:
    """The text of each template, by its file's name. Raises StaleEditError naming the manifest and the object."""
    made: dict[str, str] = {}
    used: set[Key] = set()
    for path in resources_of(base):
        text = "---\n".join(_document(path, document, used) for document in documents(path))
        condition = FILE_CONDITIONS.get(path.name)
        made[path.name] = only_if(condition, text) if condition else text
    unused = {*EDITS, *CONDITIONS} - used
    if unused:
        raise StaleEditError(f"no manifest of {base} has {sorted(unused)}")
    for name, values in MONITORING.items():
        made[name] = only_if(f"{values}.enabled", _labelled(monitoring / name, values))
    return made


def documents(path: Path) -> list[str]:
    """The documents of a manifest as text, comments with the one that they are above."""
    return [f"{document.rstrip()}\n" for document in re.split(r"^---\n", path.read_text(encoding="utf-8"), flags=re.M)]


def _document(path: Path, text: str, used: set[Key]) -> str:
    parsed = yaml.safe_load(text)
    key = (parsed["kind"], parsed["metadata"]["name"])
    used.add(key)
    text = escaped(text)
    for edit in EDITS.get(key, ()):
        try:
            text = edit.apply(text)
        except StaleEditError as error:
            raise StaleEditError(f"{path.name}, {' '.join(key)}: {error}; see tools/operatorchart") from error
    return only_if(CONDITIONS[key], text) if key in CONDITIONS else text


def _labelled(path: Path, values: str) -> str:
    """A manifest whose objects take more labels."""
    made = []
    for document in documents(path):
        parsed = yaml.safe_load(document)
        lines = [f"    {key}: {value}\n" for key, value in parsed["metadata"]["labels"].items()]
        extra = f"    {{{{- with {values}.labels }}}}\n    {{{{- toYaml . | nindent 4 }}}}\n    {{{{- end }}}}"
        made.append(Block("labels", 2, f"  labels:\n{''.join(lines)}{extra}").apply(escaped(document)))
    return "---\n".join(made)
