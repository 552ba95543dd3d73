//! The one place that knows which path and method means which verb on which resource
//! (k8s.io/apiserver `pkg/endpoints/installer.go`).

mod custom;

use crate::filters::request_info::RequestInfo;
use crate::registry::before::namespace_required;
use crate::registry::catalog::Served;
use crate::registry::resource::{Action, Subresource};
use crate::registry::store::Store;
use http::Method;
use machinery::status::{Details, Status};
use std::sync::Arc;

/// What a request on a resource does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Follows changes, asked for by the path.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object.
    Patch,
    /// Removes an object.
    Delete,
    /// Removes many.
    DeleteCollection,
    /// Opens a connection to a subresource.
    Connect,
}

/// A request that has found its resource.
pub struct Route {
    /// The resource.
    pub store: Arc<Store>,
    /// The position of the subresource in the definition; `None` for the object itself.
    subresource: Option<usize>,
    /// What is done.
    pub verb: Verb,
    /// The namespace of the object; empty for cluster-scoped kinds and for all namespaces.
    pub namespace: String,
    /// The name in the path; empty for collections.
    pub name: String,
}

impl Route {
    /// The subresource.
    pub fn subresource(&self) -> Option<&Subresource> {
        self.subresource.and_then(|i| self.store.resource.subresources.get(i))
    }
}

/// The methods of requests that are passed on.
const PROXIED: [Method; 7] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
];

/// Which part of a resource a path names.
struct Target {
    namespace: String,
    name: String,
    subresource: Option<usize>,
    watch: bool,
    /// Whether this is the collection over all namespaces of a namespaced resource.
    everywhere: bool,
}

/// Why no route was found.
#[derive(Debug)]
pub enum Miss {
    /// The group is unknown: the path means nothing here.
    NoGroup,
    /// The path or the method does not exist within a known group.
    Answer(Box<Status>),
}

/// Finds what a resource request is about.
///
/// # Errors
/// When there is nothing, or nothing that understands the method.
pub fn route(served: &Served, info: &RequestInfo, method: &Method) -> Result<Route, Miss> {
    // Nothing is found behind more slashes than one.
    let outside = info.path.starts_with("//");
    if outside || (info.prefix == "api") != info.group.is_empty() {
        return Err(Miss::NoGroup);
    }
    let found = served.store(&info.group, &info.version, &info.resource);
    if let Some(store) = found.filter(|store| store.resource.custom.is_some()) {
        return custom::route(store, info, method);
    }
    if !served.is_builtin(&info.group) {
        return Err(Miss::NoGroup);
    }
    let missing = || Miss::Answer(Box::new(not_found()));
    let store = found.ok_or_else(missing)?;
    let target = target(store, info).ok_or_else(missing)?;
    let verb = verb(store, &target, method).ok_or_else(|| Miss::Answer(Box::new(method_not_allowed())))?;
    let homeless = target.namespace.is_empty() && store.resource.namespaced() && !target.name.is_empty();
    if homeless && verb != Verb::Watch {
        return Err(Miss::Answer(Box::new(namespace_required())));
    }
    Ok(Route {
        store: store.clone(),
        subresource: target.subresource,
        verb,
        namespace: target.namespace,
        name: target.name,
    })
}

