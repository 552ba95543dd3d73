//! Settings that decide about names and must not change while there are any: where would the copies of before be?

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Key of the record in the store.
pub(super) const FIXED: &str = "/vcluster/settings/sync.toHost.namespaces";
/// The key of vcluster.yaml.
const SECTION: &str = "sync.toHost.namespaces";

/// What was said about namespaces when the virtual cluster was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fixed {
    /// Whether they have namespaces of the host.
    pub enabled: bool,
    /// Whether only those with a mapping have.
    pub mappings_only: bool,
    /// The mappings.
    pub by_name: BTreeMap<String, String>,
    /// Their patches, as in the file.
    pub patches: Value,
}

/// What the store has.
pub(super) struct Recorded {
    /// The record of an earlier start.
    pub(super) fixed: Option<Vec<u8>>,
    /// Whether names were recorded; asked only when that would say something.
    pub(super) has_names: bool,
}

/// What a comparison says.
#[derive(Debug, PartialEq)]
pub(super) enum Compared {
    Same,
    /// To be recorded.
    New(Vec<u8>),
    /// One sentence.
    Different(String),
}

impl Fixed {
    /// Compares these settings with those of earlier starts.
    pub(super) fn compare(&self, recorded: Recorded) -> Compared {
        let earlier = recorded
            .fixed
            .and_then(|record| serde_json::from_slice::<Self>(&record).ok());
        let earlier = match earlier {
            Some(earlier) => earlier,
            // Without namespaces of the host, nothing is recorded; the names that there are tell.
            None if recorded.has_names || !self.enabled => Self::default(),
            None => return Compared::New(serde_json::to_vec(self).unwrap_or_default()),
        };
        let changed = [
            ("enabled", self.enabled != earlier.enabled),
            (
                "mappingsOnly",
                self.enabled && self.mappings_only != earlier.mappings_only,
            ),
            ("mappings.byName", self.enabled && self.by_name != earlier.by_name),
            ("patches", self.enabled && self.patches != earlier.patches),
        ];
        match changed.into_iter().find(|(_, changed)| *changed) {
            Some((key, _)) => Compared::Different(format!("{SECTION}.{key} is not allowed to be changed")),
            None => Compared::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixed() -> Fixed {
        Fixed {
            enabled: true,
            mappings_only: false,
            by_name: [("a".to_owned(), "b".to_owned())].into(),
            patches: json!([]),
        }
    }

    #[test]
    fn what_decides_about_names_cannot_change() {
        let record = |fixed: &Fixed| Recorded {
            fixed: serde_json::to_vec(fixed).ok(),
            has_names: true,
        };
        let nothing = |has_names| Recorded { fixed: None, has_names };
        assert!(matches!(fixed().compare(nothing(false)), Compared::New(_)));
        assert_eq!(fixed().compare(record(&fixed())), Compared::Same);
        assert_eq!(Fixed::default().compare(nothing(false)), Compared::Same);
        assert_eq!(Fixed::default().compare(nothing(true)), Compared::Same);
        let changes = [
            ("enabled", Fixed::default().compare(record(&fixed()))),
            ("enabled", fixed().compare(nothing(true))),
            (
                "mappingsOnly",
                Fixed {
                    mappings_only: true,
                    ..fixed()
                }
                .compare(record(&fixed())),
            ),
            (
                "mappings.byName",
                Fixed {
                    by_name: BTreeMap::new(),
                    ..fixed()
                }
                .compare(record(&fixed())),
            ),
            (
                "patches",
                Fixed {
                    patches: json!([{"path": "metadata.labels.a"}]),
                    ..fixed()
                }
                .compare(record(&fixed())),
            ),
        ];
        for (key, found) in changes {
            let expected = format!("sync.toHost.namespaces.{key} is not allowed to be changed");
            assert_eq!(found, Compared::Different(expected));
        }
    }
}
