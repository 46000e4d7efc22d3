{{/* The value of the label app.kubernetes.io/name. */}}
{{- define "quay-rotator.name" -}}
{{ .Values.nameOverride | default "quay-rotator" }}
{{- end }}

{{/*
The name of what is in the release's namespace, also of a Service: a label that begins with a letter,
while a release may be called 123 or on.off.
*/}}
{{- define "quay-rotator.fullname" -}}
{{- $name := include "quay-rotator.name" . }}
{{- $release := .Release.Name | replace "." "-" }}
{{- $full := ternary $release (printf "%s-%s" $release $name) (contains $name $release) }}
{{- if not (regexMatch "^[a-z]" $full) }}{{ $full = printf "%s-%s" $name $release }}{{ end }}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of what belongs to the whole cluster: releases of one name in two namespaces share none. */}}
{{- define "quay-rotator.clusterName" -}}
{{ include "quay-rotator.fullname" . }}.{{ .Release.Namespace }}
{{- end }}

{{- define "quay-rotator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "quay-rotator.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "quay-rotator.lease" -}}
{{ .Values.leaderElection.id | default (include "quay-rotator.fullname" .) }}
{{- end }}

{{/* Versions may have a +, and be long (Flux adds the digest of what it built); a label's value may not. */}}
{{- define "quay-rotator.labelValue" -}}
{{ regexReplaceAll "[^A-Za-z0-9_.-]" . "_" | trunc 63 | regexFind "^.*[A-Za-z0-9]" }}
{{- end }}

{{- define "quay-rotator.selector" -}}
{{- dict "app.kubernetes.io/name" (include "quay-rotator.name" .) "app.kubernetes.io/instance" .Release.Name | toYaml }}
{{- end }}

{{/* Of everything; what commonLabels say, ours cannot be overridden. */}}
{{- define "quay-rotator.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/version" (include "quay-rotator.labelValue" .Chart.AppVersion)
  "helm.sh/chart" (include "quay-rotator.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version)) }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $ours (include "quay-rotator.selector" . | fromYaml) | toYaml }}
{{- end }}

{{- define "quay-rotator.podLabels" -}}
{{- mergeOverwrite (deepCopy .Values.podLabels) (include "quay-rotator.labels" . | fromYaml) | toYaml }}
{{- end }}

{{- define "quay-rotator.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default (.Chart.AppVersion | replace "+" "_") }}
{{- end }}
{{- end }}

{{/* Admission policies came with Kubernetes 1.30. */}}
{{- define "quay-rotator.hasPolicies" -}}
{{ ternary "true" "" (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
{{- end }}

{{/* As the API server fills in. Written out, or who applies them anew would see a difference for ever. */}}
{{- define "quay-rotator.matchDefaults" -}}
matchPolicy: Equivalent
namespaceSelector: {}
objectSelector: {}
{{- end }}

{{/* The metadata's annotations of a CRD. */}}
{{- define "quay-rotator.crdAnnotations" -}}
{{- if .Values.crds.keep -}}
helm.sh/resource-policy: keep
{{- else -}}
quayrotator.dev/allow-deletion: "true"
{{- end }}
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
# with its own label only, reads API tokens and CAs that a QuayConnection names, and writes targets: no
# others, says the policy in operator-policy.yaml.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.federate.enabled }}
# Which of them, says their own annotation.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
{{- end }}
