//! PriorityLevelConfigurations.

use super::super::shared::cells;
use super::super::shared::checks::{one_of, text};
use super::{Configuration, validate};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec";
const LIMITED: &str = "io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration";
const QUEUING: &str = "io.k8s.api.flowcontrol.v1.QueuingConfiguration";
const EXEMPT: &str = "exempt";
const MAX_QUEUES: i64 = 10_000_000;
/// How many bits of a hash choose the queues of a flow.
const MAX_HASH_BITS: i64 = 60;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Type", "string", SPEC, "type"),
        Column::of_field(
            "NominalConcurrencyShares",
            "string",
            LIMITED,
            "nominalConcurrencyShares",
        ),
        Column::of_field("Queues", "string", QUEUING, "queues"),
        Column::of_field("HandSize", "string", QUEUING, "handSize"),
        Column::of_field("QueueLengthLimit", "string", QUEUING, "queueLengthLimit"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let number = |path: &[&str]| meta::at(obj, path).cloned().unwrap_or_else(|| cells::NONE.into());
        let queuing = |field| number(&["spec", "limited", "limitResponse", "queuing", field]);
        vec![
            cells::name(obj),
            text(obj, &["spec", "type"]).into(),
            number(&["spec", "limited", "nominalConcurrencyShares"]),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
            cells::age(obj, now),
        ]
    },
};

fn default(obj: &mut Value) {
    let Some(spec) = obj.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    if text(spec, &["type"]) == "Exempt" {
        meta::set_default(spec, &["exempt"], json!({}));
    }
    for (kind, shares) in [("exempt", 0), ("limited", 30)] {
        if let Some(level) = spec.get_mut(kind).filter(|level| level.is_object()) {
            meta::set_default(level, &["nominalConcurrencyShares"], shares);
            meta::set_default(level, &["lendablePercent"], 0);
        }
    }
    if let Some(queuing) = spec
        .pointer_mut("/limited/limitResponse/queuing")
        .filter(|q| q.is_object())
    {
        for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
            if cells::number(queuing, &[field]) == 0 {
                meta::set(queuing, &[field], value);
            }
        }
    }
}

/// `ValidatePriorityLevelConfigurationSpec`, and that what every cluster needs is as it must be.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let (name, kind) = (meta::name(obj), text(spec, &["type"]));
    let mut errors = ErrorList::new();
    if (name == EXEMPT) != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(Error::invalid(&path.child("type"), kind, detail));
    }
    match (kind, spec.get("limited"), spec.get("exempt")) {
        ("Exempt", limited, exempt) => {
            if limited.is_some() {
                let detail = "must be nil if the type is not Limited";
                errors.push(Error::forbidden(&path.child("limited"), detail));
            }
            if let Some(exempt) = exempt {
                errors.extend(shares(exempt, &path.child("exempt")));
            }
        }
        ("Limited", limited, exempt) => {
            if exempt.is_some() {
                let detail = "must be nil if the type is Limited";
                errors.push(Error::forbidden(&path.child("exempt"), detail));
            }
            match limited {
                None => {
                    let detail = "must not be empty when type is Limited";
                    errors.push(Error::required(&path.child("limited"), detail));
                }
                Some(limited) => errors.extend(validate_limited(limited, &path.child("limited"))),
            }
        }
        (other, ..) => errors.extend(one_of(other, &["Exempt", "Limited"], &path.child("type"))),
    }
    if mandatory(name, spec).is_some_and(|fixed| *spec != fixed) {
        let detail = format!("spec of '{name}' must equal the fixed value");
        errors.push(Error::invalid(&path, spec.clone(), detail));
    }
    errors.extend(validate::status(obj));
    errors
}

/// The specs of the levels that may not be changed; only the shares of the exempt one may.
fn mandatory(name: &str, spec: &Value) -> Option<Value> {
    match name {
        EXEMPT => Some(json!({"type": "Exempt", "exempt": spec.get("exempt").cloned().unwrap_or_default()})),
        "catch-all" => Some(
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0,
            "limitResponse": {"type": "Reject"}}}),
        ),
        _ => None,
    }
}

