//! The OpenAPI documents of backends: named in the index of this server and fetched from them when somebody asks, and what they
//! say of their own paths in the one document of former times (kube-aggregator `pkg/controllers/{openapi,openapiv3}`).

use super::{Aggregator, Backend};
use crate::endpoints::discovery::etag;
use http::header;
use machinery::openapi::Part;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The one document of former times.
const WHOLE: &str = "/openapi/v2";
const INDEX: &str = "/openapi/v3";

impl Aggregator {
    /// Learns which documents a backend has; without an answer those that were known stay.
    pub(super) async fn learn_documents(&self, backend: &Backend) {
        let accept = [(header::ACCEPT, "application/json")];
        let (_, answer) = self.ask(backend, INDEX, &accept, true).await;
        let Ok(answer) = answer else { return };
        let found = if answer.status().is_success() {
            let index: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            own(&index, &backend.spec.path())
        } else {
            Map::new()
        };
        backend.with_discovered(|known| known.documents = found);
        self.learn_part(backend).await;
    }

    async fn learn_part(&self, backend: &Backend) {
        let known = backend.with_discovered(|known| known.part.as_ref().map(|(tag, _)| tag.clone()));
        let mut headers = vec![(header::ACCEPT, "application/json")];
        headers.extend(known.as_deref().map(|tag| (header::IF_NONE_MATCH, tag)));
        let (_, answer) = self.ask(backend, WHOLE, &headers, true).await;
        let Some(answer) = answer.ok().filter(|answer| answer.status().is_success()) else {
            return;
        };
        let Ok(document) = serde_json::from_slice::<Value>(answer.body()) else {
            return;
        };
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map_or_else(|| etag(answer.body()), str::to_owned);
        let part = Arc::new(Part::of(&document, &format!("{}/", backend.spec.path())));
        backend.with_discovered(|known| known.part = Some((tag, part)));
    }

    /// What backends say of their paths, with tags that change when it does.
    pub fn parts(&self) -> Vec<(String, Arc<Part>)> {
        let all = self.backends();
        all.iter()
            .filter_map(|backend| backend.with_discovered(|known| known.part.clone()))
            .collect()
    }

    /// The entries of the index that lead to backends.
    pub fn documents(&self) -> Map<String, Value> {
        let all = self.backends();
        all.iter()
            .flat_map(|backend| backend.with_discovered(|known| known.documents.clone()))
            .collect()
    }

    /// Who has a document of a path.
    pub fn describes(&self, path: &str) -> Option<Arc<Backend>> {
        let name = path.strip_prefix(INDEX)?.strip_prefix('/')?;
        let mut backends = self.backends().into_iter();
        backends.find(|backend| backend.with_discovered(|known| known.documents.contains_key(name)))
    }
}

/// The entry of an index for the group and version at a path: what else a backend describes is not asked for here.
fn own(index: &Value, path: &str) -> Map<String, Value> {
    let name = path.trim_start_matches('/');
    let entry = index.get("paths").and_then(|paths| paths.get(name));
    entry
        .map(|entry| (name.to_owned(), entry.clone()))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_own_document_is_announced() {
        let entry = json!({"serverRelativeURL": "/openapi/v3/apis/g/v1?hash=1"});
        let index = json!({"paths": {"apis/g/v1": entry, "version": {}, "apis/apps/v1": {}}});
        let found = own(&index, "/apis/g/v1");
        assert_eq!(found.len(), 1);
        assert_eq!(found["apis/g/v1"], entry);
        assert!(own(&index, "/apis/g/v2").is_empty() && own(&json!({}), "/apis/g/v1").is_empty());
    }
}
