//! The functions that expressions may call in Kubernetes 1.36, as signatures. Nothing is built from them until a call is
//! checked: each lookup reads the few lines it needs.

use super::types::Type;

/// One way to call a function.
#[derive(Debug, Clone)]
pub(crate) struct Overload {
    /// Whether it is called on its first argument.
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
}

/// Signatures, in the order in which upstream declares them: `[receiver] name(arguments): result`. Single capital letters
/// stand for any type.
const FUNCTIONS: &[&str] = &[
    "!_(bool): bool",
    "-_(double): double",
    "-_(int): int",
    "@in(A, list(A)): bool",
    "@in(A, map(A, B)): bool",
    "@not_strictly_false(bool): bool",
    "_!=_(A, A): bool",
    "_%_(int, int): int",
    "_%_(uint, uint): uint",
    "_&&_(bool, bool): bool",
    "_*_(double, double): double",
    "_*_(int, int): int",
    "_*_(uint, uint): uint",
    "_+_(bytes, bytes): bytes",
    "_+_(double, double): double",
    "_+_(duration, duration): duration",
    "_+_(duration, timestamp): timestamp",
    "_+_(timestamp, duration): timestamp",
    "_+_(int, int): int",
    "_+_(list(A), list(A)): list(A)",
    "_+_(string, string): string",
    "_+_(uint, uint): uint",
    "_-_(double, double): double",
    "_-_(duration, duration): duration",
    "_-_(int, int): int",
    "_-_(timestamp, duration): timestamp",
    "_-_(timestamp, timestamp): duration",
    "_-_(uint, uint): uint",
    "_/_(double, double): double",
    "_/_(int, int): int",
    "_/_(uint, uint): uint",
    "_==_(A, A): bool",
    "_?._(dyn, string): optional_type(V)",
    "_?_:_(bool, A, A): A",
    "_[?_](list(V), int): optional_type(V)",
    "_[?_](optional_type(list(V)), int): optional_type(V)",
    "_[?_](map(K, V), K): optional_type(V)",
    "_[?_](optional_type(map(K, V)), K): optional_type(V)",
    "_[_](list(A), int): A",
    "_[_](map(A, B), A): B",
    "_[_](optional_type(list(V)), int): optional_type(V)",
    "_[_](optional_type(map(K, V)), K): optional_type(V)",
    "_||_(bool, bool): bool",
    "[kubernetes.Quantity] add(kubernetes.Quantity): kubernetes.Quantity",
    "[kubernetes.Quantity] add(int): kubernetes.Quantity",
    "[kubernetes.authorization.Decision] allowed(): bool",
    "[kubernetes.Quantity] asApproximateFloat(): double",
    "[kubernetes.Quantity] asInteger(): int",
    "bool(bool): bool",
    "bool(string): bool",
    "bytes(bytes): bytes",
    "bytes(string): bytes",
    "cel.@mapInsert(map(K, V), K, V): map(K, V)",
    "cel.@mapInsert(map(K, V), map(K, V)): map(K, V)",
    "[string] charAt(int): string",
    "[kubernetes.authorization.PathCheck] check(string): kubernetes.authorization.Decision",
    "[kubernetes.authorization.ResourceCheck] check(string): kubernetes.authorization.Decision",
    "cidr(string): net.CIDR",
    "[kubernetes.Quantity] compareTo(kubernetes.Quantity): int",
    "[kubernetes.Semver] compareTo(kubernetes.Semver): int",
    "[string] contains(string): bool",
    "[net.CIDR] containsCIDR(string): bool",
    "[net.CIDR] containsCIDR(net.CIDR): bool",
    "[net.CIDR] containsIP(string): bool",
    "[net.CIDR] containsIP(net.IP): bool",
    "[list(T)] distinct(): list(T)",
    "double(double): double",
    "double(int): double",
    "double(string): double",
    "double(uint): double",
    "duration(duration): duration",
    "duration(int): duration",
    "duration(string): duration",
    "dyn(A): dyn",
    "[string] endsWith(string): bool",
    "[kubernetes.authorization.Decision] error(): string",
    "[kubernetes.authorization.Decision] errored(): bool",
    "[net.IP] family(): int",
    "[kubernetes.authorization.ResourceCheck] fieldSelector(string): kubernetes.authorization.ResourceCheck",
    "[string] find(string): string",
    "[string] findAll(string): list(string)",
    "[string] findAll(string, int): list(string)",
    "[list(V)] first(): optional_type(V)",
    "[list(list(T))] flatten(): list(T)",
    "[list(dyn)] flatten(int): list(dyn)",
    "[string] format(list(dyn)): string",
    "format.byte(): kubernetes.NamedFormat",
    "format.date(): kubernetes.NamedFormat",
    "format.datetime(): kubernetes.NamedFormat",
    "format.dns1035Label(): kubernetes.NamedFormat",
    "format.dns1035LabelPrefix(): kubernetes.NamedFormat",
    "format.dns1123Label(): kubernetes.NamedFormat",
    "format.dns1123LabelPrefix(): kubernetes.NamedFormat",
    "format.dns1123Subdomain(): kubernetes.NamedFormat",
    "format.dns1123SubdomainPrefix(): kubernetes.NamedFormat",
    "format.labelValue(): kubernetes.NamedFormat",
    "format.named(string): optional_type(kubernetes.NamedFormat)",
    "format.qualifiedName(): kubernetes.NamedFormat",
    "format.uri(): kubernetes.NamedFormat",
    "format.uuid(): kubernetes.NamedFormat",
    "[duration] getHours(): int",
    "[kubernetes.URL] getEscapedPath(): string",
    "[kubernetes.URL] getHost(): string",
    "[kubernetes.URL] getHostname(): string",
    "[duration] getMilliseconds(): int",
    "[duration] getMinutes(): int",
    "[kubernetes.URL] getPort(): string",
    "[kubernetes.URL] getQuery(): map(string, list(string))",
    "[kubernetes.URL] getScheme(): string",
    "[duration] getSeconds(): int",
    "[kubernetes.authorization.Authorizer] group(string): kubernetes.authorization.GroupCheck",
    "[optional_type(V)] hasValue(): bool",
    "[list(A)] indexOf(A): int",
    "[string] indexOf(string): int",
    "[string] indexOf(string, int): int",
    "int(int): int",
    "int(double): int",
    "int(duration): int",
    "int(string): int",
    "int(timestamp): int",
    "int(uint): int",
    "ip(string): net.IP",
    "[net.CIDR] ip(): net.IP",
    "ip.isCanonical(string): bool",
    "isCIDR(string): bool",
    "[net.IP] isGlobalUnicast(): bool",
    "[kubernetes.Quantity] isGreaterThan(kubernetes.Quantity): bool",
    "[kubernetes.Semver] isGreaterThan(kubernetes.Semver): bool",
    "isIP(string): bool",
    "[kubernetes.Quantity] isInteger(): bool",
    "[kubernetes.Quantity] isLessThan(kubernetes.Quantity): bool",
    "[kubernetes.Semver] isLessThan(kubernetes.Semver): bool",
    "[net.IP] isLinkLocalMulticast(): bool",
    "[net.IP] isLinkLocalUnicast(): bool",
    "[net.IP] isLoopback(): bool",
    "isQuantity(string): bool",
    "isSemver(string): bool",
    "isSemver(string, bool): bool",
    "isURL(string): bool",
    "[net.IP] isUnspecified(): bool",
    "[list(string)] join(): string",
    "[list(string)] join(string): string",
    "[kubernetes.authorization.ResourceCheck] labelSelector(string): kubernetes.authorization.ResourceCheck",
    "[list(V)] last(): optional_type(V)",
    "[list(A)] lastIndexOf(A): int",
    "[string] lastIndexOf(string): int",
    "[string] lastIndexOf(string, int): int",
    "lists.range(int): list(int)",
    "[string] lowerAscii(): string",
    "[kubernetes.Semver] major(): int",
    "[net.CIDR] masked(): net.CIDR",
    "matches(string, string): bool",
    "[string] matches(string): bool",
    "[kubernetes.Semver] minor(): int",
    "[kubernetes.authorization.ResourceCheck] name(string): kubernetes.authorization.ResourceCheck",
    "[kubernetes.authorization.ResourceCheck] namespace(string): kubernetes.authorization.ResourceCheck",
    "optional.none(): optional_type(V)",
    "optional.of(V): optional_type(V)",
    "optional.ofNonZeroValue(V): optional_type(V)",
    "optional.unwrap(list(optional_type(V))): list(V)",
    "[optional_type(V)] or(optional_type(V)): optional_type(V)",
    "[optional_type(V)] orValue(V): V",
    "[kubernetes.Semver] patch(): int",
    "[kubernetes.authorization.Authorizer] path(string): kubernetes.authorization.PathCheck",
    "[net.CIDR] prefixLength(): int",
    "quantity(string): kubernetes.Quantity",
    "[kubernetes.authorization.Decision] reason(): string",
    "[string] replace(string, string): string",
    "[string] replace(string, string, int): string",
    "[kubernetes.authorization.GroupCheck] resource(string): kubernetes.authorization.ResourceCheck",
    "[list(T)] reverse(): list(T)",
    "semver(string): kubernetes.Semver",
    "semver(string, bool): kubernetes.Semver",
    "[kubernetes.authorization.Authorizer] serviceAccount(string, string): kubernetes.authorization.Authorizer",
    "sets.contains(list(T), list(T)): bool",
    "sets.equivalent(list(T), list(T)): bool",
    "sets.intersects(list(T), list(T)): bool",
    "sign(kubernetes.Quantity): int",
    "size(bytes): int",
    "[bytes] size(): int",
    "size(list(A)): int",
    "[list(A)] size(): int",
    "size(map(A, B)): int",
    "[map(A, B)] size(): int",
    "size(string): int",
    "[string] size(): int",
    "[list(T)] slice(int, int): list(T)",
    "[string] split(string): list(string)",
    "[string] split(string, int): list(string)",
    "[string] startsWith(string): bool",
    "string(string): string",
    "string(bool): string",
    "string(bytes): string",
    "string(double): string",
    "string(duration): string",
    "string(int): string",
    "string(timestamp): string",
    "string(uint): string",
    "string(net.IP): string",
    "string(net.CIDR): string",
    "strings.quote(string): string",
    "[kubernetes.Quantity] sub(kubernetes.Quantity): kubernetes.Quantity",
    "[kubernetes.Quantity] sub(int): kubernetes.Quantity",
    "[kubernetes.authorization.ResourceCheck] subresource(string): kubernetes.authorization.ResourceCheck",
    "[string] substring(int): string",
    "[string] substring(int, int): string",
    "[list(int)] sum(): int",
    "[list(uint)] sum(): uint",
    "[list(double)] sum(): double",
    "[list(duration)] sum(): duration",
    "timestamp(timestamp): timestamp",
    "timestamp(int): timestamp",
    "timestamp(string): timestamp",
    "[string] trim(): string",
    "type(A): type(A)",
    "uint(uint): uint",
    "uint(double): uint",
    "uint(int): uint",
    "uint(string): uint",
    "[list(optional_type(V))] unwrapOpt(): list(V)",
    "[string] upperAscii(): string",
    "url(string): kubernetes.URL",
    "[kubernetes.NamedFormat] validate(string): optional_type(list(string))",
    "[optional_type(V)] value(): V",
];

