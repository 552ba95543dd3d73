//! What is wrong with a value, and how far it fits nevertheless.

use machinery::field::{Error, ErrorList, Path, go_quote};
use serde_json::Value;

/// A complaint: the text by which repeated ones are known, and the error.
pub(super) type Complaint = (String, Error);

/// Complaints, each once, and how much was right (`Result`).
#[derive(Default)]
pub(super) struct Report {
    complaints: Vec<Complaint>,
    matches: u64,
}

impl Report {
    /// Nothing is wrong, which counts.
    pub(super) fn one() -> Report {
        Report {
            complaints: Vec::new(),
            matches: 1,
        }
    }

    pub(super) fn of(complaint: Complaint) -> Report {
        Report {
            complaints: vec![complaint],
            matches: 0,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.complaints.is_empty()
    }

    pub(super) fn matched(&mut self) {
        self.matches += 1;
    }

    pub(super) fn add(&mut self, complaint: Complaint) {
        if !self.complaints.iter().any(|(text, _)| *text == complaint.0) {
            self.complaints.push(complaint);
        }
    }

    pub(super) fn merge(&mut self, other: Report) {
        self.matches += other.matches;
        for complaint in other.complaints {
            self.add(complaint);
        }
    }

    /// Takes the complaints away; what was right stays right.
    pub(super) fn forgive(&mut self) {
        self.complaints.clear();
    }

    /// Puts `found` in the place of what matches less.
    pub(super) fn keep_better(best: &mut Option<Report>, found: Report) {
        if best.as_ref().is_none_or(|best| found.matches > best.matches) {
            *best = Some(found);
        }
    }

    pub(super) fn into_errors(self) -> ErrorList {
        self.complaints.into_iter().map(|(_, error)| error).collect()
    }
}

/// Where a value is: its name in messages, below the path of the whole value that is checked.
pub(super) struct Place {
    root: Path,
    name: String,
}

impl Place {
    pub(super) fn root(path: &Path) -> Place {
        Place {
            root: path.clone(),
            name: String::new(),
        }
    }

    fn named(&self, name: String) -> Place {
        Place {
            root: self.root.clone(),
            name,
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.name.is_empty()
    }

    /// A field that the schema names.
    pub(super) fn field(&self, name: &str) -> Place {
        if self.is_root() {
            self.named(name.to_owned())
        } else {
            self.entry(name)
        }
    }

    /// A field that it does not name, or that is not there.
    pub(super) fn entry(&self, name: &str) -> Place {
        self.named(format!("{}.{name}", self.name))
    }

    pub(super) fn index(&self, index: usize) -> Place {
        self.named(format!("{}[{index}]", self.name))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn quoted(&self) -> String {
        go_quote(&self.name)
    }

    /// The path in errors.
    pub(super) fn path(&self) -> Path {
        match self.name.strip_prefix('.').unwrap_or(&self.name) {
            "" => self.root.clone(),
            name => self.root.child(name),
        }
    }

    pub(super) fn invalid(&self, value: impl Into<Value>, what: &str) -> Complaint {
        self.with_text(value, format!("{} in body {what}", self.name))
    }

    /// An error whose message is not about the value's own words.
    pub(super) fn with_text(&self, value: impl Into<Value>, text: String) -> Complaint {
        let error = Error::invalid(&self.path(), value, text.as_str());
        (text, error)
    }

    /// `shown` is the value as the error has it, `value` as its text has it.
    pub(super) fn wrong_type(&self, shown: &str, wanted: &str, value: &str) -> Complaint {
        let text = format!("{} in body must be of type {wanted}: {}", self.name, go_quote(value));
        let error = Error::type_invalid(&self.path(), shown, text.as_str());
        (text, error)
    }

    /// An error about the whole value.
    pub(super) fn general(&self, text: String) -> Complaint {
        let error = Error::invalid(&self.root, "", text.as_str());
        (text, error)
    }

    pub(super) fn required(&self) -> Complaint {
        let text = format!("{} in body is required", self.name);
        (text, Error::required(&self.path(), ""))
    }

    pub(super) fn forbidden_property(&self, name: &str) -> Complaint {
        self.with_text(name, format!("{}.{name} in body is a forbidden property", self.name))
    }

    pub(super) fn too_long(&self, max: i64) -> Complaint {
        let text = format!("{} in body should be at most {max} chars long", self.name);
        (
            text,
            Error::too_long(&self.path(), usize::try_from(max).unwrap_or_default()),
        )
    }

    pub(super) fn too_many(&self, actual: i64, max: i64, what: &str) -> Complaint {
        let text = format!("{} in body should have at most {max} {what}", self.name);
        let size = |size: i64| usize::try_from(size).unwrap_or_default();
        (text, Error::too_many(&self.path(), size(actual), size(max)))
    }
}
