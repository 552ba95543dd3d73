//! The parameters of operations, and what each of them means.

use super::operations::meta_type;

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// The type in JSON.
    pub(super) ty: &'static str,
    meaning: Meaning,
}

/// Where the description of a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Here.
    Text(&'static str),
    /// At the field of `DeleteOptions` with the name of the parameter.
    DeleteOptions,
}

impl Parameter {
    pub(super) fn description(&self) -> &'static str {
        match self.meaning {
            Meaning::Text(text) => text,
            Meaning::DeleteOptions => meta_type("DeleteOptions")
                .and_then(|options| options.property(self.name))
                .map_or("", |property| &property.description),
        }
    }
}

const fn parameter(name: &'static str, ty: &'static str, text: &'static str) -> Parameter {
    let meaning = Meaning::Text(text);
    Parameter { name, ty, meaning }
}

const fn of_deletion(name: &'static str, ty: &'static str) -> Parameter {
    let meaning = Meaning::DeleteOptions;
    Parameter { name, ty, meaning }
}

/// The parameter of every path but those of connections.
const PRETTY: Parameter = parameter(
    "pretty",
    "string",
    "Whether to indent the answer: `true` or `false`. Without it only browsers and the tools curl and wget get indented answers.",
);
const DRY_RUN: Parameter = of_deletion("dryRun", "string");
const FIELD_VALIDATION: Parameter = parameter(
    "fieldValidation",
    "string",
    "What happens to fields of the object that are unknown or given twice. `Ignore` drops the unknown ones and takes the last of \
     those given twice, and says nothing. `Warn`, which is the default, does the same and tells each such field in a Warning header. \
     `Strict` refuses the request and names all of them.",
);
const LIMIT: Parameter = parameter(
    "limit",
    "integer",
    "The most objects that a list shall have. When there are more, the metadata of the list has a value for `continue`, with which \
     the same request gets the next ones; a list may have fewer objects than this and still go on, so only the absence of that \
     value marks the end. All parts show the objects as they were when the first part was made. Has no place in a watch.",
);
const CONTINUE: Parameter = parameter(
    "continue",
    "string",
    "The value from the metadata of a list that was cut by `limit`, to get what follows; all other parameters stay as they were. \
     The server forgets the state that such a value stands for after some minutes and then answers with code 410 and a new value: \
     with that the list goes on behind the last object, but with the objects as they are now. Who needs all objects of one moment \
     starts again without a value. Has no place in a watch, which can begin at the resourceVersion of the list.",
);
const FIELD_SELECTOR: Parameter = parameter(
    "fieldSelector",
    "string",
    "Restricts the answer to objects with these values of fields. Without it there are all objects.",
);
const LABEL_SELECTOR: Parameter = parameter(
    "labelSelector",
    "string",
    "Restricts the answer to objects with such labels. Without it there are all objects.",
);
const RESOURCE_VERSION: Parameter = parameter(
    "resourceVersion",
    "string",
    "The version of the data that the answer is made from, as far as the server may choose one. Unset by default; what that and the \
     other values mean for each kind of request is told in \
     https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.",
);
const RESOURCE_VERSION_MATCH: Parameter = parameter(
    "resourceVersionMatch",
    "string",
    "How a list takes `resourceVersion`: `Exact`, or `NotOlderThan`. Unset by default, but better set whenever there is a \
     `resourceVersion`; see https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.",
);
const SEND_INITIAL_EVENTS: Parameter = parameter(
    "sendInitialEvents",
    "boolean",
    "Whether a watch begins with one event for each object that there is already. A bookmark with the annotation \
     `k8s.io/initial-events-end: \"true\"` follows them and tells the resourceVersion of that state, then come the changes. \
     Needs `watch=true` and `resourceVersionMatch=NotOlderThan`, and is refused otherwise: the state is at least as new as \
     `resourceVersion`, or as the request when that is unset. Defaults to true where `resourceVersion` is empty or `0`, else to false.",
);
const SHARD_SELECTOR: Parameter = parameter(
    "shardSelector",
    "string",
    "Restricts the answer to objects whose UID or namespace has a hash (FNV-1a, 64 bits) within certain ranges. It is a CEL expression \
     of calls joined by `||`, each with the field, the lowest hash and the one above the highest, both in hexadecimal digits: \
     `shardRange(object.metadata.uid, '0x0', '0x8000000000000000')` is the lower half of all objects. The other field is \
     `object.metadata.namespace`, and `0x10000000000000000` is above all hashes. An alpha feature behind the gate ShardedListAndWatch.",
);
const TIMEOUT_SECONDS: Parameter = parameter(
    "timeoutSeconds",
    "integer",
    "The seconds after which a list or a watch ends, whether anything happened in them or not.",
);

