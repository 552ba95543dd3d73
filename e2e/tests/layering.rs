//! Who may know whom. The shape of the house is in ARCHITECTURE.md; this is what keeps it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const SERVICES: [&str; 6] = [
    "apiserver",
    "controller-manager",
    "scheduler",
    "syncer",
    "kine-shim",
    "dns",
];

/// The workspace crates that a crate may depend on, directly.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("libs/machinery", &[]),
    ("libs/linking", &[]),
    ("libs/cel", &["machinery"]),
    ("libs/gotemplate", &[]),
    ("proto", &[]),
    ("libs/config", &["machinery", "gotemplate"]),
    ("libs/chassis", &["machinery", "proto"]),
    ("libs/client", &["machinery", "chassis"]),
    ("libs/pki", &["chassis"]),
    ("libs/structural", &["machinery", "cel"]),
    // Tries what reads the bytes of others, wherever that is.
    (
        "decoders",
        &[
            "machinery",
            "cel",
            "structural",
            "proto",
            "config",
            "apiserver",
            "kine-shim",
            "dns",
        ],
    ),
    ("e2e", &["machinery", "proto", "chassis", "config", "client", "pki"]),
    (
        "cli",
        &["machinery", "proto", "chassis", "config", "client", "pki", "e2e"],
    ),
    (
        "SERVICE",
        &["machinery", "cel", "structural", "proto", "chassis", "config", "client"],
    ),
];

/// The modules of the API server that a module may use, besides itself.
const LAYERS: [(&str, &[&str]); 8] = [
    ("webhook", &[]),
    ("admission", &["webhook"]),
    ("authentication", &[]),
    ("authorization", &["authentication"]),
    ("resources", &["registry"]),
    ("storage", &[]),
    ("registry", &["storage", "admission", "webhook"]),
    ("apiextensions", &["registry", "storage", "webhook"]),
];

/// Lines a source file may have outside tests.
const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

fn crates() -> BTreeSet<String> {
    // A manifest that cannot be read has no members, which the caller notices.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let lines = manifest
        .lines()
        .skip_while(|l| !l.starts_with("members"))
        .skip(1)
        .take_while(|l| !l.starts_with(']'));
    lines
        .map(|l| l.trim().trim_matches(|c| c == '"' || c == ',').to_owned())
        .collect()
}

/// The names in the `[dependencies]` table of a manifest, without those used by tests only.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let lines = manifest
        .lines()
        .skip_while(|l| *l != "[dependencies]")
        .skip(1)
        .take_while(|l| !l.starts_with('['));
    lines
        .filter_map(|l| l.split(['.', ' ', '=']).next())
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn crates_depend_downwards_only() {
    let crates = crates();
    assert!(crates.len() > SERVICES.len(), "the list of members could not be read");
    let names: BTreeSet<&str> = crates.iter().map(|c| c.rsplit('/').next().unwrap()).collect();
    for member in &crates {
        let role = if SERVICES.contains(&member.as_str()) {
            "SERVICE"
        } else {
            member
        };
        let allowed = ALLOWED
            .iter()
            .find(|(name, _)| *name == role)
            .map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("say in ALLOWED what {member} may depend on"));
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        for dependency in dependencies(&manifest) {
            assert!(
                !names.contains(dependency.as_str()) || allowed.contains(&dependency.as_str()),
                "{member} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn layers_of_the_api_server_know_only_what_is_below_them() {
    let src = root().join("apiserver/src");
    let modules: BTreeSet<String> = fs::read_dir(&src)
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|m| !["lib", "main"].contains(&m.as_str()))
        .collect();
    for (layer, allowed) in LAYERS {
        let files = rust_files(&src.join(layer));
        assert!(!files.is_empty(), "the layer {layer} has no files");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for module in &modules {
                let used = text.lines().any(|l| {
                    let code = l.split("//").next().unwrap_or_default();
                    code.contains(&format!("crate::{module}::")) || code.contains(&format!("crate::{module};"))
                });
                assert!(
                    !used || module == layer || allowed.contains(&module.as_str()),
                    "{} must not use crate::{module}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn files_stay_readable() {
    for member in crates() {
        for file in rust_files(&root().join(&member).join("src")) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name == "tests.rs" || name.ends_with("_tests.rs") || file.components().any(|c| c.as_os_str() == "tests")
            {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().take_while(|l| *l != "#[cfg(test)]").count();
            assert!(
                lines <= LONGEST_FILE,
                "{} has {lines} lines; is there a second concept inside?",
                file.display()
            );
        }
    }
}
