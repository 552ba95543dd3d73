{{/*
The rights that the values need, as JSON: rules by the namespace that they are for, "*" being all of them. The switches decide
by the table in files/; lists with names are dealt with here.
*/}}
{{- define "vcluster.rights" -}}
{{- $values := .Values -}}
{{- $own := .Release.Namespace -}}
{{- $rules := dict $own list "*" list -}}
{{- $table := .Files.Get "files/rights.yaml" | replace "vc-release-name-v-release-namespace" (include "vcluster.wideName" .) | replace "release-namespace" $own | replace "release-name" .Release.Name | fromYaml -}}
{{- range $feature := $table.features }}
{{- $on := true }}
{{- range $feature.when }}
{{- if ne (include "vcluster.at" (list $values .key) | trimAll "\"") .is }}{{ $on = false }}{{ end }}
{{- end }}
{{- if $on }}
{{- $_ := set $rules $own (concat (get $rules $own) (default list $feature.role)) }}
{{- $_ := set $rules "*" (concat (get $rules "*") (default list $feature.clusterRole)) }}
{{- end }}
{{- end }}

{{- /* Namespaces of the host that virtual ones have to themselves: copies are everywhere, so the rights to them are, too. */}}
{{- $spread := .Values.sync.toHost.namespaces.enabled }}
{{- $copies := ternary "*" $own $spread }}
{{- if $spread }}
{{- $new := list }}
{{- $named := list (include "vcluster.rule" (list "" "secrets" "" "create") | fromJson) }}
{{- range get $rules $own }}
{{- if not .resourceNames }}{{ $new = append $new . }}{{ else if ne (first .resources) "namespaces" }}{{ $named = append $named . }}{{ end }}
{{- end }}
{{- $names := list }}
{{- $exact := true }}
{{- range $virtual, $host := .Values.sync.toHost.namespaces.mappings.byName }}
{{- $names = append $names (replace "${name}" $.Release.Name $host) }}
{{- if hasSuffix "*" $host }}{{ $exact = false }}{{ end }}
{{- end }}
{{- $new = append $new (include "vcluster.rule" (list "" "namespaces" "" "create") | fromJson) }}
{{- if $exact }}
{{- range $names }}
{{- $new = append $new (include "vcluster.rule" (list "" "namespaces" . "delete" "get" "list" "patch" "watch") | fromJson) }}
{{- end }}
{{- $named = append $named (include "vcluster.rule" (list "" "namespaces" $own "get") | fromJson) }}
{{- else }}
{{- $new = append $new (include "vcluster.rule" (list "" "namespaces" "" "delete" "get" "list" "patch" "watch") | fromJson) }}
{{- end }}
{{- if not .Values.sync.toHost.serviceAccounts.enabled }}
{{- $account := printf "vc-workload-%s" .Release.Name }}
{{- $new = append $new (include "vcluster.rule" (list "" "serviceaccounts" "" "create") | fromJson) }}
{{- $new = append $new (include "vcluster.rule" (list "" "serviceaccounts" $account "delete" "get" "list" "watch") | fromJson) }}
{{- end }}
{{- if .Values.experimental.syncSettings.setOwner }}
{{- $new = append $new (include "vcluster.rule" (list "rbac.authorization.k8s.io" "clusterroles" (include "vcluster.wideName" .) "get" "patch") | fromJson) }}
{{- end }}
{{- if .Values.networking.replicateServices.toHost }}
{{- $new = append $new (include "vcluster.rule" (list "" "endpoints" "" "create" "delete" "get" "list" "patch" "watch") | fromJson) }}
{{- end }}
{{- $_ := set $rules $own $named }}
{{- $_ := set $rules "*" (concat (get $rules "*") $new) }}
{{- end }}

{{- /* Secrets with kubeconfigs. */}}
{{- $export := .Values.exportKubeConfig }}
{{- $secrets := $export.additionalSecrets }}
{{- if or $export.secret.name $export.secret.namespace }}{{ $secrets = append $secrets $export.secret }}{{ end }}
{{- range $secrets }}
{{- $place := default $own .namespace }}
{{- $name := default (printf "vc-%s" $.Release.Name) .name }}
{{- $new := list (include "vcluster.rule" (list "" "secrets" "" "create") | fromJson) (include "vcluster.rule" (list "" "secrets" $name "get" "patch") | fromJson) }}
{{- if and (ne $place $own) $values.experimental.syncSettings.setOwner }}
{{- $new = append $new (include "vcluster.rule" (list "" "secrets" $name "delete") | fromJson) }}
{{- if not $values.sync.toHost.namespaces.enabled }}
{{- $_ := set $rules $own (append (get $rules $own) (include "vcluster.rule" (list "" "namespaces" $own "get") | fromJson)) }}
{{- end }}
{{- end }}
{{- $_ := set $rules $place (concat (default list (get $rules $place)) $new) }}
{{- end }}

{{- /* Secrets with kubeconfigs of virtual clusters that answer for custom resources. */}}
{{- range .Values.experimental.proxy.customResources }}
{{- $target := default dict .targetVirtualCluster }}
{{- $place := default (printf "vcluster-%s" $target.name) $target.project }}
{{- if and .enabled (not (and (eq $place $own) (eq $target.name $.Release.Name))) }}
{{- $new := include "vcluster.rule" (list "" "secrets" (printf "vc-%s" $target.name) "get") | fromJson }}
{{- $_ := set $rules $place (append (default list (get $rules $place)) $new) }}
{{- end }}
{{- end }}

