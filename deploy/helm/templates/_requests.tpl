{{/* The files with which the API server intervenes in requests, as `vcluster manifests` makes them: by name; none for what is not asked for. */}}
{{- define "vcluster.requests" -}}
{{- $files := dict -}}
{{- range $kind := list "Mutating" "Validating" }}
{{- $key := printf "%sWebhooks" (lower $kind) }}
{{- $manifests := list }}
{{- range $index, $configuration := get $.Values.policies.centralAdmission $key }}
{{- $place := printf "policies.centralAdmission.%s[%d]" $key $index }}
{{- $manifest := include "vcluster.webhooks" (list $kind $configuration $place) }}
{{- $manifests = append $manifests $manifest }}
{{- end }}
{{- with $manifests }}{{ $_ := set $files (printf "%s.yaml" (lower $kind)) (join "---\n" .) }}{{ end }}
{{- end }}
{{- $denied := dict }}
{{- with .Values.experimental.denyProxyRequests }}{{ $_ := set $denied "rules" . }}{{ end }}
{{- with .Values.sync.toHost.namespaces }}
{{- if and .enabled .mappingsOnly }}
{{- $names := list }}
{{- range $name, $_ := .mappings.byName }}{{ $names = append $names (replace "${name}" $.Release.Name $name) }}{{ end }}
{{- $_ := set $denied "allowedNamespaces" (sortAlpha $names) }}
{{- end }}
{{- end }}
{{- with $denied }}{{ $_ := set $files "denied.yaml" (toYaml .) }}{{ end }}
{{- toJson $files -}}
{{- end }}

{{/*
A configuration of webhooks for a file: list of its sort, the configuration, and where it stands. Webhooks in files have URLs;
Services of the host have names that the control plane's Pod can resolve.
*/}}
{{- define "vcluster.webhooks" -}}
{{- $sort := index . 0 }}{{ $configuration := index . 1 }}{{ $place := index . 2 -}}
{{- $name := required (printf "%s must have a metadata.name" $place) (default dict $configuration.metadata).name -}}
{{- $nameless := printf "%s has a service without a name or a namespace" $place -}}
{{- $hooks := deepCopy (default list $configuration.webhooks) -}}
{{- range $hooks }}
{{- $client := .clientConfig }}
{{- if kindIs "map" $client }}
{{- with $client.service }}
{{- $port := 443 }}{{ if hasKey . "port" }}{{ $port = int .port }}{{ end }}
{{- $path := default "" .path }}{{ if $path }}{{ $path = printf "/%s" (trimPrefix "/" $path) }}{{ end }}
{{- $_ := set $client "url" (printf "https://%s.%s.svc:%d%s" (required $nameless .name) (required $nameless .namespace) $port $path) }}
{{- end }}
{{- $_ := unset $client "service" }}
{{- end }}
{{- end }}
{{- $metadata := dict "name" (printf "%s.static.k8s.io" (trimSuffix ".static.k8s.io" $name)) -}}
{{ dict "apiVersion" "admissionregistration.k8s.io/v1" "kind" (printf "%sWebhookConfiguration" $sort) "metadata" $metadata "webhooks" $hooks | toYaml }}
{{ end }}
