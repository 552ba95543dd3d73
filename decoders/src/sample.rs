//! An example of every built-in kind, made from the type table.

use machinery::gvk::GroupVersion;
use machinery::schema::decode::decode_value;
use machinery::schema::{Property, Scalar, Type, TypeRef, builtins};
use serde_json::{Map, Value, json};

/// Deeper than this nothing more is made, as some types contain themselves.
const DEEPEST: usize = 9;

/// Values for fields whose name tells what they hold, by the end of the name. A text that fits nothing is checked no further.
const TEXTS: &[(&str, &str)] = &[
    ("name", "web"),
    ("namespace", "default"),
    ("ip", "10.0.0.7"),
    ("ips", "10.0.0.7"),
    ("addresses", "10.0.0.7"),
    ("cidr", "10.0.0.0/24"),
    ("cidrs", "10.0.0.0/24"),
    ("expression", "object.metadata.name == 'web'"),
    ("schedule", "*/5 * * * *"),
    ("image", "registry.example/shop/web:1.2"),
    ("path", "/data"),
    ("url", "https://web.example:8443/hook?x=1"),
    ("protocol", "TCP"),
    ("operator", "In"),
    ("jsonpath", ".spec.replicas"),
    ("pattern", "^[a-z]+$"),
    ("apiversion", "apps/v1"),
    ("fieldpath", "metadata.labels['app']"),
];

/// An object of each kind, as JSON. The same each time.
pub(crate) fn all() -> impl Iterator<Item = (&'static Type, Value)> {
    let kinds = builtins()
        .iter()
        .copied()
        .filter(|ty| !ty.kinds.is_empty() && !ty.any_version);
    kinds.enumerate().map(|(number, ty)| (ty, object(ty, number as u64)))
}

/// The same as texts.
pub(crate) fn texts() -> Vec<Vec<u8>> {
    all().map(|(_, object)| object.to_string().into_bytes()).collect()
}

fn object(ty: &Type, number: u64) -> Value {
    let mut chance = Chance(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut object = chance.part(ty, 0);
    if let Some(kind) = ty.kinds.first() {
        object["apiVersion"] = json!(GroupVersion::new(&*kind.group, &*kind.version).to_string());
        object["kind"] = json!(&*kind.kind);
    }
    decode_value(&object, ty).map_or(object, |decoded| decoded.value)
}

/// Chooses fields (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    /// Some of the fields of a type: near the root most of them, below fewer and fewer.
    fn part(&mut self, ty: &Type, depth: usize) -> Value {
        let mut object = Map::new();
        for property in ty.properties.iter() {
            let present = property.required || depth < 2 || self.below(depth as u64) == 0;
            if depth < DEEPEST && present {
                object.insert(property.name.to_string(), self.value(property, &property.ty, depth));
            }
        }
        Value::Object(object)
    }

    fn value(&mut self, property: &Property, ty: &TypeRef, depth: usize) -> Value {
        match ty {
            TypeRef::Scalar(scalar) => self.scalar(*scalar, property),
            TypeRef::Object(ty) => self.part(ty, depth + 1),
            TypeRef::Array(array) => json!([self.value(property, &array.items, depth)]),
            TypeRef::Map(values) => json!({"app": self.value(property, values, depth)}),
            TypeRef::Any(_) => json!({"a": 1}),
        }
    }

    fn scalar(&mut self, scalar: Scalar, property: &Property) -> Value {
        match scalar {
            Scalar::String => {
                let allowed = &property.details.allowed;
                if let Some(value) = allowed.get(self.below(allowed.len().max(1) as u64) as usize) {
                    return json!(**value);
                }
                let name = property.name.to_lowercase();
                let known = TEXTS.iter().rev().find(|(end, _)| name.ends_with(end));
                json!(known.map_or("a", |(_, text)| *text))
            }
            Scalar::Bytes => json!("YQ=="),
            Scalar::Boolean => json!(self.below(2) == 0),
            Scalar::Int32 | Scalar::Int64 => json!(1 + self.below(100)),
            Scalar::Double => json!(0.5),
            Scalar::Quantity => json!("100m"),
            Scalar::IntOrString => [json!(80), json!("25%")][self.below(2) as usize].clone(),
            Scalar::Time => json!("2026-01-02T03:04:05Z"),
            Scalar::MicroTime => json!("2026-01-02T03:04:05.000006Z"),
        }
    }
}
