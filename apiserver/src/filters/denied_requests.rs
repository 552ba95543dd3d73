//! Refuses what the administrator of a virtual cluster has forbidden to everybody in it (vCluster
//! `experimental.denyProxyRequests`).

use super::Refusal;
use super::request_info::RequestInfo;
use crate::authentication::User;
use crate::authorization::control_plane;
use config::requests::{DenyRule, RuleWithOperations};
use machinery::gvk::GroupResource;
use machinery::status::Status;
use std::path::Path;

const EVERYTHING: &str = "*";
const FLAG: &str = "--denied-requests-dir";

/// The requests that are refused.
#[derive(Debug, Default)]
pub struct DeniedRequests {
    rules: Vec<DenyRule>,
    /// What is not known before the object is: [`crate::admission::MappedNamespaces`] asks for it.
    allowed_namespaces: Vec<String>,
}

impl DeniedRequests {
    /// Reads all YAML files of a directory, by name; without a directory nothing is refused.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn load(dir: Option<&Path>) -> anyhow::Result<Self> {
        let mut all = Self::default();
        let Some(dir) = dir else { return Ok(Self::default()) };
        let wrong =
            |path: &Path, why: &dyn std::fmt::Display| chassis::usage(format!("{FLAG} {}: {why}", path.display()));
        let unreadable = |error: std::io::Error| wrong(dir, &format!("cannot be read: {error}"));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        for path in files {
            let text =
                std::fs::read_to_string(&path).map_err(|error| wrong(&path, &format!("cannot be read: {error}")))?;
            let read = config::requests::DeniedRequests::parse(&text).map_err(|why| wrong(&path, &why))?;
            all.rules.extend(read.rules);
            all.allowed_namespaces.extend(read.allowed_namespaces);
        }
        Ok(all)
    }

    /// The names and patterns of the namespaces that may be made; all may when there are none.
    pub fn allowed_namespaces(&self) -> &[String] {
        &self.allowed_namespaces
    }

    /// Lets the request pass. `user` is who has shown credentials, whoever he wants to be taken for.
    ///
    /// # Errors
    /// 403 when a rule covers it.
    pub fn filter(&self, user: &User, info: &RequestInfo) -> Result<(), Refusal> {
        let denies = |rule: &&DenyRule| !rule.excluded_users.contains(&user.name) && covers(rule, info);
        let Some(rule) = self.rules.iter().find(denies) else {
            return Ok(());
        };
        if control_plane::is_own(&user.name) {
            return Ok(());
        }
        let resource = match info.subresource.as_str() {
            "" => info.resource.clone(),
            below => format!("{}/{below}", info.resource),
        };
        let why = format!("the rule {:?} of this virtual cluster denies the request", rule.name);
        let resource = GroupResource::new(info.group.clone(), resource);
        Err(Refusal::Forbidden(Box::new(Status::forbidden(
            &resource, &info.name, why,
        ))))
    }
}

fn covers(rule: &DenyRule, info: &RequestInfo) -> bool {
    let namespace = rule.namespaces.is_empty() || rule.namespaces.contains(&info.namespace);
    info.is_resource && namespace && rule.rules.iter().any(|each| includes(each, info))
}

fn includes(rule: &RuleWithOperations, info: &RequestInfo) -> bool {
    let listed = |values: &[String], fits: &dyn Fn(&str) -> bool| {
        values.is_empty() || values.iter().any(|value| value == EVERYTHING || fits(value))
    };
    let named = |each: &str| {
        let (resource, below) = each.split_once('/').unwrap_or((each, ""));
        (resource == EVERYTHING || resource == info.resource) && (below == EVERYTHING || below == info.subresource)
    };
    let in_namespace = !info.namespace.is_empty() && info.resource != "namespaces";
    let scope = match rule.scope.as_deref() {
        Some("Cluster") => !in_namespace,
        Some("Namespaced") => in_namespace,
        _ => true,
    };
    let resource = rule.resources.is_empty() || rule.resources.iter().any(|each| named(each));
    scope
        && resource
        && listed(&rule.api_groups, &|group| group == info.group)
        && listed(&rule.api_versions, &|version| version == info.version)
        && listed(&rule.operations, &|operation| is_operation(operation, info))
}

