//! Sets of completion indexes and their compressed text, as in `1,3-5,7` (`pkg/controller/job/indexed_job_utils.go`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

pub(crate) const INDEX_KEY: &str = "batch.kubernetes.io/job-completion-index";

/// The completion index a pod was made for.
pub(crate) fn of(pod: &Pod) -> Option<i32> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(INDEX_KEY)?.parse().ok().filter(|index| *index >= 0)
}

/// Reads the text; what lies beyond `completions` or cannot be read is left out.
pub(crate) fn parse(text: &str, completions: i32) -> BTreeSet<i32> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            indexes.extend(first.max(0)..last.saturating_add(1).min(completions));
        }
    }
    indexes
}

pub(crate) fn format(indexes: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let text = |(first, last): &(i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_upstreams() {
        let table: [(&[i32], &str); 5] = [
            (&[], ""),
            (&[3], "3"),
            (&[3, 4], "3,4"),
            (&[1, 3, 4, 5, 7], "1,3-5,7"),
            (&[0, 1, 2], "0-2"),
        ];
        for (indexes, text) in table {
            assert_eq!(format(&indexes.iter().copied().collect()), text);
        }
        assert_eq!(parse("0-2,9,x,5-", 5), BTreeSet::from([0, 1, 2]));
        assert_eq!(parse("0-2147483647", 3), BTreeSet::from([0, 1, 2]));
    }

    proptest! {
        #[test]
        fn text_and_set_mean_the_same(indexes in prop::collection::btree_set(0..200i32, 0..60)) {
            prop_assert_eq!(parse(&format(&indexes), 200), indexes);
        }
    }
}
