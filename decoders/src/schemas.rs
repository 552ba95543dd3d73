//! Schemas that users define, and objects of the kinds that they define.

use machinery::field::{ErrorList, Path};
use serde_json::Value;
use structural::publish::{Dialect, Published};
use structural::{Coercion, Structural, Validator, formats, validate_defaults};

use crate::{Target, halves, texts};

/// A schema, an object, and what the object was before.
pub(crate) const STRUCTURAL: Target = Target {
    name: "structural",
    run: |input| {
        let (written, rest) = halves(input);
        let (new, old) = halves(rest);
        let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        let Some(written) = read(written) else { return };
        published(&written);
        let Ok(schema) = Structural::for_serving(&written) else {
            return;
        };
        let metadata = |_: &Value, _: bool| ErrorList::new();
        let _ = validate_defaults(&written, &schema, &Path::new("schema"), &metadata);
        let validator = Validator::new(&written, schema.clone(), written.get("subresources"));
        let kept = |text: &[u8]| {
            let mut object = read(text)?;
            schema.coerce(&mut object, Coercion::default()).ok()?;
            schema.default(&mut object);
            Some(object)
        };
        let Some(new) = kept(new) else { return };
        let _ = validator.create(&new, &metadata, ErrorList::new());
        if let Some(old) = kept(old) {
            let _ = validator.update(&new, &old, &metadata, ErrorList::new());
            let _ = validator.update_status(&new, &old, ErrorList::new());
        }
        for format in [
            "uri",
            "email",
            "date-time",
            "duration",
            "mac",
            "cidr",
            "hostname",
            "isbn",
            "creditcard",
        ] {
            let _ = formats::fits(format, &new["spec"].to_string());
        }
    },
    seeds: || {
        texts(&[
            "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"default\":\"x\",\
             \"maxLength\":3,\"pattern\":\"^a\"},\"n\":{\"type\":\"integer\",\"multipleOf\":2,\"format\":\"int32\"}},\
             \"x-kubernetes-validations\":[{\"rule\":\"self.a != oldSelf.a\",\"messageExpression\":\"self.a\"}]}}}\0\
             {\"kind\":\"K\",\"metadata\":{\"name\":\"x\"},\"spec\":{\"n\":3,\"u\":1}}\0{\"spec\":{\"a\":\"ab\"}}",
            "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"k\"],\
             \"items\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}},\"anyOf\":[{\"required\":[\"k\"]}]}},\
             \"t\":{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true,\"x-kubernetes-preserve-unknown-fields\":true},\
             \"i\":{\"x-kubernetes-int-or-string\":true,\"nullable\":true}}}\0\
             {\"l\":[{\"k\":\"a\"},{\"k\":\"a\"},null],\"t\":{\"apiVersion\":\"v1\",\"metadata\":{\"labels\":{}}},\"i\":null}\0{\"l\":[{\"k\":\"a\"}]}",
        ])
    },
};

/// The schema as OpenAPI documents have it.
fn published(written: &Value) {
    let kind = Published {
        written: Some(written),
        group: "a.example",
        version: "v1",
        kind: "A",
        list_kind: "AList",
        plural: "as",
        selectable: &[],
        open: false,
    };
    for dialect in [Dialect::V2, Dialect::V3] {
        let _ = (kind.definition(dialect), kind.list_definition(dialect));
    }
}
