{{/* What things are called, and what epmd is told. */}}

{{- define "kepmd.name" -}}
{{ .Values.name | default .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "kepmd.labels" -}}
app: {{ include "kepmd.name" . }}
app.kubernetes.io/name: {{ include "kepmd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "kepmd.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "kepmd.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "kepmd.role" -}}
{{ include "kepmd.name" . }}-epmd-discovery
{{- end }}

{{- define "kepmd.secret" -}}
{{ .Values.cookie.existingSecret | default (include "kepmd.name" .) }}
{{- end }}

{{- define "kepmd.basename" -}}
{{ .Values.discovery.basename | default (include "kepmd.name" .) }}
{{- end }}

{{- define "kepmd.namespaces" -}}
{{ .Values.discovery.namespaces | default (list .Release.Namespace) | toJson }}
{{- end }}

{{- define "kepmd.isSidecar" -}}
{{ if eq .Values.kepmd.mode "sidecar" }}yes{{ end }}
{{- end }}

{{- define "kepmd.isNative" -}}
{{- if kindIs "bool" .Values.kepmd.native -}}
{{ if .Values.kepmd.native }}yes{{ end }}
{{- else -}}
{{ if semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version }}yes{{ end }}
{{- end -}}
{{- end }}

{{- define "kepmd.hasStatus" -}}
{{ if or .Values.status.enabled (include "kepmd.isSidecar" .) }}yes{{ end }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "kepmd.check" -}}
{{- if and .Values.discovery.selector .Values.discovery.service -}}
{{ fail "discovery.selector and discovery.service are both set: give one of them" }}
{{- end -}}
{{- if not (or .Values.service.create .Values.discovery.selector .Values.discovery.service) -}}
{{ fail "service.create is false: say by discovery.selector or discovery.service whose endpoints are the peers" }}
{{- end -}}
{{- if and (eq .Values.kind "StatefulSet") (not .Values.service.create) -}}
{{ fail "service.create is false, but a StatefulSet needs the Service for its pods' host names" }}
{{- end -}}
{{- if and .Values.cookie.value .Values.cookie.existingSecret -}}
{{ fail "cookie.value and cookie.existingSecret are both set: give one of them" }}
{{- end -}}
{{- if lt (int .Values.distribution.lastPort) (int .Values.distribution.port) -}}
{{ fail "distribution.lastPort is below distribution.port" }}
{{- end -}}
{{- end }}

{{/* epmd's settings, wherever it runs. */}}
{{- define "kepmd.settings" -}}
- {name: ERL_EPMD_DISCOVERY, value: kubernetes}
{{- if .Values.discovery.service }}
- {name: ERL_EPMD_SERVICE, value: {{ .Values.discovery.service | quote }}}
{{- else }}
- {name: ERL_EPMD_SELECTOR, value: {{ .Values.discovery.selector | default (printf "app=%s" (include "kepmd.name" .)) | quote }}}
{{- end }}
{{- with .Values.discovery.namespaces }}
- {name: ERL_EPMD_NAMESPACE, value: {{ join "," . | quote }}}
{{- end }}
{{- if include "kepmd.isSidecar" . }}
# What it would take from RELEASE_NODE and RELEASE_COOKIE, which are the other container's.
- {name: ERL_EPMD_BASENAME, value: {{ include "kepmd.basename" . | quote }}}
- {name: ERL_EPMD_COOKIE_FILE, value: /run/secrets/kepmd/cookie}
{{- if eq .Values.kind "StatefulSet" }}
- {name: ERL_EPMD_HOST_MODE, value: hostname}
{{- end }}
{{- end }}
{{- /* To YAML, on and off without quotes are true and false. */}}
{{- $join := .Values.discovery.join }}
{{- if kindIs "bool" $join }}
- {name: ERL_EPMD_JOIN, value: {{ ternary "on" "off" $join | quote }}}
{{- else if $join }}
- {name: ERL_EPMD_JOIN, value: {{ $join | quote }}}
{{- end }}
{{- if ne .Values.discovery.clusterDomain "cluster.local" }}
- {name: ERL_EPMD_CLUSTER_DOMAIN, value: {{ .Values.discovery.clusterDomain | quote }}}
{{- end }}
{{- with .Values.discovery.logFormat }}
- {name: ERL_EPMD_LOG_FORMAT, value: {{ . }}}
{{- end }}
{{- if include "kepmd.hasStatus" . }}
- {name: ERL_EPMD_STATUS_ADDRESS, value: {{ printf ":%d" (int .Values.status.port) | quote }}}
{{- end }}
{{- end }}

{{/* The first port is the node's; the others are for what runs a VM beside it, as `bin/sample rpc` does. */}}
{{- define "kepmd.flags" -}}
{{- if include "kepmd.isSidecar" . }}-start_epmd false {{ end -}}
-kernel inet_dist_listen_min {{ .Values.distribution.port }} inet_dist_listen_max {{ .Values.distribution.lastPort }}
{{- with .Values.distribution.flags }} {{ . }}{{ end }}
{{- end }}
