//! Turns `data/types.json`, the facts about the built-in API types, into `static` Rust data, with descriptions.

mod descriptions;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use descriptions::Descriptions;
use serde_json::{Map, Value};

const FACTS: &str = "data/types.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FACTS}");
    println!("cargo::rerun-if-changed=build");
    let facts: Value = serde_json::from_str(&std::fs::read_to_string(FACTS)?)?;
    let types = facts["types"].as_object().ok_or("data/types.json has no types")?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&out).join("types.rs"),
        Generator::new(types, Descriptions::read()?).run()?,
    )?;
    Ok(())
}

struct Generator<'a> {
    types: &'a Map<String, Value>,
    descriptions: Descriptions,
    index: BTreeMap<&'a str, usize>,
    /// Details are shared between properties: most of them have none or the same few.
    details: BTreeMap<String, usize>,
    out: String,
}

impl<'a> Generator<'a> {
    fn new(types: &'a Map<String, Value>, mut descriptions: Descriptions) -> Self {
        for (name, facts) in types {
            if let Some(items) = facts["properties"]["items"]["t"]["array"].as_str()
                && name.strip_suffix("List") == Some(items)
            {
                descriptions.describe_list(name, items.rsplit('.').next().unwrap_or(items));
            }
        }
        let index = types.keys().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        Generator {
            types,
            descriptions,
            index,
            details: BTreeMap::new(),
            out: String::new(),
        }
    }

    fn run(mut self) -> Result<String, Box<dyn Error>> {
        let mut kinds = Vec::new();
        for (i, (name, facts)) in self.types.iter().enumerate() {
            self.one_type(i, name, facts).map_err(|e| format!("{name}: {e}"))?;
            for gvk in facts["gvk"].as_array().into_iter().flatten() {
                let part = |n: usize| gvk[n].as_str().unwrap_or_default().to_owned();
                kinds.push((part(2), part(0), part(1), i));
            }
        }
        for (details, i) in &self.details {
            writeln!(self.out, "static D{i}: Details = {details};")?;
        }
        write!(self.out, "pub(super) static TYPES: &[&Type] = &[")?;
        (0..self.types.len()).try_for_each(|i| write!(self.out, "&T{i},"))?;
        writeln!(self.out, "];")?;
        kinds.sort();
        writeln!(self.out, "pub(super) static KINDS: &[(&str, &str, &str, &Type)] = &[")?;
        for (kind, group, version, i) in kinds {
            writeln!(self.out, "({kind:?},{group:?},{version:?},&T{i}),")?;
        }
        writeln!(self.out, "];")?;
        Ok(self.out)
    }

    fn one_type(&mut self, i: usize, name: &str, facts: &Value) -> Result<(), Box<dyn Error>> {
        let mut properties = String::new();
        let required: Vec<&str> = strings(&facts["required"]);
        for (property, facts) in facts["properties"].as_object().into_iter().flatten() {
            let one = self.property((name, property), facts, required.contains(&property.as_str()));
            properties.push_str(&one.map_err(|e| format!("{property}: {e}"))?);
        }
        let kinds: String = facts["gvk"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|k| {
                format!(
                    "Kind{{group:{},version:{},kind:{}}},",
                    held(&k[0]),
                    held(&k[1]),
                    held(&k[2])
                )
            })
            .collect();
        let unions: String = facts["unions"].as_array().into_iter().flatten().map(union).collect();
        writeln!(
            self.out,
            "static T{i}: Type = Type{{name:{},description:{},properties:Held::Static(&[{properties}]),kinds:Held::Static(&[{kinds}]),\
             any_version:{},atomic:{},open:false,hidden:{},message:{},json_type:{},format:{},unions:Held::Static(&[{unions}])}};",
            text(name),
            text(self.descriptions.of_type(name)),
            facts["gvk"] == "all",
            facts["mapType"] == "atomic",
            facts["hidden"] == 1,
            facts["protobuf"] == 1,
            option(facts["type"].as_str()),
            option(facts["format"].as_str()),
        )?;
        Ok(())
    }

    fn property(&mut self, (ty, name): (&str, &str), facts: &Value, required: bool) -> Result<String, Box<dyn Error>> {
        let details = self.property_details(facts)?;
        let next = self.details.len();
        let details = *self.details.entry(details).or_insert(next);
        let flags = facts["f"].as_str().ok_or("no encoding flags")?;
        Ok(format!(
            "Property{{name:{},description:{},ty:{},details:Held::Static(&D{details}),pointer:{},omit_empty:{},omit_zero:{},required:{required},\
             position:{},number:{}}},",
            text(name),
            text(&self.described((ty, name), facts)),
            self.type_ref(&facts["t"], facts)?,
            flags.contains('p'),
            flags.contains('e'),
            flags.contains('z'),
            facts["o"].as_u64().ok_or("no position")?,
            facts["pb"].as_u64().unwrap_or_default(),
        ))
    }

