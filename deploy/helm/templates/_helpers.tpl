{{/* What every object of a release is found by. */}}
{{- define "vcluster.labels" -}}
app: vcluster
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
release: {{ .Release.Name }}
heritage: {{ .Release.Service }}
{{- end }}

{{/* The image of a service: list of the root and its name. */}}
{{- define "vcluster.image" -}}
{{- $root := first . -}}
{{- with (default dict $root.Values.global).imageRegistry }}{{ . }}/{{ end -}}
vcluster-rs/{{ last . }}:{{ $root.Chart.AppVersion }}
{{- end }}

{{/* The name of what lies in no namespace, or in another one. */}}
{{- define "vcluster.wideName" -}}
{{ printf "vc-%s-v-%s" .Release.Name .Release.Namespace | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The vcluster.yaml: the values, without what only charts know. */}}
{{- define "vcluster.config" -}}
{{ omit .Values "global" | toYaml }}
{{- end }}

{{/* The value of a key, as JSON: list of the values and the key with dots. */}}
{{- define "vcluster.at" -}}
{{- $value := first . -}}
{{- range splitList "." (last .) }}
{{- if kindIs "map" $value }}{{ $value = get $value . }}{{ else }}{{ $value = "" }}{{ end }}
{{- end -}}
{{ toJson $value }}
{{- end }}

{{/* Where the host's Services get their addresses: what the values say, else what the host says. */}}
{{- define "vcluster.serviceNetwork" -}}
{{- $said := coalesce .Values.serviceCIDR .Values.networking.serviceCIDR (default dict .Values.global).serviceNetwork -}}
{{- $found := lookup "networking.k8s.io/v1" "ServiceCIDR" "" "kubernetes" -}}
{{- if $said -}}
{{ $said }}
{{- else if $found -}}
{{ first $found.spec.cidrs }}
{{- else -}}
10.96.0.0/12
{{- end -}}
{{- end }}
