//! The schema as server-side apply sees it: the types that built-in kinds have too (kube-openapi `schemaconv`, over what
//! `buildKubeNative` publishes).

use crate::node::{Additional, Kind, ListType, Node};
use machinery::schema::{self, Array, Details, Held, MapType, Patch, Property, Scalar, Text, Type, TypeRef, Union};
use std::sync::{Arc, LazyLock};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What is said about most properties.
static NO_DETAILS: LazyLock<Arc<Details>> = LazyLock::new(|| Arc::new(details()));

fn details() -> Details {
    Details {
        go_type: None,
        default: None,
        allowed: Held::Static(&[]),
        map_type: None,
        atomic_bytes: false,
        patch: Patch::default(),
        via: Held::Static(&[]),
    }
}

/// The type of whole objects. `open` ones may have fields that the schema does not name, everywhere.
pub(crate) fn type_of(root: &Node, name: &str, kind: schema::Kind, open: bool) -> Type {
    let converter = Converter { open };
    let mut ty = converter.object(root, true);
    ty.name = name.into();
    ty.kinds = vec![kind].into();
    ty
}

#[derive(Clone, Copy)]
struct Converter {
    /// Whether objects may have fields that are not named: what keeps unknown fields keeps those of its parts.
    open: bool,
}

impl Converter {
    fn of(self, node: &Node) -> TypeRef {
        let within = Converter {
            open: self.open || node.preserves,
        };
        match node.kind {
            Kind::Array => TypeRef::Array(Held::Shared(Arc::new(within.list(node)))),
            Kind::Object => within.map(node),
            // Without a type, values are looked into as far as they have a form.
            Kind::Any | Kind::Unknown if node.properties().next().is_none() => TypeRef::Any(None),
            Kind::Any | Kind::Unknown => TypeRef::Object(Held::Shared(Arc::new(within.object(node, false)))),
            Kind::Integer => TypeRef::Scalar(Scalar::Int64),
            Kind::Number => TypeRef::Scalar(Scalar::Double),
            Kind::Boolean => TypeRef::Scalar(Scalar::Boolean),
            // Texts of a format may be written otherwise, too.
            Kind::String if ["", "byte"].contains(&node.format()) => TypeRef::Scalar(Scalar::String),
            Kind::String => TypeRef::Scalar(Scalar::IntOrString),
        }
    }

    fn list(self, node: &Node) -> Array {
        let keys = |keys: &[Box<str>]| -> Vec<Text> { keys.iter().map(|key| Text::from(&**key)).collect() };
        Array {
            items: node.items.as_deref().map_or(TypeRef::Any(None), |items| self.of(items)),
            list_type: match &node.list_type {
                ListType::Unset => None,
                ListType::Atomic => Some(schema::ListType::Atomic),
                ListType::Set => Some(schema::ListType::Set),
                ListType::Map(names) => Some(schema::ListType::Map(keys(names).into())),
            },
        }
    }

    fn map(self, node: &Node) -> TypeRef {
        match &node.additional {
            Additional::Schema(values) if node.atomic_map != Some(true) && node.properties().next().is_none() => {
                TypeRef::Map(Held::Shared(Arc::new(self.of(values))))
            }
            _ => TypeRef::Object(Held::Shared(Arc::new(self.object(node, node.embedded)))),
        }
    }

    /// `whole` objects have a kind and metadata.
    fn object(self, node: &Node, whole: bool) -> Type {
        let open = self.open || node.preserves;
        let within = Converter { open };
        let mut properties: Vec<Property> = node
            .properties()
            .filter(|(name, _)| !(whole && crate::prune::OBJECT_FIELDS.contains(name)))
            .map(|(name, property)| named(name, within.of(property), within.details(property)))
            .collect();
        if whole {
            properties.extend(of_objects());
        }
        properties.sort_by_cached_key(|property| property.name.to_string());
        let free = match node.additional {
            Additional::Unset => open || properties.is_empty(),
            Additional::Any | Additional::Schema(_) => true,
            Additional::None => false,
        };
        Type {
            name: Text::Static(""),
            description: Text::Static(""),
            properties: properties.into(),
            kinds: Held::Static(&[]),
            any_version: false,
            atomic: node.atomic_map == Some(true),
            open: free,
            hidden: true,
            message: false,
            json_type: None,
            format: None,
            unions: Held::Static(NO_UNIONS),
        }
    }

    fn details(self, node: &Node) -> Held<Details> {
        let map_type = node
            .atomic_map
            .map(|atomic| if atomic { MapType::Atomic } else { MapType::Granular });
        if node.default.is_none() && map_type.is_none() {
            return Held::Shared(Arc::clone(&NO_DETAILS));
        }
        let default = node.default.as_ref().map(|default| Text::from(&*default.to_string()));
        Held::Shared(Arc::new(Details {
            default,
            map_type,
            ..details()
        }))
    }
}

const NO_UNIONS: &[Union] = &[];

fn named(name: &str, ty: TypeRef, details: Held<Details>) -> Property {
    Property {
        name: name.into(),
        description: Text::Static(""),
        ty,
        details,
        pointer: true,
        omit_empty: true,
        omit_zero: false,
        required: false,
        position: 0,
        number: 0,
    }
}

/// The fields of every object.
fn of_objects() -> impl Iterator<Item = Property> {
    let text = || TypeRef::Scalar(Scalar::String);
    let metadata = schema::builtin(OBJECT_META).map_or(TypeRef::Any(None), |ty| TypeRef::Object(Held::Static(ty)));
    [("apiVersion", text()), ("kind", text()), ("metadata", metadata)]
        .into_iter()
        .map(|(name, ty)| named(name, ty, Held::Shared(Arc::clone(&NO_DETAILS))))
}
