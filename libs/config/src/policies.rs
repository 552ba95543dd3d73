//! What the pods of a virtual cluster may ask for and reach.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::Auto;
use crate::requests::CentralAdmission;

/// What pods may ask for and reach.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// The pod security standard of every namespace; empty leaves it to the namespaces.
    pub pod_security_standard: String,
    /// How much all pods together may ask for.
    pub resource_quota: ResourceQuota,
    /// What containers get that ask for nothing, and the bounds of what they may ask for.
    pub limit_range: LimitRange,
    /// What pods and the control plane may reach.
    pub network_policy: NetworkPolicy,
    /// Webhooks that see every request, and that nobody in the virtual cluster can see or change.
    pub central_admission: CentralAdmission,
}

impl Policies {
    /// Whether there is a quota: left open, it comes with the limits, without which it would refuse pods.
    pub fn has_resource_quota(&self) -> bool {
        with(self.resource_quota.enabled, self.limit_range.enabled)
    }

    /// Whether there are limits: left open, they come with the quota.
    pub fn has_limit_range(&self) -> bool {
        with(self.limit_range.enabled, self.resource_quota.enabled)
    }
}

fn with(own: Auto, other: Auto) -> bool {
    own == Auto::Set(true) || (own == Auto::Suggested && other == Auto::Set(true))
}

/// Labels and annotations of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels, besides those that it has anyway.
    pub labels: BTreeMap<String, String>,
}

/// A quota for the host namespace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceQuota {
    /// Whether it is made.
    pub enabled: Auto,
    /// Amounts by resource.
    pub quota: Value,
    /// Which objects it is for, as a Kubernetes object.
    pub scope_selector: Value,
    /// Which objects it is for, by name.
    pub scopes: Vec<Value>,
    /// Of the object.
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// Limits for the host namespace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRange {
    /// Whether they are made.
    pub enabled: Auto,
    /// Limits of containers that state none, by resource.
    pub default: Value,
    /// Requests of containers that state none, by resource.
    pub default_request: Value,
    /// The most that a container may ask for, by resource.
    pub max: Value,
    /// The least that a container may ask for, by resource.
    pub min: Value,
    /// Of the object.
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// Network policies for the host namespace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether they are made.
    pub enabled: bool,
    /// The name server that is asked when that of the host cannot be, which the policies may be the reason for.
    pub fallback_dns: String,
    /// More of what the control plane may reach, and who may reach it.
    pub control_plane: Rules,
    /// What pods may reach, and who may reach them.
    pub workload: Workload,
    /// Of the objects.
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// Rules of a Kubernetes network policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Who may connect.
    pub ingress: Vec<Value>,
    /// Whither connections may go.
    pub egress: Vec<Value>,
}

/// What pods may reach, and who may reach them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Addresses outside of the cluster.
    pub public_egress: PublicEgress,
    /// More rules.
    #[serde(flatten)]
    pub rules: Rules,
}

/// Addresses outside of the cluster that pods may reach.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicEgress {
    /// Whether they may reach any.
    pub enabled: bool,
    /// The network.
    pub cidr: String,
    /// The networks within it that they may not reach.
    pub except: Vec<String>,
}
