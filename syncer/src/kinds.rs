//! The kinds that the syncer watches, and where the API serves them.

/// The group of the CSI snapshotter's custom resources.
const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `v1` Endpoints.
    Endpoints,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` PersistentVolumeClaim.
    PersistentVolumeClaim,
    /// `v1` PersistentVolume.
    PersistentVolume,
    /// `storage.k8s.io/v1` StorageClass.
    StorageClass,
    /// `storage.k8s.io/v1` CSIDriver.
    CsiDriver,
    /// `storage.k8s.io/v1` CSINode.
    CsiNode,
    /// `storage.k8s.io/v1` CSIStorageCapacity.
    CsiStorageCapacity,
    /// `snapshot.storage.k8s.io/v1` VolumeSnapshot.
    VolumeSnapshot,
    /// `snapshot.storage.k8s.io/v1` VolumeSnapshotContent.
    VolumeSnapshotContent,
    /// `snapshot.storage.k8s.io/v1` VolumeSnapshotClass.
    VolumeSnapshotClass,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
    /// `node.k8s.io/v1` RuntimeClass.
    RuntimeClass,
    /// `resource.k8s.io/v1` ResourceClaim.
    ResourceClaim,
    /// `resource.k8s.io/v1` ResourceClaimTemplate.
    ResourceClaimTemplate,
    /// `resource.k8s.io/v1` DeviceClass.
    DeviceClass,
    /// `gateway.networking.k8s.io/v1` GatewayClass.
    GatewayClass,
    /// `gateway.networking.k8s.io/v1` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1` TLSRoute.
    TlsRoute,
    /// `gateway.networking.k8s.io/v1` BackendTLSPolicy.
    BackendTlsPolicy,
    /// `gateway.networking.k8s.io/v1` ReferenceGrant.
    ReferenceGrant,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Event.
    Event,
    /// `apps/v1` StatefulSet: the control plane's own.
    StatefulSet,
    /// `rbac.authorization.k8s.io/v1` ClusterRole: the control plane's own.
    ClusterRole,
    /// `apiextensions.k8s.io/v1` CustomResourceDefinition.
    CustomResourceDefinition,
    /// One that vcluster.yaml names. Kinds are words that live as long as the process.
    Custom(&'static CustomKind),
}

/// A kind of custom resources, as its definition on the host says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomKind {
    /// The API group.
    pub group: String,
    /// The version that is synced.
    pub version: String,
    /// The name in URLs.
    pub plural: String,
    /// The kind as objects state it.
    pub kind: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// Whether status is a subresource.
    pub status: bool,
}

/// The group of the Gateway API.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io";

struct Names {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
}

impl Kind {
    /// Every built-in kind.
    pub const ALL: [Kind; 37] = [
        Kind::Pod,
        Kind::Service,
        Kind::Endpoints,
        Kind::EndpointSlice,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::ServiceAccount,
        Kind::PersistentVolumeClaim,
        Kind::PersistentVolume,
        Kind::StorageClass,
        Kind::CsiDriver,
        Kind::CsiNode,
        Kind::CsiStorageCapacity,
        Kind::VolumeSnapshot,
        Kind::VolumeSnapshotContent,
        Kind::VolumeSnapshotClass,
        Kind::Ingress,
        Kind::IngressClass,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::PriorityClass,
        Kind::RuntimeClass,
        Kind::ResourceClaim,
        Kind::ResourceClaimTemplate,
        Kind::DeviceClass,
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::TlsRoute,
        Kind::BackendTlsPolicy,
        Kind::ReferenceGrant,
        Kind::Namespace,
        Kind::Node,
        Kind::Event,
        Kind::StatefulSet,
        Kind::ClusterRole,
        Kind::CustomResourceDefinition,
    ];

