//! What server-side apply refuses, in upstream's words (apimachinery `pkg/util/managedfields/internal/conflict.go`).

use std::collections::BTreeMap;
use std::fmt;

use super::fieldset::{Path, Set, show_path};
use super::managed::ManagerId;
use crate::status::{Cause, Details, Status};

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner.
    pub manager: ManagerId,
    /// The field.
    pub path: Path,
}

/// Why a configuration was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Others own fields it sets differently; force would take them over.
    Conflicts(Vec<Conflict>),
    /// It is no configuration for this object.
    BadRequest(String),
    /// It does not fit the schema, which upstream answers as if the server were to blame.
    Failed(String),
}

impl Error {
    /// The conflicts of each manager with its set of fields.
    pub(super) fn conflicts(sets: &BTreeMap<ManagerId, Set>) -> Self {
        let mut conflicts = Vec::new();
        for (manager, set) in sets {
            set.each(&mut |path| {
                conflicts.push(Conflict {
                    manager: manager.clone(),
                    path: path.to_vec(),
                })
            });
        }
        Error::Conflicts(conflicts)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conflicts = match self {
            Error::BadRequest(text) | Error::Failed(text) => return f.write_str(text),
            Error::Conflicts(conflicts) => conflicts,
        };
        if let [one] = conflicts.as_slice() {
            let path = show_path(&one.path);
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {path}", one.manager);
        }
        let mut by_manager = BTreeMap::<&ManagerId, Vec<String>>::new();
        for conflict in conflicts {
            by_manager
                .entry(&conflict.manager)
                .or_default()
                .push(show_path(&conflict.path));
        }
        let mut lines = Vec::new();
        for (manager, paths) in by_manager {
            lines.push(format!("conflicts with {manager}:"));
            lines.extend(paths.into_iter().map(|path| format!("- {path}")));
        }
        write!(
            f,
            "Apply failed with {} conflicts: {}",
            conflicts.len(),
            lines.join("\n")
        )
    }
}

impl std::error::Error for Error {}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::BadRequest(_) => Status::bad_request(message),
            Error::Failed(_) => Status::failure(500, "", message),
            Error::Conflicts(conflicts) => {
                let cause = |conflict: Conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: format!("conflict with {}", conflict.manager),
                    field: show_path(&conflict.path),
                };
                let causes = conflicts.into_iter().map(cause).collect();
                Status::failure(409, "Conflict", message).with_details(Details {
                    causes,
                    ..Details::default()
                })
            }
        }
    }
}
