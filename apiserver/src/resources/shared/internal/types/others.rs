//! What the other kinds have that messages show (`types.go` of their groups).

use super::{Field, NUMBER, PLAIN, SELECTOR, TEXT, field, inline, list, pointer};

#[rustfmt::skip]
pub(super) static TYPES: &[(&str, &[Field])] = &[
    ("ObjectReference", &[
        field("Kind", "kind", TEXT), field("Namespace", "namespace", TEXT), field("Name", "name", TEXT),
        field("UID", "uid", TEXT), field("APIVersion", "apiVersion", TEXT),
        field("ResourceVersion", "resourceVersion", TEXT), field("FieldPath", "fieldPath", TEXT),
    ]),
    ("PodFailurePolicy", &[
        field("Rules", "rules", list("PodFailurePolicyRule")),
    ]),
    ("PodFailurePolicyRule", &[
        field("Action", "action", TEXT),
        field("OnExitCodes", "onExitCodes", pointer("PodFailurePolicyOnExitCodesRequirement")),
        field("OnPodConditions", "onPodConditions", list("PodFailurePolicyOnPodConditionsPattern")),
    ]),
    ("PodFailurePolicyOnExitCodesRequirement", &[
        field("ContainerName", "containerName", PLAIN), field("Operator", "operator", TEXT),
        field("Values", "values", PLAIN),
    ]),
    ("PodFailurePolicyOnPodConditionsPattern", &[
        field("Type", "type", TEXT), field("Status", "status", TEXT),
    ]),
    ("SuccessPolicy", &[
        field("Rules", "rules", list("SuccessPolicyRule")),
    ]),
    ("SuccessPolicyRule", &[
        field("SucceededIndexes", "succeededIndexes", PLAIN), field("SucceededCount", "succeededCount", PLAIN),
    ]),
    ("DeploymentStrategy", &[
        field("Type", "type", TEXT), field("RollingUpdate", "rollingUpdate", pointer("RollingUpdateDeployment")),
    ]),
    ("RollingUpdateDeployment", &[
        field("MaxUnavailable", "maxUnavailable", NUMBER), field("MaxSurge", "maxSurge", NUMBER),
    ]),
    ("StatefulSetUpdateStrategy", &[
        field("Type", "type", TEXT),
        field("RollingUpdate", "rollingUpdate", pointer("RollingUpdateStatefulSetStrategy")),
    ]),
    ("RollingUpdateStatefulSetStrategy", &[
        field("Partition", "partition", NUMBER), field("MaxUnavailable", "maxUnavailable", PLAIN),
    ]),
    ("DaemonSetUpdateStrategy", &[
        field("Type", "type", TEXT), field("RollingUpdate", "rollingUpdate", pointer("RollingUpdateDaemonSet")),
    ]),
    ("RollingUpdateDaemonSet", &[
        field("MaxUnavailable", "maxUnavailable", NUMBER), field("MaxSurge", "maxSurge", NUMBER),
    ]),
    ("FlowDistinguisherMethod", &[
        field("Type", "type", TEXT),
    ]),
    ("ServicePort", &[
        field("Name", "name", TEXT), field("Protocol", "protocol", TEXT), field("AppProtocol", "appProtocol", PLAIN),
        field("Port", "port", NUMBER), field("TargetPort", "targetPort", NUMBER),
        field("NodePort", "nodePort", NUMBER),
    ]),
    ("PodIP", &[
        field("IP", "ip", TEXT),
    ]),
    ("HostIP", &[
        field("IP", "ip", TEXT),
    ]),
    ("UncountedTerminatedPods", &[
        field("Succeeded", "succeeded", PLAIN), field("Failed", "failed", PLAIN),
    ]),
    ("NodeAddress", &[
        field("Type", "type", TEXT), field("Address", "address", TEXT),
    ]),
    ("Taint", &[
        field("Key", "key", TEXT), field("Value", "value", TEXT), field("Effect", "effect", TEXT),
        field("TimeAdded", "timeAdded", PLAIN),
    ]),
    ("ParentReference", &[
        field("Group", "group", TEXT), field("Resource", "resource", TEXT), field("Namespace", "namespace", TEXT),
        field("Name", "name", TEXT),
    ]),
    ("PodDisruptionBudgetSpec", &[
        field("MinAvailable", "minAvailable", PLAIN), field("Selector", "selector", SELECTOR),
        field("MaxUnavailable", "maxUnavailable", PLAIN),
        field("UnhealthyPodEvictionPolicy", "unhealthyPodEvictionPolicy", PLAIN),
    ]),
    ("ResourceClaimSpec", &[
        field("Devices", "devices", inline("DeviceClaim")),
    ]),
    ("DeviceClaim", &[
        field("Requests", "requests", list("DeviceRequest")),
        field("Constraints", "constraints", list("DeviceConstraint")),
        field("Config", "config", list("DeviceClaimConfiguration")),
    ]),
    ("AllocationResult", &[
        field("Devices", "devices", inline("DeviceAllocationResult")),
        field("NodeSelector", "nodeSelector", pointer("NodeSelector")),
        field("AllocationTimestamp", "allocationTimestamp", PLAIN),
    ]),
    ("DeviceAllocationResult", &[
        field("Results", "results", list("DeviceRequestAllocationResult")),
        field("Config", "config", list("DeviceAllocationConfiguration")),
    ]),
    ("DeviceRequestAllocationResult", &[
        field("Request", "request", TEXT), field("Driver", "driver", TEXT), field("Pool", "pool", TEXT),
        field("Device", "device", TEXT), field("AdminAccess", "adminAccess", PLAIN),
        field("Tolerations", "tolerations", list("DeviceToleration")),
        field("BindingConditions", "bindingConditions", PLAIN),
        field("BindingFailureConditions", "bindingFailureConditions", PLAIN), field("ShareID", "shareID", PLAIN),
        field("ConsumedCapacity", "consumedCapacity", PLAIN),
    ]),
    ("DeviceAllocationConfiguration", &[
        field("Source", "source", TEXT), field("Requests", "requests", PLAIN),
        field("Opaque", "opaque", pointer("OpaqueDeviceConfiguration")),
    ]),
    ("DeviceClaimConfiguration", &[
        field("Requests", "requests", PLAIN), field("Opaque", "opaque", pointer("OpaqueDeviceConfiguration")),
    ]),
    ("OpaqueDeviceConfiguration", &[
        field("Driver", "driver", TEXT), field("Parameters", "parameters", PLAIN),
    ]),
    ("DeviceConstraint", &[
        field("Requests", "requests", PLAIN), field("MatchAttribute", "matchAttribute", PLAIN),
        field("DistinctAttribute", "distinctAttribute", PLAIN),
    ]),
    ("DeviceRequest", &[
        field("Name", "name", TEXT), field("Exactly", "exactly", pointer("ExactDeviceRequest")),
        field("FirstAvailable", "firstAvailable", list("DeviceSubRequest")),
    ]),
    ("DeviceSubRequest", &[
        field("Name", "name", TEXT), field("DeviceClassName", "deviceClassName", TEXT),
        field("Selectors", "selectors", list("DeviceSelector")), field("AllocationMode", "allocationMode", TEXT),
        field("Count", "count", NUMBER), field("Tolerations", "tolerations", list("DeviceToleration")),
        field("Capacity", "capacity", pointer("CapacityRequirements")),
    ]),
    ("CapacityRequirements", &[
        field("Requests", "requests", PLAIN),
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
    ("ExactDeviceRequest", &[
        field("DeviceClassName", "deviceClassName", TEXT), field("Selectors", "selectors", list("DeviceSelector")),
        field("AllocationMode", "allocationMode", TEXT), field("Count", "count", NUMBER),
        field("AdminAccess", "adminAccess", PLAIN), field("Tolerations", "tolerations", list("DeviceToleration")),
        field("Capacity", "capacity", pointer("CapacityRequirements")),
    ]),
    ("EventSource", &[
        field("Component", "component", TEXT), field("Host", "host", TEXT),
    ]),
    ("VolumeAttachmentSpec", &[
        field("Attacher", "attacher", TEXT), field("Source", "source", inline("VolumeAttachmentSource")),
        field("NodeName", "nodeName", TEXT),
    ]),
    ("CSINodeDriver", &[
        field("Name", "name", TEXT), field("NodeID", "nodeID", TEXT), field("TopologyKeys", "topologyKeys", PLAIN),
        field("Allocatable", "allocatable", pointer("VolumeNodeResources")),
    ]),
    ("RoleRef", &[
        field("APIGroup", "apiGroup", TEXT), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
    ]),
    ("ScopeSelector", &[
        field("MatchExpressions", "matchExpressions", list("ScopedResourceSelectorRequirement")),
    ]),
    ("ScopedResourceSelectorRequirement", &[
        field("ScopeName", "scopeName", TEXT), field("Operator", "operator", TEXT), field("Values", "values", PLAIN),
    ]),
    ("Device", &[
        field("Name", "name", TEXT), field("Attributes", "attributes", PLAIN), field("Capacity", "capacity", PLAIN),
        field("ConsumesCounters", "consumesCounters", list("DeviceCounterConsumption")),
        field("NodeName", "nodeName", PLAIN), field("NodeSelector", "nodeSelector", pointer("NodeSelector")),
        field("AllNodes", "allNodes", PLAIN), field("Taints", "taints", list("DeviceTaint")),
        field("BindsToNode", "bindsToNode", PLAIN), field("BindingConditions", "bindingConditions", PLAIN),
        field("BindingFailureConditions", "bindingFailureConditions", PLAIN),
        field("AllowMultipleAllocations", "allowMultipleAllocations", PLAIN),
        field("NodeAllocatableResourceMappings", "nodeAllocatableResourceMappings", PLAIN),
    ]),
    ("DeviceCounterConsumption", &[
        field("CounterSet", "counterSet", TEXT), field("Counters", "counters", PLAIN),
    ]),
    ("DeviceTaint", &[
        field("Key", "key", TEXT), field("Value", "value", TEXT), field("Effect", "effect", TEXT),
        field("TimeAdded", "timeAdded", PLAIN),
    ]),
];