    fn names(self) -> Names {
        const fn namespaced(group: &'static str, plural: &'static str, kind: &'static str) -> Names {
            Names {
                group,
                version: "v1",
                plural,
                kind,
                namespaced: true,
            }
        }
        const fn cluster(group: &'static str, plural: &'static str, kind: &'static str) -> Names {
            Names {
                namespaced: false,
                ..namespaced(group, plural, kind)
            }
        }
        match self {
            Kind::Pod => namespaced("", "pods", "Pod"),
            Kind::Service => namespaced("", "services", "Service"),
            Kind::Endpoints => namespaced("", "endpoints", "Endpoints"),
            Kind::EndpointSlice => namespaced("discovery.k8s.io", "endpointslices", "EndpointSlice"),
            Kind::ConfigMap => namespaced("", "configmaps", "ConfigMap"),
            Kind::Secret => namespaced("", "secrets", "Secret"),
            Kind::ServiceAccount => namespaced("", "serviceaccounts", "ServiceAccount"),
            Kind::PersistentVolumeClaim => namespaced("", "persistentvolumeclaims", "PersistentVolumeClaim"),
            Kind::PersistentVolume => cluster("", "persistentvolumes", "PersistentVolume"),
            Kind::StorageClass => cluster("storage.k8s.io", "storageclasses", "StorageClass"),
            Kind::CsiDriver => cluster("storage.k8s.io", "csidrivers", "CSIDriver"),
            Kind::CsiNode => cluster("storage.k8s.io", "csinodes", "CSINode"),
            Kind::CsiStorageCapacity => namespaced("storage.k8s.io", "csistoragecapacities", "CSIStorageCapacity"),
            Kind::VolumeSnapshot => namespaced(SNAPSHOTS, "volumesnapshots", "VolumeSnapshot"),
            Kind::VolumeSnapshotContent => cluster(SNAPSHOTS, "volumesnapshotcontents", "VolumeSnapshotContent"),
            Kind::VolumeSnapshotClass => cluster(SNAPSHOTS, "volumesnapshotclasses", "VolumeSnapshotClass"),
            Kind::Ingress => namespaced("networking.k8s.io", "ingresses", "Ingress"),
            Kind::IngressClass => cluster("networking.k8s.io", "ingressclasses", "IngressClass"),
            Kind::NetworkPolicy => namespaced("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
            Kind::PodDisruptionBudget => namespaced("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
            Kind::PriorityClass => cluster("scheduling.k8s.io", "priorityclasses", "PriorityClass"),
            Kind::RuntimeClass => cluster("node.k8s.io", "runtimeclasses", "RuntimeClass"),
            Kind::ResourceClaim => namespaced("resource.k8s.io", "resourceclaims", "ResourceClaim"),
            Kind::ResourceClaimTemplate => {
                namespaced("resource.k8s.io", "resourceclaimtemplates", "ResourceClaimTemplate")
            }
            Kind::DeviceClass => cluster("resource.k8s.io", "deviceclasses", "DeviceClass"),
            Kind::GatewayClass => cluster(GATEWAY_API, "gatewayclasses", "GatewayClass"),
            Kind::Gateway => namespaced(GATEWAY_API, "gateways", "Gateway"),
            Kind::HttpRoute => namespaced(GATEWAY_API, "httproutes", "HTTPRoute"),
            Kind::TlsRoute => namespaced(GATEWAY_API, "tlsroutes", "TLSRoute"),
            Kind::BackendTlsPolicy => namespaced(GATEWAY_API, "backendtlspolicies", "BackendTLSPolicy"),
            Kind::ReferenceGrant => namespaced(GATEWAY_API, "referencegrants", "ReferenceGrant"),
            Kind::Namespace => cluster("", "namespaces", "Namespace"),
            Kind::Node => cluster("", "nodes", "Node"),
            Kind::Event => namespaced("", "events", "Event"),
            Kind::StatefulSet => namespaced("apps", "statefulsets", "StatefulSet"),
            Kind::ClusterRole => cluster("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
            Kind::CustomResourceDefinition => cluster(
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "CustomResourceDefinition",
            ),
            Kind::Custom(custom) => Names {
                group: &custom.group,
                version: &custom.version,
                plural: &custom.plural,
                kind: &custom.kind,
                namespaced: custom.namespaced,
            },
        }
    }

    /// Whether its objects lie in namespaces.
    pub fn is_namespaced(self) -> bool {
        self.names().namespaced
    }

    /// The API group, empty for the core group.
    pub fn group(self) -> &'static str {
        self.names().group
    }

    /// The API version.
    pub fn version(self) -> &'static str {
        self.names().version
    }

    /// The name of the custom resource definition that it takes on both sides; `None` when every API server has it.
    pub fn definition(self) -> Option<String> {
        (self.group() == SNAPSHOTS).then(|| format!("{}.{SNAPSHOTS}", self.plural()))
    }

    /// Whether its status is written by itself.
    pub fn has_status(self) -> bool {
        match self {
            Kind::Custom(custom) => custom.status,
            _ => true,
        }
    }

    /// `v1` or `<group>/v1`.
    pub fn api_version(self) -> String {
        if self.group().is_empty() {
            self.version().to_owned()
        } else {
            format!("{}/{}", self.group(), self.version())
        }
    }

    /// The name in URLs.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// The kind as objects state it.
    pub fn name(self) -> &'static str {
        self.names().kind
    }

    /// The built-in kind whose name, in any case, this is.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// `<group>/<version>, Kind=<Kind>`, the way the identity annotation writes it.
    pub fn gvk(self) -> String {
        format!("{}/{}, Kind={}", self.group(), self.version(), self.name())
    }

    /// Who reports events about objects of this kind, under the names that vCluster has for it (the `Name` of its syncers).
    pub fn reporter(self) -> String {
        match self {
            Kind::PersistentVolumeClaim => "persistent-volume-claim-syncer".to_owned(),
            Kind::PodDisruptionBudget => "podDisruptionBudget-syncer".to_owned(),
            other => format!("{}-syncer", other.name().to_lowercase()),
        }
    }

    /// The URL path of the collection in a namespace, or of all namespaces when it is empty.
    pub fn path(self, namespace: &str) -> String {
        let names = self.names();
        let root = if names.group.is_empty() {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{}/{}", names.group, names.version)
        };
        if names.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{namespace}/{}", names.plural)
        } else {
            format!("{root}/{}", names.plural)
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The cluster whose objects are translated.
    Virtual,
    /// The cluster that runs the pods.
    Host,
}

impl Side {
    /// `virtual` or `host`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Virtual => "virtual",
            Side::Host => "host",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_kinds() {
        assert_eq!(Kind::Pod.path("ns"), "/api/v1/namespaces/ns/pods");
        assert_eq!(Kind::Pod.path(""), "/api/v1/pods");
        assert_eq!(
            Kind::EndpointSlice.path("ns"),
            "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices"
        );
        assert_eq!(Kind::Node.path("ignored"), "/api/v1/nodes");
        assert_eq!(Kind::Secret.gvk(), "/v1, Kind=Secret");
        assert_eq!(Kind::EndpointSlice.gvk(), "discovery.k8s.io/v1, Kind=EndpointSlice");
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(&kind.name().to_lowercase()), Some(kind));
        }
    }
}
