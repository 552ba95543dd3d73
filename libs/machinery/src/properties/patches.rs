//! Patches of every type: what is done twice is done once, and who owns other fields comes in any order.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::objects::Maker;
use crate::apply::{FieldManager, Version};
use crate::patch::{FieldValidation, json as json_patch, merge, strategic};
use crate::schema::decode::assign;
use crate::schema::{Type, builtins, by_gvk};

fn kinds() -> impl Iterator<Item = &'static Type> {
    let of_group = |ty: &&Type| {
        ty.kinds
            .iter()
            .any(|kind| &*kind.version == "v1" && !kind.kind.ends_with("List"))
    };
    builtins()
        .iter()
        .copied()
        .filter(move |ty| of_group(ty) && ty.property("metadata").is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_patched_twice_is_patched_once(seed in any::<u64>()) {
        let mut maker = Maker::without_duplicates(seed);
        for ty in kinds() {
            let (live, patch) = (maker.object(ty), maker.object(ty).to_string());
            let apply = |live: &Value| strategic::apply(live, patch.as_bytes(), ty, FieldValidation::Ignore);
            // Items without their key are taken where there was no list, and refused where there is one.
            if let Ok(once) = apply(&live)
                && let Ok(twice) = apply(&once.value)
            {
                prop_assert_eq!(twice.value, once.value, "{:?} {}", ty, patch);
            }
            let apply = |live: &Value| merge::apply(live, patch.as_bytes(), Some(ty), FieldValidation::Ignore);
            let once = apply(&live).unwrap().value;
            prop_assert_eq!(apply(&once).map(|twice| twice.value), Ok(once), "{:?} {}", ty, patch);
        }
    }

    #[test]
    fn patches_of_another_kind_are_taken_or_refused(seed in any::<u64>()) {
        let mut maker = Maker::new(seed);
        let all: Vec<&Type> = kinds().collect();
        for ty in &all {
            let other = all[maker.below(all.len())];
            let (live, mut patch) = (maker.object(ty), maker.object(other));
            let directive = ["$patch", "$retainKeys", "$deleteFromPrimitiveList/finalizers", "$setElementOrder/a"];
            patch["metadata"][directive[maker.below(directive.len())]] = json!(["replace", "delete"][maker.below(2)]);
            let text = patch.to_string();
            let _ = strategic::apply(&live, text.as_bytes(), ty, FieldValidation::Strict);
            let _ = merge::apply(&live, text.as_bytes(), Some(ty), FieldValidation::Warn);
            let _ = json_patch::apply(&live, text.as_bytes(), Some(ty), FieldValidation::Ignore);
        }
    }

    #[test]
    fn owners_of_different_fields_come_in_any_order(
        ours in proptest::collection::btree_map("a[a-d]", "[0-9]", 1..4),
        theirs in proptest::collection::btree_map("b[a-d]", "[0-9]", 1..4),
    ) {
        let config = |data: &std::collections::BTreeMap<String, String>, container: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": data}, "spec":
                {"template": {"spec": {"containers": [{"name": container, "image": container, "env": []}]}}}})
        };
        let (ours, theirs) = (config(&ours, "a"), config(&theirs, "b"));
        let one = applied(&[("us", &ours), ("them", &theirs)]);
        let other = applied(&[("them", &theirs), ("us", &ours)]);
        prop_assert_eq!(sorted(one), sorted(other));
    }

    #[test]
    fn applying_again_changes_nothing(seed in any::<u64>()) {
        let mut maker = Maker::new(seed);
        for ty in kinds().filter(|ty| ty.kinds.len() == 1) {
            let mut config = maker.object(ty);
            config["metadata"] = json!({"name": "n", "labels": {"a": "b"}});
            let Some(once) = try_apply(ty, None, "m", &config) else { continue };
            let twice = try_apply(ty, Some(&once), "m", &config);
            prop_assert_eq!(twice, Some(once), "{:?} {}", ty, config);
        }
    }
}

/// What the configurations make when they are applied in turn.
fn applied(configs: &[(&str, &Value)]) -> Value {
    let ty = by_gvk("apps", "v1", "Deployment").unwrap();
    let mut live: Option<Value> = None;
    for (manager, config) in configs {
        live = try_apply(ty, live.as_ref(), manager, config);
    }
    live.unwrap()
}

/// The object after an apply; `None` when it is refused, as one is with two items of one key.
fn try_apply(ty: &'static Type, live: Option<&Value>, manager: &str, config: &Value) -> Option<Value> {
    let kind = &ty.kinds[0];
    let group_version = crate::gvk::GroupVersion::new(&*kind.group, &*kind.version);
    let version = Version {
        api_version: group_version.to_string(),
        ty: Some(ty),
        reset: None,
    };
    let field_manager = FieldManager {
        kind: group_version.kind(&*kind.kind),
        subresource: "",
        versions: &version,
        now: "2026-01-02T03:04:05Z",
    };
    let applied = field_manager.apply(live, config, manager, false).ok()?;
    Some(assign(&applied.object, ty).unwrap().value)
}

/// The containers by name and the managers by name: their order is that of their coming.
fn sorted(mut object: Value) -> Value {
    for (path, key) in [
        ("/spec/template/spec/containers", "name"),
        ("/metadata/managedFields", "manager"),
    ] {
        if let Some(Value::Array(items)) = object.pointer_mut(path) {
            items.sort_by_key(|item| item[key].to_string());
        }
    }
    object
}
