{{- define "quay-rotator.fullname" -}}
{{- if contains "quay-rotator" .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-quay-rotator" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "quay-rotator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "quay-rotator.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "quay-rotator.selector" -}}
app.kubernetes.io/name: quay-rotator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "quay-rotator.labels" -}}
{{ include "quay-rotator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* In CEL: may a target have the label or annotation k? */}}
{{- define "quay-rotator.metadataAllowed" -}}
!k.contains('/') || k.startsWith('app.kubernetes.io/')
{{- range .Values.allowedTargetMetadata }}
{{- if hasSuffix "*" . }} || k.startsWith({{ trimSuffix "*" . | quote }})
{{- else }} || k == {{ quote . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "quay-rotator.rules" -}}
- apiGroups: [quayrotator.dev]
  resources: [robottokenrotations]
  verbs: [get, list, watch]
# The annotations that mark a resource with the cluster that looks after it.
- apiGroups: [quayrotator.dev]
  resources: [robottokenrotations]
  verbs: [patch]
- apiGroups: [quayrotator.dev]
  resources: [quayconnections]
  verbs: [list, watch]
- apiGroups: [quayrotator.dev]
  resources: [robottokenrotations/status, quayconnections/status]
  verbs: [patch]
# Names of the Secrets are the users' choice, so they cannot be listed here. The operator watches those
# with its own label only, reads API tokens and CAs that a QuayConnection names, and writes targets.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
