{{/* The image of one process, by digest where one is given: (list $ "agent"). */}}
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

{{/* What the pods of one component have in common: (dict "top" $ "values" .Values.agent "component" "agent"). */}}
{{- define "virtfn.placement" -}}
serviceAccountName: virtfn-{{ .component }}
automountServiceAccountToken: false # it would be in every container of the pod
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
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a container that speaks to the API server mounts, and no other does. */}}
{{- define "virtfn.tokenMount" -}}
{name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{/* Its volume. Not 3607 s, which Kubernetes itself mounts: the API server makes a year of exactly that number. */}}
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
startupProbe: # ten minutes: a slow node is not a dead process
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  timeoutSeconds: 10
  failureThreshold: 300
livenessProbe: # three minutes: on a node short of CPU a restart makes it worse, and withdraws every pool
  httpGet: {path: /healthz, port: health}
  periodSeconds: 30
  timeoutSeconds: 20
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 10
{{- end }}

{{/* Whether the API server has ValidatingAdmissionPolicy. `helm template` knows versions only, so the version counts, too:
     it is there since 1.30, and so is the node's name in a pod's token. */}}
{{- define "virtfn.admission" -}}
{{- $has := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- if or $has (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
yes
{{- end -}}
{{- end }}

{{/* Read-only for what is mounted below it, too, where Kubernetes knows how (1.31 and newer) and the runtime does. */}}
{{- define "virtfn.readOnly" -}}
readOnly: true{{ if semverCompare ">=1.31.0-0" .Capabilities.KubeVersion.Version }}, recursiveReadOnly: IfPossible{{ end }}
{{- end }}