/// For every request that writes.
pub(super) const WRITE: &[Parameter] = &[
    DRY_RUN,
    parameter(
        "fieldManager",
        "string",
        "The name under which the changed fields are owned: who or what makes this change. At most 128 characters, all of them printable.",
    ),
    FIELD_VALIDATION,
    PRETTY,
];
pub(super) const PATCH: &[Parameter] = &[
    DRY_RUN,
    parameter(
        "fieldManager",
        "string",
        "The name under which the changed fields are owned: who or what makes this change. At most 128 characters, all of them \
         printable. A patch of the type application/apply-patch must have it, the other types need not.",
    ),
    FIELD_VALIDATION,
    parameter(
        "force",
        "boolean",
        "Whether to apply the patch even to fields that others own with other values, and to own them from then on. Only for patches of \
         the type application/apply-patch.",
    ),
    PRETTY,
];
pub(super) const DELETE: &[Parameter] = &[
    DRY_RUN,
    of_deletion("gracePeriodSeconds", "integer"),
    of_deletion("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    of_deletion("orphanDependents", "boolean"),
    of_deletion("propagationPolicy", "string"),
    PRETTY,
];
pub(super) const GET: &[Parameter] = &[PRETTY];
/// Those of a read of an object of a kind that is defined at run time.
pub(super) const GET_CUSTOM: &[Parameter] = &[PRETTY, RESOURCE_VERSION];
pub(super) const LIST: &[Parameter] = &[
    parameter(
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may have events of the type BOOKMARK. Whether and when they come is up to the server: no client can count on \
         their number or distance. Without a watch it means nothing.",
    ),
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    SHARD_SELECTOR,
    TIMEOUT_SECONDS,
    parameter(
        "watch",
        "boolean",
        "Whether to get a stream of events instead of a list: one for each object that is added, changed or removed after `resourceVersion`.",
    ),
    PRETTY,
];
pub(super) const DELETE_COLLECTION: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELD_SELECTOR,
    of_deletion("gracePeriodSeconds", "integer"),
    of_deletion("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    LABEL_SELECTOR,
    LIMIT,
    of_deletion("orphanDependents", "boolean"),
    of_deletion("propagationPolicy", "string"),
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    SHARD_SELECTOR,
    TIMEOUT_SECONDS,
    PRETTY,
];

/// The parameters of a subresource that is a stream or a text, by its name and the plural of its resource.
pub(super) fn of_connection(subresource: &str, plural: &str) -> &'static [Parameter] {
    match (subresource, plural) {
        ("log", _) => LOG,
        ("exec", _) => EXEC,
        ("attach", _) => ATTACH,
        ("portforward", _) => PORT_FORWARD,
        ("proxy", "nodes") => PROXY_OF_NODE,
        ("proxy", "pods") => PROXY_OF_POD,
        ("proxy", _) => PROXY_OF_SERVICE,
        _ => &[],
    }
}

