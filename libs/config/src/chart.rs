//! What the Helm chart knows about keys: their defaults, their types, and which of them nothing can be done with.

use serde_json::{Map, Value, json};

use crate::keys::{self, Content, Key, Kind, Support};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/helm");
const HEADER: &str = "# Generated from libs/config/src/keys.txt: UPDATE_GENERATED=1 cargo test -p config chart\n";

fn schema(key: &Key) -> Value {
    let kind = match &key.content {
        Content::Section(keys) => {
            let properties: Map<String, Value> = keys.iter().map(|key| (key.name.clone(), schema(key))).collect();
            return json!({"type": "object", "additionalProperties": false, "properties": properties});
        }
        Content::Leaf { kind, .. } => kind,
    };
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Auto => json!({"enum": [true, false, "auto"]}),
        Kind::Int => json!({"type": "integer"}),
        Kind::Text => json!({"type": "string"}),
        Kind::List => json!({"type": "array"}),
        Kind::Map => json!({"type": "object"}),
        Kind::Any => json!({}),
    }
}

fn values_schema() -> String {
    let mut schema = schema(keys::root());
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    // Charts that have this one as a part of theirs hand these on to it.
    schema["properties"]["global"] = json!({"type": ["object", "null"]});
    format!("{schema:#}\n")
}

fn unsupported() -> String {
    let mut defaults = Map::new();
    keys::root().walk("", &mut |path, key| {
        if let Content::Leaf {
            default,
            support: Support::DefaultOnly,
            ..
        } = &key.content
        {
            defaults.insert(path.to_owned(), default.clone());
        }
    });
    let lines = defaults.iter().map(|(path, default)| format!("{path}: {default}\n"));
    format!(
        "{HEADER}# Keys that must have their defaults.\n{}",
        lines.collect::<String>()
    )
}

#[test]
fn the_values_of_the_chart_are_the_keys() {
    let defaults = serde_yaml::to_string(&keys::root().defaults()).unwrap();
    let files = [
        (
            "values.yaml",
            format!("{HEADER}# A vcluster.yaml with everything that it says by itself.\n{defaults}"),
        ),
        ("values.schema.json", values_schema()),
        ("files/unsupported.yaml", unsupported()),
    ];
    for (name, wanted) in files {
        let path = format!("{DIRECTORY}/{name}");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let actual = std::fs::read_to_string(&path).unwrap();
        assert!(
            actual == wanted,
            "{path} is not up to date: UPDATE_GENERATED=1 cargo test -p config chart"
        );
    }
}
