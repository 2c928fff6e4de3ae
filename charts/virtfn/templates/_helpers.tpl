{{/* The beginning of the objects' names. No release is part of it, because a cluster has one virtfn. */}}
{{- define "virtfn.fullname" -}}
{{ coalesce .Values.fullnameOverride .Values.nameOverride "virtfn" }}
{{- end }}

{{/* The name of one component's objects: (list $ "agent"). */}}
{{- define "virtfn.object" -}}
{{ include "virtfn.fullname" (index . 0) }}-{{ index . 1 }}
{{- end }}

{{/* The values of one process by the name of its image, as YAML: (list $ "agent"). The boot unit has no image. */}}
{{- define "virtfn.process" -}}
{{- $values := (index . 0).Values -}}
{{- $processes := dict "controller" $values.controller "agent" $values.agent "host" $values.agent.host "deviceplugin" $values.devicePlugin "bootunit" $values.bootUnit -}}
{{- get $processes (index . 1) | required (printf "the chart has no process %s" (index . 1)) | toYaml -}}
{{- end }}

{{/* The name of one component's ServiceAccount: (list $ "agent"). */}}
{{- define "virtfn.account" -}}
{{- (fromYaml (include "virtfn.process" .)).serviceAccount.name | default (include "virtfn.object" .) -}}
{{- end }}

{{/* The image of one process, by digest if one is set: (list $ "agent"). */}}
{{- define "virtfn.image" -}}
{{- $top := index . 0 -}}
{{- $name := index . 1 -}}
{{- $all := $top.Values.image -}}
{{- $own := (fromYaml (include "virtfn.process" .)).image -}}
{{- $registry := coalesce $own.registry $all.registry $top.Values.global.imageRegistry | required "image.registry is not set: say where your images of virtfn are, like --set image.registry=registry.example/virtfn. There is no default, because one of them runs privileged on every node." -}}
{{- with coalesce $own.digest (get $all.digests $name) -}}
{{ $registry }}/{{ $own.repository }}@{{ . }}
{{- else -}}
{{ $registry }}/{{ $own.repository }}:{{ coalesce $own.tag $all.tag $top.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The pull policy of one process' image: (list $ "agent"). */}}
{{- define "virtfn.pullPolicy" -}}
{{- (fromYaml (include "virtfn.process" .)).image.pullPolicy | default (index . 0).Values.image.pullPolicy -}}
{{- end }}

{{/* The labels that select one component's pods; they must never change: (list $ "agent"). */}}
{{- define "virtfn.selector" -}}
app.kubernetes.io/name: virtfn
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* All labels of one component, and more if they are given: (list $ "agent"), (list $ "agent" $labels). */}}
{{- define "virtfn.labels" -}}
{{- $top := index . 0 -}}
{{- $more := dict -}}
{{- if gt (len .) 2 }}{{ $more = index . 2 }}{{ end -}}
{{- $chart := printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" -}}
{{- $fixed := dict "app.kubernetes.io/version" $top.Chart.AppVersion "app.kubernetes.io/managed-by" $top.Release.Service "helm.sh/chart" $chart -}}
{{- merge (fromYaml (include "virtfn.selector" .)) $fixed (deepCopy $more) $top.Values.commonLabels | toYaml -}}
{{- end }}

{{/* Labels and annotations of an object, below its metadata: (list $ "agent"), with more labels and annotations:
     (list $ "agent" $labels $annotations). */}}
{{- define "virtfn.meta" -}}
{{- $top := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if gt (len .) 2 }}{{ $labels = index . 2 }}{{ end -}}
{{- if gt (len .) 3 }}{{ $annotations = index . 3 }}{{ end -}}
labels: {{- include "virtfn.labels" (list $top (index . 1) $labels) | nindent 2 }}
{{- with merge (deepCopy $annotations) $top.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels and annotations of one component's pods: (list $ "agent"), with annotations of the chart itself:
     (list $ "agent" $annotations). */}}
{{- define "virtfn.podMeta" -}}
{{- $top := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := fromYaml (include "virtfn.process" .) -}}
{{- $annotations := dict -}}
{{- if gt (len .) 2 }}{{ $annotations = deepCopy (index . 2) }}{{ end -}}
{{- if $top.Values.securityContextConstraints.create }}
{{- $_ := set $annotations "openshift.io/required-scc" (include "virtfn.object" .) }}
{{- end }}
{{- include "virtfn.meta" (list $top $component $values.podLabels (merge $annotations $values.podAnnotations)) }}
{{- end }}

{{/* Where agent and device plugin run, as YAML. `agent` and `devicePlugin` had values of their own for that; where both
     still have the same, these count. templates/refusals.yaml refuses anything else. */}}
{{- define "virtfn.nodes" -}}
{{- $nodes := deepCopy .Values.nodes }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- if hasKey $.Values.agent $field }}
{{- $_ := set $nodes $field (get $.Values.agent $field) }}
{{- end }}
{{- end }}
{{- toYaml $nodes }}
{{- end }}

{{/* The part of a pod's spec that all components share: (list $ "agent"). */}}
{{- define "virtfn.placement" -}}
{{- $top := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := fromYaml (include "virtfn.process" .) -}}
{{- $where := $values -}}
{{- if has $component (list "agent" "deviceplugin") }}{{ $where = fromYaml (include "virtfn.nodes" $top) }}{{ end -}}
serviceAccountName: {{ include "virtfn.account" . }}
automountServiceAccountToken: false # every container of the pod would get it
enableServiceLinks: false
{{- include "virtfn.pullSecrets" $top }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- include "virtfn.where" (list $top $where) }}
{{- end }}

