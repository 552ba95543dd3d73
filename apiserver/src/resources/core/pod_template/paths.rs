//! Paths inside volumes.

use machinery::field::{Error, ErrorList, Path};

/// A path that stays below where it starts (`validateLocalDescendingPath`).
pub(super) fn descending(target: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if target.starts_with('/') {
        errors.push(Error::invalid(path, target, "must be a relative path"));
    }
    errors.extend(without_backsteps(target, path));
    errors
}

/// A path without `..` (`validatePathNoBacksteps`).
pub(in super::super) fn without_backsteps(target: &str, path: &Path) -> Option<Error> {
    let climbs = target.split('/').any(|part| part == "..");
    climbs.then(|| Error::invalid(path, target, "must not contain '..'"))
}

/// The path of a file that a volume projects: present, below the volume, and not of the names that the kubelet keeps
/// for itself (`validateLocalNonReservedPath`).
pub(super) fn projected(target: &str, path: &Path) -> ErrorList {
    if target.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = descending(target, path);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.push(Error::invalid(path, target, "must not start with '..'"));
    }
    errors
}
