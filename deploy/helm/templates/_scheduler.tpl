{{/* Something, where the virtual cluster has a scheduler of its own. */}}
{{- define "vcluster.schedules" -}}
{{- if or .Values.controlPlane.advanced.virtualScheduler.enabled .Values.controlPlane.distro.k8s.scheduler.enabled }}true{{ end -}}
{{- end }}

{{/* The scheduler's container. */}}
{{- define "vcluster.scheduler" -}}
- name: scheduler
  image: {{ include "vcluster.image" (list . "scheduler") }}
  args:
    - --kubeconfig=/data/pki/scheduler.conf
    - --leader-elect=false
    - --admin-bind-address=0.0.0.0:10259
  ports:
    - name: sched-admin
      containerPort: 10259
  startupProbe:
    httpGet:
      path: /livez
      port: sched-admin
    periodSeconds: 1
    failureThreshold: 120
  livenessProbe:
    httpGet:
      path: /livez
      port: sched-admin
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet:
      path: /readyz
      port: sched-admin
    periodSeconds: 2
    timeoutSeconds: 3
  resources:
    requests:
      cpu: 10m
      memory: 10Mi
    limits:
      memory: 256Mi
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: data
      mountPath: /data/pki
      subPath: pki
      readOnly: true
{{- end }}
