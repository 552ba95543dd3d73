//! What the versions of a kind share: their schemas, which are compiled when they are first needed.

use super::definition::{Definition, version_name};
use bytes::Bytes;
use machinery::gvk::GroupVersion;
use machinery::meta;
use machinery::openapi::SchemaOf;
use machinery::schema::{self, Type, decode::Decoded};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};
use structural::publish::{Dialect, Published};
use structural::{Coercion, Structural, Validator, coerce_unpruned};

/// A kind that is defined at run time.
pub(super) struct Kind {
    group: String,
    kind: String,
    keeps_unknown: bool,
    /// Whether versions differ in nothing but their name.
    pub(super) rewrites: bool,
    versions: Vec<Version>,
    /// The definition as JSON, in the bytes that the cache of definitions has, too.
    text: Mutex<Bytes>,
}

struct Version {
    name: String,
    compiled: OnceLock<Compiled>,
}

/// The schema of a version, ready for use.
pub(super) struct Compiled {
    structural: Structural,
    ty: Type,
    /// Checks objects.
    pub(super) validator: Validator,
}

impl Kind {
    pub(super) fn of(definition: &Definition) -> Arc<Self> {
        let version = |version: &Value| Version {
            name: version_name(version).to_owned(),
            compiled: OnceLock::new(),
        };
        Arc::new(Kind {
            group: definition.group.clone(),
            kind: definition.named("kind").to_owned(),
            keeps_unknown: definition.keeps_unknown,
            rewrites: meta::str_at(&definition.conversion, &["strategy"]) != Some("Webhook"),
            versions: definition.versions.iter().map(version).collect(),
            text: Mutex::new(definition.text.clone()),
        })
    }

    /// Takes over the text of a definition that has changed in nothing that matters here.
    pub(super) fn retell(&self, text: Bytes) {
        *chassis::lock(&self.text) = text;
    }

    /// The schema of the version at a place of the definition.
    pub(super) fn compiled(&self, place: usize) -> Option<&Compiled> {
        let version = self.versions.get(place)?;
        Some(version.compiled.get_or_init(|| self.compile(place, &version.name)))
    }

    /// The whole definition.
    fn definition(&self) -> Value {
        let text = chassis::lock(&self.text).clone();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn compile(&self, place: usize, name: &str) -> Compiled {
        let definition = self.definition();
        let written = meta::list_at(&definition, &["spec", "versions"]).get(place);
        let written = written.cloned().unwrap_or_default();
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let mut properties = meta::at(&written, &["schema", "openAPIV3Schema"]).unwrap_or(&anything);
        let structural = Structural::for_serving(properties).or_else(|why| {
            // Definitions are refused unless their schemas are structural; those of old may be stored still.
            tracing::warn!(
                group = self.group,
                kind = self.kind,
                version = name,
                why,
                "cannot use a schema"
            );
            properties = &anything;
            Structural::for_serving(properties)
        });
        let structural = structural.unwrap_or_else(|_| Structural::anything());
        let kind = schema::Kind {
            group: self.group.as_str().into(),
            version: name.into(),
            kind: self.kind.as_str().into(),
        };
        Compiled {
            ty: structural.apply_type(&self.kind, kind, self.keeps_unknown),
            validator: Validator::new(properties, structural.clone(), written.get("subresources")),
            structural,
        }
    }

    /// The place of a version in the definition, by group and version as in an object's `apiVersion`.
    fn place_of(&self, api_version: &str) -> Option<usize> {
        let version = GroupVersion::parse(api_version).filter(|version| version.group == self.group)?;
        self.versions.iter().position(|known| known.name == version.version)
    }

    /// The schema by which an object is to be understood; `None` when it is of another kind.
    fn schema_of(&self, object: &Value) -> Option<&Structural> {
        let text = |field: &str| meta::str_at(object, &[field]).unwrap_or_default();
        let place = self.place_of(text("apiVersion"))?;
        (text("kind") == self.kind).then_some(&self.compiled(place)?.structural)
    }

    /// Brings an object into the form in which it is kept, and answers the paths of unknown fields.
    pub(super) fn coerce(&self, object: &mut Value, how: Coercion) -> Result<Vec<String>, String> {
        let unknown = match self.schema_of(object) {
            Some(structural) if !self.keeps_unknown => structural.coerce(object, how),
            _ => coerce_unpruned(object, how),
        };
        unknown.map_err(|why| why.to_string())
    }

    /// Sets defaults.
    pub(super) fn default(&self, object: &mut Value) {
        if let Some(structural) = self.schema_of(object) {
            structural.default(object);
        }
    }

    /// What becomes of an object that was read from the store.
    pub(super) fn adopt(&self, mut object: Value) -> Value {
        let lenient = Coercion {
            drop_malformed: true,
            repair_generation: true,
        };
        if let Err(why) = self.coerce(&mut object, lenient) {
            tracing::warn!(
                kind = self.kind,
                name = meta::name(&object),
                why,
                "a stored object is malformed"
            );
        }
        self.default(&mut object);
        object
    }
}

/// A kind in one version, as the registry needs to know it.
pub(super) struct Structure {
    pub(super) kind: Arc<Kind>,
    pub(super) place: usize,
}

/// The type of a version that its definition does not have.
static NOTHING: OnceLock<Type> = OnceLock::new();

impl crate::registry::structure::Structure for Structure {
    fn ty(&self) -> &Type {
        match self.kind.compiled(self.place) {
            Some(compiled) => &compiled.ty,
            None => NOTHING.get_or_init(|| {
                let kind = schema::Kind {
                    group: "".into(),
                    version: "".into(),
                    kind: "".into(),
                };
                Structural::anything().apply_type("", kind, true)
            }),
        }
    }

    fn decode(&self, mut object: Value) -> Result<Decoded, String> {
        let unknown = self.kind.coerce(&mut object, Coercion::default())?;
        let strict = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
        Ok(Decoded { value: object, strict })
    }

    fn published(&self, dialect: Dialect, part: SchemaOf) -> Value {
        let definition = self.kind.definition();
        let nothing = Value::Null;
        let version = meta::list_at(&definition, &["spec", "versions"])
            .get(self.place)
            .unwrap_or(&nothing);
        let named = |field: &str| meta::str_at(&definition, &["status", "acceptedNames", field]).unwrap_or_default();
        let published = Published {
            written: meta::at(version, &["schema", "openAPIV3Schema"]),
            group: &self.kind.group,
            version: super::definition::version_name(version),
            kind: named("kind"),
            list_kind: named("listKind"),
            plural: named("plural"),
            selectable: meta::list_at(version, &["selectableFields"]),
            open: self.kind.keeps_unknown,
        };
        match part {
            SchemaOf::Object => published.definition(dialect),
            SchemaOf::List => published.list_definition(dialect),
        }
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String> {
        if self.kind.place_of(api_version).is_none() {
            return Err(format!(
                "request to convert CR to an invalid group/version: {api_version}"
            ));
        }
        // Owners of fields are followed by the names of the fields, also where a webhook would change them.
        let mut converted = object.clone();
        meta::set(&mut converted, &["apiVersion"], api_version);
        Ok(converted)
    }

    fn ty_in(&self, api_version: &str) -> Option<&Type> {
        let place = self.kind.place_of(api_version)?;
        self.kind.compiled(place).map(|compiled| &compiled.ty)
    }

    fn renames(&self) -> bool {
        self.kind.rewrites
    }
}
