{{/* The image of one process, by digest if one is set: (list $ "agent"). */}}
{{- define "virtfn.image" -}}
{{- $top := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := $top.Values.image -}}
{{- $registry := required "image.registry is not set: say where your images of virtfn are, like --set image.registry=registry.example/virtfn. There is no default, because one of them runs privileged on every node." $image.registry -}}
{{- with get $image.digests $name -}}
{{ $registry }}/{{ $name }}@{{ . }}
{{- else -}}
{{ $registry }}/{{ $name }}:{{ $image.tag | default $top.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The labels that select one component's pods; they must never change: (list $ "agent"). */}}
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

{{/* The part of a pod's spec that all components share: (dict "top" $ "values" .Values.agent "component" "agent"). */}}
{{- define "virtfn.placement" -}}
serviceAccountName: virtfn-{{ .component }}
automountServiceAccountToken: false # every container of the pod would get it
enableServiceLinks: false
{{- with .top.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .values.tolerations }}
{{- if .top.Values.startupTaint.enabled }}
{{- /* No pod of ours may wait for the taint that our controller removes. */}}
{{- $tolerations = append $tolerations (dict "key" "virtfn.dev/not-ready" "operator" "Exists") }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The mount of the token, for containers that talk to the API server only. */}}
{{- define "virtfn.tokenMount" -}}
{name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{/* The volume of the token. Not 3607 s, Kubernetes' own value: the API server extends exactly that one to a year. */}}
{{- define "virtfn.tokenVolume" -}}
name: token
projected:
  sources:
  - serviceAccountToken: {path: token, expirationSeconds: 3600}
  - configMap:
      name: kube-root-ca.crt
      items:
      - {key: ca.crt, path: ca.crt}
  - downwardAPI:
      items:
      - {path: namespace, fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{/* A security context without capabilities, which can write to nothing but the mounts, even as root. */}}
{{- define "virtfn.powerless" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* GET /healthz on the container's port `health`; another path for readiness: (dict "readiness" "/readyz"). */}}
{{- define "virtfn.probes" -}}
startupProbe: # ten minutes, so that a slow node does not look like a dead process
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  timeoutSeconds: 10
  failureThreshold: 300
livenessProbe: # three minutes: a restart withdraws every pool and makes things worse on a node short of CPU
  httpGet: {path: /healthz, port: health}
  periodSeconds: 30
  timeoutSeconds: 20
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .readiness | default "/healthz" }}, port: health}
  periodSeconds: 10
  timeoutSeconds: 10
{{- end }}

{{/* Whether the API server has ValidatingAdmissionPolicy. `helm template` knows versions only, so the version counts too:
     1.30 has it, and the node's name in a pod's token. */}}
{{- define "virtfn.admission" -}}
{{- $has := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- if or $has (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
yes
{{- end -}}
{{- end }}

{{/* A read-only mount, with the mounts below it where Kubernetes (1.31 and newer) and the runtime can. */}}
{{- define "virtfn.readOnly" -}}
readOnly: true{{ if semverCompare ">=1.31.0-0" .Capabilities.KubeVersion.Version }}, recursiveReadOnly: IfPossible{{ end }}
{{- end }}

{{/* The address at which metrics are served, as a variable of this name: the pod's own, so that no further network of the
     pod, for which NetworkPolicies do not count, leads to them. */}}
{{- define "virtfn.metricsHost" -}}
{name: {{ . }}, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
{{- end }}

{{/* The options of every process for its log, where they are not the defaults. */}}
{{- define "virtfn.logArgs" -}}
{{- if ne .Values.logLevel "info" }}
- --log-level={{ .Values.logLevel }}
{{- end }}
{{- if ne .Values.logFormat "text" }}
- --log-format={{ .Values.logFormat }}
{{- end }}
{{- end }}
