//! The internal types that messages show (`pkg/apis/core/types.go`, `pkg/apis/apps/types.go`): Go name and served name
//! of every field. Parts that no message has been seen to show are printed as they are served.

use serde_json::Value;

/// How a field is printed.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// As it is served, `null` when absent.
    Plain,
    /// As it is served, and as this text when absent.
    Zero(&'static str),
    /// A struct that is always there.
    Struct(&'static str),
    /// A struct, `null` when absent.
    Pointer(&'static str),
    /// A list of structs, `null` when absent.
    List(&'static str),
}

/// A field.
pub(super) struct Field {
    /// Its name in Go.
    pub(super) name: &'static str,
    /// How it is printed.
    pub(super) kind: Kind,
    served: &'static str,
}

impl Field {
    /// The value of the field in a served struct. A pod's internal security context also has fields that are served
    /// beside it; it finds them where they are because it is given the whole spec.
    pub(super) fn value_in<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        if self.served.is_empty() {
            return Some(value);
        }
        let beside = || {
            value
                .get("securityContext")
                .and_then(|context| context.get(self.served))
        };
        value.get(self.served).or_else(beside)
    }
}

const fn field(name: &'static str, served: &'static str, kind: Kind) -> Field {
    Field { name, kind, served }
}

const PLAIN: Kind = Kind::Plain;
const TEXT: Kind = Kind::Zero("\"\"");
const NUMBER: Kind = Kind::Zero("0");
const QUANTITY: Kind = Kind::Zero("\"0\"");
const FLAG: Kind = Kind::Zero("false");

const fn inline(name: &'static str) -> Kind {
    Kind::Struct(name)
}

const fn pointer(name: &'static str) -> Kind {
    Kind::Pointer(name)
}

const fn list(name: &'static str) -> Kind {
    Kind::List(name)
}

/// The fields of a type; none of one that is not there.
pub(super) fn fields(name: &str) -> &'static [Field] {
    TYPES
        .iter()
        .find(|(n, _)| *n == name)
        .map_or(&[], |(_, fields)| *fields)
}

/// All types.
#[rustfmt::skip]
pub(super) static TYPES: &[(&str, &[Field])] = &[
    ("SecurityContext", &[
        field("Capabilities", "capabilities", pointer("Capabilities")), field("Privileged", "privileged", PLAIN),
        field("SELinuxOptions", "seLinuxOptions", pointer("SELinuxOptions")),
        field("WindowsOptions", "windowsOptions", pointer("WindowsOptions")), field("RunAsUser", "runAsUser", PLAIN),
        field("RunAsGroup", "runAsGroup", PLAIN), field("RunAsNonRoot", "runAsNonRoot", PLAIN),
        field("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", PLAIN),
        field("AllowPrivilegeEscalation", "allowPrivilegeEscalation", PLAIN), field("ProcMount", "procMount", PLAIN),
        field("SeccompProfile", "seccompProfile", pointer("SeccompProfile")),
        field("AppArmorProfile", "appArmorProfile", pointer("AppArmorProfile")),
    ]),
    ("Capabilities", &[
        field("Add", "add", PLAIN), field("Drop", "drop", PLAIN),
    ]),
    ("SELinuxOptions", &[
        field("User", "user", TEXT), field("Role", "role", TEXT), field("Type", "type", TEXT),
        field("Level", "level", TEXT),
    ]),
    ("WindowsOptions", &[
        field("GMSACredentialSpecName", "gmsaCredentialSpecName", PLAIN),
        field("GMSACredentialSpec", "gmsaCredentialSpec", PLAIN), field("RunAsUserName", "runAsUserName", PLAIN),
        field("HostProcess", "hostProcess", PLAIN),
    ]),
    ("EventSource", &[
        field("Component", "component", TEXT), field("Host", "host", TEXT),
    ]),
    ("SeccompProfile", &[
        field("Type", "type", TEXT), field("LocalhostProfile", "localhostProfile", PLAIN),
    ]),
    ("AppArmorProfile", &[
        field("Type", "type", TEXT), field("LocalhostProfile", "localhostProfile", PLAIN),
    ]),
    ("RoleRef", &[
        field("APIGroup", "apiGroup", TEXT), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
    ]),
    ("PodDisruptionBudgetSpec", &[
        field("MinAvailable", "minAvailable", PLAIN), field("Selector", "selector", PLAIN),
        field("MaxUnavailable", "maxUnavailable", PLAIN),
        field("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", PLAIN),
    ]),
    ("VolumeAttachmentSpec", &[
        field("Attacher", "attacher", TEXT), field("Source", "source", inline("VolumeAttachmentSource")),
        field("NodeName", "nodeName", TEXT),
    ]),
    ("VolumeAttachmentSource", &[
        field("PersistentVolumeName", "persistentVolumeName", PLAIN),
        field("InlineVolumeSpec", "inlineVolumeSpec", PLAIN),
    ]),
    ("CSINodeDriver", &[
        field("Name", "name", TEXT), field("NodeID", "nodeID", TEXT), field("TopologyKeys", "topologyKeys", PLAIN),
        field("Allocatable", "allocatable", PLAIN),
    ]),
    ("ParentReference", &[
        field("Group", "group", TEXT), field("Resource", "resource", TEXT), field("Namespace", "namespace", TEXT),
        field("Name", "name", TEXT),
    ]),
    ("ServicePort", &[
        field("Name", "name", TEXT), field("Protocol", "protocol", TEXT), field("AppProtocol", "appProtocol", PLAIN),
        field("Port", "port", NUMBER), field("TargetPort", "targetPort", NUMBER),
        field("NodePort", "nodePort", NUMBER),
    ]),
    ("DeploymentStrategy", &[
        field("Type", "type", TEXT), field("RollingUpdate", "rollingUpdate", pointer("RollingUpdateDeployment")),
    ]),
    ("RollingUpdateDeployment", &[
        field("MaxUnavailable", "maxUnavailable", NUMBER), field("MaxSurge", "maxSurge", NUMBER),
    ]),
    ("RollingUpdateStatefulSetStrategy", &[
        field("Partition", "partition", NUMBER), field("MaxUnavailable", "maxUnavailable", PLAIN),
    ]),
    ("PersistentVolumeClaimSpec", &[
        field("AccessModes", "accessModes", PLAIN), field("Selector", "selector", PLAIN),
        field("Resources", "resources", inline("VolumeResources")), field("VolumeName", "volumeName", TEXT),
        field("StorageClassName", "storageClassName", PLAIN), field("VolumeMode", "volumeMode", PLAIN),
        field("DataSource", "dataSource", pointer("TypedReference")),
        field("DataSourceRef", "dataSourceRef", pointer("TypedObjectReference")),
        field("VolumeAttributesClassName", "volumeAttributesClassName", PLAIN),
    ]),
    ("PersistentVolumeSource", &[
        field("GCEPersistentDisk", "gcePersistentDisk", PLAIN),
        field("AWSElasticBlockStore", "awsElasticBlockStore", PLAIN), field("HostPath", "hostPath", pointer("HostPath")),
        field("Glusterfs", "glusterfs", PLAIN), field("NFS", "nfs", pointer("NFS")), field("RBD", "rbd", PLAIN),
        field("Quobyte", "quobyte", PLAIN), field("ISCSI", "iscsi", PLAIN), field("FlexVolume", "flexVolume", PLAIN),
        field("Cinder", "cinder", PLAIN), field("CephFS", "cephfs", PLAIN), field("FC", "fc", PLAIN),
        field("Flocker", "flocker", PLAIN), field("AzureFile", "azureFile", PLAIN),
        field("VsphereVolume", "vsphereVolume", PLAIN), field("AzureDisk", "azureDisk", PLAIN),
        field("PhotonPersistentDisk", "photonPersistentDisk", PLAIN), field("PortworxVolume", "portworxVolume", PLAIN),
        field("ScaleIO", "scaleIO", PLAIN), field("Local", "local", pointer("LocalVolume")),
        field("StorageOS", "storageos", PLAIN), field("CSI", "csi", pointer("CSIPersistentVolume")),
    ]),
    ("LocalVolume", &[
        field("Path", "path", TEXT), field("FSType", "fsType", PLAIN),
    ]),
    ("CSIPersistentVolume", &[
        field("Driver", "driver", TEXT), field("VolumeHandle", "volumeHandle", TEXT),
        field("ReadOnly", "readOnly", FLAG), field("FSType", "fsType", TEXT),
        field("VolumeAttributes", "volumeAttributes", PLAIN),
        field("ControllerPublishSecretRef", "controllerPublishSecretRef", pointer("SecretReference")),
        field("NodeStageSecretRef", "nodeStageSecretRef", pointer("SecretReference")),
        field("NodePublishSecretRef", "nodePublishSecretRef", pointer("SecretReference")),
        field("ControllerExpandSecretRef", "controllerExpandSecretRef", pointer("SecretReference")),
        field("NodeExpandSecretRef", "nodeExpandSecretRef", pointer("SecretReference")),
    ]),
    ("SecretReference", &[
        field("Name", "name", TEXT), field("Namespace", "namespace", TEXT),
    ]),
    ("ResourceClaimSpec", &[
        field("Devices", "devices", inline("DeviceClaim")),
    ]),
    ("DeviceClaim", &[
        field("Requests", "requests", list("DeviceRequest")), field("Constraints", "constraints", list("DeviceConstraint")),
        field("Config", "config", list("DeviceClaimConfiguration")),
    ]),
    ("DeviceRequest", &[
        field("Name", "name", TEXT), field("Exactly", "exactly", pointer("ExactDeviceRequest")),
        field("FirstAvailable", "firstAvailable", list("DeviceSubRequest")),
    ]),
    ("ExactDeviceRequest", &[
        field("DeviceClassName", "deviceClassName", TEXT), field("Selectors", "selectors", list("DeviceSelector")),
        field("AllocationMode", "allocationMode", TEXT), field("Count", "count", NUMBER),
        field("AdminAccess", "adminAccess", PLAIN), field("Tolerations", "tolerations", list("DeviceToleration")),
        field("Capacity", "capacity", pointer("CapacityRequirements")),
    ]),
    ("DeviceSubRequest", &[
        field("Name", "name", TEXT), field("DeviceClassName", "deviceClassName", TEXT),
        field("Selectors", "selectors", list("DeviceSelector")), field("AllocationMode", "allocationMode", TEXT),
        field("Count", "count", NUMBER), field("Tolerations", "tolerations", list("DeviceToleration")),
        field("Capacity", "capacity", pointer("CapacityRequirements")),
    ]),
    ("DeviceSelector", &[
        field("CEL", "cel", pointer("CELDeviceSelector")),
    ]),
    ("CELDeviceSelector", &[
        field("Expression", "expression", TEXT),
    ]),
    ("DeviceToleration", &[
        field("Key", "key", TEXT), field("Operator", "operator", TEXT), field("Value", "value", TEXT),
        field("Effect", "effect", TEXT), field("TolerationSeconds", "tolerationSeconds", PLAIN),
    ]),
    ("CapacityRequirements", &[
        field("Requests", "requests", PLAIN),
    ]),
    ("DeviceConstraint", &[
        field("Requests", "requests", PLAIN), field("MatchAttribute", "matchAttribute", PLAIN),
        field("DistinctAttribute", "distinctAttribute", PLAIN),
    ]),
    ("DeviceClaimConfiguration", &[
        field("Requests", "requests", PLAIN), field("Opaque", "opaque", pointer("OpaqueDeviceConfiguration")),
    ]),
    ("OpaqueDeviceConfiguration", &[
        field("Driver", "driver", TEXT), field("Parameters", "parameters", PLAIN),
    ]),
    ("VolumeResources", &[
        field("Limits", "limits", PLAIN), field("Requests", "requests", PLAIN),
    ]),
    ("TypedReference", &[
        field("APIGroup", "apiGroup", PLAIN), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
    ]),
    ("TypedObjectReference", &[
        field("APIGroup", "apiGroup", PLAIN), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
        field("Namespace", "namespace", PLAIN),
    ]),
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
        field("ImagePullSecrets", "imagePullSecrets", list("LocalReference")), field("Hostname", "hostname", TEXT),
        field("Subdomain", "subdomain", TEXT), field("SetHostnameAsFQDN", "setHostnameAsFQDN", PLAIN),
        field("Affinity", "affinity", pointer("Affinity")), field("SchedulerName", "schedulerName", TEXT),
        field("Tolerations", "tolerations", list("Toleration")),
        field("HostAliases", "hostAliases", list("HostAlias")), field("PriorityClassName", "priorityClassName", TEXT),
        field("Priority", "priority", PLAIN), field("PreemptionPolicy", "preemptionPolicy", PLAIN),
        field("DNSConfig", "dnsConfig", pointer("DNSConfig")),
        field("ReadinessGates", "readinessGates", list("ReadinessGate")),
        field("RuntimeClassName", "runtimeClassName", PLAIN), field("Overhead", "overhead", PLAIN),
        field("EnableServiceLinks", "enableServiceLinks", PLAIN),
        field("TopologySpreadConstraints", "topologySpreadConstraints", list("TopologySpreadConstraint")),
        field("OS", "os", pointer("OS")), field("SchedulingGates", "schedulingGates", list("SchedulingGate")),
        field("ResourceClaims", "resourceClaims", list("PodResourceClaim")),
        field("Resources", "resources", pointer("ResourceRequirements")),
        field("HostnameOverride", "hostnameOverride", PLAIN), field("SchedulingGroup", "schedulingGroup", PLAIN),
    ]),
    ("PodSecurityContext", &[
        field("HostNetwork", "hostNetwork", FLAG), field("HostPID", "hostPID", FLAG),
        field("HostIPC", "hostIPC", FLAG), field("ShareProcessNamespace", "shareProcessNamespace", PLAIN),
        field("HostUsers", "hostUsers", PLAIN), field("SELinuxOptions", "seLinuxOptions", pointer("SELinuxOptions")),
        field("WindowsOptions", "windowsOptions", pointer("WindowsOptions")), field("RunAsUser", "runAsUser", PLAIN),
        field("RunAsGroup", "runAsGroup", PLAIN), field("RunAsNonRoot", "runAsNonRoot", PLAIN),
        field("SupplementalGroups", "supplementalGroups", PLAIN),
        field("SupplementalGroupsPolicy", "supplementalGroupsPolicy", PLAIN), field("FSGroup", "fsGroup", PLAIN),
        field("FSGroupChangePolicy", "fsGroupChangePolicy", PLAIN), field("Sysctls", "sysctls", list("Sysctl")),
        field("SeccompProfile", "seccompProfile", pointer("SeccompProfile")),
        field("AppArmorProfile", "appArmorProfile", pointer("AppArmorProfile")),
        field("SELinuxChangePolicy", "seLinuxChangePolicy", PLAIN),
    ]),
    ("Sysctl", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
    ]),
    ("LocalReference", &[
        field("Name", "name", TEXT),
    ]),
    ("Toleration", &[
        field("Key", "key", TEXT), field("Operator", "operator", TEXT), field("Value", "value", TEXT),
        field("Effect", "effect", TEXT), field("TolerationSeconds", "tolerationSeconds", PLAIN),
    ]),
    ("HostAlias", &[
        field("IP", "ip", TEXT), field("Hostnames", "hostnames", PLAIN),
    ]),
    ("DNSConfig", &[
        field("Nameservers", "nameservers", PLAIN), field("Searches", "searches", PLAIN),
        field("Options", "options", list("DNSOption")),
    ]),
    ("DNSOption", &[
        field("Name", "name", TEXT), field("Value", "value", PLAIN),
    ]),
    ("ReadinessGate", &[
        field("ConditionType", "conditionType", TEXT),
    ]),
    ("SchedulingGate", &[
        field("Name", "name", TEXT),
    ]),
    ("OS", &[
        field("Name", "name", TEXT),
    ]),
    ("PodResourceClaim", &[
        field("Name", "name", TEXT), field("ResourceClaimName", "resourceClaimName", PLAIN),
        field("ResourceClaimTemplateName", "resourceClaimTemplateName", PLAIN),
    ]),
    ("TopologySpreadConstraint", &[
        field("MaxSkew", "maxSkew", NUMBER), field("TopologyKey", "topologyKey", TEXT),
        field("WhenUnsatisfiable", "whenUnsatisfiable", TEXT), field("LabelSelector", "labelSelector", PLAIN),
        field("MinDomains", "minDomains", PLAIN), field("NodeAffinityPolicy", "nodeAffinityPolicy", PLAIN),
        field("NodeTaintsPolicy", "nodeTaintsPolicy", PLAIN), field("MatchLabelKeys", "matchLabelKeys", PLAIN),
    ]),
    ("Affinity", &[
        field("NodeAffinity", "nodeAffinity", pointer("NodeAffinity")),
        field("PodAffinity", "podAffinity", pointer("PodAffinity")),
        field("PodAntiAffinity", "podAntiAffinity", pointer("PodAffinity")),
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
        field("LabelSelector", "labelSelector", PLAIN), field("Namespaces", "namespaces", PLAIN),
        field("TopologyKey", "topologyKey", TEXT), field("NamespaceSelector", "namespaceSelector", PLAIN),
        field("MatchLabelKeys", "matchLabelKeys", PLAIN), field("MismatchLabelKeys", "mismatchLabelKeys", PLAIN),
    ]),
    ("WeightedPodAffinityTerm", &[
        field("Weight", "weight", NUMBER), field("PodAffinityTerm", "podAffinityTerm", inline("PodAffinityTerm")),
    ]),
    ("Container", &[
        field("Name", "name", TEXT), field("Image", "image", TEXT), field("Command", "command", PLAIN),
        field("Args", "args", PLAIN), field("WorkingDir", "workingDir", TEXT),
        field("Ports", "ports", list("ContainerPort")), field("EnvFrom", "envFrom", list("EnvFrom")),
        field("Env", "env", list("EnvVar")), field("Resources", "resources", inline("ResourceRequirements")),
        field("ResizePolicy", "resizePolicy", list("ResizePolicy")), field("RestartPolicy", "restartPolicy", PLAIN),
        field("RestartPolicyRules", "restartPolicyRules", PLAIN),
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
    ("EphemeralContainer", &[
        field("Name", "name", TEXT), field("Image", "image", TEXT), field("Command", "command", PLAIN),
        field("Args", "args", PLAIN), field("WorkingDir", "workingDir", TEXT),
        field("Ports", "ports", list("ContainerPort")), field("EnvFrom", "envFrom", list("EnvFrom")),
        field("Env", "env", list("EnvVar")), field("Resources", "resources", inline("ResourceRequirements")),
        field("ResizePolicy", "resizePolicy", list("ResizePolicy")), field("RestartPolicy", "restartPolicy", PLAIN),
        field("RestartPolicyRules", "restartPolicyRules", PLAIN),
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
    ("ContainerPort", &[
        field("Name", "name", TEXT), field("HostPort", "hostPort", NUMBER),
        field("ContainerPort", "containerPort", NUMBER), field("Protocol", "protocol", TEXT),
        field("HostIP", "hostIP", TEXT),
    ]),
    ("EnvFrom", &[
        field("Prefix", "prefix", TEXT), field("ConfigMapRef", "configMapRef", pointer("OptionalReference")),
        field("SecretRef", "secretRef", pointer("OptionalReference")),
    ]),
    ("OptionalReference", &[
        field("Name", "name", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("EnvVar", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
        field("ValueFrom", "valueFrom", pointer("EnvVarSource")),
    ]),
    ("EnvVarSource", &[
        field("FieldRef", "fieldRef", pointer("FieldReference")),
        field("ResourceFieldRef", "resourceFieldRef", pointer("ResourceFieldReference")),
        field("ConfigMapKeyRef", "configMapKeyRef", pointer("KeyReference")),
        field("SecretKeyRef", "secretKeyRef", pointer("KeyReference")), field("FileKeyRef", "fileKeyRef", PLAIN),
    ]),
    ("FieldReference", &[
        field("APIVersion", "apiVersion", TEXT), field("FieldPath", "fieldPath", TEXT),
    ]),
    ("ResourceFieldReference", &[
        field("ContainerName", "containerName", TEXT), field("Resource", "resource", TEXT),
        field("Divisor", "divisor", QUANTITY),
    ]),
    ("KeyReference", &[
        field("Name", "name", TEXT), field("Key", "key", TEXT), field("Optional", "optional", PLAIN),
    ]),
    ("ResourceRequirements", &[
        field("Limits", "limits", PLAIN), field("Requests", "requests", PLAIN),
        field("Claims", "claims", list("ResourceClaim")),
    ]),
    ("ResourceClaim", &[
        field("Name", "name", TEXT), field("Request", "request", TEXT),
    ]),
    ("ResizePolicy", &[
        field("ResourceName", "resourceName", TEXT), field("RestartPolicy", "restartPolicy", TEXT),
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
    ("Probe", &[
        field("Exec", "exec", pointer("Exec")), field("HTTPGet", "httpGet", pointer("HTTPGet")),
        field("TCPSocket", "tcpSocket", pointer("TCPSocket")), field("GRPC", "grpc", pointer("GRPC")),
        field("InitialDelaySeconds", "initialDelaySeconds", NUMBER),
        field("TimeoutSeconds", "timeoutSeconds", NUMBER), field("PeriodSeconds", "periodSeconds", NUMBER),
        field("SuccessThreshold", "successThreshold", NUMBER), field("FailureThreshold", "failureThreshold", NUMBER),
        field("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", PLAIN),
    ]),
    ("Handler", &[
        field("Exec", "exec", pointer("Exec")), field("HTTPGet", "httpGet", pointer("HTTPGet")),
        field("TCPSocket", "tcpSocket", pointer("TCPSocket")), field("GRPC", "grpc", pointer("GRPC")),
    ]),
    ("Exec", &[
        field("Command", "command", PLAIN),
    ]),
    ("HTTPGet", &[
        field("Path", "path", TEXT), field("Port", "port", NUMBER), field("Host", "host", TEXT),
        field("Scheme", "scheme", TEXT), field("HTTPHeaders", "httpHeaders", list("HTTPHeader")),
    ]),
    ("HTTPHeader", &[
        field("Name", "name", TEXT), field("Value", "value", TEXT),
    ]),
    ("TCPSocket", &[
        field("Port", "port", NUMBER), field("Host", "host", TEXT),
    ]),
    ("GRPC", &[
        field("Port", "port", NUMBER), field("Service", "service", PLAIN),
    ]),
    ("Lifecycle", &[
        field("PostStart", "postStart", pointer("LifecycleHandler")),
        field("PreStop", "preStop", pointer("LifecycleHandler")), field("StopSignal", "stopSignal", PLAIN),
    ]),
    ("LifecycleHandler", &[
        field("Exec", "exec", pointer("Exec")), field("HTTPGet", "httpGet", pointer("HTTPGet")),
        field("TCPSocket", "tcpSocket", pointer("TCPSocket")), field("Sleep", "sleep", pointer("Sleep")),
    ]),
    ("Sleep", &[
        field("Seconds", "seconds", NUMBER),
    ]),
    ("Volume", &[
        field("Name", "name", TEXT), field("HostPath", "hostPath", pointer("HostPath")),
        field("EmptyDir", "emptyDir", pointer("EmptyDir")), field("GCEPersistentDisk", "gcePersistentDisk", PLAIN),
        field("AWSElasticBlockStore", "awsElasticBlockStore", PLAIN), field("GitRepo", "gitRepo", PLAIN),
        field("Secret", "secret", pointer("SecretVolume")), field("NFS", "nfs", pointer("NFS")),
        field("ISCSI", "iscsi", PLAIN), field("Glusterfs", "glusterfs", PLAIN),
        field("PersistentVolumeClaim", "persistentVolumeClaim", pointer("ClaimVolume")), field("RBD", "rbd", PLAIN),
        field("Quobyte", "quobyte", PLAIN), field("FlexVolume", "flexVolume", PLAIN),
        field("Cinder", "cinder", PLAIN), field("CephFS", "cephfs", PLAIN), field("Flocker", "flocker", PLAIN),
        field("DownwardAPI", "downwardAPI", pointer("DownwardVolume")), field("FC", "fc", PLAIN),
        field("AzureFile", "azureFile", PLAIN), field("ConfigMap", "configMap", pointer("ConfigMapVolume")),
        field("VsphereVolume", "vsphereVolume", PLAIN), field("AzureDisk", "azureDisk", PLAIN),
        field("PhotonPersistentDisk", "photonPersistentDisk", PLAIN),
        field("Projected", "projected", pointer("Projected")), field("PortworxVolume", "portworxVolume", PLAIN),
        field("ScaleIO", "scaleIO", PLAIN), field("StorageOS", "storageos", PLAIN),
        field("CSI", "csi", pointer("CSIVolume")), field("Ephemeral", "ephemeral", PLAIN),
        field("Image", "image", pointer("ImageVolume")),
    ]),
    ("HostPath", &[
        field("Path", "path", TEXT), field("Type", "type", PLAIN),
    ]),
    ("EmptyDir", &[
        field("Medium", "medium", TEXT), field("SizeLimit", "sizeLimit", PLAIN),
    ]),
    ("SecretVolume", &[
        field("SecretName", "secretName", TEXT), field("Items", "items", list("KeyToPath")),
        field("DefaultMode", "defaultMode", PLAIN), field("Optional", "optional", PLAIN),
    ]),
    ("ConfigMapVolume", &[
        field("Name", "name", TEXT), field("Items", "items", list("KeyToPath")),
        field("DefaultMode", "defaultMode", PLAIN), field("Optional", "optional", PLAIN),
    ]),
    ("KeyToPath", &[
        field("Key", "key", TEXT), field("Path", "path", TEXT), field("Mode", "mode", PLAIN),
    ]),
    ("NFS", &[
        field("Server", "server", TEXT), field("Path", "path", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("ClaimVolume", &[
        field("ClaimName", "claimName", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("DownwardVolume", &[
        field("Items", "items", list("DownwardFile")), field("DefaultMode", "defaultMode", PLAIN),
    ]),
    ("DownwardFile", &[
        field("Path", "path", TEXT), field("FieldRef", "fieldRef", pointer("FieldReference")),
        field("ResourceFieldRef", "resourceFieldRef", pointer("ResourceFieldReference")),
        field("Mode", "mode", PLAIN),
    ]),
    ("CSIVolume", &[
        field("Driver", "driver", TEXT), field("ReadOnly", "readOnly", PLAIN), field("FSType", "fsType", PLAIN),
        field("VolumeAttributes", "volumeAttributes", PLAIN),
        field("NodePublishSecretRef", "nodePublishSecretRef", pointer("LocalReference")),
    ]),
    ("ImageVolume", &[
        field("Reference", "reference", TEXT), field("PullPolicy", "pullPolicy", TEXT),
    ]),
    ("Projected", &[
        field("Sources", "sources", list("ProjectedSource")), field("DefaultMode", "defaultMode", PLAIN),
    ]),
    ("ProjectedSource", &[
        field("Secret", "secret", pointer("SecretProjection")),
        field("DownwardAPI", "downwardAPI", pointer("DownwardProjection")),
        field("ConfigMap", "configMap", pointer("SecretProjection")),
        field("ServiceAccountToken", "serviceAccountToken", pointer("TokenProjection")),
        field("ClusterTrustBundle", "clusterTrustBundle", PLAIN), field("PodCertificate", "podCertificate", PLAIN),
    ]),
    ("SecretProjection", &[
        field("Name", "name", TEXT), field("Items", "items", list("KeyToPath")), field("Optional", "optional", PLAIN),
    ]),
    ("DownwardProjection", &[
        field("Items", "items", list("DownwardFile")),
    ]),
    ("TokenProjection", &[
        field("Audience", "audience", TEXT), field("ExpirationSeconds", "expirationSeconds", NUMBER),
        field("Path", "path", TEXT),
    ]),
];
