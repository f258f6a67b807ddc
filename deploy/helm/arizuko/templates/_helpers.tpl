{{- /* The labels of every object. Takes the component (`control`, `gateway` or `metrics`) and the
       root. */ -}}
{{- define "arizuko.labels" -}}
{{ include "arizuko.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "arizuko.selector" -}}
app.kubernetes.io/name: arizuko
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "arizuko.name" -}}
{{ .root.Release.Name }}-{{ .component }}
{{- end }}

{{- /* A Deployment and its PodDisruptionBudget. Takes the component, its values, its settings,
       its ports and the files that it gets from Secrets. */ -}}
{{- define "arizuko.deployment" -}}
{{- $ := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "arizuko.name" . }}
  labels: {{- include "arizuko.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  selector:
    matchLabels: {{- include "arizuko.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "arizuko.labels" . | nindent 8 }}
    spec:
      # The variables of Services would look like settings.
      enableServiceLinks: false
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        # Lets the user read the secrets.
        fsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      # The pause below, the programs' own 20 s for open streams, and a margin.
      terminationGracePeriodSeconds: 35
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "arizuko.selector" . | nindent 14 }}
      containers:
        - name: {{ .component }}
          image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}"
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          command: [arizuko-{{ .component }}]
          env:
            {{- range $name, $value := mergeOverwrite .env .values.env }}
            - {name: {{ $name }}, value: {{ $value | toString | quote }}}
            {{- end }}
          ports:
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: metrics}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: metrics}
            timeoutSeconds: 5
          # In an outage of 30 s, gateways stay reachable and tell visitors when to try again.
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 6
            failureThreshold: 6
          lifecycle:
            preStop:
              # Waits until no new connections are sent to this pod. Then it gets SIGTERM, and
              # drains.
              sleep: {seconds: 5}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: secrets, mountPath: /run/secrets/arizuko, readOnly: true}
      volumes:
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              {{- range $secret, $files := .files }}
              - secret:
                  name: {{ $secret }}
                  items:
                    {{- range $files }}
                    - {key: {{ . }}, path: {{ . }}}
                    {{- end }}
              {{- end }}
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "arizuko.name" . }}
  labels: {{- include "arizuko.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "arizuko.selector" . | nindent 6 }}
{{- end }}
