//! Compares now and then what is known with what the server has: finds what a watch has not shown.
//!
//! It costs the server one list of metadata from its cache. Only when that differs is it asked again, by then for what is
//! certain: what differs twice in the same way, with time enough to be shown in between, was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{Informer, url_query};
use crate::clusters::{ApiError, Cache};
use crate::object::ObjectKey;

/// How long a watch may take to show a change.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Kinds take turns within the interval, this many.
const TURNS: u32 = 16;

/// What is known of an object, and what the server has: versions, or nothing.
type Difference = (Option<u64>, Option<u64>);

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    resource_version: String,
}

/// Runs for ever; tells `lost` when something was.
pub(super) async fn run(informer: &Informer, cache: &Cache, lost: &Notify) {
    if informer.compare_every.is_zero() {
        return;
    }
    // Kinds do not ask all at the same time.
    let turn = informer.kind.plural().bytes().map(u32::from).sum::<u32>() % TURNS;
    tokio::time::sleep(informer.compare_every * turn / TURNS).await;
    loop {
        tokio::time::sleep(informer.compare_every).await;
        let resource = informer.kind.plural();
        match missing(informer, cache).await {
            Ok(0) => {}
            Ok(count) => {
                let side = informer.api.side();
                warn!(
                    cluster = side.as_str(),
                    resource, count, "changes were not shown by the watch"
                );
                informer.api.meters().lost.get_or_create(&side.into()).inc_by(count);
                lost.notify_one();
            }
            Err(error) => debug!(resource, %error, "cannot compare"),
        }
    }
}

/// How many changes were lost.
async fn missing(informer: &Informer, cache: &Cache) -> Result<u64, ApiError> {
    let seen = cache.newest();
    // Any version will do, so that the answer costs the server no look into its store.
    let (at, suspects) = differences(informer, cache, "0").await?;
    if suspects.is_empty() && at >= seen {
        return Ok(0);
    }
    tokio::time::sleep(SHOWN_WITHIN).await;
    let seen = cache.newest();
    let (at, certain) = differences(informer, cache, "").await?;
    if at < seen {
        // The store was put back: what the watch shows from now on begins in what was lost.
        return Ok(1);
    }
    let lost = certain.iter().filter(|(key, found)| suspects.get(*key) == Some(*found));
    Ok(lost.count() as u64)
}

/// The version of the server's list, and what differs from it.
async fn differences(
    informer: &Informer,
    cache: &Cache,
    version: &str,
) -> Result<(u64, BTreeMap<ObjectKey, Difference>), ApiError> {
    let query = format!(
        "{}{}",
        informer.selection.query(),
        url_query(&[("resourceVersion", version)])
    );
    let mut there = BTreeMap::new();
    let each = |item: Named| {
        let key = ObjectKey::new(&item.metadata.namespace, &item.metadata.name);
        there.insert(key, number(&item.metadata.resource_version));
    };
    let list: Named = informer
        .api
        .list_metadata(informer.kind, &informer.selection.namespace, &query, each)
        .await?;
    let at = number(&list.metadata.resource_version);
    let mut known = cache.versions();
    known.retain(|key, _| informer.selection.covers(key));
    Ok((at, compare(known, there, at)))
}

fn number(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

/// What is known and what was there at a version. What is known to be newer than the list is no difference.
fn compare(
    known: BTreeMap<ObjectKey, u64>,
    there: BTreeMap<ObjectKey, u64>,
    at: u64,
) -> BTreeMap<ObjectKey, Difference> {
    let mut differences = BTreeMap::new();
    for (key, version) in &there {
        let ours = known.get(key).copied();
        if ours.is_none_or(|ours| ours < *version) {
            differences.insert(key.clone(), (ours, Some(*version)));
        }
    }
    for (key, ours) in known {
        if !there.contains_key(&key) && ours <= at {
            differences.insert(key, (Some(ours), None));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pairs: &[(&str, u64)]) -> BTreeMap<ObjectKey, u64> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, version)| (ObjectKey::new("ns", name), *version))
            .collect()
    }

    #[test]
    fn only_what_is_behind_the_list_differs() {
        let known = versions(&[
            ("same", 3),
            ("newer", 9),
            ("behind", 4),
            ("gone", 5),
            ("made since", 12),
        ]);
        let there = versions(&[("same", 3), ("newer", 8), ("behind", 6), ("missed", 7)]);
        let found: Vec<(String, Difference)> = compare(known, there, 10)
            .into_iter()
            .map(|(key, difference)| (key.name, difference))
            .collect();
        assert_eq!(
            found,
            [
                ("behind".to_owned(), (Some(4), Some(6))),
                ("gone".to_owned(), (Some(5), None)),
                ("missed".to_owned(), (None, Some(7))),
            ]
        );
    }
}
