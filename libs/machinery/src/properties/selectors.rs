//! Quantities, selectors and other short texts.

use proptest::prelude::*;
use serde_json::json;

use crate::quantity::Quantity;
use crate::selector::field::Selector as FieldSelector;
use crate::selector::label::Selector as LabelSelector;
use crate::{intstr, names, time};

proptest! {
    #[test]
    fn short_texts_are_read_or_refused(text in "\\PC{0,40}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text);
        let _ = Quantity::parse(&text);
        let _ = time::parse(&text);
        let _ = intstr::percent(&text);
        let _ = names::qualified_name(&text);
        let _ = names::dns1123_subdomain(&text);
    }

    #[test]
    fn nearly_selectors_are_read_or_refused(text in "[a-c!=<>(), ]{0,24}|([a-c]( in | notin )?\\(?[a-c,]{0,4}\\)?,?){0,4}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let _ = selector.matches(|_| None);
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            let _ = selector.matches(|_| Some(""));
        }
    }

    #[test]
    fn a_selector_and_its_opposite_divide_all_labels(
        key in "[a-c]",
        values in proptest::collection::vec("[x-z]", 1..4),
        labels in proptest::collection::btree_map("[a-c]", "[x-z]", 0..3),
    ) {
        let labels = json!(labels);
        let matches = |text: String| LabelSelector::parse(&text).unwrap().matches_labels(Some(&labels));
        let set = values.join(",");
        prop_assert_ne!(matches(format!("{key} in ({set})")), matches(format!("{key} notin ({set})")));
        prop_assert_ne!(matches(key.clone()), matches(format!("!{key}")));
        prop_assert_ne!(matches(format!("{key}={}", values[0])), matches(format!("{key}!={}", values[0])));
        let both = format!("{key},{key} in ({set})");
        prop_assert_eq!(matches(both), matches(format!("{key} in ({set})")));
    }

    #[test]
    fn a_field_selector_finds_what_it_names(name in "[a-z=,\\\\]{1,8}") {
        let escaped: String = name.chars().flat_map(|c| "\\=,".contains(c).then_some('\\').into_iter().chain([c])).collect();
        let selector = FieldSelector::parse(&format!("metadata.name={escaped}")).unwrap();
        prop_assert!(selector.matches(|_| Some(&name)));
        prop_assert!(!selector.matches(|_| Some("another name")));
        prop_assert_eq!(selector.required("metadata.name"), Some(&*name));
    }

    #[test]
    fn quantities_add_up(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, unit in "m|k|Ki|M|Mi|") {
        let quantity = |number: i64| Quantity::parse(&format!("{number}{unit}")).unwrap();
        let sum = quantity(a).plus(&quantity(b));
        prop_assert_eq!(&sum, &quantity(a + b));
        prop_assert_eq!(sum.minus(&quantity(b)), quantity(a));
        prop_assert_eq!(quantity(a) < quantity(b), a < b);
        prop_assert_eq!(quantity(a).sign(), i32::try_from(a.signum()).unwrap());
    }
}