    /// What a property means, with the values it can have (kube-openapi `pkg/generators/enum.go`).
    fn described(&self, (ty, name): (&str, &str), facts: &Value) -> String {
        let mut description = self.descriptions.of_property(ty, name).to_owned();
        let allowed = strings(&facts["enum"]);
        if !allowed.is_empty() {
            description += "\n\nPossible enum values:";
            description.extend(allowed.iter().map(|value| format!("\n - `{value:?}`")));
        }
        description
    }

    fn property_details(&self, facts: &Value) -> Result<String, Box<dyn Error>> {
        let default = facts.get("default").map(Value::to_string);
        let allowed: String = strings(&facts["enum"]).into_iter().map(|v| text(v) + ",").collect();
        let strategy = facts["patchStrategy"].as_str().unwrap_or_default();
        let has = |word: &str| strategy.split(',').any(|s| s == word);
        let map_type = match facts["mapType"].as_str() {
            None => "None",
            Some("atomic") => "Some(MapType::Atomic)",
            Some("granular") => "Some(MapType::Granular)",
            Some(other) => return Err(format!("map type {other}").into()),
        };
        let via: String = facts["via"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|n| format!("{n},"))
            .collect();
        let atomic_bytes = facts["t"] == "string:byte" && facts["listType"] == "atomic";
        Ok(format!(
            "Details{{go_type:{},default:{},allowed:Held::Static(&[{allowed}]),map_type:{map_type},atomic_bytes:{atomic_bytes},patch:Patch{{merge:{},\
             replace:{},retain_keys:{},merge_key:{}}},via:Held::Static(&[{via}])}}",
            option(facts["go"].as_str()),
            option(default.as_deref()),
            has("merge"),
            has("replace"),
            has("retainKeys"),
            option(facts["patchMergeKey"].as_str()),
        ))
    }

    fn type_ref(&self, t: &Value, facts: &Value) -> Result<String, Box<dyn Error>> {
        if let Some(items) = t.get("array") {
            let keys: String = strings(&facts["listMapKeys"])
                .into_iter()
                .map(|k| text(k) + ",")
                .collect();
            let list = match facts["listType"].as_str() {
                None => "None".to_owned(),
                Some("atomic") => "Some(ListType::Atomic)".to_owned(),
                Some("set") => "Some(ListType::Set)".to_owned(),
                Some("map") => format!("Some(ListType::Map(Held::Static(&[{keys}])))"),
                Some(other) => return Err(format!("list type {other}").into()),
            };
            let items = self.type_ref(items, &Value::Null)?;
            return Ok(format!(
                "TypeRef::Array(Held::Static(&Array{{items:{items},list_type:{list}}}))"
            ));
        }
        if let Some(values) = t.get("map") {
            return Ok(format!(
                "TypeRef::Map(Held::Static(&{}))",
                self.type_ref(values, &Value::Null)?
            ));
        }
        let name = t.as_str().ok_or("no type")?;
        let scalar = match name {
            "string" => "String",
            "string:byte" => "Bytes",
            "boolean" => "Boolean",
            "integer:int32" => "Int32",
            "integer:int64" => "Int64",
            "number:double" => "Double",
            _ => return self.named(name),
        };
        Ok(format!("TypeRef::Scalar(Scalar::{scalar})"))
    }

    fn named(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let i = *self.index.get(name).ok_or_else(|| format!("unknown type {name}"))?;
        let short = name.rsplit('.').next().unwrap_or(name);
        let scalar = match short {
            "Quantity" | "IntOrString" | "Time" | "MicroTime" => Some(short),
            _ => None,
        };
        if let Some(scalar) = scalar {
            return Ok(format!("TypeRef::Scalar(Scalar::{scalar})"));
        }
        // Types with a JSON decoder of their own that takes the text as it is.
        let raw = self.types[name].get("properties").is_none() && short != "CustomResourceSubresourceStatus";
        Ok(if raw {
            format!("TypeRef::Any(Some(Held::Static(&T{i})))")
        } else {
            format!("TypeRef::Object(Held::Static(&T{i}))")
        })
    }
}

fn union(facts: &Value) -> String {
    let fields: String = facts["fields-to-discriminateBy"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, value)| format!("({},{}),", text(field), held(value)))
        .collect();
    format!(
        "Union{{discriminator:{},fields:Held::Static(&[{fields}])}},",
        option(facts["discriminator"].as_str())
    )
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn text(value: &str) -> String {
    format!("Held::Static({value:?})")
}

fn held(value: &Value) -> String {
    text(value.as_str().unwrap_or_default())
}

fn option(value: Option<&str>) -> String {
    value.map_or_else(|| "None".to_owned(), |v| format!("Some({})", text(v)))
}