/// Whether a request does what a rule calls so. A rule about reading or deleting is not got around by doing the same to
/// many at once, nor one about tunnels by beginning them with a `GET`.
fn is_operation(operation: &str, info: &RequestInfo) -> bool {
    let tunnel = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
    match operation {
        "get" => matches!(info.verb.as_str(), "get" | "list" | "watch"),
        "delete" => matches!(info.verb.as_str(), "delete" | "deletecollection"),
        "create" => info.verb == "create" || tunnel,
        other => info.verb == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn denied(rules: &str) -> DeniedRequests {
        DeniedRequests {
            rules: config::requests::DeniedRequests::parse(rules).unwrap().rules,
            ..DeniedRequests::default()
        }
    }

    fn refusal(denied: &DeniedRequests, user: &str, method: Method, path: &str) -> Option<String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let info = RequestInfo::parse(&method, path, Some(query)).unwrap();
        let user = User {
            name: user.to_owned(),
            ..User::anonymous()
        };
        match denied.filter(&user, &info) {
            Ok(()) => None,
            Err(Refusal::Forbidden(status)) => Some(status.message),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn rules_cover_requests() {
        let rule = |rule: &str| denied(&format!("rules: [{{name: r, rules: [{rule}]}}]"));
        let pods = "/api/v1/namespaces/n/pods";
        for (what, method, path, expected) in [
            ("{operations: ['*'], resources: [pods]}", Method::GET, pods, true),
            ("{operations: [create], resources: [pods]}", Method::POST, pods, true),
            ("{operations: [create], resources: [pods]}", Method::GET, pods, false),
            ("{operations: [get], resources: [pods]}", Method::GET, pods, true),
            (
                "{operations: [get], resources: [pods]}",
                Method::GET,
                "/api/v1/pods?watch=1",
                true,
            ),
            ("{operations: [delete], resources: [pods]}", Method::DELETE, pods, true),
            (
                "{operations: [create], resources: [pods/exec]}",
                Method::GET,
                "/api/v1/namespaces/n/pods/p/exec",
                true,
            ),
            (
                "{operations: [create], resources: [pods]}",
                Method::POST,
                "/api/v1/namespaces/n/pods/p/exec",
                false,
            ),
            (
                "{resources: ['*/*']}",
                Method::PUT,
                "/api/v1/namespaces/n/pods/p/status",
                true,
            ),
            (
                "{resources: ['*']}",
                Method::PUT,
                "/api/v1/namespaces/n/pods/p/status",
                false,
            ),
            ("{apiGroups: [apps]}", Method::GET, pods, false),
            ("{apiGroups: [apps]}", Method::GET, "/apis/apps/v1/deployments", true),
            ("{apiVersions: [v2]}", Method::GET, pods, false),
            ("{scope: Cluster}", Method::GET, pods, false),
            ("{scope: Cluster}", Method::GET, "/api/v1/nodes/a", true),
            ("{scope: Cluster}", Method::GET, "/api/v1/namespaces/n", true),
            ("{scope: Namespaced}", Method::GET, "/api/v1/namespaces/n", false),
            ("{scope: Namespaced}", Method::GET, pods, true),
            ("{}", Method::GET, "/healthz", false),
            ("{}", Method::GET, "/api/v1", false),
        ] {
            let found = refusal(&rule(what), "me", method.clone(), path);
            assert_eq!(found.is_some(), expected, "{what} {method} {path}");
        }
        assert_eq!(refusal(&DeniedRequests::default(), "me", Method::GET, pods), None);
    }

    #[test]
    fn users_and_namespaces_may_be_left_out() {
        let denied = denied(
            "rules: [{name: quiet, namespaces: [a], excludedUsers: [boss], rules: [{operations: [create], resources: [pods]}]}]",
        );
        let create = |user: &str, namespace: &str| {
            refusal(
                &denied,
                user,
                Method::POST,
                &format!("/api/v1/namespaces/{namespace}/pods"),
            )
        };
        let expected = "pods is forbidden: the rule \"quiet\" of this virtual cluster denies the request";
        assert_eq!(create("me", "a").as_deref(), Some(expected));
        for (user, namespace) in [("me", "b"), ("boss", "a"), ("system:vcluster-syncer", "a")] {
            assert_eq!(create(user, namespace), None, "{user} {namespace}");
        }
    }

    #[test]
    fn mistakes_in_files_name_them() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DeniedRequests::load(Some(dir.path())).unwrap().rules.is_empty());
        std::fs::write(
            dir.path().join("a.yaml"),
            "rules: [{name: r, rules: [{operations: [list]}]}]",
        )
        .unwrap();
        let error = DeniedRequests::load(Some(dir.path())).unwrap_err().to_string();
        assert!(
            error.contains(FLAG) && error.contains("a.yaml") && error.contains("\"list\""),
            "{error}"
        );
        let error = DeniedRequests::load(Some(Path::new("/nowhere")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
