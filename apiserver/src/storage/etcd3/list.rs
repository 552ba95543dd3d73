//! Lists in chunks, all chunks as of one revision (k8s.io/apiserver `storage/etcd3/store.go`, `GetList`).

use super::client::timed;
use super::errors::{CONTINUE_EXPIRED, LIST_EXPIRED, is_compacted, is_future};
use super::store::{Store, at_least, etcd_revision, revision};
use crate::storage::continue_token::{self, Continuation};
use crate::storage::interface::{Error, ListOptions, Listed, Revision};
use etcd_client::GetOptions;
use machinery::object::Stored;

/// The most keys that are read at once while looking for objects that match a selector.
const MAX_PAGE: usize = 10_000;
/// The page size of a list without a limit: keeps single messages small.
const FULL_LIST_PAGE: usize = 1_000;

/// One page of keys.
struct Page {
    objects: Vec<(String, Stored)>,
    /// Where the next page starts; `None` at the end.
    next: Option<String>,
    /// How many keys there are from the start of this page on.
    count: usize,
    revision: u64,
}

impl Store {
    pub(super) async fn list_chunk(&self, options: ListOptions) -> Result<Listed, Error> {
        let prefix = self.codec.list_prefix(&options.scope.namespace)?;
        let continuation = match options.continue_token.as_str() {
            "" => None,
            _ if matches!(options.revision, Revision::Exact(_) | Revision::NotOlderThan(_)) => {
                let text = "specifying resource version is not allowed when using continue";
                return Err(Error::Invalid(text.to_owned()));
            }
            token => Some(continue_token::decode(token, &prefix)?),
        };
        let mut at = match (&continuation, options.revision) {
            (Some(Continuation { revision, .. }), _) => *revision,
            (None, Revision::Exact(revision)) => Some(revision),
            (None, _) => None,
        };
        let mut from = continuation
            .as_ref()
            .map_or_else(|| prefix.clone(), |c| c.from_key.clone());
        let mut page_size = if options.limit == 0 {
            FULL_LIST_PAGE
        } else {
            options.limit
        };
        let mut items = Vec::new();
        loop {
            let page = self.page(&prefix, &from, page_size, at).await;
            let page = match page {
                Err(error) if is_compacted(&error) => return Err(expired(continuation.is_some(), &from, &prefix)),
                Err(error) if is_future(&error) => {
                    let current = self.current_revision().await.unwrap_or_default();
                    return Err(Error::TooLargeRevision {
                        requested: at.unwrap_or_default(),
                        current,
                    });
                }
                page => page?,
            };
            let list_revision = *at.get_or_insert(page.revision);
            at_least(options.revision, list_revision)?;
            let mut last = None;
            let mut left_over = false;
            for (key, object) in page.objects {
                if options.limit > 0 && items.len() >= options.limit {
                    left_over = true;
                    break;
                }
                if options.scope.contains(&object) {
                    items.push(object);
                }
                last = Some(key);
            }
            let full = options.limit > 0 && items.len() >= options.limit;
            let next = if left_over {
                last.map(|key| format!("{key}\0"))
            } else {
                page.next
            };
            match next {
                Some(next) if full => {
                    // etcd counts keys, not matches: with a selector the number would be wrong.
                    let remaining = i64::try_from(page.count.saturating_sub(options.limit)).ok();
                    return Ok(Listed {
                        items,
                        revision: list_revision,
                        continue_token: continue_token::encode(&next, &prefix, Some(list_revision)),
                        remaining: remaining.filter(|_| options.scope.selector.is_empty()),
                    });
                }
                Some(next) => from = next,
                None => {
                    let continue_token = String::new();
                    return Ok(Listed {
                        items,
                        revision: list_revision,
                        continue_token,
                        remaining: None,
                    });
                }
            }
            page_size = (page_size * 2).min(MAX_PAGE.max(options.limit));
        }
    }

    /// Every object with its key, and the revision at which this is all.
    pub(in crate::storage) async fn everything(&self) -> Result<(Vec<(String, Stored)>, u64), Error> {
        let prefix = self.codec.prefix();
        let mut all = Vec::new();
        let (mut from, mut at) = (prefix.to_owned(), None);
        loop {
            let page = self.page(prefix, &from, FULL_LIST_PAGE, at).await?;
            let list_revision = *at.get_or_insert(page.revision);
            all.extend(page.objects);
            match page.next {
                Some(next) => from = next,
                None => return Ok((all, list_revision)),
            }
        }
    }

    /// Every key with its revision, and the revision at which these are all.
    pub(in crate::storage) async fn keys(&self) -> Result<(Vec<(String, u64)>, u64), Error> {
        let prefix = self.codec.prefix();
        let mut keys: Vec<(String, u64)> = Vec::new();
        let (mut from, mut at) = (prefix.to_owned(), None);
        loop {
            let mut options = GetOptions::new()
                .with_range(range_end(prefix))
                .with_keys_only()
                .with_limit(i64::try_from(MAX_PAGE).unwrap_or(i64::MAX));
            if let Some(at) = at {
                options = options.with_revision(etcd_revision(at));
            }
            let mut kv = self.connection.kv();
            let answer = timed(kv.get(from.as_str(), Some(options))).await?.0;
            let now = answer.header.map_or(0, |header| revision(header.revision));
            let list_revision = *at.get_or_insert(now);
            let pairs = answer.kvs.iter();
            keys.extend(pairs.map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), revision(kv.mod_revision))));
            match keys.last().filter(|_| answer.more) {
                Some((last, _)) => from = format!("{last}\0"),
                None => return Ok((keys, list_revision)),
            }
        }
    }

    async fn page(&self, prefix: &str, from: &str, limit: usize, at: Option<u64>) -> Result<Page, Error> {
        let mut options = GetOptions::new()
            .with_range(range_end(prefix))
            .with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(at) = at {
            options = options.with_revision(etcd_revision(at));
        }
        let mut kv = self.connection.kv();
        let answer = timed(kv.get(from, Some(options))).await?.0;
        let now = answer.header.map_or(0, |header| revision(header.revision));
        let mut objects = Vec::with_capacity(answer.kvs.len());
        for pair in answer.kvs {
            let object = self.decode(&pair)?;
            objects.push((String::from_utf8_lossy(&pair.key).into_owned(), object));
        }
        let count = usize::try_from(answer.count).unwrap_or_default();
        let more = answer.more || objects.len() < count;
        let next = objects.last().filter(|_| more).map(|(key, _)| format!("{key}\0"));
        Ok(Page {
            objects,
            next,
            count,
            revision: now,
        })
    }
}

/// The first key behind all keys with a prefix. Prefixes end with `/`, so the last byte can be counted up.
pub(in crate::storage) fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

fn expired(chunked: bool, from: &str, prefix: &str) -> Error {
    if chunked {
        let token = continue_token::encode(from, prefix, None);
        Error::ContinueExpired {
            message: CONTINUE_EXPIRED.to_owned(),
            token,
        }
    } else {
        Error::Expired(LIST_EXPIRED.to_owned())
    }
}
