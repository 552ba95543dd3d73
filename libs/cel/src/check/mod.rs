//! Types: what each part of an expression is, by the rules and in the words of cel-go's checker.

mod checker;
mod cost;
mod declarations;
mod environment;
mod library_cost;
mod types;
mod validators;

pub(crate) use checker::check;
pub(crate) use cost::estimate;
pub use cost::{Cost, Sizes};
pub(crate) use declarations::read as read_type;
pub use environment::{Environment, Fields};
pub use types::Type;
pub(crate) use validators::{each_conversion, mentions, validate};

/// Whether a name is that of a type.
pub(crate) fn is_type_name(name: &str) -> bool {
    declarations::named_type(name).is_some()
}