fn shares(level: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(shares) = meta::i64_at(level, &["nominalConcurrencyShares"]).filter(|n| *n < 0) {
        let path = path.child("nominalConcurrencyShares");
        errors.push(Error::invalid(&path, shares, "must be a non-negative integer"));
    }
    errors.extend(lendable(level, path));
    errors
}

fn lendable(level: &Value, path: &Path) -> Option<Error> {
    let percent = meta::i64_at(level, &["lendablePercent"])?;
    let detail = "must be between 0 and 100, inclusive";
    (!(0..=100).contains(&percent)).then(|| Error::invalid(&path.child("lendablePercent"), percent, detail))
}

fn validate_limited(limited: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let shares = cells::number(limited, &["nominalConcurrencyShares"]);
    if shares < 0 {
        let path = path.child("nominalConcurrencyShares");
        errors.push(Error::invalid(&path, shares, "must be a non-negative integer"));
    }
    let response_path = path.child("limitResponse");
    let queuing = meta::at(limited, &["limitResponse", "queuing"]);
    match (text(limited, &["limitResponse", "type"]), queuing) {
        ("Reject", Some(_)) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(Error::forbidden(&response_path.child("queuing"), detail));
        }
        ("Queue", None) => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(Error::required(&response_path.child("queuing"), detail));
        }
        ("Queue", Some(queuing)) => errors.extend(validate_queuing(queuing, &response_path.child("queuing"))),
        (kind, _) => errors.extend(one_of(kind, &["Queue", "Reject"], &response_path.child("type"))),
    }
    errors.extend(lendable(limited, path));
    if let Some(percent) = meta::i64_at(limited, &["borrowingLimitPercent"]).filter(|n| *n < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(Error::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
    errors
}

/// Queues are dealt to flows like hands of cards.
fn validate_queuing(queuing: &Value, path: &Path) -> ErrorList {
    const POSITIVE: &str = "must be positive";
    let number = |field: &str| cells::number(queuing, &[field]);
    let (limit, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    let mut errors = ErrorList::new();
    if limit <= 0 {
        errors.push(Error::invalid(&path.child("queueLengthLimit"), limit, POSITIVE));
    }
    let queues_path = path.child("queues");
    if queues <= 0 {
        errors.push(Error::invalid(&queues_path, queues, POSITIVE));
    } else if queues > MAX_QUEUES {
        let detail = format!("must not be greater than {MAX_QUEUES}");
        errors.push(Error::invalid(&queues_path, queues, detail));
    }
    let hand_path = path.child("handSize");
    let bits = (queues.max(1) as f64).log2() * hand as f64;
    if hand <= 0 {
        errors.push(Error::invalid(&hand_path, hand, POSITIVE));
    } else if hand > queues {
        let detail = format!("should not be greater than queues ({queues})");
        errors.push(Error::invalid(&hand_path, hand, detail));
    } else if bits.ceil() > MAX_HASH_BITS as f64 {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        errors.push(Error::invalid(&hand_path, hand, detail));
    }
    errors
}

pub(super) fn resource() -> Resource {
    let level = Resource::cluster_kind(
        ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration"),
        ("prioritylevelconfigurations", "prioritylevelconfiguration"),
        "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
        Configuration {
            default,
            validate: validate_spec,
        },
        &COLUMNS,
    );
    level.with_object_subresource("status", super::status(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_limited_or_the_exempt_one() {
        for (name, spec, expected) in [
            (
                "p",
                json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
                vec![],
            ),
            (
                "p",
                json!({"type": "Exempt", "limited": {"limitResponse": {"type": "Reject"}}}),
                vec![
                    "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
                    "spec.limited: Forbidden: must be nil if the type is not Limited",
                ],
            ),
            (
                "p",
                json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 512, "handSize": 12}}}}),
                vec![
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 12: required entropy bits of deckSize 512 and handSize 12 should not be greater than 60",
                ],
            ),
            (
                "exempt",
                json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5}}),
                vec![],
            ),
        ] {
            let mut obj = json!({"metadata": {"name": name}, "spec": spec});
            default(&mut obj);
            let texts: Vec<String> = validate_spec(&obj).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        }
    }
}
