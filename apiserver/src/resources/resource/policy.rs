//! How much of a capacity one claim may take (`validateRequestPolicy`).

use super::rules;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::Value;

const MAX_VALUES: usize = 10;

fn amount(owner: &Value, path: &[&str]) -> Option<Quantity> {
    Quantity::parse(meta::str_at(owner, path)?).ok()
}

/// Checks a capacity; `shared` devices may be given to several claims.
pub(super) fn validate(capacity: &Value, shared: bool, path: &Path) -> ErrorList {
    let Some(policy) = capacity.get("requestPolicy") else {
        return ErrorList::new();
    };
    let path = path.child("requestPolicy");
    if !shared {
        return vec![Error::forbidden(&path, "allowMultipleAllocations must be true")];
    }
    let most = amount(capacity, &["value"]).unwrap_or_else(|| Quantity::from_units(0));
    let values = meta::list_at(policy, &["validValues"]);
    let default = amount(policy, &["default"]);
    let missing = |what: &str| {
        vec![Error::required(
            &path.child("default"),
            format!("required when {what} is defined"),
        )]
    };
    match (values.is_empty(), policy.get("validRange"), default) {
        (false, Some(_), _) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                          same time";
            vec![Error::forbidden(&path, detail)]
        }
        (false, None, None) => missing("validValues"),
        (true, Some(_), None) => missing("validRange"),
        (false, None, Some(default)) => validate_values(values, default, most, &path.child("validValues")),
        (true, Some(range), Some(default)) => validate_range(range, default, most, &path.child("validRange")),
        (true, None, _) => ErrorList::new(),
    }
}

fn validate_values(values: &[Value], default: Quantity, most: Quantity, path: &Path) -> ErrorList {
    let parse = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    let mut errors = ErrorList::new();
    for (i, pair) in values.windows(2).enumerate() {
        if let (Some(lower), Some(upper)) = (parse(&pair[0]), parse(&pair[1]))
            && lower > upper
        {
            let detail = "values must be sorted in ascending order";
            errors.push(Error::invalid(&path.index(i + 1), upper.to_string(), detail));
        }
    }
    errors.extend(rules::set(
        values,
        Some(MAX_VALUES),
        path,
        &|value, path| {
            let too_large = parse(value).filter(|option| *option > most);
            let detail = format!("option is larger than capacity value: {most}");
            too_large
                .map(|option| Error::invalid(path, option.to_string(), detail))
                .into_iter()
                .collect()
        },
        &|value| parse(value).map_or_else(String::new, |option| option.units().to_string()),
    ));
    if !values.iter().any(|value| parse(value) == Some(default)) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, default.to_string(), detail));
    }
    errors
}

fn validate_range(range: &Value, default: Quantity, most: Quantity, path: &Path) -> ErrorList {
    let Some(min) = amount(range, &["min"]) else {
        return vec![Error::required(
            &path.child("min"),
            "required when validRange is defined",
        )];
    };
    let (max, step) = (amount(range, &["max"]), amount(range, &["step"]));
    let mut errors = ErrorList::new();
    let mut check = |wrong: bool, field: &str, value: Quantity, detail: String| {
        if wrong {
            errors.push(Error::invalid(&path.child(field), value.to_string(), detail));
        }
    };
    check(
        min > most,
        "min",
        min,
        format!("min is larger than capacity value: {most}"),
    );
    check(
        default < min,
        "default",
        default,
        format!("default is less than min: {min}"),
    );
    if let Some(max) = max {
        check(min > max, "max", min, format!("min is larger than max: {max}"));
        check(
            max > most,
            "max",
            max,
            format!("max is larger than capacity value: {most}"),
        );
        check(
            default > max,
            "default",
            default,
            format!("default is more than max: {max}"),
        );
    }
    let Some(step) = step else { return errors };
    if step.sign() <= 0 {
        check(true, "step", step, "must be greater than zero".to_owned());
        return errors;
    }
    let next = min.plus(&step);
    let detail = format!("one step {next} is larger than capacity value: {most}");
    check(next > most, "step", step, detail);
    for value in std::iter::once(default).chain(max) {
        let away = value.units().saturating_sub(min.units());
        let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
        check(away % step.units().max(1) != 0, "step", value, detail);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_fit_the_capacity() {
        let texts = |policy: Value| -> Vec<String> {
            let capacity = json!({"value": "10Gi", "requestPolicy": policy});
            validate(&capacity, true, &Path::new("c"))
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert!(texts(json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi", "max": "8Gi"}})).is_empty());
        assert_eq!(
            texts(json!({"default": "3Gi", "validValues": ["2Gi", "1Gi"]})),
            [
                "c.requestPolicy.validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
                "c.requestPolicy.validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ]
        );
        assert_eq!(
            texts(json!({"validValues": ["2Gi"]})),
            ["c.requestPolicy.default: Required value: required when validValues is defined"]
        );
    }
}