{{- /* Objects of the host that are shown under other names. */}}
{{- $from := .Values.sync.fromHost }}
{{- $imports := list (list "" "configmaps" $from.configMaps) (list "" "secrets" $from.secrets) (list "gateway.networking.k8s.io" "gateways" $from.gateways) }}
{{- range $key, $resource := $from.customResources }}
{{- if $resource.enabled }}
{{- $named := regexReplaceAll "/[^/]*$" $key "" }}
{{- $plural := first (splitList "." $named) }}
{{- $group := trimPrefix (printf "%s." $plural) $named }}
{{- $imports = append $imports (list $group $plural $resource) }}
{{- $new := list (include "vcluster.rule" (list "apiextensions.k8s.io" "customresourcedefinitions" $named "get") | fromJson) }}
{{- if eq (default "" $resource.scope) "Cluster" }}
{{- $new = append $new (include "vcluster.rule" (list $group $plural "" "list" "watch") | fromJson) }}
{{- end }}
{{- $_ := set $rules "*" (concat (get $rules "*") $new) }}
{{- end }}
{{- end }}
{{- range $imports }}
{{- $group := index . 0 }}{{ $plural := index . 1 }}{{ $section := index . 2 }}
{{- if $section.enabled }}
{{- if eq $plural "gateways" }}
{{- $new := list (include "vcluster.rule" (list $group "gatewayclasses" "" "list" "watch") | fromJson) }}
{{- range $defined := list "gatewayclasses" "gateways" "referencegrants" }}
{{- $new = append $new (include "vcluster.rule" (list "apiextensions.k8s.io" "customresourcedefinitions" (printf "%s.%s" $defined $group) "get") | fromJson) }}
{{- end }}
{{- $_ := set $rules "*" (concat (get $rules "*") $new) }}
{{- end }}
{{- range $source, $target := (default dict (default dict $section.mappings).byName) }}
{{- $parts := splitList "/" $source }}
{{- $place := default $own (first $parts) }}
{{- $name := "" }}
{{- if and (eq (len $parts) 2) (ne (last $parts) "*") }}{{ $name = last $parts }}{{ end }}
{{- $new := include "vcluster.rule" (list $group $plural $name "list" "watch") | fromJson }}
{{- $_ := set $rules $place (append (default list (get $rules $place)) $new) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Custom resources that have copies on the host. */}}
{{- range $key, $resource := .Values.sync.toHost.customResources }}
{{- if $resource.enabled }}
{{- $named := regexReplaceAll "/[^/]*$" $key "" }}
{{- $plural := first (splitList "." $named) }}
{{- $group := trimPrefix (printf "%s." $plural) $named }}
{{- $copied := include "vcluster.rule" (list $group $plural "" "create" "delete" "get" "list" "patch" "watch") | fromJson }}
{{- $read := include "vcluster.rule" (list "apiextensions.k8s.io" "customresourcedefinitions" $named "get") | fromJson }}
{{- $_ := set $rules $copies (append (get $rules $copies) $copied) }}
{{- $_ := set $rules "*" (append (get $rules "*") $read) }}
{{- end }}
{{- end }}

{{- /* Services under other names. */}}
{{- range .Values.networking.replicateServices.fromHost }}
{{- $parts := splitList "/" .from }}
{{- $place := ternary (first $parts) $own (eq (len $parts) 2) }}
{{- range $plural := list "services" "endpoints" }}
{{- $new := include "vcluster.rule" (list "" $plural (last $parts) "list" "watch") | fromJson }}
{{- $_ := set $rules $place (append (default list (get $rules $place)) $new) }}
{{- end }}
{{- end }}
{{- if .Values.networking.replicateServices.toHost }}
{{- $new := include "vcluster.rule" (list "" "services" "" "create" "delete" "get" "list" "patch" "watch") | fromJson }}
{{- $_ := set $rules $copies (append (get $rules $copies) $new) }}
{{- end }}
{{- toJson $rules -}}
{{- end }}

{{/* One rule: group, resource, the name of the only object or nothing, and verbs. */}}
{{- define "vcluster.rule" -}}
{{- $rule := dict "apiGroups" (list (index . 0)) "resources" (list (index . 1)) "verbs" (slice . 3) -}}
{{- with index . 2 }}{{ $_ := set $rule "resourceNames" (list .) }}{{ end -}}
{{- toJson $rule -}}
{{- end }}

{{/* A role and who has it: the root, the kind, its name, its namespace, and its rules. */}}
{{- define "vcluster.role" -}}
{{- $root := index . 0 }}{{ $kind := index . 1 }}{{ $name := index . 2 }}{{ $place := index . 3 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with $place }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "vcluster.labels" $root | nindent 4 }}
rules:
  {{- range index . 4 }}
  - {{ toJson . }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $name }}
  {{- with $place }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "vcluster.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: vc-{{ $root.Release.Name }}
    namespace: {{ $root.Release.Namespace }}
{{ end }}
