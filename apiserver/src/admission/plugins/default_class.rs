//! DefaultStorageClass and DefaultIngressClass: claims and Ingresses that name no class get the default one
//! (`plugin/pkg/admission/{storage/storageclass/setdefault,network/defaultingressclass}`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::cmp::Reverse;

/// Which objects get which class.
pub(super) struct DefaultClass {
    /// Upstream's name of the plugin.
    pub(super) name: &'static str,
    /// Group and plural name of the objects.
    objects: (&'static str, &'static str),
    /// The field of `spec` that names the class.
    field: &'static str,
    /// The annotation that named it in former times.
    annotation: &'static str,
    /// Group and plural name of the classes.
    classes: (&'static str, &'static str),
    /// The annotations that make a class the default.
    marks: &'static [&'static str],
}

/// Classes of claims.
pub(super) const STORAGE: DefaultClass = DefaultClass {
    name: "DefaultStorageClass",
    objects: ("", "persistentvolumeclaims"),
    field: "storageClassName",
    annotation: "volume.beta.kubernetes.io/storage-class",
    classes: ("storage.k8s.io", "storageclasses"),
    marks: &[
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ],
};

/// Classes of Ingresses.
pub(super) const INGRESS: DefaultClass = DefaultClass {
    name: "DefaultIngressClass",
    objects: ("networking.k8s.io", "ingresses"),
    field: "ingressClassName",
    annotation: "kubernetes.io/ingress.class",
    classes: ("networking.k8s.io", "ingressclasses"),
    marks: &["ingressclass.kubernetes.io/is-default-class"],
};

impl Plugin for DefaultClass {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.choose(lookup, attributes, object))
    }
}

impl DefaultClass {
    async fn choose(&self, lookup: &dyn Lookup, attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
        let (group, plural) = self.objects;
        let concerned = attributes.operation == Operation::Create
            && attributes.subresource.is_empty()
            && attributes.resource == GroupResource::new(group, plural);
        let named = |path: &[&str]| meta::at(object, path).is_some_and(|class| !class.is_null());
        if !concerned || named(&["spec", self.field]) || named(&["metadata", "annotations", self.annotation]) {
            return Ok(());
        }
        let (group, plural) = self.classes;
        let classes = lookup.list(&GroupResource::new(group, plural), "").await?;
        if let Some(class) = self.default(&classes) {
            meta::set(object, &["spec", self.field], class);
        }
        Ok(())
    }

    /// The youngest of the default classes, by name among equals.
    fn default<'a>(&self, classes: &'a [Value]) -> Option<&'a str> {
        let marked = |class: &&Value| {
            let value = |mark: &&str| meta::str_at(class, &["metadata", "annotations", mark]);
            self.marks.iter().any(|mark| value(mark) == Some("true"))
        };
        let age = |class: &&Value| {
            let created = meta::str_at(class, &["metadata", "creationTimestamp"]);
            (
                Reverse(created.unwrap_or_default().to_owned()),
                meta::name(class).to_owned(),
            )
        };
        classes.iter().filter(marked).min_by_key(age).map(meta::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    fn class(name: &str, created: &str, default: &str) -> (&'static str, Value) {
        let metadata = json!({"name": name, "creationTimestamp": created, "annotations": {STORAGE.marks[0]: default}});
        ("storageclasses", json!({"metadata": metadata}))
    }

    #[tokio::test]
    async fn claims_without_a_class_get_the_youngest_default() {
        let lookup = Objects::of(&[
            class("b", "2026-01-01T00:00:00Z", "true"),
            class("c", "2026-01-02T00:00:00Z", "true"),
            class("a", "2026-01-02T00:00:00Z", "true"),
            class("z", "2026-01-03T00:00:00Z", "false"),
        ]);
        for (mut claim, expected) in [
            (json!({"spec": {}}), json!("a")),
            (json!({"spec": {"storageClassName": ""}}), json!("")),
            (
                json!({"metadata": {"annotations": {STORAGE.annotation: "x"}}, "spec": {}}),
                Value::Null,
            ),
        ] {
            let mut warnings = Vec::new();
            let attributes = attributes(Operation::Create, "persistentvolumeclaims", "n", "c", &mut warnings);
            STORAGE.choose(&lookup, &attributes, &mut claim).await.unwrap();
            assert_eq!(claim["spec"]["storageClassName"], expected);
        }
    }
}
