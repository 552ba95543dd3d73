//! The form in which objects are kept: kind and metadata, of an object and of those within it, are what they are for every
//! kind (schema/objectmeta, `unstructuredSchemaCoercer`).

use crate::node::Node;
use crate::prune;
use machinery::field::{Error, Path};
use machinery::schema::decode::{decode_value, encoded_form};
use machinery::schema::{self, Type};
use machinery::{meta, patch};
use serde_json::{Map, Value};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// How strictly an object is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coercion {
    /// Metadata of the wrong type go instead of being complained about: for objects from the store.
    pub drop_malformed: bool,
    /// A generation that is missing becomes 1: for objects from the store.
    pub repair_generation: bool,
}

/// Why an object cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Malformed {
    /// Its kind, version or metadata are of the wrong type.
    Object(String),
    /// Those of an object within it are.
    Embedded(Box<Error>),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Object(why) => f.write_str(why),
            Malformed::Embedded(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Malformed {}

/// Brings a whole object into form. Answers the paths of unknown fields.
pub(crate) fn whole(object: &mut Value, root: Option<&Node>, how: Coercion) -> Result<Vec<String>, Malformed> {
    for field in ["kind", "apiVersion"] {
        if let Some(given) = object.get(field).filter(|given| !given.is_string()) {
            let (shown, of) = (patch::go_value(given), patch::go_type(given));
            let why = format!(".{field} accessor error: {shown} is of the type {of}, expected string");
            return Err(Malformed::Object(why));
        }
    }
    let mut unknown = Vec::new();
    let mut metadata = None;
    if let Some(given) = object.get("metadata") {
        let read = read(given, how.drop_malformed).map_err(Malformed::Object)?;
        unknown.extend(read.unknown.iter().map(|path| format!("metadata.{path}")));
        metadata = Some(read.value);
    }
    if let Some(root) = root {
        unknown.extend(prune::prune(object, root, true));
        prune::drop_nulls(object, Some(root));
        let mut coercer = Coercer {
            drop_malformed: how.drop_malformed,
            unknown: Vec::new(),
        };
        coercer
            .at(object, root, false, &Path::root())
            .map_err(|error| Malformed::Embedded(Box::new(error)))?;
        coercer.unknown.sort_unstable();
        unknown.append(&mut coercer.unknown);
    }
    if let Some(mut metadata) = metadata {
        if how.repair_generation && metadata.get("generation").is_none() {
            meta::set(&mut metadata, &["generation"], 1);
        }
        meta::set(object, &["metadata"], metadata);
    }
    Ok(unknown)
}

/// Takes from a value what is wrong about kind and metadata of the objects in it.
pub(crate) fn repair(value: &mut Value, node: &Node, whole: bool) {
    let mut coercer = Coercer {
        drop_malformed: true,
        unknown: Vec::new(),
    };
    // What is malformed goes: nothing is left to complain about.
    let _ = coercer.at(value, node, whole || node.embedded, &Path::root());
}

/// What is wrong with kind and metadata of the objects in a value; what is unknown goes from them.
pub(crate) fn check(value: &mut Value, node: &Node, whole: bool, path: &Path) -> Option<Error> {
    let mut coercer = Coercer {
        drop_malformed: false,
        unknown: Vec::new(),
    };
    coercer.at(value, node, whole || node.embedded, path).err()
}

struct Coercer {
    drop_malformed: bool,
    unknown: Vec<String>,
}

impl Coercer {
    fn at(&mut self, value: &mut Value, node: &Node, whole: bool, path: &Path) -> Result<(), Error> {
        match value {
            Value::Object(fields) => {
                if whole {
                    self.object(fields, path)?;
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(property) = node.property(name) {
                        self.at(value, property, property.embedded, &path.child(name))?;
                    } else if let Some(values) = node.values() {
                        self.at(value, values, values.embedded, &path.key(name))?;
                    }
                }
                Ok(())
            }
            Value::Array(items) => {
                let Some(of) = node.items.as_deref() else {
                    return Ok(());
                };
                let mut items = items.iter_mut().enumerate();
                items.try_for_each(|(i, item)| self.at(item, of, of.embedded, &path.index(i)))
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>, path: &Path) -> Result<(), Error> {
        for name in ["apiVersion", "kind"] {
            match fields.get(name) {
                None | Some(Value::String(_)) => {}
                Some(_) if self.drop_malformed => {
                    fields.remove(name);
                }
                Some(given) => return Err(Error::invalid(&path.child(name), given.clone(), "must be a string")),
            }
        }
        let Some(given) = fields.get("metadata") else {
            return Ok(());
        };
        match read(given, self.drop_malformed) {
            Ok(read) => {
                let path = path.child("metadata");
                let paths = read.unknown.iter().map(|name| format!("{}.{name}", path.as_str()));
                self.unknown.extend(paths);
                fields.insert("metadata".to_owned(), read.value);
                Ok(())
            }
            // What cannot be repaired stays.
            Err(_) if self.drop_malformed => Ok(()),
            Err(why) => Err(Error::invalid(&path.child("metadata"), given.clone(), why)),
        }
    }
}

/// Metadata that were read, and the paths of what is unknown in them.
struct Metadata {
    value: Value,
    unknown: Vec<String>,
}

/// `GetObjectMetaWithOptions`; field by field if what is malformed is to go.
fn read(given: &Value, drop_malformed: bool) -> Result<Metadata, String> {
    let Some(ty) = schema::builtin(OBJECT_META) else {
        return Err(format!("the type {OBJECT_META} is not known"));
    };
    let why = match read_all(given, ty) {
        Ok(read) => return Ok(read),
        Err(why) if !drop_malformed => return Err(why),
        Err(why) => why,
    };
    let Value::Object(fields) = given else {
        return Err(why);
    };
    let mut whole = Map::new();
    for (name, value) in fields {
        let one = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if read_all(&one, ty).is_ok() {
            whole.insert(name.clone(), value.clone());
        }
    }
    read_all(&Value::Object(whole), ty)
}

fn read_all(given: &Value, ty: &Type) -> Result<Metadata, String> {
    let decoded = decode_value(given, ty).map_err(|error| error.to_string())?;
    let mut value = encoded_form(&decoded.value, ty).map_err(|error| error.to_string())?;
    if value.get("creationTimestamp").is_some_and(Value::is_null) {
        meta::remove(&mut value, &["creationTimestamp"]);
    }
    let named = decoded.strict.iter().filter_map(|text| {
        let quoted = text.split_once('"')?.1;
        Some(quoted.strip_suffix('"')?.to_owned())
    });
    Ok(Metadata {
        value,
        unknown: named.collect(),
    })
}

/// The metadata of an object as those of every object; the reason if they are none.
pub(crate) fn metadata(given: &Value) -> Result<Value, String> {
    read(given, false).map(|read| read.value)
}
