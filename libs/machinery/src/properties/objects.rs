//! Objects of any type, from a seed.

use serde_json::{Map, Value, json};

use crate::schema::{Property, Scalar, Type, TypeRef, decode::decode_value};

/// Deeper than this nothing more is made, as some types contain themselves.
const MAX_DEPTH: usize = 7;

/// Makes objects; the same seed makes the same object.
pub(super) struct Maker {
    state: u64,
    /// How many items lists have at most.
    items: usize,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            items: 3,
        }
    }

    /// Makes objects whose lists have one item, so that no two of them can have the same key.
    pub(super) fn without_duplicates(seed: u64) -> Self {
        Self {
            items: 1,
            ..Self::new(seed)
        }
    }

    /// A number below `bound` (xorshift64*).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % bound
    }

    fn one_of(&mut self, values: &[Value]) -> Value {
        values[self.below(values.len())].clone()
    }

    /// An object of a kind, in canonical form.
    pub(super) fn object(&mut self, ty: &Type) -> Value {
        let mut object = self.part(ty, 0);
        let kind = &ty.kinds[0];
        let version = crate::gvk::GroupVersion::new(&*kind.group, &*kind.version);
        object["apiVersion"] = json!(version.to_string());
        object["kind"] = json!(&*kind.kind);
        decode_value(&object, ty).unwrap().value
    }

    /// Some of the fields of a type. Embedded objects have no kind of their own: protobuf has no place for it.
    pub(super) fn part(&mut self, ty: &Type, depth: usize) -> Value {
        let mut object = Map::new();
        for property in ty.properties.iter() {
            let of_type = matches!(&*property.name, "apiVersion" | "kind") && property.number == 0;
            // Large types would make huge objects: each field is there now and then, less so further down.
            if of_type || depth > MAX_DEPTH || self.below(2 + depth) > 0 {
                continue;
            }
            object.insert(property.name.to_string(), self.property(property, depth));
        }
        Value::Object(object)
    }

    fn property(&mut self, property: &Property, depth: usize) -> Value {
        self.value(&property.ty, depth + 1)
    }

    fn value(&mut self, ty: &TypeRef, depth: usize) -> Value {
        match ty {
            TypeRef::Scalar(scalar) => self.scalar(*scalar),
            TypeRef::Object(ty) => self.part(ty, depth),
            // An empty list or map and none at all are one in protobuf.
            TypeRef::Array(array) => (0..=self.below(self.items))
                .map(|_| self.value(&array.items, depth))
                .collect(),
            TypeRef::Map(values) => {
                let entries = (0..=self.below(2)).map(|at| (format!("key{at}"), self.value(values, depth)));
                Value::Object(entries.collect())
            }
            TypeRef::Any(_) => self.one_of(&[json!({"a": [1, null, 2.5, "x"]}), json!({"f:metadata": {".": {}}})]),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        let values: Vec<Value> = match scalar {
            Scalar::String => vec![
                json!("a"),
                json!("b-c.d/e"),
                json!("é ✓\n\"\u{0}"),
                json!("x".repeat(300)),
            ],
            Scalar::Bytes => vec![json!("AAEC/w=="), json!("eA==")],
            Scalar::Boolean => vec![json!(true), json!(false)],
            Scalar::Int32 => vec![json!(0), json!(7), json!(i32::MAX), json!(i32::MIN)],
            Scalar::Int64 => vec![json!(0), json!(-1), json!(i64::MAX), json!(i64::MIN)],
            Scalar::Double => vec![json!(0.5), json!(-1e300), json!(3)],
            Scalar::Quantity => ["0", "100m", "1500Mi", "-2", "1e3", "0.5Gi", "12345678901234567890"]
                .map(Value::from)
                .into(),
            Scalar::IntOrString => vec![json!(0), json!(-80), json!("25%"), json!("http")],
            Scalar::Time => vec![
                json!("2026-01-02T03:04:05Z"),
                json!("1970-01-01T00:00:01Z"),
                json!("9999-12-30T20:00:00Z"),
            ],
            Scalar::MicroTime => vec![
                json!("2026-01-02T03:04:05.123456Z"),
                json!("2026-01-02T03:04:05.000000Z"),
            ],
        };
        self.one_of(&values)
    }
}
