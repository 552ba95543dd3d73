//! The schema model: what is known about the shape of an API type, the same for built-in types and for those that are
//! defined at run time.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value that is either part of the program or shared by reference count.
///
/// Built-in types cost neither heap nor start-up time; custom types are freed with their last user.
pub enum Held<T: ?Sized + 'static> {
    /// Part of the program.
    Static(&'static T),
    /// Made at run time.
    Shared(Arc<T>),
}

impl<T: ?Sized> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Held::Static(value) => value,
            Held::Shared(value) => value,
        }
    }
}

impl<T: ?Sized> Clone for Held<T> {
    fn clone(&self) -> Self {
        match self {
            Held::Static(value) => Held::Static(value),
            Held::Shared(value) => Held::Shared(Arc::clone(value)),
        }
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Held<T> {}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> From<Arc<T>> for Held<T> {
    fn from(value: Arc<T>) -> Self {
        Held::Shared(value)
    }
}

impl From<&str> for Held<str> {
    fn from(value: &str) -> Self {
        Held::Shared(Arc::from(value))
    }
}

impl<T> From<Vec<T>> for Held<[T]> {
    fn from(value: Vec<T>) -> Self {
        Held::Shared(Arc::from(value))
    }
}

/// A name or another short text of a schema.
pub type Text = Held<str>;

/// An object type with named properties.
pub struct Type {
    /// The name in OpenAPI documents, such as `io.k8s.api.core.v1.Pod`.
    pub name: Text,
    /// What it is, for people; may be empty.
    pub description: Text,
    /// The properties, sorted by name.
    pub properties: Held<[Property]>,
    /// The kinds this type is served as.
    pub kinds: Held<[Kind]>,
    /// Whether the type may be sent under any group and version, as DeleteOptions may.
    pub any_version: bool,
    /// Whether server-side apply treats the whole object as one value.
    pub atomic: bool,
    /// Whether fields that are not in `properties` are kept.
    pub open: bool,
    /// Whether the type is left out of OpenAPI documents.
    pub hidden: bool,
    /// Whether the type has a protobuf encoding.
    pub message: bool,
    /// The JSON type in OpenAPI documents where the type has no properties.
    pub json_type: Option<Text>,
    /// The OpenAPI format that goes with `json_type`.
    pub format: Option<Text>,
    /// Which fields exclude each other, as OpenAPI documents say it.
    pub unions: Held<[Union]>,
}

impl Type {
    /// The property with exactly this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        let found = self.properties.binary_search_by(|p| (*p.name).cmp(name)).ok()?;
        self.properties.get(found)
    }

    /// The name of the Go struct, which upstream's error messages use.
    pub fn struct_name(&self) -> &str {
        last(&self.name, 1)
    }

    /// The Go type with its package, such as `v1.Pod`.
    pub fn go_type(&self) -> &str {
        last(&self.name, 2)
    }
}

impl fmt::Debug for Type {
    /// Only the name: types refer to each other in circles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({})", &*self.name)
    }
}

/// The last `count` segments of a dotted name.
fn last(name: &str, count: usize) -> &str {
    match name.rmatch_indices('.').nth(count - 1) {
        Some((at, _)) => &name[at + 1..],
        None => name,
    }
}

/// Group, version and kind.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: Text,
    /// The version within the group.
    pub version: Text,
    /// The kind.
    pub kind: Text,
}

/// Fields of a type of which only one may be set.
#[derive(Debug, Clone)]
pub struct Union {
    /// The field that names the one that is set.
    pub discriminator: Option<Text>,
    /// Each field with the value of the discriminator that selects it.
    pub fields: Held<[(Text, Text)]>,
}

