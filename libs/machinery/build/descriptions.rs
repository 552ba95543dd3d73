//! What the built-in types and their fields mean, in upstream's words: read from the source of the k8s-openapi crate, which
//! carries them as the JSON schemas of its optional `schemars` feature. Compiling that feature would build the crate twice.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crate, and the module in it that holds the version of the types.
const CRATE: &str = "k8s-openapi";
const VERSION: &str = "v1_36";

/// Descriptions of types and, behind a second key, of their properties.
#[derive(Default)]
pub(crate) struct Descriptions {
    types: HashMap<String, String>,
    properties: HashMap<(String, String), String>,
}

impl Descriptions {
    /// Reads all of them.
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let source = source()?.join("src").join(VERSION);
        println!("cargo::rerun-if-changed={}", source.display());
        let mut found = Descriptions::default();
        found.directory(&source)?;
        if found.types.is_empty() {
            return Err(format!(
                "{}: no descriptions; has the form of the schemas changed?",
                source.display()
            )
            .into());
        }
        found.split_event();
        Ok(found)
    }

    /// The crate's own type for events has what upstream says of the object in the description of the type.
    fn split_event(&mut self) {
        const EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
        let Some(description) = self.types.get_mut(EVENT) else {
            return;
        };
        if let Some((event, object)) = description.split_once("\n\n") {
            let (event, object) = (event.to_owned(), object.trim_end().to_owned());
            *description = event;
            self.add(EVENT, "object", object);
        }
    }

    /// Describes a list of objects of a kind, for which the crate has but one generic type.
    pub(crate) fn describe_list(&mut self, list: &str, kind: &str) {
        /// A type with the same fields beside the items.
        const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
        if self.types.contains_key(list) {
            return;
        }
        self.types
            .insert(list.to_owned(), format!("{kind}List is a list of {kind} objects."));
        self.add(list, "items", format!("The {kind} objects that are listed."));
        for property in ["apiVersion", "kind", "metadata"] {
            let same = self.of_property(STATUS, property).to_owned();
            self.add(list, property, same);
        }
    }

    /// What a type is; empty when nothing is said.
    pub(crate) fn of_type(&self, name: &str) -> &str {
        self.types.get(name).map_or("", String::as_str)
    }

    /// What a property is; empty when nothing is said.
    pub(crate) fn of_property(&self, ty: &str, property: &str) -> &str {
        self.properties
            .get(&(ty.to_owned(), property.to_owned()))
            .map_or("", String::as_str)
    }

    fn directory(&mut self, dir: &Path) -> Result<(), Box<dyn Error>> {
        for entry in std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                self.directory(&path)?;
            } else if path.extension().is_some_and(|e| e == "rs") {
                self.file(&std::fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }

    /// Goes through the schemas of one file, whose lines are laid out by a generator: names and descriptions are told
    /// apart by how far they are indented.
    fn file(&mut self, text: &str) {
        let (mut ty, mut property): (Option<String>, Option<String>) = (None, None);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let indent = line.len() - line.trim_start().len();
            let line = line.trim_start();
            if line.starts_with("fn schema_name()") {
                ty = lines.next().and_then(|next| literal(next.trim_start()));
                property = None;
                continue;
            }
            let Some(ty) = &ty else { continue };
            // A property may be called `description`, too; what follows its name is no text.
            if let Some(description) = line.strip_prefix("\"description\": ").and_then(literal) {
                match (indent, &property) {
                    (12, _) => drop(self.types.insert(ty.clone(), description)),
                    (20, Some(property)) => self.add(ty, property, description),
                    _ => {}
                }
            } else if let Some((_, rest)) = line.split_once("insert(\"description\".into(), ") {
                if let (20, Some(property), Some(description)) = (indent, &property, literal(rest)) {
                    self.add(ty, property, description);
                }
            } else if indent == 16 && line.starts_with('"') {
                property = literal(line);
            }
        }
    }

    fn add(&mut self, ty: &str, property: &str, description: String) {
        self.properties
            .insert((ty.to_owned(), property.to_owned()), description);
    }
}

/// Where Cargo has put the source of the crate.
fn source() -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var("CARGO")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline"])
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|p| p["name"] == CRATE)
        .find_map(|p| p["manifest_path"].as_str());
    let manifest = manifest.ok_or_else(|| format!("{CRATE} is not among the dependencies of the workspace"))?;
    Ok(Path::new(manifest).parent().unwrap_or(Path::new("")).to_owned())
}

/// The Rust string literal at the start of a text.
fn literal(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.chars();
    let mut out = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '0' => out.push('\0'),
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    out.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}