/// What a function on types that have an order takes, in upstream's order.
const ORDERED: [&str; 8] = [
    "int",
    "uint",
    "double",
    "bool",
    "duration",
    "timestamp",
    "string",
    "bytes",
];
/// The two sides of a comparison.
const COMPARED: [(&str, &str); 14] = [
    ("bool", "bool"),
    ("int", "int"),
    ("int", "double"),
    ("int", "uint"),
    ("uint", "uint"),
    ("uint", "double"),
    ("uint", "int"),
    ("double", "double"),
    ("double", "int"),
    ("double", "uint"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("timestamp", "timestamp"),
    ("duration", "duration"),
];
/// The parts of a point in time, each asked for with or without a time zone.
const PARTS_OF_TIME: [&str; 10] = [
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
];

/// All ways to call a function; none if there is no such function.
pub(crate) fn overloads(name: &str) -> Vec<Overload> {
    let mut lines: Vec<String> = Vec::new();
    match name {
        "_<_" | "_<=_" | "_>_" | "_>=_" => {
            lines.extend(
                COMPARED
                    .iter()
                    .map(|(left, right)| format!("{name}({left}, {right}): bool")),
            );
        }
        "isSorted" => lines.extend(ORDERED.iter().map(|of| format!("[list({of})] {name}(): bool"))),
        "@sortByAssociatedKeys" => {
            lines.extend(
                ORDERED
                    .iter()
                    .map(|of| format!("[list(T)] {name}(list({of})): list(T)")),
            );
        }
        "sort" => lines.extend(ORDERED.iter().map(|of| format!("[list({of})] {name}(): list({of})"))),
        "min" | "max" => lines.extend(ORDERED.iter().map(|of| format!("[list({of})] {name}(): {of}"))),
        _ if PARTS_OF_TIME.contains(&name) => {
            lines.extend(
                ["", "string"]
                    .iter()
                    .map(|zone| format!("[timestamp] {name}({zone}): int")),
            );
        }
        _ => {}
    }
    let named = FUNCTIONS.iter().filter(|line| function_name(line) == name);
    lines.extend(named.map(|line| (*line).to_owned()));
    lines.iter().filter_map(|line| overload(line)).collect()
}

pub(super) fn function_name(line: &str) -> &str {
    let call = line
        .split_once("] ")
        .filter(|_| line.starts_with('['))
        .map_or(line, |(_, call)| call);
    // Operators may hold colons and brackets, never a parenthesis.
    call.split('(').next().unwrap_or_default()
}

/// Reads a signature.
pub(crate) fn overload(line: &str) -> Option<Overload> {
    let (receiver, call) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((receiver, call)) => (Some(receiver), call),
        None => (None, line),
    };
    let (signature, result) = call.rsplit_once("): ")?;
    let (_, args) = signature.split_once('(')?;
    let listed = split(args).into_iter().map(read);
    Some(Overload {
        member: receiver.is_some(),
        args: receiver.map(read).into_iter().chain(listed).collect(),
        result: read(result),
    })
}

/// The parts between the commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Reads a type.
pub(crate) fn read(text: &str) -> Type {
    if let Some((name, rest)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let mut parts = split(rest).into_iter().map(read);
        let mut next = || parts.next().unwrap_or(Type::Dyn);
        return match name {
            "list" => Type::list(next()),
            "map" => {
                let key = next();
                Type::map(key, next())
            }
            "type" => Type::Type(Some(next().into())),
            _ => Type::Opaque(name.into(), parts.collect()),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "any" => Type::Any,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type(None),
        _ if text.len() == 1 => Type::Param(text.into()),
        _ if text.starts_with("kubernetes.") => Type::object(text),
        _ => Type::opaque(text),
    }
}

/// The type that a name of a type stands for.
pub(super) fn named_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "string" => Type::String,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "type" => Type::Type(None),
        "optional_type" => Type::opaque(name),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Any" => Type::Any,
        "net.IP" | "net.CIDR" => Type::opaque(name),
        _ => return None,
    })
}