const LOG: &[Parameter] = &[
    parameter(
        "container",
        "string",
        "The container whose log it is. May be left out where the pod has only one.",
    ),
    parameter(
        "follow",
        "boolean",
        "Whether the answer goes on with what is logged from now on. Defaults to false.",
    ),
    parameter(
        "insecureSkipTLSVerifyBackend",
        "boolean",
        "Whether the API server reads the log from a kubelet whose serving certificate it has not checked. The log may then come from \
         somebody else. Where the kubelet checks the certificate of the API server, nobody can listen to the real one in between.",
    ),
    parameter(
        "limitBytes",
        "integer",
        "The number of bytes after which the log is cut, a little sooner or later and perhaps within a line.",
    ),
    PRETTY,
    parameter(
        "previous",
        "boolean",
        "Whether it is the log of the container that ran before this one and has ended. Defaults to false.",
    ),
    parameter(
        "sinceSeconds",
        "integer",
        "How many seconds before now the log begins, but not before the start of the pod; nothing is shown when that lies in the \
         future. Excludes sinceTime.",
    ),
    parameter(
        "stream",
        "string",
        "Which output of the container is shown: `Stdout`, `Stderr` or, by default, `All`, which is both as they came. With \
         tailLines it can only be `All`.",
    ),
    parameter(
        "tailLines",
        "integer",
        "How many of the last lines are shown. By default all since the start of the container, or since sinceSeconds or sinceTime. \
         Goes together with no stream but `All`.",
    ),
    parameter(
        "timestamps",
        "boolean",
        "Whether each line begins with its time in the form of RFC 3339, with or without fractions of a second. Defaults to false.",
    ),
];
const ATTACH: &[Parameter] = &[
    parameter(
        "container",
        "string",
        "The container to attach to. May be left out where the pod has only one.",
    ),
    parameter(
        "stderr",
        "boolean",
        "Whether the client gets the standard error of the process. Defaults to true.",
    ),
    parameter(
        "stdin",
        "boolean",
        "Whether what the client sends is the standard input of the process. Defaults to false.",
    ),
    parameter(
        "stdout",
        "boolean",
        "Whether the client gets the standard output of the process. Defaults to true.",
    ),
    parameter(
        "tty",
        "boolean",
        "Whether the process has a terminal, which the container runtime gives it on the node. Defaults to false.",
    ),
];
const EXEC: &[Parameter] = &[
    parameter(
        "command",
        "string",
        "The program to run and its arguments, one value each. No shell reads them.",
    ),
    parameter(
        "container",
        "string",
        "The container to run the program in. May be left out where the pod has only one.",
    ),
    parameter(
        "stderr",
        "boolean",
        "Whether the client gets the standard error of the program.",
    ),
    parameter(
        "stdin",
        "boolean",
        "Whether what the client sends is the standard input of the program. Defaults to false.",
    ),
    parameter(
        "stdout",
        "boolean",
        "Whether the client gets the standard output of the program.",
    ),
    parameter(
        "tty",
        "boolean",
        "Whether the program has a terminal. Defaults to false.",
    ),
];
const PORT_FORWARD: &[Parameter] = &[parameter(
    "ports",
    "integer",
    "The ports of the pod to connect to. WebSockets need them; SPDY names a port with each stream.",
)];
const PROXY_OF_POD: &[Parameter] = &[parameter(
    "path",
    "string",
    "What the pod is asked for: the path of the URL behind the proxy.",
)];
const PROXY_OF_NODE: &[Parameter] = &[parameter(
    "path",
    "string",
    "What the node is asked for: the path of the URL behind the proxy.",
)];
const PROXY_OF_SERVICE: &[Parameter] = &[parameter(
    "path",
    "string",
    "What the service is asked for: all of the URL that stands behind the name of the service, with the query. Of \
     http://localhost/api/v1/namespaces/shop/services/search/_find?q=tea it is `_find?q=tea`.",
)];

/// What the parts of a path mean; `kind` is that of the resource.
pub(super) fn in_path(name: &str, kind: &str) -> String {
    match name {
        "name" => format!("name of the {kind}"),
        "namespace" => "The namespace that the objects are in and that rights are granted for.".to_owned(),
        _ => "The rest of the path, which the proxy hands on.".to_owned(),
    }
}
