{{/* The containers of a pod. deploy/deployment/deployment.yaml and deploy/components say why each line is there. */}}

{{- define "kepmd.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "kepmd.readiness" -}}
readinessProbe:
  httpGet: {path: /readyz, port: status}
  periodSeconds: 2
{{- end }}

{{- define "kepmd.sidecar" -}}
- name: epmd
  image: {{ printf "%s:%s" (.Values.kepmd.image.repository | default "kepmd") .Values.kepmd.image.tag }}
  imagePullPolicy: {{ .Values.kepmd.image.pullPolicy }}
  args: []
  {{- if include "kepmd.isNative" . }}
  restartPolicy: Always
  # Until it listens, the release is not started.
  startupProbe:
    httpGet: {path: /livez, port: status}
    periodSeconds: 1
    failureThreshold: 60
  {{- end }}
  ports:
  - {name: epmd, containerPort: 4369, protocol: TCP}
  - {name: status, containerPort: {{ .Values.status.port }}, protocol: TCP}
  env:
  {{- include "kepmd.settings" . | nindent 2 }}
  volumeMounts: [{name: cookie, mountPath: /run/secrets/kepmd, readOnly: true}]
  livenessProbe:
    httpGet: {path: /livez, port: status}
    periodSeconds: 10
  {{- include "kepmd.readiness" . | nindent 2 }}
  {{- include "kepmd.restricted" . | nindent 2 }}
  resources: {{ toJson .Values.kepmd.resources }}
{{- end }}

{{- define "kepmd.copy" -}}
- name: kepmd-copy
  image: {{ printf "%s:%s" (.Values.kepmd.image.repository | default "kepmd-copy") .Values.kepmd.image.tag }}
  imagePullPolicy: {{ .Values.kepmd.image.pullPolicy }}
  command: [cp, /epmd, /kepmd/epmd]
  volumeMounts: [{name: kepmd, mountPath: /kepmd}]
  {{- include "kepmd.restricted" . | nindent 2 }}
  resources: {{ toJson .Values.kepmd.resources }}
{{- end }}

{{- define "kepmd.release" -}}
{{- $sidecar := include "kepmd.isSidecar" . -}}
{{- $copied := eq .Values.kepmd.mode "initContainer" -}}
- name: {{ include "kepmd.name" . }}
  image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if $copied }}
  command: [/bin/sh, -c, {{ printf "/kepmd/epmd -daemon && exec %s" .Values.start | quote }}]
  {{- end }}
  ports:
  {{- if not $sidecar }}
  - {name: epmd, containerPort: 4369, protocol: TCP}
  {{- end }}
  - {name: dist, containerPort: {{ .Values.distribution.port }}, protocol: TCP}
  {{- if and .Values.status.enabled (not $sidecar) }}
  - {name: status, containerPort: {{ .Values.status.port }}, protocol: TCP}
  {{- end }}
  {{- with .Values.ports }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  env:
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  {{- if eq .Values.kind "StatefulSet" }}
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  {{- end }}
  - {name: RELEASE_DISTRIBUTION, value: name}
  {{- if eq .Values.kind "StatefulSet" }}
  - {name: RELEASE_NODE, value: "{{ include "kepmd.basename" . }}@$(POD_NAME).{{ include "kepmd.name" . }}.$(POD_NAMESPACE).svc.{{ .Values.discovery.clusterDomain }}"}
  {{- else }}
  - {name: RELEASE_NODE, value: "{{ include "kepmd.basename" . }}@$(POD_IP)"}
  {{- end }}
  - {name: RELEASE_COOKIE, valueFrom: {secretKeyRef: {name: {{ include "kepmd.secret" . }}, key: {{ .Values.cookie.key }}}}}
  {{- if not $sidecar }}
  {{- include "kepmd.settings" . | nindent 2 }}
  {{- end }}
  - {name: ERL_AFLAGS, value: {{ include "kepmd.flags" . | quote }}}
  - {name: HOME, value: /tmp}
  - {name: RELEASE_TMP, value: /tmp}
  - {name: ERL_CRASH_DUMP, value: /tmp/erl_crash.dump}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.envFrom }}
  envFrom: {{ toJson . }}
  {{- end }}
  volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if $copied }}
  - {name: kepmd, mountPath: /kepmd, readOnly: true}
  {{- end }}
  {{- with .Values.livenessProbe }}
  livenessProbe: {{ toJson . }}
  {{- end }}
  {{- if .Values.readinessProbe }}
  readinessProbe: {{ toJson .Values.readinessProbe }}
  {{- else if and .Values.status.enabled (not $sidecar) }}
  {{- include "kepmd.readiness" . | nindent 2 }}
  {{- end }}
  {{- include "kepmd.restricted" . | nindent 2 }}
  resources: {{ toJson .Values.resources }}
{{- end }}

{{- define "kepmd.pod" -}}
{{- $sidecar := include "kepmd.isSidecar" . -}}
{{- $native := and $sidecar (include "kepmd.isNative" .) -}}
{{- $copied := eq .Values.kepmd.mode "initContainer" -}}
metadata:
  labels:
    app: {{ include "kepmd.name" . }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations: {{ toJson . }}
  {{- end }}
spec:
  serviceAccountName: {{ include "kepmd.account" . }}
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ int64 .Values.user }}
    runAsGroup: {{ int64 .Values.user }}
    fsGroup: {{ int64 .Values.user }}
    seccompProfile: {type: RuntimeDefault}
  {{- if or $native $copied }}
  initContainers:
  {{- if $copied }}
  {{- include "kepmd.copy" . | nindent 2 }}
  {{- else }}
  {{- include "kepmd.sidecar" . | nindent 2 }}
  {{- end }}
  {{- end }}
  containers:
  {{- if and $sidecar (not $native) }}
  {{- include "kepmd.sidecar" . | nindent 2 }}
  {{- end }}
  {{- include "kepmd.release" . | nindent 2 }}
  volumes:
  - {name: tmp, emptyDir: {}}
  {{- if $sidecar }}
  - name: cookie
    secret: {secretName: {{ include "kepmd.secret" . }}, defaultMode: 0440, items: [{key: {{ .Values.cookie.key }}, path: cookie}]}
  {{- end }}
  {{- if $copied }}
  - {name: kepmd, emptyDir: {sizeLimit: 16Mi}}
  {{- end }}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $.Values $key }}
  {{ $key }}: {{ toJson . }}
  {{- end }}
  {{- end }}
  {{- if not (kindIs "invalid" .Values.terminationGracePeriodSeconds) }}
  terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
  {{- end }}
{{- end }}