/// Reads the path again, now knowing the resource: namespaces are resources and scopes at the same time.
fn target(store: &Store, info: &RequestInfo) -> Option<Target> {
    let resource = &store.resource;
    let trimmed = info.path.trim_end_matches('/');
    let segments: Vec<&str> = trimmed
        .split('/')
        .skip(if info.group.is_empty() { 3 } else { 4 })
        .collect();
    let (watch, segments) = match segments.split_first() {
        Some((&"watch", rest)) => (true, rest),
        _ => (false, segments.as_slice()),
    };
    let (namespace, rest) = match segments {
        ["namespaces", namespace, plural, rest @ ..] if resource.namespaced() && **plural == *resource.plural => {
            (Some(*namespace), rest)
        }
        [plural, rest @ ..] if **plural == *resource.plural => (None, rest),
        _ => return None,
    };
    let named = rest.len().min(2);
    if rest[..named].iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let target = |name: &str, subresource| Target {
        namespace: namespace.unwrap_or_default().to_owned(),
        name: name.to_owned(),
        subresource,
        watch,
        everywhere: resource.namespaced() && namespace.is_none(),
    };
    // What can only be created has no path for single objects, nor one outside of namespaces.
    let has = |verbs: &[&str]| verbs.iter().any(|verb| resource.verbs.contains(verb));
    match rest {
        [] if resource.namespaced() && namespace.is_none() && !has(&["list"]) => None,
        [_] if !has(&["get", "update", "patch", "delete"]) => None,
        [] => Some(target("", resource.subresources.iter().position(|s| s.name.is_empty()))),
        // Objects of namespaced kinds have no path outside their namespace.
        _ if resource.namespaced() && namespace.is_none() => None,
        [name] => Some(target(name, None)),
        [name, subresource, tail @ ..] if !watch => {
            let found = resource
                .subresources
                .iter()
                .position(|s| !s.name.is_empty() && s.name == *subresource)?;
            let takes_tail = matches!(resource.subresources[found].action, Action::Proxy);
            (tail.is_empty() || takes_tail).then(|| target(name, Some(found)))
        }
        _ => None,
    }
}

/// The verb of a method; `None` when the resource does not understand it there.
fn verb(store: &Store, target: &Target, method: &Method) -> Option<Verb> {
    let resource = &store.resource;
    let (wanted, verb) = if let Some(subresource) = target.subresource.and_then(|i| resource.subresources.get(i)) {
        if matches!(subresource.action, Action::Proxy) {
            return PROXIED.contains(method).then_some(Verb::Connect);
        }
        if matches!(subresource.action, Action::Connect) {
            let allowed = subresource.verbs.contains(&discovery_verb(method)?);
            return allowed.then_some(Verb::Connect);
        }
        let verb = match *method {
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return None,
        };
        return subresource.verbs.contains(&discovery_verb(method)?).then_some(verb);
    } else if target.watch {
        ("watch", (*method == Method::GET).then_some(Verb::Watch)?)
    } else if target.name.is_empty() {
        match *method {
            Method::GET => ("list", Verb::List),
            Method::POST if !target.everywhere => ("create", Verb::Create),
            Method::DELETE if !target.everywhere => ("deletecollection", Verb::DeleteCollection),
            _ => return None,
        }
    } else {
        match *method {
            Method::GET => ("get", Verb::Get),
            Method::PUT => ("update", Verb::Update),
            Method::PATCH => ("patch", Verb::Patch),
            Method::DELETE => ("delete", Verb::Delete),
            _ => return None,
        }
    };
    resource.verbs.contains(&wanted).then_some(verb)
}

/// The verb that discovery shows for a method on an object.
fn discovery_verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET => Some("get"),
        Method::POST => Some("create"),
        Method::PUT => Some("update"),
        Method::PATCH => Some("patch"),
        Method::DELETE => Some("delete"),
        _ => None,
    }
}

/// Nothing is served at a path below a known group.
pub fn not_found() -> Status {
    Status::failure(404, "NotFound", "the server could not find the requested resource")
        .with_details(Details::default())
}

