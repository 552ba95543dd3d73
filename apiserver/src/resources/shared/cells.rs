//! Table columns and cells that several kinds show (upstream `pkg/printers/internalversion/printers.go`).

use crate::registry::columns::{Column, Columns};
use machinery::selector::label::Selector;
use machinery::{meta, time};
use serde_json::Value;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The object's name.
pub(crate) const NAME: Column = Column::of_field("Name", "string", OBJECT_META, "name").named();
/// How old the object is.
pub(crate) const AGE: Column = Column::of_field("Age", "string", OBJECT_META, "creationTimestamp");
/// When the object was made.
const CREATED_AT: Column = Column::of_field("Created At", "date", OBJECT_META, "creationTimestamp");

/// The table of kinds that upstream has no printer for (apiserver `rest.NewDefaultTableConvertor`).
pub(crate) static NAME_AND_CREATION: Columns = Columns {
    columns: &[NAME, CREATED_AT],
    cells: |obj, _| {
        let created = meta::at(obj, &["metadata", "creationTimestamp"]);
        vec![name(obj), created.cloned().unwrap_or_default()]
    },
};

/// The names of the template's containers.
pub(crate) const CONTAINERS: Column =
    Column::new("Containers", "string", "Names of each container in the template.").wide();
/// The images of the template's containers.
pub(crate) const IMAGES: Column = Column::new(
    "Images",
    "string",
    "Images referenced by each container in the template.",
)
.wide();

/// What stands for nothing.
pub(crate) const NONE: &str = "<none>";
/// What stands for a value that was never set.
pub(crate) const UNSET: &str = "<unset>";
/// What stands for a time that is not known.
pub(crate) const UNKNOWN: &str = "<unknown>";

/// The name cell.
pub(crate) fn name(obj: &Value) -> Value {
    meta::name(obj).into()
}

/// The age cell.
pub(crate) fn age(obj: &Value, now: i64) -> Value {
    since(meta::str_at(obj, &["metadata", "creationTimestamp"]), now).into()
}

/// How long ago a time was.
pub(crate) fn since(at: Option<&str>, now: i64) -> String {
    match at.and_then(time::parse) {
        Some(then) => time::human_duration(now - then.as_second()),
        None => UNKNOWN.to_owned(),
    }
}

/// The text at a path, or `<none>`.
pub(crate) fn text_or_none<'a>(obj: &'a Value, path: &[&str]) -> &'a str {
    meta::str_at(obj, path).filter(|s| !s.is_empty()).unwrap_or(NONE)
}

/// The number at a path; absent numbers are 0.
pub(crate) fn number(obj: &Value, path: &[&str]) -> i64 {
    meta::i64_at(obj, path).unwrap_or_default()
}

/// The names and images of the containers of `spec.template`, each separated by commas.
pub(crate) fn template_containers(obj: &Value) -> [Value; 2] {
    container_names_and_images(obj, &["spec", "template"])
}

/// The names and images of the containers of a template, each separated by commas.
pub(crate) fn container_names_and_images(obj: &Value, template: &[&str]) -> [Value; 2] {
    let template = meta::at(obj, template).unwrap_or(&Value::Null);
    let containers = meta::list_at(template, &["spec", "containers"]);
    ["name", "image"].map(|field| {
        let texts: Vec<&str> = containers
            .iter()
            .map(|c| meta::str_at(c, &[field]).unwrap_or_default())
            .collect();
        texts.join(",").into()
    })
}

/// A structured label selector as text.
pub(crate) fn selector(obj: &Value, path: &[&str]) -> Value {
    let text = Selector::of(meta::at(obj, path)).to_string();
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// A map of labels as text.
pub(crate) fn labels(map: Option<&Value>) -> Value {
    let text = Selector::of_labels(map).to_string();
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// At most `max` of the items, and how many more there are.
pub(crate) fn shortened(items: &[String], max: usize, empty: &str) -> String {
    match items.len() {
        0 => empty.to_owned(),
        n if n > max => format!("{} + {} more...", items[..max].join(","), n - max),
        _ => items.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_lists_are_cut() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(shortened(&items(0), 3, NONE), "<none>");
        assert_eq!(shortened(&items(3), 3, NONE), "0,1,2");
        assert_eq!(shortened(&items(5), 3, NONE), "0,1,2 + 2 more...");
    }

    #[test]
    fn selectors_and_labels_read_as_text() {
        let obj = json!({"spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}}});
        assert_eq!(selector(&obj, &["spec", "selector"]), "a=1,b=2");
        assert_eq!(selector(&obj, &["spec", "none"]), "<none>");
        assert_eq!(labels(Some(&json!({"x": "y"}))), "x=y");
        assert_eq!(labels(None), "<none>");
    }
}
