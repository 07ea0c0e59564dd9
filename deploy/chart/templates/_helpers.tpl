{{- define "bpffs.driver" -}}csi.bpffs.dev{{- end }}

{{- define "bpffs.selector" -}}
app.kubernetes.io/name: csi-driver-bpffs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bpffs.labels" -}}
{{ include "bpffs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "bpffs.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
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
