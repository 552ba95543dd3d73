//! What becomes of a patch that changes what an object says it is. Upstream decodes the result as whatever kind it
//! names before it converts it to the one it should be, so the answer depends on which kinds there are.

use serde_json::{Value, json};

use crate::field::go_quote;
use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::schema::decode::{self, decode_tree};
use crate::schema::tree::Tree;
use crate::schema::{self};

/// What upstream's scheme for API objects calls itself.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// What a patched object is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What it was, or the same kind in a former version, which all have gone.
    Same,
    /// Without a version it is decoded as nothing that has fields.
    Unversioned,
}

/// Compares a patched object with the live one.
///
/// # Errors
/// Upstream's words for an object that has become something else.
pub(super) fn check(live: &Value, patched: &Tree) -> Result<Outcome, String> {
    let text = |name: &str| match patched.get(name) {
        None | Some(Tree::Null) => Ok(""),
        Some(Tree::String(text)) => Ok(text.as_str()),
        Some(other) => Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{name} of type string",
            other.kind()
        )),
    };
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let was = |name: &str| live.get(name).and_then(Value::as_str).unwrap_or_default();
    let wanted = GroupVersion::parse(was("apiVersion"))
        .unwrap_or_default()
        .kind(was("kind"));
    let kind = if kind.is_empty() { &wanted.kind } else { kind };
    if version.is_empty() {
        let had_one = live.get("apiVersion").is_some();
        return Ok(if had_one { Outcome::Unversioned } else { Outcome::Same });
    }
    let version = GroupVersion::parse(version).ok_or_else(|| format!("unexpected GroupVersion string: {version}"))?;
    let named = version.kind(kind);
    let former = named.group == wanted.group && named.kind == wanted.kind && is_former(&named.version);
    if named == wanted || former {
        return Ok(Outcome::Same);
    }
    let Some(ty) = schema::by_gvk(&named.group, &named.version, &named.kind) else {
        return Err(format!(
            "no kind {} is registered for version {} in scheme {}",
            go_quote(&named.kind),
            go_quote(&named.group_version().to_string()),
            go_quote(SCHEME)
        ));
    };
    if let Err(error) = decode_tree(patched, ty) {
        return Err(error.to_string());
    }
    if named.group == wanted.group && named.kind == wanted.kind {
        return Ok(Outcome::Same);
    }
    Err(format!(
        "converting ({}) to ({}.{}): unknown conversion",
        ty.go_type(),
        package(&wanted),
        wanted.kind
    ))
}

/// Whether a version is one of those that were served before the stable one.
fn is_former(version: &str) -> bool {
    version.starts_with('v') && (version.contains("beta") || version.contains("alpha"))
}

/// The Go package of a kind's internal form.
fn package(kind: &GroupVersionKind) -> &str {
    match kind.group.as_str() {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or_default(),
    }
}

/// What is left of an object without a version, and the complaints about all that is not.
pub(super) fn unversioned(live: &Value, patched: &Tree) -> decode::Decoded {
    let fields = match patched {
        Tree::Object(fields) => fields.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let lost = fields
        .into_iter()
        .filter(|name| !matches!(*name, "apiVersion" | "kind"));
    decode::Decoded {
        value: json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {}}),
        strict: lost.map(|name| format!("unknown field {}", go_quote(name))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_not_change() {
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}});
        let unknown = |kind: &str, version: &str| {
            Err(format!(
                "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"{SCHEME}\""
            ))
        };
        for (version, kind, expected) in [
            (json!("v1"), json!("ConfigMap"), Ok(Outcome::Same)),
            (json!("v1"), Value::Null, Ok(Outcome::Same)),
            (json!(""), json!("ConfigMap"), Ok(Outcome::Unversioned)),
            (json!("v1"), json!("Nope"), unknown("Nope", "v1")),
            (json!("v2"), json!("ConfigMap"), unknown("ConfigMap", "v2")),
            (json!("apps/v1"), json!("ConfigMap"), unknown("ConfigMap", "apps/v1")),
            (
                json!("a/b/c"),
                json!("ConfigMap"),
                Err("unexpected GroupVersion string: a/b/c".to_owned()),
            ),
            (
                json!("v1"),
                json!("Secret"),
                Err("illegal base64 data at input byte 0".to_owned()),
            ),
            (
                json!("v1"),
                json!("Pod"),
                Err("converting (v1.Pod) to (core.ConfigMap): unknown conversion".to_owned()),
            ),
        ] {
            let mut patched = live.clone();
            patched["apiVersion"] = version.clone();
            patched["kind"] = kind.clone();
            assert_eq!(check(&live, &(&patched).into()), expected, "{version} {kind}");
        }
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
        let former = json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"});
        assert_eq!(check(&deployment, &(&former).into()), Ok(Outcome::Same));
        let number = json!({"apiVersion": 1, "kind": "Deployment"});
        assert!(
            check(&deployment, &(&number).into())
                .unwrap_err()
                .ends_with(".apiVersion of type string")
        );
        let left = unversioned(&live, &(&live).into());
        assert_eq!(left.strict, ["unknown field \"data\"", "unknown field \"metadata\""]);
    }
}
