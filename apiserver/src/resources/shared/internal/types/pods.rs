//! The parts of a pod but for its volumes (`pkg/apis/core/types.go`).

use super::{FLAG, Field, NUMBER, PLAIN, QUANTITY, SELECTOR, TEXT, field, inline, list, pointer};

#[rustfmt::skip]
pub(super) static TYPES: &[(&str, &[Field])] = &[
    ("PodSpec", &[
        field("Volumes", "volumes", list("Volume")), field("InitContainers", "initContainers", list("Container")),
        field("Containers", "containers", list("Container")),
        field("EphemeralContainers", "ephemeralContainers", list("EphemeralContainer")),
        field("RestartPolicy", "restartPolicy", TEXT),
        field("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", PLAIN),
        field("ActiveDeadlineSeconds", "activeDeadlineSeconds", PLAIN), field("DNSPolicy", "dnsPolicy", TEXT),
        field("NodeSelector", "nodeSelector", PLAIN), field("ServiceAccountName", "serviceAccountName", TEXT),
        field("AutomountServiceAccountToken", "automountServiceAccountToken", PLAIN),
        field("NodeName", "nodeName", TEXT), field("SecurityContext", "", pointer("PodSecurityContext")),
        field("ImagePullSecrets", "imagePullSecrets", list("LocalObjectReference")),
        field("Hostname", "hostname", TEXT), field("Subdomain", "subdomain", TEXT),
        field("SetHostnameAsFQDN", "setHostnameAsFQDN", PLAIN), field("Affinity", "affinity", pointer("Affinity")),
        field("SchedulerName", "schedulerName", TEXT), field("Tolerations", "tolerations", list("Toleration")),
        field("HostAliases", "hostAliases", list("HostAlias")), field("PriorityClassName", "priorityClassName", TEXT),
        field("Priority", "priority", PLAIN), field("PreemptionPolicy", "preemptionPolicy", PLAIN),
        field("DNSConfig", "dnsConfig", pointer("PodDNSConfig")),
        field("ReadinessGates", "readinessGates", list("PodReadinessGate")),
        field("RuntimeClassName", "runtimeClassName", PLAIN), field("Overhead", "overhead", PLAIN),
        field("EnableServiceLinks", "enableServiceLinks", PLAIN),
        field("TopologySpreadConstraints", "topologySpreadConstraints", list("TopologySpreadConstraint")),
        field("OS", "os", pointer("PodOS")), field("SchedulingGates", "schedulingGates", list("PodSchedulingGate")),
        field("ResourceClaims", "resourceClaims", list("PodResourceClaim")),
        field("Resources", "resources", pointer("ResourceRequirements")),
        field("HostnameOverride", "hostnameOverride", PLAIN),
        field("SchedulingGroup", "schedulingGroup", pointer("PodSchedulingGroup")),
    ]),
    ("Affinity", &[
        field("NodeAffinity", "nodeAffinity", pointer("NodeAffinity")),
        field("PodAffinity", "podAffinity", pointer("PodAffinity")),
        field("PodAntiAffinity", "podAntiAffinity", pointer("PodAntiAffinity")),
    ]),
    ("NodeAffinity", &[
       
        field("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", pointer("NodeSelector")),
        field("PreferredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", list("PreferredSchedulingTerm")),
    ]),
    ("NodeSelector", &[
        field("NodeSelectorTerms", "nodeSelectorTerms", list("NodeSelectorTerm")),
    ]),
    ("NodeSelectorTerm", &[
        field("MatchExpressions", "matchExpressions", list("NodeSelectorRequirement")),
        field("MatchFields", "matchFields", list("NodeSelectorRequirement")),
    ]),
    ("NodeSelectorRequirement", &[
        field("Key", "key", TEXT), field("Operator", "operator", TEXT), field("Values", "values", PLAIN),
    ]),
    ("PreferredSchedulingTerm", &[
        field("Weight", "weight", NUMBER), field("Preference", "preference", inline("NodeSelectorTerm")),
    ]),
    ("PodAffinity", &[
       
        field("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", list("PodAffinityTerm")),
        field("PreferredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", list("WeightedPodAffinityTerm")),
    ]),
    ("PodAffinityTerm", &[
        field("LabelSelector", "labelSelector", SELECTOR), field("Namespaces", "namespaces", PLAIN),
        field("TopologyKey", "topologyKey", TEXT), field("NamespaceSelector", "namespaceSelector", SELECTOR),
        field("MatchLabelKeys", "matchLabelKeys", PLAIN), field("MismatchLabelKeys", "mismatchLabelKeys", PLAIN),
    ]),
    ("WeightedPodAffinityTerm", &[
        field("Weight", "weight", NUMBER), field("PodAffinityTerm", "podAffinityTerm", inline("PodAffinityTerm")),
    ]),
    ("PodAntiAffinity", &[
       
        field("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", list("PodAffinityTerm")),
        field("PreferredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", list("WeightedPodAffinityTerm")),
    ]),
    ("Container", &[
        field("Name", "name", TEXT), field("Image", "image", TEXT), field("Command", "command", PLAIN),
        field("Args", "args", PLAIN), field("WorkingDir", "workingDir", TEXT),
        field("Ports", "ports", list("ContainerPort")), field("EnvFrom", "envFrom", list("EnvFromSource")),
        field("Env", "env", list("EnvVar")), field("Resources", "resources", inline("ResourceRequirements")),
        field("ResizePolicy", "resizePolicy", list("ContainerResizePolicy")),
        field("RestartPolicy", "restartPolicy", PLAIN),
        field("RestartPolicyRules", "restartPolicyRules", list("ContainerRestartRule")),
        field("VolumeMounts", "volumeMounts", list("VolumeMount")),
        field("VolumeDevices", "volumeDevices", list("VolumeDevice")),
        field("LivenessProbe", "livenessProbe", pointer("Probe")),
        field("ReadinessProbe", "readinessProbe", pointer("Probe")),
        field("StartupProbe", "startupProbe", pointer("Probe")),
        field("Lifecycle", "lifecycle", pointer("Lifecycle")),
        field("TerminationMessagePath", "terminationMessagePath", TEXT),
        field("TerminationMessagePolicy", "terminationMessagePolicy", TEXT),
        field("ImagePullPolicy", "imagePullPolicy", TEXT),
        field("SecurityContext", "securityContext", pointer("SecurityContext")), field("Stdin", "stdin", FLAG),
        field("StdinOnce", "stdinOnce", FLAG), field("TTY", "tty", FLAG),
    ]),
    ("ContainerPort", &[
        field("Name", "name", TEXT), field("HostPort", "hostPort", NUMBER),
        field("ContainerPort", "containerPort", NUMBER), field("Protocol", "protocol", TEXT),
        field("HostIP", "hostIP", TEXT),
    ]),
    ("ContainerResizePolicy", &[
        field("ResourceName", "resourceName", TEXT), field("RestartPolicy", "restartPolicy", TEXT),
    ]),
    ("ContainerRestartRule", &[
        field("Action", "action", TEXT), field("ExitCodes", "exitCodes", pointer("ContainerRestartRuleOnExitCodes")),
    ]),
    ("ContainerRestartRuleOnExitCodes", &[
        field("Operator", "operator", TEXT), field("Values", "values", PLAIN),
    ]),
    ("EnvFromSource", &[
        field("Prefix", "prefix", TEXT), field("ConfigMapRef", "configMapRef", pointer("ConfigMapEnvSource")),
        field("SecretRef", "secretRef", pointer("SecretEnvSource")),
    ]),
    ("ConfigMapEnvSource", &[
        field("Name", "name", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("SecretEnvSource", &[
        field("Name", "name", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("EnvVar", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
        field("ValueFrom", "valueFrom", pointer("EnvVarSource")),
    ]),
    ("EnvVarSource", &[
        field("FieldRef", "fieldRef", pointer("ObjectFieldSelector")),
        field("ResourceFieldRef", "resourceFieldRef", pointer("ResourceFieldSelector")),
        field("ConfigMapKeyRef", "configMapKeyRef", pointer("ConfigMapKeySelector")),
        field("SecretKeyRef", "secretKeyRef", pointer("SecretKeySelector")),
        field("FileKeyRef", "fileKeyRef", pointer("FileKeySelector")),
    ]),
    ("ConfigMapKeySelector", &[
        field("Name", "name", TEXT), field("Key", "key", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("FileKeySelector", &[
        field("VolumeName", "volumeName", TEXT), field("Path", "path", TEXT), field("Key", "key", TEXT),
        field("Optional", "optional", PLAIN),
    ]),
    ("ObjectFieldSelector", &[
        field("APIVersion", "apiVersion", TEXT), field("FieldPath", "fieldPath", TEXT),
    ]),
    ("ResourceFieldSelector", &[
        field("ContainerName", "containerName", TEXT), field("Resource", "resource", TEXT),
        field("Divisor", "divisor", QUANTITY),
    ]),
    ("SecretKeySelector", &[
        field("Name", "name", TEXT), field("Key", "key", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("Lifecycle", &[
        field("PostStart", "postStart", pointer("LifecycleHandler")),
        field("PreStop", "preStop", pointer("LifecycleHandler")), field("StopSignal", "stopSignal", PLAIN),
    ]),
    ("LifecycleHandler", &[
        field("Exec", "exec", pointer("ExecAction")), field("HTTPGet", "httpGet", pointer("HTTPGetAction")),
        field("TCPSocket", "tcpSocket", pointer("TCPSocketAction")), field("Sleep", "sleep", pointer("SleepAction")),
    ]),
    ("ExecAction", &[
        field("Command", "command", PLAIN),
    ]),
    ("HTTPGetAction", &[
        field("Path", "path", TEXT), field("Port", "port", NUMBER), field("Host", "host", TEXT),
        field("Scheme", "scheme", TEXT), field("HTTPHeaders", "httpHeaders", list("HTTPHeader")),
    ]),
    ("HTTPHeader", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
    ]),
    ("SleepAction", &[
        field("Seconds", "seconds", NUMBER),
    ]),
    ("TCPSocketAction", &[
        field("Port", "port", NUMBER), field("Host", "host", TEXT),
    ]),
    ("Probe", &[
        field("Exec", "exec", pointer("ExecAction")), field("HTTPGet", "httpGet", pointer("HTTPGetAction")),
        field("TCPSocket", "tcpSocket", pointer("TCPSocketAction")), field("GRPC", "grpc", pointer("GRPCAction")),
        field("InitialDelaySeconds", "initialDelaySeconds", NUMBER),
        field("TimeoutSeconds", "timeoutSeconds", NUMBER), field("PeriodSeconds", "periodSeconds", NUMBER),
        field("SuccessThreshold", "successThreshold", NUMBER), field("FailureThreshold", "failureThreshold", NUMBER),
        field("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", PLAIN),
    ]),
    ("GRPCAction", &[
        field("Port", "port", NUMBER), field("Service", "service", PLAIN),
    ]),
    ("ResourceRequirements", &[
        field("Limits", "limits", PLAIN), field("Requests", "requests", PLAIN),
        field("Claims", "claims", list("ResourceClaim")),
    ]),
    ("ResourceClaim", &[
        field("Name", "name", TEXT), field("Request", "request", TEXT),
    ]),
    ("SecurityContext", &[
        field("Capabilities", "capabilities", pointer("Capabilities")), field("Privileged", "privileged", PLAIN),
        field("SELinuxOptions", "seLinuxOptions", pointer("SELinuxOptions")),
        field("WindowsOptions", "windowsOptions", pointer("WindowsSecurityContextOptions")),
        field("RunAsUser", "runAsUser", PLAIN), field("RunAsGroup", "runAsGroup", PLAIN),
        field("RunAsNonRoot", "runAsNonRoot", PLAIN),
        field("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", PLAIN),
        field("AllowPrivilegeEscalation", "allowPrivilegeEscalation", PLAIN), field("ProcMount", "procMount", PLAIN),
        field("SeccompProfile", "seccompProfile", pointer("SeccompProfile")),
        field("AppArmorProfile", "appArmorProfile", pointer("AppArmorProfile")),
    ]),
    ("AppArmorProfile", &[
        field("Type", "type", TEXT), field("LocalhostProfile", "localhostProfile", PLAIN),
    ]),
    ("Capabilities", &[
        field("Add", "add", PLAIN), field("Drop", "drop", PLAIN),
    ]),
    ("SELinuxOptions", &[
        field("User", "user", TEXT), field("Role", "role", TEXT), field("Type", "type", TEXT),
        field("Level", "level", TEXT),
    ]),
    ("SeccompProfile", &[
        field("Type", "type", TEXT), field("LocalhostProfile", "localhostProfile", PLAIN),
    ]),
    ("WindowsSecurityContextOptions", &[
        field("GMSACredentialSpecName", "gmsaCredentialSpecName", PLAIN),
        field("GMSACredentialSpec", "gmsaCredentialSpec", PLAIN), field("RunAsUserName", "runAsUserName", PLAIN),
        field("HostProcess", "hostProcess", PLAIN),
    ]),
    ("EphemeralContainer", &[
        field("Name", "name", TEXT), field("Image", "image", TEXT), field("Command", "command", PLAIN),
        field("Args", "args", PLAIN), field("WorkingDir", "workingDir", TEXT),
        field("Ports", "ports", list("ContainerPort")), field("EnvFrom", "envFrom", list("EnvFromSource")),
        field("Env", "env", list("EnvVar")), field("Resources", "resources", inline("ResourceRequirements")),
        field("ResizePolicy", "resizePolicy", list("ContainerResizePolicy")),
        field("RestartPolicy", "restartPolicy", PLAIN),
        field("RestartPolicyRules", "restartPolicyRules", list("ContainerRestartRule")),
        field("VolumeMounts", "volumeMounts", list("VolumeMount")),
        field("VolumeDevices", "volumeDevices", list("VolumeDevice")),
        field("LivenessProbe", "livenessProbe", pointer("Probe")),
        field("ReadinessProbe", "readinessProbe", pointer("Probe")),
        field("StartupProbe", "startupProbe", pointer("Probe")),
        field("Lifecycle", "lifecycle", pointer("Lifecycle")),
        field("TerminationMessagePath", "terminationMessagePath", TEXT),
        field("TerminationMessagePolicy", "terminationMessagePolicy", TEXT),
        field("ImagePullPolicy", "imagePullPolicy", TEXT),
        field("SecurityContext", "securityContext", pointer("SecurityContext")), field("Stdin", "stdin", FLAG),
        field("StdinOnce", "stdinOnce", FLAG), field("TTY", "tty", FLAG),
        field("TargetContainerName", "targetContainerName", TEXT),
    ]),
    ("HostAlias", &[
        field("IP", "ip", TEXT), field("Hostnames", "hostnames", PLAIN),
    ]),
    ("PodDNSConfig", &[
        field("Nameservers", "nameservers", PLAIN), field("Searches", "searches", PLAIN),
        field("Options", "options", list("PodDNSConfigOption")),
    ]),
    ("PodDNSConfigOption", &[
        field("Name", "name", TEXT), field("Value", "value", PLAIN),
    ]),
    ("PodOS", &[
        field("Name", "name", TEXT),
    ]),
    ("PodReadinessGate", &[
        field("ConditionType", "conditionType", TEXT),
    ]),
    ("PodResourceClaim", &[
        field("Name", "name", TEXT), field("ResourceClaimName", "resourceClaimName", PLAIN),
        field("ResourceClaimTemplateName", "resourceClaimTemplateName", PLAIN),
    ]),
    ("PodSchedulingGate", &[
        field("Name", "name", TEXT),
    ]),
    ("PodSchedulingGroup", &[
        field("PodGroupName", "podGroupName", PLAIN),
    ]),
    ("PodSecurityContext", &[
        field("HostNetwork", "hostNetwork", FLAG), field("HostPID", "hostPID", FLAG),
        field("HostIPC", "hostIPC", FLAG), field("ShareProcessNamespace", "shareProcessNamespace", PLAIN),
        field("HostUsers", "hostUsers", PLAIN), field("SELinuxOptions", "seLinuxOptions", pointer("SELinuxOptions")),
        field("WindowsOptions", "windowsOptions", pointer("WindowsSecurityContextOptions")),
        field("RunAsUser", "runAsUser", PLAIN), field("RunAsGroup", "runAsGroup", PLAIN),
        field("RunAsNonRoot", "runAsNonRoot", PLAIN), field("SupplementalGroups", "supplementalGroups", PLAIN),
        field("SupplementalGroupsPolicy", "supplementalGroupsPolicy", PLAIN), field("FSGroup", "fsGroup", PLAIN),
        field("FSGroupChangePolicy", "fsGroupChangePolicy", PLAIN), field("Sysctls", "sysctls", list("Sysctl")),
        field("SeccompProfile", "seccompProfile", pointer("SeccompProfile")),
        field("AppArmorProfile", "appArmorProfile", pointer("AppArmorProfile")),
        field("SELinuxChangePolicy", "seLinuxChangePolicy", PLAIN),
    ]),
    ("Sysctl", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
    ]),
    ("Toleration", &[
        field("Key", "key", TEXT), field("Operator", "operator", TEXT), field("Value", "value", TEXT),
        field("Effect", "effect", TEXT), field("TolerationSeconds", "tolerationSeconds", PLAIN),
    ]),
    ("TopologySpreadConstraint", &[
        field("MaxSkew", "maxSkew", NUMBER), field("TopologyKey", "topologyKey", TEXT),
        field("WhenUnsatisfiable", "whenUnsatisfiable", TEXT), field("LabelSelector", "labelSelector", SELECTOR),
        field("MinDomains", "minDomains", PLAIN), field("NodeAffinityPolicy", "nodeAffinityPolicy", PLAIN),
        field("NodeTaintsPolicy", "nodeTaintsPolicy", PLAIN), field("MatchLabelKeys", "matchLabelKeys", PLAIN),
    ]),
    ("VolumeMount", &[
        field("Name", "name", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("RecursiveReadOnly", "recursiveReadOnly", PLAIN), field("MountPath", "mountPath", TEXT),
        field("SubPath", "subPath", TEXT), field("MountPropagation", "mountPropagation", PLAIN),
        field("SubPathExpr", "subPathExpr", TEXT),
    ]),
    ("VolumeDevice", &[
        field("Name", "name", TEXT), field("DevicePath", "devicePath", TEXT),
    ]),
];
