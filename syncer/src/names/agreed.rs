//! What both sides of a pair had when they last agreed about something that either of them may change.
//!
//! How a pair is to be follows from how it is, but for this: of two values that differ, nothing says which is the newer one. Kept
//! in memory only, and only for what is not recorded elsewhere; where nothing is known, whoever asks has a rule of his own.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whose change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// Both have the same.
    Neither,
    /// The virtual object was changed. It also counts when both were.
    Virtual,
    /// The host's object was changed.
    Host,
    /// They never agreed as long as this process runs.
    Unknown,
}

/// What is known of all pairs, by the uid of the virtual object.
#[derive(Debug, Default)]
pub struct Agreed {
    pairs: Mutex<HashMap<Box<str>, Known>>,
}

/// What is known of one pair: digests of values, by what they are values of, in that order. There are many pairs, and few of these
/// in each, so what counts is how small this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<(Box<str>, u64)>);

impl Agreed {
    /// What is known of a pair.
    fn of(&self, uid: &str) -> Known {
        self.pairs().get(uid).cloned().unwrap_or_default()
    }

    /// Looks at what is known of a pair, and takes over what that learns.
    pub fn revise<T>(&self, uid: &str, look: impl FnOnce(&mut Known) -> T) -> T {
        let before = self.of(uid);
        let mut known = before.clone();
        let seen = look(&mut known);
        if known != before {
            self.learn(uid, known);
        }
        seen
    }

    /// Takes over what has been learnt.
    fn learn(&self, uid: &str, mut known: Known) {
        known.0.shrink_to_fit();
        let mut pairs = self.pairs();
        if known.0.is_empty() {
            pairs.remove(uid);
        } else if !uid.is_empty() {
            pairs.insert(uid.into(), known);
        }
    }

    /// Forgets a pair whose virtual object is gone.
    pub fn forget(&self, uid: &str) {
        self.pairs().remove(uid);
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Compares the two values of something, and remembers one that both have.
    pub fn compare<T: Hash + PartialEq + ?Sized>(&mut self, what: &str, ours: Option<&T>, theirs: Option<&T>) -> Newer {
        if ours == theirs {
            self.note(what, ours);
            return Newer::Neither;
        }
        match self.place(what) {
            Err(_) => Newer::Unknown,
            Ok(place) if self.0[place].1 == digest(ours) => Newer::Host,
            Ok(_) => Newer::Virtual,
        }
    }

    /// Whether anything was remembered of this.
    pub fn knows(&self, what: &str) -> bool {
        self.place(what).is_ok()
    }

    /// Where it is, or would be.
    fn place(&self, what: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(what))
    }

    /// Remembers a value.
    pub fn note<T: Hash + ?Sized>(&mut self, what: &str, value: Option<&T>) {
        let digest = digest(value);
        match self.place(what) {
            Ok(place) => self.0[place].1 = digest,
            Err(place) => self.0.insert(place, (what.into(), digest)),
        }
    }

    /// Forgets everything but this.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|(what, _)| is_kept(what));
    }
}

fn digest<T: Hash + ?Sized>(value: Option<&T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_differs_from_what_was_agreed_has_changed_it() {
        let table = [
            (Some("a"), Some("b"), Newer::Host),
            (Some("a"), None, Newer::Host),
            (Some("b"), Some("a"), Newer::Virtual),
            (None, Some("a"), Newer::Virtual),
            (Some("b"), Some("c"), Newer::Virtual),
            (None, None, Newer::Neither),
        ];
        for (ours, theirs, newer) in table {
            let mut known = Known::default();
            assert_eq!(known.compare("x", Some("a"), None), Newer::Unknown);
            assert_eq!(known.compare("x", Some("a"), Some("a")), Newer::Neither);
            assert_eq!(known.compare("x", ours, theirs), newer, "{ours:?} {theirs:?}");
            assert_eq!((known.knows("x"), known.knows("y")), (true, false));
            assert_eq!(known.compare("y", Some("a"), None), Newer::Unknown);
        }
    }

    #[test]
    fn what_nobody_needs_is_forgotten() {
        let agreed = Agreed::default();
        let mut known = agreed.of("u");
        known.note("a", Some("1"));
        known.note("b", Some("1"));
        agreed.learn("u", known.clone());
        assert_eq!(agreed.of("u"), known);
        known.keep(|what| what == "a");
        agreed.learn("u", known.clone());
        assert_eq!(agreed.of("u"), known);
        known.keep(|_| false);
        agreed.learn("u", known.clone());
        assert!(agreed.pairs().is_empty());
        known.note("a", Some("1"));
        agreed.learn("", known.clone());
        agreed.learn("u", known);
        agreed.forget("u");
        assert!(agreed.pairs().is_empty());
    }
}
