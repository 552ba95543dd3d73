//! The operations on resources, before they take the form of a dialect.

use crate::gvk::GroupVersionKind;
use crate::schema::{self, Type};

use super::{Resource, Subresource};

/// A query parameter: its name and JSON type.
pub(super) type Parameter = (&'static str, &'static str);

/// For every request that writes.
const WRITE: &[Parameter] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];
const PATCH: &[Parameter] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: &[Parameter] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const LOG: &[Parameter] = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("insecureSkipTLSVerifyBackend", "boolean"),
    ("limitBytes", "integer"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("stream", "string"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];
const ATTACH: &[Parameter] = &[
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const EXEC: &[Parameter] = &[
    ("command", "string"),
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const PORT_FORWARD: &[Parameter] = &[("ports", "integer")];

pub(super) const ANSWERS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
pub(super) const STREAMS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const TEXT: &[&str] = &[
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const ANYTHING: &[&str] = &["*/*"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// One path with its operations.
pub(super) struct Path<'a> {
    pub(super) path: String,
    /// The path's own parameters: its name, namespace and `pretty`.
    pub(super) in_path: Vec<&'static str>,
    pub(super) operations: Vec<Operation<'a>>,
}

/// One operation.
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: String,
    pub(super) action: Option<&'static str>,
    pub(super) kind: Option<&'a GroupVersionKind>,
    pub(super) parameters: &'static [Parameter],
    /// The schema of the body and whether there has to be one.
    pub(super) body: Option<(&'a Type, bool)>,
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    /// The codes of success, and the schema of the answer; none for a plain text.
    pub(super) codes: &'static [u16],
    pub(super) answer: Option<&'a Type>,
}

/// The types every document mentions.
fn meta_type(name: &str) -> Option<&'static Type> {
    schema::builtin(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"))
}

/// The name of a group in identifiers: `rbac.authorization.k8s.io` is `RbacAuthorization`.
fn camel(group: &str) -> String {
    let group = if group.is_empty() {
        "core"
    } else {
        group.trim_end_matches(".k8s.io")
    };
    group.split(['.', '-']).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn tag(kind: &GroupVersionKind) -> String {
    let group = camel(&kind.group);
    let (first, rest) = group.split_at(group.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}_{}", first.to_lowercase(), kind.version)
}

/// The path of a group and version.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// The path that lists the resources of a group and version.
pub(super) fn discovery<'a>(kind: &GroupVersionKind) -> Path<'a> {
    let get = Operation {
        method: "get",
        id: format!("get{}{}APIResources", camel(&kind.group), capital(&kind.version)),
        description: "List the resources of this group and version".to_owned(),
        tag: tag(kind),
        action: None,
        kind: None,
        parameters: &[],
        body: None,
        consumes: ANSWERS,
        produces: ANSWERS,
        codes: &[200],
        answer: meta_type("APIResourceList"),
    };
    Path {
        path: root(&kind.group, &kind.version) + "/",
        in_path: Vec::new(),
        operations: vec![get],
    }
}

/// All paths of a resource.
pub(super) fn paths<'a>(resource: &'a Resource<'a>) -> Vec<Path<'a>> {
    let root = root(&resource.kind.group, &resource.kind.version);
    let plural = resource.plural;
    let mut paths = Vec::new();
    let has = |verb: &str| resource.verbs.contains(&verb);
    let scope = if resource.namespaced {
        format!("{root}/namespaces/{{namespace}}")
    } else {
        root.clone()
    };
    let in_scope: Vec<&str> = if resource.namespaced {
        vec!["namespace", "pretty"]
    } else {
        vec!["pretty"]
    };
    let in_item: Vec<&str> = [vec!["name"], in_scope.clone()].concat();
    let maker = Maker {
        resource,
        subresource: None,
    };
    if resource.namespaced && has("list") {
        let operations = vec![maker.list("ForAllNamespaces", "")];
        paths.push(Path {
            path: format!("{root}/{plural}"),
            in_path: vec!["pretty"],
            operations,
        });
    }
    let word = if resource.namespaced { "Namespaced" } else { "" };
    let collection = [("list", 0), ("create", 1), ("deletecollection", 2)]
        .into_iter()
        .filter(|(verb, _)| has(verb));
    let operations: Vec<Operation<'_>> = collection
        .map(|(_, which)| match which {
            0 => maker.list("", word),
            1 => maker.create(word),
            _ => maker.delete_collection(word),
        })
        .collect();
    paths.push(Path {
        path: format!("{scope}/{plural}"),
        in_path: in_scope,
        operations,
    });
    let operations = maker.item(word, resource.verbs);
    paths.push(Path {
        path: format!("{scope}/{plural}/{{name}}"),
        in_path: in_item.clone(),
        operations,
    });
    for subresource in &resource.subresources {
        let maker = Maker {
            resource,
            subresource: Some(subresource),
        };
        let path = format!("{scope}/{plural}/{{name}}/{}", subresource.name);
        let operations = if subresource.ty.is_some() {
            let mut operations = maker.item(word, subresource.verbs);
            if subresource.verbs.contains(&"create") {
                operations.push(maker.create(word));
            }
            operations
        } else {
            maker.connect(word)
        };
        paths.push(Path {
            path,
            in_path: in_item.clone(),
            operations,
        });
    }
    paths.retain(|path| !path.operations.is_empty());
    paths
}

/// Makes the operations of a resource or of one of its subresources.
struct Maker<'a> {
    resource: &'a Resource<'a>,
    subresource: Option<&'a Subresource<'a>>,
}

impl<'a> Maker<'a> {
    fn kind(&self) -> &'a GroupVersionKind {
        self.subresource.map_or(&self.resource.kind, |sub| &sub.kind)
    }

    fn ty(&self) -> Option<&'a Type> {
        self.subresource.map_or(self.resource.ty, |sub| sub.ty)
    }

    /// An identifier such as `readAppsV1NamespacedDeploymentScale`.
    fn id(&self, verb: &str, word: &str) -> String {
        let GroupVersionKind { group, version, kind } = &self.resource.kind;
        let sub = self.subresource.map_or_else(String::new, |sub| capital(sub.name));
        format!("{verb}{}{}{word}{kind}{sub}", camel(group), capital(version))
    }

    /// What the operation is about, in its description.
    fn what(&self) -> String {
        let kind = &self.resource.kind.kind;
        self.subresource
            .map_or_else(|| kind.clone(), |sub| format!("{} of a {kind}", sub.name))
    }

    fn operation(&self, method: &'static str, id: String, action: &'static str, does: &str) -> Operation<'a> {
        Operation {
            method,
            id,
            description: format!("{does} {}", self.what()),
            tag: tag(&self.resource.kind),
            action: Some(action),
            kind: Some(self.kind()),
            parameters: &[],
            body: None,
            consumes: ANYTHING,
            produces: ANSWERS,
            codes: &[200],
            answer: self.ty(),
        }
    }

    fn list(&self, suffix: &str, word: &str) -> Operation<'a> {
        let id = self.id("list", word) + suffix;
        let plain = self.operation("get", id, "list", "List or watch objects of kind");
        Operation {
            parameters: LIST,
            produces: STREAMS,
            answer: self.resource.list,
            ..plain
        }
    }

    fn create(&self, word: &str) -> Operation<'a> {
        let plain = self.operation("post", self.id("create", word), "post", "Create a");
        let body = self.ty().map(|ty| (ty, true));
        Operation {
            parameters: WRITE,
            body,
            codes: &[200, 201, 202],
            ..plain
        }
    }

    fn delete_collection(&self, word: &str) -> Operation<'a> {
        let word = format!("Collection{word}");
        let plain = self.operation(
            "delete",
            self.id("delete", &word),
            "deletecollection",
            "Delete all selected objects of kind",
        );
        let body = meta_type("DeleteOptions").map(|ty| (ty, false));
        Operation {
            parameters: DELETE,
            body,
            answer: meta_type("Status"),
            ..plain
        }
    }

    /// The operations on a single object.
    fn item(&self, word: &str, verbs: &[&str]) -> Vec<Operation<'a>> {
        let has = |verb: &&str| verbs.contains(verb);
        let make = |verb: &str| match verb {
            "get" => self.operation("get", self.id("read", word), "get", "Read the"),
            "update" => Operation {
                parameters: WRITE,
                body: self.ty().map(|ty| (ty, true)),
                codes: &[200, 201],
                ..self.operation("put", self.id("replace", word), "put", "Replace the")
            },
            "delete" => Operation {
                parameters: DELETE,
                body: meta_type("DeleteOptions").map(|ty| (ty, false)),
                codes: &[200, 202],
                answer: meta_type("Status"),
                ..self.operation("delete", self.id("delete", word), "delete", "Delete the")
            },
            _ => Operation {
                parameters: PATCH,
                body: meta_type("Patch").map(|ty| (ty, true)),
                consumes: PATCHES,
                codes: &[200, 201],
                ..self.operation("patch", self.id("patch", word), "patch", "Change a part of the")
            },
        };
        ["get", "update", "delete", "patch"]
            .iter()
            .filter(|v| has(v))
            .map(|verb| make(verb))
            .collect()
    }

    /// The operations that open a stream or answer a plain text.
    fn connect(&self, word: &str) -> Vec<Operation<'a>> {
        let Some(sub) = self.subresource else { return Vec::new() };
        let parameters = match sub.name {
            "log" => LOG,
            "exec" => EXEC,
            "attach" => ATTACH,
            "portforward" => PORT_FORWARD,
            _ => &[],
        };
        if sub.name == "log" {
            let read = self.operation("get", self.id("read", word), "get", "Read the");
            return vec![Operation {
                parameters,
                produces: TEXT,
                kind: Some(&self.resource.kind),
                ..read
            }];
        }
        let connect = |method: &'static str, verb: &str| Operation {
            parameters,
            produces: ANYTHING,
            ..self.operation(
                method,
                self.id("connect", &format!("{verb}{word}")),
                "connect",
                "Connect to",
            )
        };
        let methods = [("get", "get", "Get"), ("create", "post", "Post")];
        let methods = methods.into_iter().filter(|(verb, ..)| sub.verbs.contains(verb));
        methods.map(|(_, method, verb)| connect(method, verb)).collect()
    }
}
