//! Selectors select the same objects on both sides, and no others.

use machinery::selector::label::Selector;

use super::*;

fn label_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]",
        1 => Just("release".to_owned()),
        1 => Just(keys::NAMESPACE.to_owned()),
        1 => Just(keys::MARKER.to_owned()),
        1 => Just(keys::CONTROLLED_BY.to_owned()),
    ]
}

fn labels() -> impl Strategy<Value = Strings> {
    prop::collection::btree_map(label_key(), "[xy]", 0..5)
}

fn label_selector() -> impl Strategy<Value = Value> {
    let listed = (
        label_key(),
        prop_oneof![Just("In"), Just("NotIn")],
        prop::collection::vec("[xy]", 1..3),
    );
    let present = (label_key(), prop_oneof![Just("Exists"), Just("DoesNotExist")]);
    let requirement = prop_oneof![
        listed.prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values})),
        present.prop_map(|(key, operator)| json!({"key": key, "operator": operator})),
    ];
    let map = prop::collection::btree_map(label_key(), "[xy]", 0..3);
    (map, prop::collection::vec(requirement, 0..3))
        .prop_map(|(map, requirements)| json!({"matchLabels": map, "matchExpressions": requirements}))
}

fn selects(selector: &Value, labels: &Strings) -> bool {
    Selector::of(Some(selector)).matches_labels(Some(&json!(labels)))
}

proptest! {
    /// In the namespace it is for; neither in another one, nor of another virtual cluster, nor of nobody's.
    #[test]
    fn label_selectors(
        selector in label_selector(), pods in prop::collection::vec((labels(), "team|other"), 1..8), foreign in labels(),
    ) {
        let names = Names::new("vc", "host");
        let mut host = names.label_selector_to_host(&selector);
        names.restrict(&mut host, Some("team"));
        for (labels, namespace) in pods {
            let wanted = namespace == "team" && selects(&selector, &labels);
            let host_labels = names.labels_to_host(&labels, Some(&namespace));
            prop_assert_eq!(selects(&host, &host_labels), wanted, "{:?} in {}", labels, namespace);
        }
        let neighbour = Names::new("neighbour", "host");
        prop_assert!(!selects(&host, &neighbour.labels_to_host(&foreign, Some("team"))));
        let mut nobodys = foreign;
        nobodys.remove(keys::MARKER);
        prop_assert!(!selects(&host, &nobodys));
    }

    /// The plain maps of Services.
    #[test]
    fn maps(
        map in prop::collection::btree_map(label_key(), "[xy]", 1..3),
        pods in prop::collection::vec((labels(), "team|other"), 1..8),
    ) {
        let names = Names::new("vc", "host");
        let selector = json!({"matchLabels": map});
        let host = names.map_selector_to_host(json!(map).as_object().expect("a map"), "team");
        let host = json!({"matchLabels": host});
        for (labels, namespace) in pods {
            let wanted = namespace == "team" && selects(&selector, &labels);
            prop_assert_eq!(selects(&host, &names.labels_to_host(&labels, Some(&namespace))), wanted);
        }
    }

    /// A selector of namespaces, by what pods carry of their namespaces.
    #[test]
    fn namespace_selectors(selector in label_selector(), labels in labels()) {
        let names = Names::new("vc", "host");
        let host = names.namespace_selector_to_host(&selector);
        prop_assert_eq!(selects(&host, &names.namespace_labels(&labels)), selects(&selector, &labels));
    }
}
