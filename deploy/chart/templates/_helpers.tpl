{{/* The release's name, with "relay" in it. A host name that Penpot calls: without an underscore. */}}
{{- define "relay.name" -}}
{{- if contains "relay" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-relay" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What a selector matches: never changed by an upgrade. */}}
{{- define "relay.selector" -}}
app.kubernetes.io/name: relay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "relay.secretName" -}}
{{- .Values.secret.existing | default (include "relay.name" .) -}}
{{- end -}}

{{/* Where Penpot reaches the hook. */}}
{{- define "relay.publicUrl" -}}
{{- if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" .Values.ingress.tls) .Values.ingress.host -}}
{{- else -}}
{{- printf "http://%s.%s:8080" (include "relay.name" .) .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Values that fit the schema but not each other. */}}
{{- define "relay.check" -}}
{{- with .Values -}}
{{- if and .secret.existing .secret.values -}}
{{- fail "secret: existing and values exclude each other: set one" -}}
{{- end -}}
{{- if not (or .secret.existing .secret.values) -}}
{{- fail "secret.existing: missing: name a Secret with RELAY_SECRET and a channel's variables, or give them as secret.values" -}}
{{- end -}}
{{- if and .secret.values (not .config) (not (or .secret.values.RELAY_SECRET .secret.values.RELAY_SECRET_FILE)) -}}
{{- fail "secret.values.RELAY_SECRET: missing: at least 16 characters, the last part of the hook's URL" -}}
{{- end -}}
{{- if and (gt (int .replicas) 1) (not .postgresql.enabled) -}}
{{- fail (printf "replicas: %d needs postgresql.enabled: SQLite has one process" (int .replicas)) -}}
{{- end -}}
{{- if and .postgresql.enabled .secret.values (not .postgresql.existingSecret) (not (index .secret.values .postgresql.key)) -}}
{{- fail (printf "postgresql.existingSecret: missing: name a Secret that has the URL at %s, or add it to secret.values" .postgresql.key) -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- fail "ingress.host: missing: the host name at which Penpot reaches the hook, such as relay.example.com" -}}
{{- end -}}
{{- if contains "_" .ingress.host -}}
{{- fail (printf "ingress.host: %s has an underscore: Penpot cannot call such a host" .ingress.host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
