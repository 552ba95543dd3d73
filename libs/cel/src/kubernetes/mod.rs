//! What Kubernetes declares for the expressions of each of its APIs.

pub mod admission;
pub mod device;
pub mod schema;

use crate::check::{Fields, Type};

/// Objects whose fields are known beforehand: for each type its fields, and for each field its type.
type Table = &'static [(&'static str, &'static [(&'static str, &'static str)])];

struct Objects {
    table: Table,
}

impl Objects {
    fn fields(&self, object: &str) -> Option<&'static [(&'static str, &'static str)]> {
        self.table
            .iter()
            .find(|(name, _)| *name == object)
            .map(|(_, fields)| *fields)
    }
}

impl Fields for Objects {
    fn has(&self, object: &str) -> bool {
        self.fields(object).is_some()
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let (_, of) = self.fields(object)?.iter().find(|(name, _)| *name == field)?;
        Some(crate::check::read_type(of))
    }
}

/// An expression whose result is of none of the types it may have, in upstream's words.
fn unexpected(wanted: &[Type], found: &Type) -> String {
    let names: Vec<String> = wanted.iter().map(Type::runtime_name).collect();
    let found = found.runtime_name();
    match names.as_slice() {
        [wanted] => format!("must evaluate to {wanted} but got {found}"),
        _ => format!("must evaluate to one of [{}] but got {found}", names.join(" ")),
    }
}
