//! The selectors of devices (k8s.io/dynamic-resource-allocation `cel`).

use super::{Objects, Table};
use crate::check::{Cost, Environment, Sizes, Type};
use crate::parse::Syntax;
use crate::{Program, compile};
use std::sync::Arc;

const OBJECTS: Table = &[(
    "kubernetes.DRADevice",
    &[
        ("driver", "string"),
        ("attributes", "map(string, map(string, any))"),
        ("capacity", "map(string, map(string, kubernetes.Quantity))"),
        ("allowMultipleAllocations", "bool"),
    ],
)];
/// How many attributes and capacities a device may have.
const MAX_ENTRIES: u64 = 32;
const MAX_DOMAIN: u64 = 63;
const MAX_ID: u64 = 32;
const MAX_VALUE: u64 = 64;
const MAX_DRIVER: u64 = 63;

/// Compiles the selector of a device; its cost is estimated.
///
/// # Errors
/// Upstream's words for what is wrong with it.
pub fn compile_selector(text: &str) -> Result<Program, String> {
    let environment = Environment::new()
        .variable("device", Type::object("kubernetes.DRADevice"))
        .objects(Arc::new(Objects { table: OBJECTS }))
        .syntax(Syntax { bindings: true });
    let program =
        compile(text, &environment, Some(&DeviceSizes)).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.result_type() {
        Type::Bool | Type::Any => Ok(program),
        found => Err(format!(
            "must evaluate to bool or the unknown type, not {}",
            found.runtime_name()
        )),
    }
}

struct DeviceSizes;

impl Sizes for DeviceSizes {
    fn size(&self, path: &[String]) -> Option<Cost> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let max = match path.as_slice() {
            ["device", "driver"] => MAX_DRIVER,
            ["device", "allowMultipleAllocations"] => 1,
            ["device", "attributes" | "capacity"] | ["device", "attributes" | "capacity", "@values"] => MAX_ENTRIES,
            ["device", "attributes" | "capacity", "@keys"] => MAX_DOMAIN,
            ["device", "attributes" | "capacity", "@values", "@keys"] => MAX_ID,
            ["device", "attributes", "@values", _] => MAX_VALUE,
            _ => return None,
        };
        Some(Cost { min: 0, max })
    }
}
