//! `metadata.generation`: counts the changes of what the user wants.

use super::checks::same;
use machinery::meta;
use serde_json::Value;

/// Sets the first generation.
pub(crate) fn first(obj: &mut Value) {
    meta::set(obj, &["metadata", "generation"], 1);
}

/// Carries the generation over and, when one of the fields (each a path) differs, counts it up.
pub(crate) fn follow(new: &mut Value, old: &Value, fields: &[&[&str]]) {
    let before = meta::i64_at(old, &["metadata", "generation"]).unwrap_or_default();
    let changed = fields
        .iter()
        .any(|path| !same(meta::at(new, path), meta::at(old, path)));
    let now = before + i64::from(changed);
    if now > 0 {
        meta::set(new, &["metadata", "generation"], now);
    } else {
        meta::remove(new, &["metadata", "generation"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_changes_of_the_named_fields_only() {
        let old = json!({"metadata": {"generation": 3, "labels": {"a": "b"}}, "spec": {"x": 1}});
        for (new, expected) in [
            (json!({"metadata": {"generation": 9}, "spec": {"x": 1}}), 3),
            (json!({"metadata": {}, "spec": {"x": 2}}), 4),
            (json!({"metadata": {}}), 4),
        ] {
            let mut new = new;
            follow(&mut new, &old, &[&["spec"]]);
            assert_eq!(new["metadata"]["generation"], expected);
        }
        let mut new = json!({"metadata": {"annotations": {}}});
        follow(
            &mut new,
            &json!({"metadata": {"generation": 1}}),
            &[&["metadata", "annotations"], &["spec"]],
        );
        assert_eq!(new["metadata"]["generation"], 1);
    }
}
