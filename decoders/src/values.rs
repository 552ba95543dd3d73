//! The small languages within objects and queries.

use machinery::quantity::Quantity;
use machinery::selector::{field, label};
use machinery::{intstr, time};
use serde_json::Value;

use crate::{Target, texts};

/// Label selectors, as texts and as objects.
pub(crate) const LABEL_SELECTOR: Target = Target {
    name: "label_selector",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(selector) = label::Selector::parse(&text) {
            let _ = selector.matches(|key| (key == "app").then_some("web"));
        }
        let object: Value = serde_json::from_slice(input).unwrap_or_default();
        let _ = label::Selector::of(Some(&object)).matches_labels(Some(&object));
        let _ = label::Selector::of_labels(Some(&object)).is_empty();
    },
    seeds: || {
        texts(&[
            "app=web,tier!=back",
            "app in (web, shop),tier notin (),!old,new,count>1,count<9",
            "example.com/app==web",
            r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"a","operator":"NotIn","values":["b"]}]}"#,
        ])
    },
};

/// Field selectors.
pub(crate) const FIELD_SELECTOR: Target = Target {
    name: "field_selector",
    run: |input| {
        if let Ok(selector) = field::Selector::parse(&String::from_utf8_lossy(input)) {
            let _ = selector.matches(|path| (path == "metadata.name").then_some("web"));
            let _ = selector.required("metadata.name");
        }
    },
    seeds: || {
        texts(&[
            "metadata.name=web,spec.nodeName!=a",
            r"status.phase==Run\,ning\=,a=\\",
            ",,",
        ])
    },
};

/// Quantities, and what is calculated with them.
pub(crate) const QUANTITY: Target = Target {
    name: "quantity",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let (one, other) = text.split_once(' ').unwrap_or((&text, "1"));
        let (Ok(one), Ok(other)) = (Quantity::parse(one), Quantity::parse(other)) else {
            return;
        };
        let _ = (one.millis(), one.units(), one.sign(), one == other, one.cmp(&other));
        for result in [one.plus(&other), one.minus(&other), one.rounded_up_to_millis()] {
            let shown = result.to_string();
            assert!(Quantity::parse(&shown).is_ok_and(|again| again == result), "{shown}");
        }
    },
    seeds: || {
        texts(&[
            "100m 1.5Gi",
            "1e3 12E",
            "-0.5 +7Ki",
            "9223372036854775807 1n",
            "1E-9 .5u",
            "123456789012345678901234567890Ei 1",
        ])
    },
};

/// Times, durations, and numbers that may be percentages.
pub(crate) const TIME: Target = Target {
    name: "time",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        if let Some(time) = time::parse(&text) {
            let _ = (time::format(time), time::format_micro(time));
            let _ = time::human_duration(time.as_second());
        }
        let _ = apiserver::filters::deadline::parse_duration(&text);
        let _ = intstr::percent(&text);
        for total in [0, 7, i64::MAX] {
            let _ = intstr::scaled(&Value::from(&*text), total, true);
            let _ = intstr::scaled(&serde_json::from_slice(input).unwrap_or_default(), total, false);
        }
    },
    seeds: || {
        texts(&[
            "2026-01-02T03:04:05Z",
            "2026-12-31T23:59:60.123456+14:00",
            "1h2m3.5s4ms5us6ns",
            "25%",
            "-7",
            "9223372036854775807",
        ])
    },
};
