//! Who makes a request (k8s.io/apiserver `pkg/authentication/user`).

use std::collections::BTreeMap;

/// Everybody whose credentials were accepted.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of a user without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Those who may do everything.
pub const MASTERS: &str = "system:masters";
/// The kubelets.
pub const NODES: &str = "system:nodes";
/// All service accounts; those of one namespace are in this group with the namespace appended.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// An authenticated (or anonymous) user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The unique name.
    pub name: String,
    /// The UID, where the authenticator knows one.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// More that the authenticator knows, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of a name and groups.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        User {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..User::default()
        }
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// The user of a service account, with the groups all of them are in.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        User {
            uid: uid.to_owned(),
            ..Self::new(
                format!("system:serviceaccount:{namespace}:{name}"),
                &[
                    SERVICE_ACCOUNTS,
                    &format!("{SERVICE_ACCOUNTS}:{namespace}"),
                    AUTHENTICATED,
                ],
            )
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
