{{/* Generated from tools/operatorchart by `make generate`; do not edit. */}}
{{- define "cnichain.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "cnichain.replicas" -}}
{{ ternary 1 .Values.operator.replicas .Values.oneNode }}
{{- end }}

{{- define "cnichain.apiEnv" -}}
{{- with .Values.kubernetesApi.host -}}
- {name: KUBERNETES_SERVICE_HOST, value: {{ . | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ $.Values.kubernetesApi.port | quote }}}
{{- end -}}
{{- end }}

{{- define "cnichain.operatorArgs" -}}
{{- if .Values.charts.configMap }}, --chart-dir=/charts{{ end }}
{{- with .Values.charts.dir }}, {{ printf "--chart-dir=%s" . | quote }}{{ end }}
{{- with .Values.charts.repository }}, {{ printf "--chart-repository=%s" . | quote }}{{ end }}
{{- if not .Values.leaderElection.enabled }}, --leader-elect=false{{ end }}
{{- end }}

{{- define "cnichain.agentArgs" -}}
{{- end }}
