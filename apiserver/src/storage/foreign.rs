//! Values that other API servers have stored: protobuf, or JSON in which defaults are left to the reader, in some version of
//! the kind. They are read into the form in which this server writes them, so that nothing above the store sees a difference
//! (upstream: the decoders of `apiserver/pkg/server/storage/storage_codec.go`).

use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::object::{to_bytes, type_prefix};
use machinery::schema::{self, Type, decode::encoded_form};
use machinery::wire::{self, Envelope, MAGIC};
use serde_json::Value;

/// Sets what newer servers would have set, and what has no place in protobuf.
pub type Defaults = Box<dyn Fn(&mut Value) + Send + Sync>;

/// Makes an object of one version of its kind one of another.
pub type Upgrade = fn(Value) -> Value;

/// What upstream ends its JSON with, and this server does not.
const FOREIGN_END: &[u8] = b"\n";

/// What the values of a resource look like when this server writes them.
pub struct Form {
    kind: GroupVersionKind,
    built_in: bool,
    /// What each begins with.
    prefix: Box<[u8]>,
    /// Versions that differ by more than their names, and how they become the stored one.
    upgrades: Vec<(GroupVersionKind, Upgrade)>,
    defaults: Option<Defaults>,
}

impl Form {
    /// The form of a kind: group, version and kind are those that are stored.
    pub fn new(kind: GroupVersionKind) -> Self {
        let prefix = type_prefix(&kind).into_bytes().into();
        Form {
            built_in: schema::by_gvk(&kind.group, &kind.version, &kind.kind).is_some(),
            kind,
            prefix,
            upgrades: Vec::new(),
            defaults: None,
        }
    }

    /// Says how a version becomes the stored one; one of which nothing is said has the same fields.
    pub fn upgrade(&mut self, from: GroupVersionKind, how: Upgrade) {
        self.upgrades.push((from, how));
    }

    /// Says what an object lacks that was not written by this server.
    pub fn set_defaults(&mut self, defaults: Defaults) {
        self.defaults = Some(defaults);
    }

    /// The value as this server would have written it; `None` when it looks like that already.
    ///
    /// # Errors
    /// One sentence about a value that cannot be read.
    pub(super) fn adopt(&self, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let is_own = value.starts_with(&self.prefix) && !value.ends_with(FOREIGN_END);
        // A custom kind is stored as its definition says, and nothing is known of it here.
        if is_own || !self.built_in {
            return Ok(None);
        }
        let object = if value.starts_with(MAGIC) {
            let envelope = Envelope::parse(value).map_err(|error| error.to_string())?;
            let (kind, ty) = self.kind_of(&envelope.api_version, &envelope.kind)?;
            let object = wire::decode(&envelope, ty).map_err(|error| error.to_string())?;
            self.upgraded(&kind, object)?
        } else {
            let object: Value = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
            let (kind, _) = self.kind_of(text("apiVersion"), text("kind"))?;
            self.upgraded(&kind, object)?
        };
        Ok(Some(to_bytes(&object).to_vec()))
    }

    /// The kind of a value, which must be a version of the one that is kept there, and its type. A version that is not
    /// known is one of the betas that have become the stored version as they were.
    fn kind_of(&self, api_version: &str, kind: &str) -> Result<(GroupVersionKind, &'static Type), String> {
        let wrong = || {
            format!(
                "it is a {kind} of {api_version:?}, and a {} is kept there",
                self.kind.kind
            )
        };
        let found = GroupVersion::parse(api_version).ok_or_else(wrong)?.kind(kind);
        let known =
            found.group_kind() == self.kind.group_kind() || self.upgrades.iter().any(|(from, _)| *from == found);
        let by_gvk = |kind: &GroupVersionKind| schema::by_gvk(&kind.group, &kind.version, &kind.kind);
        let ty = by_gvk(&found).or_else(|| by_gvk(&self.kind)).filter(|_| known);
        Ok((found, ty.ok_or_else(wrong)?))
    }

    /// The object in the stored version, with its defaults, as encoding and decoding it gives it.
    fn upgraded(&self, found: &GroupVersionKind, mut object: Value) -> Result<Value, String> {
        if let Some((_, upgrade)) = self.upgrades.iter().find(|(from, _)| from == found) {
            object = upgrade(object);
        }
        let kind = &self.kind;
        object["kind"] = kind.kind.as_str().into();
        object["apiVersion"] = kind.api_version().into();
        let Some(ty) = schema::by_gvk(&kind.group, &kind.version, &kind.kind) else {
            return Ok(object);
        };
        let mut object = canonical(&object, ty)?;
        if let Some(default) = &self.defaults {
            default(&mut object);
        }
        canonical(&object, ty)
    }
}

/// The object as encoding and decoding it gives it.
fn canonical(object: &Value, ty: &Type) -> Result<Value, String> {
    encoded_form(object, ty).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scalers() -> Form {
        let kind = |version: &str| GroupVersionKind::new("autoscaling", version, "HorizontalPodAutoscaler");
        let mut form = Form::new(kind("v2"));
        form.upgrade(kind("v1"), |mut object| {
            let target = object["spec"]["targetCPUUtilizationPercentage"].take();
            object["metadata"]["annotations"] = json!({"target": target.to_string()});
            object
        });
        form.set_defaults(Box::new(|object| object["spec"]["minReplicas"] = json!(1)));
        form
    }

    fn pods() -> Form {
        Form::new(GroupVersionKind::new("", "v1", "Pod"))
    }

    #[test]
    fn own_values_are_left_alone() {
        let own = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}"#;
        assert_eq!(pods().adopt(own), Ok(None));
    }

    #[test]
    fn protobuf_and_other_orders_become_own_values() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]}, "status": {}});
        let own = to_bytes(&pod).to_vec();
        let upstreams = [&own[..], b"\n"].concat();
        assert_eq!(pods().adopt(&upstreams), Ok(Some(own.clone())));
        let ty = schema::by_gvk("", "v1", "Pod").unwrap();
        assert_eq!(pods().adopt(&wire::encode(&pod, ty).unwrap()), Ok(Some(own.clone())));
        assert_eq!(pods().adopt(pod.to_string().as_bytes()), Ok(Some(own)));
    }

    #[test]
    fn other_versions_are_upgraded() {
        let scaler = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80, "scaleTargetRef": {"kind": "A", "name": "b"}}});
        let adopted = scalers().adopt(scaler.to_string().as_bytes()).unwrap().unwrap();
        let adopted: Value = serde_json::from_slice(&adopted).unwrap();
        assert_eq!(adopted["apiVersion"], "autoscaling/v2");
        assert_eq!(adopted["metadata"]["annotations"]["target"], "80");
        assert_eq!(adopted["spec"]["maxReplicas"], 3);
        assert_eq!(adopted["spec"]["minReplicas"], 1);
    }

    #[test]
    fn strange_values_are_explained() {
        for (value, expected) in [
            (&b"k8s\0\x0a"[..], "unexpected EOF"),
            (b"{", "EOF"),
            (
                br#"{"kind":"Secret","apiVersion":"v1","metadata":{}}"#,
                "it is a Secret of \"v1\"",
            ),
            (
                br#"{"kind":"Pod","apiVersion":"apps/v1","metadata":{}}"#,
                "it is a Pod of \"apps/v1\"",
            ),
            (
                br#"{"kind":"Pod","apiVersion":"a/b/c","metadata":{}}"#,
                "it is a Pod of \"a/b/c\"",
            ),
            (
                br#"{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":1}"#,
                "cannot unmarshal",
            ),
        ] {
            let error = pods().adopt(value).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
