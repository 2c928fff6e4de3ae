{{/* The image of one process: (list $ "agent"). */}}
{{- define "virtfn.image" -}}
{{- $top := index . 0 -}}
{{ $top.Values.image.registry }}/{{ index . 1 }}:{{ $top.Values.image.tag | default $top.Chart.AppVersion }}
{{- end }}

{{/* Labels that select one component's pods; they never change: (list $ "agent"). */}}
{{- define "virtfn.selector" -}}
app.kubernetes.io/name: virtfn
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* All labels of one component: (list $ "agent"). */}}
{{- define "virtfn.labels" -}}
{{- $top := index . 0 -}}
{{ include "virtfn.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ $top.Chart.Name }}-{{ $top.Chart.Version }}
{{- end }}

{{/* What the pods of one component have in common: (dict "top" $ "values" .Values.agent). */}}
{{- define "virtfn.placement" -}}
{{- with .top.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Root on paper only: no capability, nothing to write to but the mounts. */}}
{{- define "virtfn.powerless" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* GET /healthz on the container's port `health`. */}}
{{- define "virtfn.probes" -}}
startupProbe: # five minutes: a slow node is not a dead process
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}