/// A path does not understand the method.
pub fn method_not_allowed() -> Status {
    Status::failure(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )
    .with_details(Details::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::catalog::Catalog;
    use crate::registry::unstored::Unstored;

    fn catalog() -> Served {
        let admission: crate::admission::Chain = Vec::new().into();
        Catalog::new(crate::resources::all(), |_| Arc::new(Unstored), &admission, |_| None).served()
    }

    /// Verb, namespace, name and subresource of a request, or the code of the refusal; 0 for an unknown group.
    fn found(catalog: &Served, method: &str, path: &str) -> Result<(Verb, String, String, &'static str), u16> {
        let method: Method = method.parse().unwrap();
        let info = RequestInfo::parse(&method, path, None).unwrap();
        match route(catalog, &info, &method) {
            Ok(route) => {
                let subresource = route.subresource().map_or("", |s| s.name);
                Ok((route.verb, route.namespace.clone(), route.name.clone(), subresource))
            }
            Err(Miss::NoGroup) => Err(0),
            Err(Miss::Answer(status)) => Err(status.code),
        }
    }

    #[test]
    fn paths_and_methods_mean_verbs() {
        let catalog = catalog();
        for (method, path, verb, namespace, name, subresource) in [
            ("GET", "/api/v1/configmaps", Verb::List, "", "", ""),
            ("GET", "/api/v1/namespaces/n/configmaps", Verb::List, "n", "", ""),
            ("POST", "/api/v1/namespaces/n/configmaps", Verb::Create, "n", "", ""),
            ("GET", "/api/v1/namespaces//configmaps", Verb::List, "", "", ""),
            ("POST", "/api/v1/namespaces//configmaps", Verb::Create, "", "", ""),
            ("GET", "/api/v1/namespaces/n/configmaps/", Verb::List, "n", "", ""),
            (
                "DELETE",
                "/api/v1/namespaces/n/configmaps",
                Verb::DeleteCollection,
                "n",
                "",
                "",
            ),
            ("GET", "/api/v1/namespaces/n/configmaps/c", Verb::Get, "n", "c", ""),
            (
                "GET",
                "/api/v1/watch/namespaces/n/configmaps/c",
                Verb::Watch,
                "n",
                "c",
                "",
            ),
            ("PUT", "/api/v1/namespaces/n", Verb::Update, "", "n", ""),
            (
                "PUT",
                "/api/v1/namespaces/n/finalize",
                Verb::Update,
                "",
                "n",
                "finalize",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/n/deployments/d/scale",
                Verb::Patch,
                "n",
                "d",
                "scale",
            ),
            (
                "POST",
                "/api/v1/namespaces/n/pods/p/exec",
                Verb::Connect,
                "n",
                "p",
                "exec",
            ),
            ("POST", "/api/v1/namespaces/n/bindings", Verb::Create, "n", "", ""),
            ("DELETE", "/api/v1/nodes/x", Verb::Delete, "", "x", ""),
        ] {
            let expected = Ok((verb, namespace.to_owned(), name.to_owned(), subresource));
            assert_eq!(found(&catalog, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_does_not_exist_is_told_apart_from_what_is_not_allowed() {
        let catalog = catalog();
        for (method, path, code) in [
            ("POST", "/api/v1/configmaps", 405),
            ("HEAD", "/api/v1/namespaces/n", 405),
            ("DELETE", "/api/v1/namespaces", 405),
            ("GET", "/api/v1/namespaces/n/bindings", 405),
            ("GET", "/api/v1/configmaps/c", 404),
            ("GET", "/api/v1/namespaces/n/nodes", 404),
            ("GET", "/api/v1/namespaces/n/configmaps/c/status", 404),
            ("GET", "/api/v1/namespaces/n/pods/p/status/more", 404),
            ("GET", "/api/v1/foos", 404),
            ("GET", "/apis/apps/v2/deployments", 404),
            ("GET", "/api/v1/../v1/namespaces", 404),
            ("GET", "/api/v1/namespaces//configmaps/c", 400),
            ("PUT", "/apis/apps/v1/namespaces//deployments/d/scale", 400),
            ("GET", "/api/v1//configmaps", 404),
            ("GET", "//api/v1/configmaps", 0),
            ("GET", "/apis/nope.example.com/v1/x", 0),
        ] {
            assert_eq!(found(&catalog, method, path).unwrap_err(), code, "{method} {path}");
        }
    }
}
