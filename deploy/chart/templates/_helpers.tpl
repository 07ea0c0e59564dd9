{{- define "bpffs.driver" -}}csi.bpffs.dev{{- end }}

{{- define "bpffs.selector" -}}
app.kubernetes.io/name: csi-driver-bpffs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of all objects. */}}
{{- define "bpffs.labels" -}}
{{ include "bpffs.labelsWith" (list . dict) }}
{{- end }}

{{/* With further ones of the values: (list . LABELS). */}}
{{- define "bpffs.labelsWith" -}}
{{- $root := index . 0 -}}
{{ include "bpffs.selector" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- with merge dict (index . 1) $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of the pods of a component: (list . COMPONENT LABELS). No label here changes with the chart alone: each change replaces all pods. */}}
{{- define "bpffs.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "bpffs.selector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
{{- with merge dict (index . 2) $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of the pods of a component, with those of the values: (list . ANNOTATIONS CONTAINER CONSTRAINT), with the constraint that fits them. */}}
{{- define "bpffs.podAnnotations" -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" (index . 2) -}}
{{- if include "bpffs.constraints" (index . 0) -}}
{{- $annotations = set $annotations "openshift.io/required-scc" (index . 3) -}}
{{- end -}}
{{ merge dict (index . 1) $annotations | toYaml }}
{{- end }}

{{/* Whether to create OpenShift's SecurityContextConstraints; empty if not. */}}
{{- define "bpffs.constraints" -}}
{{- $create := .Values.securityContextConstraints -}}
{{- if eq (toString $create) "auto" -}}
{{- $create = .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- end -}}
{{- if $create }}true{{ end }}
{{- end }}

{{/* Of the node plugin's pods. A constraint compares all of it with the pod's, so that the level cannot be left open. */}}
{{- define "bpffs.nodeSeLinuxOptions" -}}
{{- $options := .Values.node.seLinuxOptions -}}
{{- if include "bpffs.constraints" . -}}
{{- $options = merge dict $options (dict "type" "spc_t" "level" "s0") -}}
{{- end -}}
{{- with $options }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* The constraint for pods that use maps: (list . ROLE), "reader" or "writer". It is OpenShift's restricted-v2 with a type and a profile, and without a capability. */}}
{{- define "bpffs.consumerConstraint" -}}
{{- $root := index . 0 -}}
apiVersion: security.openshift.io/v1
kind: SecurityContextConstraints
metadata:
  name: csi-driver-bpffs-{{ index . 1 }}
  labels:
    {{- include "bpffs.labels" $root | nindent 4 }}
  annotations:
    kubernetes.io/description: >-
      restricted-v2 for {{ index . 1 }}s of eBPF maps: with the SELinux type bpf-{{ index . 1 }}.process and the driver's seccomp profile,
      both of which a pod gets that asks for none.
priority: 0
allowPrivilegedContainer: false
allowPrivilegeEscalation: false
allowHostDirVolumePlugin: false
allowHostIPC: false
allowHostNetwork: false
allowHostPID: false
allowHostPorts: false
allowedCapabilities: []
defaultAddCapabilities: []
requiredDropCapabilities: [ALL]
readOnlyRootFilesystem: false
runAsUser: { type: MustRunAsRange }
fsGroup: { type: MustRunAs }
supplementalGroups: { type: RunAsAny }
# The level is that of the namespace.
seLinuxContext:
  type: MustRunAs
  seLinuxOptions: { type: bpf-{{ index . 1 }}.process }
# The first is the default. A container without maps can have the stricter one.
seccompProfiles: [{{ if $root.Values.seccompProfile.enabled }}localhost/csi-driver-bpffs/bpf-consumer.json, {{ end }}runtime/default]
volumes: [configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected, secret]
users: []
groups: []
{{- end }}

{{- define "bpffs.image" -}}
{{- with .Values.image -}}
{{- $tag := .tag | default $.Chart.AppVersion -}}
{{ include "bpffs.mirrored" (list $ .repository) }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}
{{- end }}

{{/* An image, from global.imageRegistry instead of its own registry: (list . IMAGE). */}}
{{- define "bpffs.mirrored" -}}
{{- $image := index . 1 -}}
{{- with (index . 0).Values.global.imageRegistry -}}
{{- /* A registry's name has a dot or a port. */ -}}
{{- $image = print . "/" (regexReplaceAll "^[^/]*[.:][^/]*/" $image "") -}}
{{- end -}}
{{ $image }}
{{- end }}

{{/* Of the objects that `helm test` creates and deletes again. Weight 1 comes after all others. */}}
{{- define "bpffs.test" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
# After a failure they stay, to be looked at, until the next test.
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Of a container that needs nothing. */}}
{{- define "bpffs.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "bpffs.probes" -}}
# /readyz says whether the kubelet has the driver registered, and whether the pinner, or the volumes' store, answers. That is nothing
# that a restart of this process would mend. /healthz says whether its sockets can be reached.
readinessProbe: { httpGet: { path: /readyz, port: {{ . }} }, periodSeconds: 5, timeoutSeconds: 3 }
livenessProbe: { httpGet: { path: /healthz, port: {{ . }} }, periodSeconds: 10, timeoutSeconds: 5 }
startupProbe: { httpGet: { path: /healthz, port: {{ . }} }, periodSeconds: 1, failureThreshold: 60 }
{{- end }}

{{/* Whether admission sets the attribute hostUsers. MutatingAdmissionPolicy is stable since Kubernetes 1.36. */}}
{{- define "bpffs.admission.setsHostUsers" -}}
{{- $sets := .Values.admission.setHostUsers }}
{{- if eq (toString $sets) "auto" }}
{{- $sets = semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version }}
{{- end }}
{{- and .Values.admission.enabled $sets }}
{{- end }}

{{/* Of the admission policies: the objects whose pods they look at. `ephemeralContainers`: running pods, too, when they get one. */}}
{{- define "bpffs.admission.matches" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [pods]
    {{- if .ephemeralContainers }}
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [UPDATE]
      resources: [pods/ephemeralcontainers]
    {{- end }}
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments, statefulsets, daemonsets]
    - apiGroups: [batch]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [jobs, cronjobs]
matchConditions:
  - name: uses-driver
    expression: >-
      (object.kind == 'Pod' ? dyn(object).spec :
      object.kind == 'CronJob' ? dyn(object).spec.jobTemplate.spec.template.spec : dyn(object).spec.template.spec)
      .?volumes.orValue([]).exists(v, has(v.csi) && v.csi.driver == '{{ include "bpffs.driver" . }}')
  # Finalizers and the like of what was there before can always change.
  - name: spec-changes
    expression: request.operation == 'CREATE' || dyn(object).spec != dyn(oldObject).spec
{{- end }}

{{- define "bpffs.admission.variables" -}}
- name: pod
  expression: >-
    object.kind == 'Pod' ? dyn(object).spec :
    object.kind == 'CronJob' ? dyn(object).spec.jobTemplate.spec.template.spec : dyn(object).spec.template.spec
- name: containers
  expression: >-
    variables.pod.containers + variables.pod.?initContainers.orValue([]) + variables.pod.?ephemeralContainers.orValue([])
# The inline volumes of this driver.
- name: volumes
  expression: variables.pod.?volumes.orValue([]).filter(v, has(v.csi) && v.csi.driver == '{{ include "bpffs.driver" . }}')
# Of each, its attributes and its maps as they are written.
- name: wanted
  expression: >-
    variables.volumes.map(v, {
      'volume': dyn(v.name),
      'attributes': dyn(v.csi.?volumeAttributes.orValue({})),
      'readOnly': dyn(v.csi.?readOnly.orValue(false)),
      'fsType': dyn(v.csi.?fsType.orValue('')),
      'maps': dyn(v.csi.?volumeAttributes.?maps.orValue('').split(',').map(item, item.trim()))
    })
- name: delegating
  expression: variables.wanted.filter(w, 'delegation' in w.attributes)
{{- end }}
