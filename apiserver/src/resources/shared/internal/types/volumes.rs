//! Volumes and claims for them (`pkg/apis/core/types.go`).

use super::{FLAG, Field, NUMBER, PLAIN, SELECTOR, TEXT, field, inline, list, pointer};

#[rustfmt::skip]
pub(super) static TYPES: &[(&str, &[Field])] = &[
    ("LocalObjectReference", &[
        field("Name", "name", TEXT),
    ]),
    ("Volume", &[
        field("Name", "name", TEXT), field("HostPath", "hostPath", pointer("HostPathVolumeSource")),
        field("EmptyDir", "emptyDir", pointer("EmptyDirVolumeSource")),
        field("GCEPersistentDisk", "gcePersistentDisk", pointer("GCEPersistentDiskVolumeSource")),
        field("AWSElasticBlockStore", "awsElasticBlockStore", pointer("AWSElasticBlockStoreVolumeSource")),
        field("GitRepo", "gitRepo", pointer("GitRepoVolumeSource")),
        field("Secret", "secret", pointer("SecretVolumeSource")), field("NFS", "nfs", pointer("NFSVolumeSource")),
        field("ISCSI", "iscsi", pointer("ISCSIVolumeSource")),
        field("Glusterfs", "glusterfs", pointer("GlusterfsVolumeSource")),
        field("PersistentVolumeClaim", "persistentVolumeClaim", pointer("PersistentVolumeClaimVolumeSource")),
        field("RBD", "rbd", pointer("RBDVolumeSource")), field("Quobyte", "quobyte", pointer("QuobyteVolumeSource")),
        field("FlexVolume", "flexVolume", pointer("FlexVolumeSource")),
        field("Cinder", "cinder", pointer("CinderVolumeSource")),
        field("CephFS", "cephfs", pointer("CephFSVolumeSource")),
        field("Flocker", "flocker", pointer("FlockerVolumeSource")),
        field("DownwardAPI", "downwardAPI", pointer("DownwardAPIVolumeSource")),
        field("FC", "fc", pointer("FCVolumeSource")),
        field("AzureFile", "azureFile", pointer("AzureFileVolumeSource")),
        field("ConfigMap", "configMap", pointer("ConfigMapVolumeSource")),
        field("VsphereVolume", "vsphereVolume", pointer("VsphereVirtualDiskVolumeSource")),
        field("AzureDisk", "azureDisk", pointer("AzureDiskVolumeSource")),
        field("PhotonPersistentDisk", "photonPersistentDisk", pointer("PhotonPersistentDiskVolumeSource")),
        field("Projected", "projected", pointer("ProjectedVolumeSource")),
        field("PortworxVolume", "portworxVolume", pointer("PortworxVolumeSource")),
        field("ScaleIO", "scaleIO", pointer("ScaleIOVolumeSource")),
        field("StorageOS", "storageos", pointer("StorageOSVolumeSource")),
        field("CSI", "csi", pointer("CSIVolumeSource")),
        field("Ephemeral", "ephemeral", pointer("EphemeralVolumeSource")),
        field("Image", "image", pointer("ImageVolumeSource")),
    ]),
    ("AWSElasticBlockStoreVolumeSource", &[
        field("VolumeID", "volumeID", TEXT), field("FSType", "fsType", TEXT), field("Partition", "partition", NUMBER),
        field("ReadOnly", "readOnly", FLAG),
    ]),
    ("AzureDiskVolumeSource", &[
        field("DiskName", "diskName", TEXT), field("DataDiskURI", "diskURI", TEXT),
        field("CachingMode", "cachingMode", PLAIN), field("FSType", "fsType", PLAIN),
        field("ReadOnly", "readOnly", PLAIN), field("Kind", "kind", PLAIN),
    ]),
    ("AzureFileVolumeSource", &[
        field("SecretName", "secretName", TEXT), field("ShareName", "shareName", TEXT),
        field("ReadOnly", "readOnly", FLAG),
    ]),
    ("CSIVolumeSource", &[
        field("Driver", "driver", TEXT), field("ReadOnly", "readOnly", PLAIN), field("FSType", "fsType", PLAIN),
        field("VolumeAttributes", "volumeAttributes", PLAIN),
        field("NodePublishSecretRef", "nodePublishSecretRef", pointer("LocalObjectReference")),
    ]),
    ("CephFSVolumeSource", &[
        field("Monitors", "monitors", PLAIN), field("Path", "path", TEXT), field("User", "user", TEXT),
        field("SecretFile", "secretFile", TEXT), field("SecretRef", "secretRef", pointer("LocalObjectReference")),
        field("ReadOnly", "readOnly", FLAG),
    ]),
    ("CinderVolumeSource", &[
        field("VolumeID", "volumeID", TEXT), field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")),
    ]),
    ("ConfigMapVolumeSource", &[
        field("Name", "name", TEXT), field("Items", "items", list("KeyToPath")),
        field("DefaultMode", "defaultMode", PLAIN), field("Optional", "optional", PLAIN),
    ]),
    ("KeyToPath", &[
        field("Key", "key", TEXT), field("Path", "path", TEXT), field("Mode", "mode", PLAIN),
    ]),
    ("DownwardAPIVolumeSource", &[
        field("Items", "items", list("DownwardAPIVolumeFile")), field("DefaultMode", "defaultMode", PLAIN),
    ]),
    ("DownwardAPIVolumeFile", &[
        field("Path", "path", TEXT), field("FieldRef", "fieldRef", pointer("ObjectFieldSelector")),
        field("ResourceFieldRef", "resourceFieldRef", pointer("ResourceFieldSelector")), field("Mode", "mode", PLAIN),
    ]),
    ("EmptyDirVolumeSource", &[
        field("Medium", "medium", TEXT), field("SizeLimit", "sizeLimit", PLAIN),
    ]),
    ("EphemeralVolumeSource", &[
        field("VolumeClaimTemplate", "volumeClaimTemplate", pointer("PersistentVolumeClaimTemplate")),
    ]),
    ("PersistentVolumeClaimTemplate", &[
        field("Spec", "spec", inline("PersistentVolumeClaimSpec")),
    ]),
    ("PersistentVolumeClaimSpec", &[
        field("AccessModes", "accessModes", PLAIN), field("Selector", "selector", SELECTOR),
        field("Resources", "resources", inline("VolumeResourceRequirements")),
        field("VolumeName", "volumeName", TEXT), field("StorageClassName", "storageClassName", PLAIN),
        field("VolumeMode", "volumeMode", PLAIN),
        field("DataSource", "dataSource", pointer("TypedLocalObjectReference")),
        field("DataSourceRef", "dataSourceRef", pointer("TypedObjectReference")),
        field("VolumeAttributesClassName", "volumeAttributesClassName", PLAIN),
    ]),
    ("TypedLocalObjectReference", &[
        field("APIGroup", "apiGroup", PLAIN), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
    ]),
    ("TypedObjectReference", &[
        field("APIGroup", "apiGroup", PLAIN), field("Kind", "kind", TEXT), field("Name", "name", TEXT),
        field("Namespace", "namespace", PLAIN),
    ]),
    ("VolumeResourceRequirements", &[
        field("Limits", "limits", PLAIN), field("Requests", "requests", PLAIN),
    ]),
    ("FCVolumeSource", &[
        field("TargetWWNs", "targetWWNs", PLAIN), field("Lun", "lun", PLAIN), field("FSType", "fsType", TEXT),
        field("ReadOnly", "readOnly", FLAG), field("WWIDs", "wwids", PLAIN),
    ]),
    ("FlexVolumeSource", &[
        field("Driver", "driver", TEXT), field("FSType", "fsType", TEXT),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")), field("ReadOnly", "readOnly", FLAG),
        field("Options", "options", PLAIN),
    ]),
    ("FlockerVolumeSource", &[
        field("DatasetName", "datasetName", TEXT), field("DatasetUUID", "datasetUUID", TEXT),
    ]),
    ("GCEPersistentDiskVolumeSource", &[
        field("PDName", "pdName", TEXT), field("FSType", "fsType", TEXT), field("Partition", "partition", NUMBER),
        field("ReadOnly", "readOnly", FLAG),
    ]),
    ("GitRepoVolumeSource", &[
        field("Repository", "repository", TEXT), field("Revision", "revision", TEXT),
        field("Directory", "directory", TEXT),
    ]),
    ("GlusterfsVolumeSource", &[
        field("EndpointsName", "endpoints", TEXT), field("Path", "path", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("HostPathVolumeSource", &[
        field("Path", "path", TEXT), field("Type", "type", PLAIN),
    ]),
    ("ISCSIVolumeSource", &[
        field("TargetPortal", "targetPortal", TEXT), field("IQN", "iqn", TEXT), field("Lun", "lun", NUMBER),
        field("ISCSIInterface", "iscsiInterface", TEXT), field("FSType", "fsType", TEXT),
        field("ReadOnly", "readOnly", FLAG), field("Portals", "portals", PLAIN),
        field("DiscoveryCHAPAuth", "chapAuthDiscovery", FLAG), field("SessionCHAPAuth", "chapAuthSession", FLAG),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")),
        field("InitiatorName", "initiatorName", PLAIN),
    ]),
    ("ImageVolumeSource", &[
        field("Reference", "reference", TEXT), field("PullPolicy", "pullPolicy", TEXT),
    ]),
    ("NFSVolumeSource", &[
        field("Server", "server", TEXT), field("Path", "path", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("PersistentVolumeClaimVolumeSource", &[
        field("ClaimName", "claimName", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("PhotonPersistentDiskVolumeSource", &[
        field("PdID", "pdID", TEXT), field("FSType", "fsType", TEXT),
    ]),
    ("PortworxVolumeSource", &[
        field("VolumeID", "volumeID", TEXT), field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("ProjectedVolumeSource", &[
        field("Sources", "sources", list("VolumeProjection")), field("DefaultMode", "defaultMode", PLAIN),
    ]),
    ("VolumeProjection", &[
        field("Secret", "secret", pointer("SecretProjection")),
        field("DownwardAPI", "downwardAPI", pointer("DownwardAPIProjection")),
        field("ConfigMap", "configMap", pointer("ConfigMapProjection")),
        field("ServiceAccountToken", "serviceAccountToken", pointer("ServiceAccountTokenProjection")),
        field("ClusterTrustBundle", "clusterTrustBundle", pointer("ClusterTrustBundleProjection")),
        field("PodCertificate", "podCertificate", pointer("PodCertificateProjection")),
    ]),
    ("ClusterTrustBundleProjection", &[
        field("Name", "name", PLAIN), field("SignerName", "signerName", PLAIN),
        field("LabelSelector", "labelSelector", SELECTOR), field("Optional", "optional", PLAIN),
        field("Path", "path", TEXT),
    ]),
    ("ConfigMapProjection", &[
        field("Name", "name", TEXT), field("Items", "items", list("KeyToPath")), field("Optional", "optional", PLAIN),
    ]),
    ("DownwardAPIProjection", &[
        field("Items", "items", list("DownwardAPIVolumeFile")),
    ]),
    ("PodCertificateProjection", &[
        field("SignerName", "signerName", TEXT), field("KeyType", "keyType", TEXT),
        field("MaxExpirationSeconds", "maxExpirationSeconds", PLAIN),
        field("CredentialBundlePath", "credentialBundlePath", TEXT), field("KeyPath", "keyPath", TEXT),
        field("CertificateChainPath", "certificateChainPath", TEXT),
        field("UserAnnotations", "userAnnotations", PLAIN),
    ]),
    ("SecretProjection", &[
        field("Name", "name", TEXT), field("Items", "items", list("KeyToPath")), field("Optional", "optional", PLAIN),
    ]),
    ("ServiceAccountTokenProjection", &[
        field("Audience", "audience", TEXT), field("ExpirationSeconds", "expirationSeconds", NUMBER),
        field("Path", "path", TEXT),
    ]),
    ("QuobyteVolumeSource", &[
        field("Registry", "registry", TEXT), field("Volume", "volume", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("User", "user", TEXT), field("Group", "group", TEXT), field("Tenant", "tenant", TEXT),
    ]),
    ("RBDVolumeSource", &[
        field("CephMonitors", "monitors", PLAIN), field("RBDImage", "image", TEXT), field("FSType", "fsType", TEXT),
        field("RBDPool", "pool", TEXT), field("RadosUser", "user", TEXT), field("Keyring", "keyring", TEXT),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("ScaleIOVolumeSource", &[
        field("Gateway", "gateway", TEXT), field("System", "system", TEXT),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")), field("SSLEnabled", "sslEnabled", FLAG),
        field("ProtectionDomain", "protectionDomain", TEXT), field("StoragePool", "storagePool", TEXT),
        field("StorageMode", "storageMode", TEXT), field("VolumeName", "volumeName", TEXT),
        field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("SecretVolumeSource", &[
        field("SecretName", "secretName", TEXT), field("Items", "items", list("KeyToPath")),
        field("DefaultMode", "defaultMode", PLAIN), field("Optional", "optional", PLAIN),
    ]),
    ("StorageOSVolumeSource", &[
        field("VolumeName", "volumeName", TEXT), field("VolumeNamespace", "volumeNamespace", TEXT),
        field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("SecretRef", "secretRef", pointer("LocalObjectReference")),
    ]),
    ("VsphereVirtualDiskVolumeSource", &[
        field("VolumePath", "volumePath", TEXT), field("FSType", "fsType", TEXT),
        field("StoragePolicyName", "storagePolicyName", TEXT), field("StoragePolicyID", "storagePolicyID", TEXT),
    ]),
    ("PersistentVolumeSource", &[
        field("GCEPersistentDisk", "gcePersistentDisk", pointer("GCEPersistentDiskVolumeSource")),
        field("AWSElasticBlockStore", "awsElasticBlockStore", pointer("AWSElasticBlockStoreVolumeSource")),
        field("HostPath", "hostPath", pointer("HostPathVolumeSource")),
        field("Glusterfs", "glusterfs", pointer("GlusterfsPersistentVolumeSource")),
        field("NFS", "nfs", pointer("NFSVolumeSource")), field("RBD", "rbd", pointer("RBDPersistentVolumeSource")),
        field("Quobyte", "quobyte", pointer("QuobyteVolumeSource")),
        field("ISCSI", "iscsi", pointer("ISCSIPersistentVolumeSource")),
        field("FlexVolume", "flexVolume", pointer("FlexPersistentVolumeSource")),
        field("Cinder", "cinder", pointer("CinderPersistentVolumeSource")),
        field("CephFS", "cephfs", pointer("CephFSPersistentVolumeSource")),
        field("FC", "fc", pointer("FCVolumeSource")), field("Flocker", "flocker", pointer("FlockerVolumeSource")),
        field("AzureFile", "azureFile", pointer("AzureFilePersistentVolumeSource")),
        field("VsphereVolume", "vsphereVolume", pointer("VsphereVirtualDiskVolumeSource")),
        field("AzureDisk", "azureDisk", pointer("AzureDiskVolumeSource")),
        field("PhotonPersistentDisk", "photonPersistentDisk", pointer("PhotonPersistentDiskVolumeSource")),
        field("PortworxVolume", "portworxVolume", pointer("PortworxVolumeSource")),
        field("ScaleIO", "scaleIO", pointer("ScaleIOPersistentVolumeSource")),
        field("Local", "local", pointer("LocalVolumeSource")),
        field("StorageOS", "storageos", pointer("StorageOSPersistentVolumeSource")),
        field("CSI", "csi", pointer("CSIPersistentVolumeSource")),
    ]),
    ("AzureFilePersistentVolumeSource", &[
        field("SecretName", "secretName", TEXT), field("ShareName", "shareName", TEXT),
        field("ReadOnly", "readOnly", FLAG), field("SecretNamespace", "secretNamespace", PLAIN),
    ]),
    ("CSIPersistentVolumeSource", &[
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
    ("CephFSPersistentVolumeSource", &[
        field("Monitors", "monitors", PLAIN), field("Path", "path", TEXT), field("User", "user", TEXT),
        field("SecretFile", "secretFile", TEXT), field("SecretRef", "secretRef", pointer("SecretReference")),
        field("ReadOnly", "readOnly", FLAG),
    ]),
    ("CinderPersistentVolumeSource", &[
        field("VolumeID", "volumeID", TEXT), field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("SecretRef", "secretRef", pointer("SecretReference")),
    ]),
    ("FlexPersistentVolumeSource", &[
        field("Driver", "driver", TEXT), field("FSType", "fsType", TEXT),
        field("SecretRef", "secretRef", pointer("SecretReference")), field("ReadOnly", "readOnly", FLAG),
        field("Options", "options", PLAIN),
    ]),
    ("GlusterfsPersistentVolumeSource", &[
        field("EndpointsName", "endpoints", TEXT), field("Path", "path", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("EndpointsNamespace", "endpointsNamespace", PLAIN),
    ]),
    ("ISCSIPersistentVolumeSource", &[
        field("TargetPortal", "targetPortal", TEXT), field("IQN", "iqn", TEXT), field("Lun", "lun", NUMBER),
        field("ISCSIInterface", "iscsiInterface", TEXT), field("FSType", "fsType", TEXT),
        field("ReadOnly", "readOnly", FLAG), field("Portals", "portals", PLAIN),
        field("DiscoveryCHAPAuth", "chapAuthDiscovery", FLAG), field("SessionCHAPAuth", "chapAuthSession", FLAG),
        field("SecretRef", "secretRef", pointer("SecretReference")), field("InitiatorName", "initiatorName", PLAIN),
    ]),
    ("LocalVolumeSource", &[
        field("Path", "path", TEXT), field("FSType", "fsType", PLAIN),
    ]),
    ("RBDPersistentVolumeSource", &[
        field("CephMonitors", "monitors", PLAIN), field("RBDImage", "image", TEXT), field("FSType", "fsType", TEXT),
        field("RBDPool", "pool", TEXT), field("RadosUser", "user", TEXT), field("Keyring", "keyring", TEXT),
        field("SecretRef", "secretRef", pointer("SecretReference")), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("ScaleIOPersistentVolumeSource", &[
        field("Gateway", "gateway", TEXT), field("System", "system", TEXT),
        field("SecretRef", "secretRef", pointer("SecretReference")), field("SSLEnabled", "sslEnabled", FLAG),
        field("ProtectionDomain", "protectionDomain", TEXT), field("StoragePool", "storagePool", TEXT),
        field("StorageMode", "storageMode", TEXT), field("VolumeName", "volumeName", TEXT),
        field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
    ]),
    ("StorageOSPersistentVolumeSource", &[
        field("VolumeName", "volumeName", TEXT), field("VolumeNamespace", "volumeNamespace", TEXT),
        field("FSType", "fsType", TEXT), field("ReadOnly", "readOnly", FLAG),
        field("SecretRef", "secretRef", pointer("ObjectReference")),
    ]),
    ("VolumeNodeAffinity", &[
        field("Required", "required", pointer("NodeSelector")),
    ]),
    ("VolumeAttachmentSource", &[
        field("PersistentVolumeName", "persistentVolumeName", PLAIN),
        field("InlineVolumeSpec", "inlineVolumeSpec", pointer("PersistentVolumeSpec")),
    ]),
    ("PersistentVolumeSpec", &[
        field("Capacity", "capacity", PLAIN),
        field("GCEPersistentDisk", "gcePersistentDisk", pointer("GCEPersistentDiskVolumeSource")),
        field("AWSElasticBlockStore", "awsElasticBlockStore", pointer("AWSElasticBlockStoreVolumeSource")),
        field("HostPath", "hostPath", pointer("HostPathVolumeSource")),
        field("Glusterfs", "glusterfs", pointer("GlusterfsPersistentVolumeSource")),
        field("NFS", "nfs", pointer("NFSVolumeSource")), field("RBD", "rbd", pointer("RBDPersistentVolumeSource")),
        field("Quobyte", "quobyte", pointer("QuobyteVolumeSource")),
        field("ISCSI", "iscsi", pointer("ISCSIPersistentVolumeSource")),
        field("FlexVolume", "flexVolume", pointer("FlexPersistentVolumeSource")),
        field("Cinder", "cinder", pointer("CinderPersistentVolumeSource")),
        field("CephFS", "cephfs", pointer("CephFSPersistentVolumeSource")),
        field("FC", "fc", pointer("FCVolumeSource")), field("Flocker", "flocker", pointer("FlockerVolumeSource")),
        field("AzureFile", "azureFile", pointer("AzureFilePersistentVolumeSource")),
        field("VsphereVolume", "vsphereVolume", pointer("VsphereVirtualDiskVolumeSource")),
        field("AzureDisk", "azureDisk", pointer("AzureDiskVolumeSource")),
        field("PhotonPersistentDisk", "photonPersistentDisk", pointer("PhotonPersistentDiskVolumeSource")),
        field("PortworxVolume", "portworxVolume", pointer("PortworxVolumeSource")),
        field("ScaleIO", "scaleIO", pointer("ScaleIOPersistentVolumeSource")),
        field("Local", "local", pointer("LocalVolumeSource")),
        field("StorageOS", "storageos", pointer("StorageOSPersistentVolumeSource")),
        field("CSI", "csi", pointer("CSIPersistentVolumeSource")), field("AccessModes", "accessModes", PLAIN),
        field("ClaimRef", "claimRef", pointer("ObjectReference")),
        field("PersistentVolumeReclaimPolicy", "persistentVolumeReclaimPolicy", TEXT),
        field("StorageClassName", "storageClassName", TEXT), field("MountOptions", "mountOptions", PLAIN),
        field("VolumeMode", "volumeMode", PLAIN),
        field("NodeAffinity", "nodeAffinity", pointer("VolumeNodeAffinity")),
        field("VolumeAttributesClassName", "volumeAttributesClassName", PLAIN),
    ]),
    ("VolumeNodeResources", &[
        field("Count", "count", PLAIN),
    ]),
];
