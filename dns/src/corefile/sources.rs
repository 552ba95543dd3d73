//! Where a Corefile gets files and environment variables from.

use std::io;
use std::path::{Path, PathBuf};

/// Files and environment of the process, or of a test.
pub(crate) trait Sources {
    /// The text of a file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The files of a directory, without subdirectories.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The real ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            // Through symbolic links, which is how Kubernetes mounts a ConfigMap.
            if path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Whether `name` matches a shell pattern of `*`, `?` and `[a-z]`/`[^a-z]`.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the text after the latest star does not match: one more character for the star.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, n));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        let step = name.get(n).and_then(|character| one(&pattern[p..], *character));
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after_star, taken))) if taken < name.len() => {
                retry = Some((after_star, taken + 1));
                p = after_star;
                n = taken + 1;
            }
            _ => return false,
        }
    }
}

/// How many characters of the pattern match `character`, if any do.
fn one(pattern: &[char], character: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let (negated, set) = match pattern[1] {
                '^' | '!' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            let mut found = false;
            let mut index = 0;
            while index < set.len() {
                if set.get(index + 1) == Some(&'-') && index + 2 < set.len() {
                    found |= (set[index]..=set[index + 2]).contains(&character);
                    index += 3;
                } else {
                    found |= set[index] == character;
                    index += 1;
                }
            }
            (found != negated).then_some(end + 1)
        }
        literal => (*literal == character).then_some(1),
    }
}