{{/* The secrets with the registries' passwords. */}}
{{- define "virtfn.pullSecrets" -}}
{{- with concat .Values.imagePullSecrets .Values.global.imagePullSecrets | uniq }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Node selector, affinity and tolerations of a pod: (list $ (dict "nodeSelector" .. "affinity" .. "tolerations" ..)). */}}
{{- define "virtfn.where" -}}
{{- $where := index . 1 -}}
{{- with $where.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $where.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := $where.tolerations }}
{{- if (index . 0).Values.startupTaint.enabled }}
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

{{/* A read-only mount, with the mounts below it where Kubernetes (1.31 and newer) and the runtime can. */}}
{{- define "virtfn.readOnly" -}}
readOnly: true{{ if semverCompare ">=1.31.0-0" .Capabilities.KubeVersion.Version }}, recursiveReadOnly: IfPossible{{ end }}
{{- end }}

{{/* The address at which metrics are served, as a variable of this name: the pod's own, so that no further network of the
     pod, for which NetworkPolicies do not count, leads to them. */}}
{{- define "virtfn.metricsHost" -}}
{name: {{ . }}, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
{{- end }}

{{/* The seconds of a duration of one unit, like 30s or 1m. */}}
{{- define "virtfn.seconds" -}}
{{- mul (trimSuffix (regexFind ".$" .) .) (get (dict "s" 1 "m" 60 "h" 3600) (regexFind ".$" .)) }}
{{- end }}

{{/* The options of one process for its log, where they are not the defaults: (list $ "agent"). */}}
{{- define "virtfn.logArgs" -}}
{{- $values := (index . 0).Values -}}
{{- $own := fromYaml (include "virtfn.process" .) -}}
{{- with coalesce $own.logLevel $values.logLevel }}
{{- if ne . "info" }}
- --log-level={{ . }}
{{- end }}
{{- end }}
{{- with coalesce $own.logFormat $values.logFormat }}
{{- if ne . "text" }}
- --log-format={{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The last options of one process: those of its log, and extraArgs: (list $ "agent"). */}}
{{- define "virtfn.lastArgs" -}}
{{- include "virtfn.logArgs" . }}
{{- range (fromYaml (include "virtfn.process" .)).extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* extraEnv of one process: (list $ "agent"). */}}
{{- define "virtfn.extraEnv" -}}
{{- with (fromYaml (include "virtfn.process" .)).extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The options that the chart sets, of each process, as YAML: extraArgs must not replace one. */}}
{{- define "virtfn.ownArgs" -}}
controller: [log-level, log-format]
agent: [log-level, log-format]
host: [socket, journal, sys, dev, proc, log-level, log-format]
deviceplugin: [pools, ledger, grants, device-info, cdi, kubelet-dir, sys, dev, health-port, node, log-level, log-format, resource-domains, metrics-port, metrics-host]
bootunit: [root, python, log-level, log-format]
{{- end }}

{{/* The ServiceAccount of one component, unless it is somebody else's: (list $ "agent"). */}}
{{- define "virtfn.serviceAccount" -}}
{{- $account := (fromYaml (include "virtfn.process" .)).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "virtfn.account" . }}
  namespace: {{ (index . 0).Release.Namespace }}
  {{- include "virtfn.meta" (list (index . 0) (index . 1) (dict) $account.annotations) | nindent 2 }}
automountServiceAccountToken: false # a pod mounts the token into the one container that needs it
{{- end }}
{{- end }}