/// One named property of an object type.
#[derive(Debug, Clone)]
pub struct Property {
    /// The name in JSON.
    pub name: Text,
    /// What it means, for people; may be empty.
    pub description: Text,
    /// What it holds.
    pub ty: TypeRef,
    /// The facts few properties have.
    pub details: Held<Details>,
    /// Whether Go keeps it behind a pointer, so that a zero value differs from none.
    pub pointer: bool,
    /// Whether Go's encoder leaves it out when empty.
    pub omit_empty: bool,
    /// Whether Go's encoder leaves it out when it is a zero struct.
    pub omit_zero: bool,
    /// Whether OpenAPI documents call it required.
    pub required: bool,
    /// The place in Go's struct, which is the order in Go's encoding.
    pub position: u8,
    /// The protobuf field number; 0 for none.
    pub number: u8,
}

/// The facts few properties have.
#[derive(Debug, Clone)]
pub struct Details {
    /// The Go type where it does not follow from the schema.
    pub go_type: Option<Text>,
    /// The default in OpenAPI documents, as JSON.
    pub default: Option<Text>,
    /// The values OpenAPI documents allow; empty for any.
    pub allowed: Held<[Text]>,
    /// How server-side apply treats the map or object, where that differs from its type.
    pub map_type: Option<MapType>,
    /// Whether OpenAPI documents call it an atomic list, though it is bytes: Go has a list of them.
    pub atomic_bytes: bool,
    /// How a strategic merge patch treats the property.
    pub patch: Patch,
    /// The protobuf messages that lie between the type and the property where JSON has none.
    pub via: Held<[u8]>,
}

/// Directions for strategic merge patches.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// Lists are merged instead of replaced.
    pub merge: bool,
    /// Objects are replaced instead of merged.
    pub replace: bool,
    /// Only the keys named in `$retainKeys` are kept.
    pub retain_keys: bool,
    /// The field that identifies a list's elements.
    pub merge_key: Option<Text>,
}

/// Whether the fields of an object have owners of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// One owner for all.
    Atomic,
    /// One owner for each field.
    Granular,
}

/// What identifies the elements of a list.
#[derive(Debug, Clone)]
pub enum ListType {
    /// Nothing: the list is one value.
    Atomic,
    /// Their value.
    Set,
    /// The values of these fields.
    Map(Held<[Text]>),
}

/// A reference to a type.
#[derive(Debug, Clone)]
pub enum TypeRef {
    /// A single value.
    Scalar(Scalar),
    /// An object with named properties.
    Object(Held<Type>),
    /// A list.
    Array(Held<Array>),
    /// An object with arbitrary keys whose values have one type.
    Map(Held<TypeRef>),
    /// Anything, with the name it has in OpenAPI documents.
    Any(Option<Held<Type>>),
}

/// A list type.
#[derive(Debug, Clone)]
pub struct Array {
    /// What the elements are.
    pub items: TypeRef,
    /// What identifies the elements, where it is said.
    pub list_type: Option<ListType>,
}

/// The single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// Text.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// `true` or `false`.
    Boolean,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A floating-point number.
    Double,
    /// An amount with a unit, text in JSON.
    Quantity,
    /// An integer or text.
    IntOrString,
    /// A time in whole seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
}

impl Scalar {
    /// The name of the OpenAPI definition, for scalars that are a type of their own.
    pub fn definition(self) -> Option<&'static str> {
        match self {
            Scalar::Quantity => Some("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            Scalar::IntOrString => Some("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            Scalar::Time => Some("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
            Scalar::MicroTime => Some("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
            _ => None,
        }
    }

    /// The Go type, which upstream's error messages name.
    pub fn go_type(self) -> &'static str {
        match self {
            Scalar::String => "string",
            Scalar::Bytes => "[]uint8",
            Scalar::Boolean => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Double => "float64",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
        }
    }
}

impl TypeRef {
    /// The Go type, which upstream's error messages name.
    pub fn go_type(&self) -> String {
        match self {
            TypeRef::Scalar(scalar) => scalar.go_type().to_owned(),
            TypeRef::Object(ty) => ty.go_type().to_owned(),
            TypeRef::Array(array) => format!("[]{}", array.items.go_type()),
            TypeRef::Map(values) => format!("map[string]{}", values.go_type()),
            TypeRef::Any(Some(ty)) => ty.go_type().to_owned(),
            TypeRef::Any(None) => "interface {}".to_owned(),
        }
    }
}
