//! The operations on resources, before they take the form of a dialect.

use crate::gvk::GroupVersionKind;
use crate::schema::{self, Type};

use super::parameters::{self, Parameter};
use super::{Page, Resource, Subresource};

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
/// What kinds that are defined at run time are exchanged as.
const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const CUSTOM_PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What can be sent through a proxy.
const PROXIED: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// One path with its operations.
pub(super) struct Path<'a> {
    pub(super) path: String,
    /// What stands in braces in the path.
    names: Vec<&'static str>,
    /// The kind of the resource.
    kind: &'a str,
    /// The query parameters that all operations have.
    shared: Vec<Parameter>,
    pub(super) operations: Vec<Operation<'a>>,
}

impl<'a> Path<'a> {
    /// A path whose operations leave to it what they have in common (kube-openapi `pkg/builder`).
    fn new(path: String, names: &[&'static str], kind: &'a str, mut operations: Vec<Operation<'a>>) -> Self {
        let mut shared: Vec<Parameter> = operations.first().map(|op| op.parameters.clone()).unwrap_or_default();
        shared.retain(|parameter| operations.iter().all(|op| op.parameters.contains(parameter)));
        for operation in &mut operations {
            operation.parameters.retain(|parameter| !shared.contains(parameter));
        }
        Path {
            path,
            names: names.to_vec(),
            kind,
            shared,
            operations,
        }
    }

    /// The path's own parameters by name.
    pub(super) fn parameters(&self) -> Vec<OfPath> {
        let part = |name: &&'static str| OfPath::Part(name, parameters::in_path(name, self.kind));
        let query = self.shared.iter().copied().map(OfPath::Query);
        let mut all: Vec<_> = self.names.iter().map(part).chain(query).collect();
        all.sort_by_key(OfPath::name);
        all
    }
}

/// A parameter that all operations of a path have.
pub(super) enum OfPath {
    /// A part of the path: its name and description.
    Part(&'static str, String),
    /// A parameter of the query.
    Query(Parameter),
}

impl OfPath {
    fn name(&self) -> &'static str {
        match self {
            OfPath::Part(name, _) => name,
            OfPath::Query(parameter) => parameter.name,
        }
    }
}

/// One operation.
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: String,
    pub(super) action: Option<&'static str>,
    pub(super) kind: Option<&'a GroupVersionKind>,
    pub(super) parameters: Vec<Parameter>,
    /// The schema of the body and whether there has to be one.
    pub(super) body: Option<(&'a Type, bool)>,
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    /// The codes of success, and the schema of the answer; none for a plain text.
    pub(super) codes: &'static [u16],
    pub(super) answer: Option<&'a Type>,
}

/// The types every document mentions.
pub(super) fn meta_type(name: &str) -> Option<&'static Type> {
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
    format!("{}_{}", lower(&camel(&kind.group)), kind.version)
}

/// A word with a small first letter.
fn lower(word: &str) -> String {
    let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}", first.to_lowercase())
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
    let id = format!("get{}{}APIResources", camel(&kind.group), capital(&kind.version));
    let path = root(&kind.group, &kind.version) + "/";
    document(
        path,
        id,
        "get available resources",
        tag(kind),
        meta_type("APIResourceList"),
    )
}

/// The path that describes a group; without a name, that of all groups.
pub(super) fn group<'a>(group: Option<&str>) -> Path<'a> {
    match group {
        Some("") => {
            let (id, tag) = ("getCoreAPIVersions".to_owned(), "core".to_owned());
            document(
                "/api/".to_owned(),
                id,
                "get available API versions",
                tag,
                meta_type("APIVersions"),
            )
        }
        Some(name) => {
            let (id, tag) = (format!("get{}APIGroup", camel(name)), lower(&camel(name)));
            let path = format!("/apis/{name}/");
            document(path, id, "get information of a group", tag, meta_type("APIGroup"))
        }
        None => {
            let (id, tag) = ("getAPIVersions".to_owned(), "apis".to_owned());
            document(
                "/apis/".to_owned(),
                id,
                "get available API versions",
                tag,
                meta_type("APIGroupList"),
            )
        }
    }
}

/// The path of a page.
pub(super) fn page<'a>(page: Page) -> Path<'a> {
    const JSON: &[&str] = &["application/json"];
    const KEYS: &[&str] = &["application/jwk-set+json"];
    let (id, description, tag, consumes, produces) = match page {
        Page::Version => (
            "getCodeVersion",
            "get the version information for this server",
            "version",
            JSON,
            JSON,
        ),
        Page::Issuer => (
            "getServiceAccountIssuerOpenIDConfiguration",
            "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
            "WellKnown",
            &[][..],
            JSON,
        ),
        Page::Keys => (
            "getServiceAccountIssuerOpenIDKeyset",
            "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
            "openid",
            &[][..],
            KEYS,
        ),
    };
    let info = (page == Page::Version).then(|| schema::builtin("io.k8s.apimachinery.pkg.version.Info"));
    let mut path = document(
        format!("/{}/", page.path()),
        id.to_owned(),
        description,
        tag.to_owned(),
        info.flatten(),
    );
    for get in &mut path.operations {
        (get.consumes, get.produces) = (consumes, produces);
    }
    path
}

