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
{{- end }}