fn document<'a>(path: String, id: String, description: &str, tag: String, answer: Option<&'a Type>) -> Path<'a> {
    let get = Operation {
        method: "get",
        id,
        description: description.to_owned(),
        tag,
        action: None,
        kind: None,
        parameters: Vec::new(),
        body: None,
        consumes: ANSWERS,
        produces: ANSWERS,
        codes: &[200],
        answer,
    };
    Path::new(path, &[], "", vec![get])
}

/// All paths of a resource.
pub(super) fn paths<'a>(resource: &'a Resource<'a>) -> Vec<Path<'a>> {
    let root = root(&resource.kind.group, &resource.kind.version);
    let (plural, kind) = (resource.plural, resource.kind.kind.as_str());
    let path = |path: String, names: &[&'static str], operations| Path::new(path, names, kind, operations);
    let mut paths = Vec::new();
    let has = |verb: &str| resource.verbs.contains(&verb);
    let (scope, in_scope, in_item, word): (_, &[&str], &[&str], _) = if resource.namespaced {
        (
            "/namespaces/{namespace}",
            &["namespace"],
            &["name", "namespace"],
            "Namespaced",
        )
    } else {
        ("", &[], &["name"], "")
    };
    let maker = Maker {
        resource,
        subresource: None,
    };
    if resource.namespaced && has("list") {
        paths.push(path(
            format!("{root}/{plural}"),
            &[],
            vec![maker.list("ForAllNamespaces", "")],
        ));
    }
    let mut operations = Vec::new();
    if has("list") {
        operations.push(maker.list("", word));
    }
    if has("create") {
        operations.push(maker.create(word));
    }
    if has("deletecollection") {
        operations.push(maker.delete_collection(word));
    }
    paths.push(path(format!("{root}{scope}/{plural}"), in_scope, operations));
    let item = format!("{root}{scope}/{plural}/{{name}}");
    paths.push(path(item.clone(), in_item, maker.item(word, resource.verbs)));
    for subresource in &resource.subresources {
        let maker = Maker {
            resource,
            subresource: Some(subresource),
        };
        let below = format!("{item}/{}", subresource.name);
        if subresource.ty.is_none() && subresource.name == "proxy" {
            paths.push(path(below.clone(), in_item, maker.connect(word, "")));
            let names = [in_item, &["path"]].concat();
            paths.push(path(below + "/{path}", &names, maker.connect(word, "WithPath")));
            continue;
        }
        let operations = if subresource.ty.is_some() && subresource.name != "log" {
            let mut operations = maker.item(word, subresource.verbs);
            if subresource.verbs.contains(&"create") {
                operations.push(maker.create(word));
            }
            operations
        } else {
            maker.connect(word, "")
        };
        paths.push(path(below, in_item, operations));
    }
    if has("watch") && resource.custom.is_none() {
        let watch = format!("{root}/watch");
        if resource.namespaced {
            let all = maker.watch("watchlist", "", "ListForAllNamespaces");
            paths.push(path(format!("{watch}/{plural}"), &[], vec![all]));
        }
        let many = maker.watch("watchlist", word, "List");
        paths.push(path(format!("{watch}{scope}/{plural}"), in_scope, vec![many]));
        let one = maker.watch("watch", word, "");
        paths.push(path(format!("{watch}{scope}/{plural}/{{name}}"), in_item, vec![one]));
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

    /// `status of ` for a subresource, as descriptions say it (upstream `pkg/endpoints/installer.go`).
    fn of(&self) -> String {
        self.subresource
            .map_or_else(String::new, |sub| format!("{} of ", sub.name))
    }

    /// What is done to one object, which has a name already: `read status of the specified Pod`.
    fn specified(&self, does: &str) -> String {
        format!("{does} {}the specified {}", self.of(), self.resource.kind.kind)
    }

    /// What is done to one object, with the article: `create an Ingress`. Plurals have none: `create Endpoints`.
    fn one(&self, does: &str) -> String {
        let kind = &self.resource.kind.kind;
        let article = if kind.ends_with('s') && !kind.ends_with("ss") {
            ""
        } else if kind.to_lowercase().starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an "
        } else {
            "a "
        };
        format!("{does} {}{article}{kind}", self.of())
    }

    fn is_custom(&self) -> bool {
        self.resource.custom.is_some()
    }

    fn operation(&self, method: &'static str, id: String, action: &'static str, description: String) -> Operation<'a> {
        if self.is_custom() {
            return Operation {
                method,
                id,
                description,
                tag: tag(&self.resource.kind),
                action: Some(action),
                kind: Some(&self.resource.kind),
                parameters: parameters::GET_CUSTOM.to_vec(),
                body: None,
                consumes: CUSTOM,
                produces: CUSTOM,
                codes: &[200],
                answer: self.ty(),
            };
        }
        Operation {
            method,
            id,
            description,
            tag: tag(&self.resource.kind),
            action: Some(action),
            kind: Some(self.kind()),
            parameters: parameters::GET.to_vec(),
            body: None,
            consumes: ANYTHING,
            produces: ANSWERS,
            codes: &[200],
            answer: self.ty(),
        }
    }

    fn list(&self, suffix: &str, word: &str) -> Operation<'a> {
        let id = self.id("list", word) + suffix;
        let does = if self.resource.verbs.contains(&"watch") && !self.is_custom() {
            "list or watch"
        } else {
            "list"
        };
        let description = format!("{does} objects of kind {}", self.resource.kind.kind);
        let plain = self.operation("get", id, "list", description);
        Operation {
            parameters: parameters::LIST.to_vec(),
            produces: if self.is_custom() { CUSTOM } else { STREAMS },
            answer: self.resource.list,
            ..plain
        }
    }

    fn create(&self, word: &str) -> Operation<'a> {
        let plain = self.operation("post", self.id("create", word), "post", self.one("create"));
        let body = self.ty().map(|ty| (ty, true));
        Operation {
            parameters: parameters::WRITE.to_vec(),
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
            format!("delete collection of {}", self.resource.kind.kind),
        );
        if self.is_custom() {
            return Operation {
                parameters: parameters::LIST.to_vec(),
                answer: meta_type("Status"),
                ..plain
            };
        }
        let body = meta_type("DeleteOptions").map(|ty| (ty, false));
        Operation {
            parameters: parameters::DELETE_COLLECTION.to_vec(),
            body,
            answer: meta_type("Status"),
            ..plain
        }
    }

    /// The operations on a single object.
    fn item(&self, word: &str, verbs: &[&str]) -> Vec<Operation<'a>> {
        let has = |verb: &&str| verbs.contains(verb);
        let make = |verb: &str| match verb {
            "get" => self.operation("get", self.id("read", word), "get", self.specified("read")),
            "update" => Operation {
                parameters: parameters::WRITE.to_vec(),
                body: self.ty().map(|ty| (ty, true)),
                codes: &[200, 201],
                ..self.operation("put", self.id("replace", word), "put", self.specified("replace"))
            },
            "delete" => Operation {
                parameters: parameters::DELETE.to_vec(),
                body: meta_type("DeleteOptions").map(|ty| (ty, false)),
                codes: &[200, 202],
                answer: if self.resource.returns_deleted {
                    self.ty()
                } else {
                    meta_type("Status")
                },
                ..self.operation("delete", self.id("delete", word), "delete", self.one("delete"))
            },
            _ => Operation {
                parameters: parameters::PATCH.to_vec(),
                body: meta_type("Patch").map(|ty| (ty, true)),
                consumes: if self.is_custom() { CUSTOM_PATCHES } else { PATCHES },
                codes: if self.is_custom() { &[200] } else { &[200, 201] },
                ..self.operation(
                    "patch",
                    self.id("patch", word),
                    "patch",
                    self.specified("partially update"),
                )
            },
        };
        ["get", "update", "delete", "patch"]
            .iter()
            .filter(|v| has(v))
            .map(|verb| make(verb))
            .collect()
    }

    /// A watch that the path asks for.
    fn watch(&self, action: &'static str, word: &str, suffix: &str) -> Operation<'a> {
        let id = self.id("watch", word) + suffix;
        let kind = &self.resource.kind.kind;
        let instead = "deprecated: use the 'watch' parameter with a list operation instead";
        let description = if action == "watchlist" {
            format!("watch individual changes to a list of {kind}. {instead}.")
        } else {
            let filter = "filtered to a single item with the 'fieldSelector' parameter";
            format!("watch changes to an object of kind {kind}. {instead}, {filter}.")
        };
        let plain = self.operation("get", id, action, description);
        Operation {
            parameters: parameters::LIST.to_vec(),
            produces: STREAMS,
            answer: meta_type("WatchEvent"),
            ..plain
        }
    }

    /// The operations that open a stream or answer a plain text.
    fn connect(&self, word: &str, suffix: &str) -> Vec<Operation<'a>> {
        let Some(sub) = self.subresource else { return Vec::new() };
        let parameters = parameters::of_connection(sub.name, self.resource.plural);
        if sub.name == "log" {
            let read = self.operation("get", self.id("read", word), "get", self.specified("read"));
            return vec![Operation {
                parameters: parameters.to_vec(),
                produces: TEXT,
                kind: Some(&self.resource.kind),
                answer: None,
                ..read
            }];
        }
        let connect = |method: &'static str| Operation {
            parameters: parameters.to_vec(),
            produces: ANYTHING,
            ..self.operation(
                method,
                self.id("connect", &format!("{}{word}", capital(method))) + suffix,
                "connect",
                format!(
                    "connect {} requests to {}{}",
                    method.to_uppercase(),
                    self.of(),
                    self.resource.kind.kind
                ),
            )
        };
        let methods: &[&str] = if sub.name == "proxy" {
            &PROXIED
        } else {
            &["get", "post"]
        };
        let verb = |method: &str| if method == "post" { "create" } else { "get" };
        let offered = |method: &&&str| sub.name == "proxy" || sub.verbs.contains(&verb(method));
        methods.iter().filter(offered).map(|method| connect(method)).collect()
    }
}
