//! The OpenAPI documents of backends: named in the index of this server and fetched from them when somebody asks, or
//! made from what they have in OpenAPI 2; and what they say of their own paths in the one document of former times
//! (kube-aggregator `pkg/controllers/{openapi,openapiv3}`).

use super::{Aggregator, Backend};
use crate::endpoints::discovery::etag;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{StatusCode, header};
use machinery::openapi::{self, Part};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::sync::Arc;

/// The one document of former times.
const WHOLE: &str = "/openapi/v2";
const INDEX: &str = "/openapi/v3";

/// A document of OpenAPI 3.0 that was made here for a backend that has none.
pub struct Converted {
    /// Changes when the document does.
    pub hash: String,
    /// The JSON, compressed: it is seldom asked for.
    compressed: Vec<u8>,
}

impl Converted {
    fn of(document: &Value) -> io::Result<Self> {
        let mut text = Vec::new();
        openapi::Converted::of(document).write_json(&mut text)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&text)?;
        Ok(Converted {
            hash: etag(&text).trim_matches('"').to_owned(),
            compressed: encoder.finish()?,
        })
    }

    /// Writes it as JSON or as protobuf.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write, protobuf: bool) -> io::Result<()> {
        let mut text = GzDecoder::new(self.compressed.as_slice());
        if protobuf {
            let document = serde_json::from_reader(text)?;
            return openapi::Converted(document).write_protobuf(out);
        }
        io::copy(&mut text, out).map(drop)
    }
}

impl Aggregator {
    /// Learns which documents a backend has; without an answer those that were known stay. For one that has none of OpenAPI
    /// 3.0, they are made here.
    pub(super) async fn learn_documents(&self, backend: &Backend) {
        let accept = [(header::ACCEPT, "application/json")];
        let (_, answer) = self.ask(backend, INDEX, &accept, true).await;
        let Ok(answer) = answer else { return };
        let is_former = answer.status() == StatusCode::NOT_FOUND;
        if answer.status().is_success() {
            let index: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let found = own(&index, &backend.spec.path());
            backend.with_discovered(|known| (known.documents, known.converted) = (found, None));
        }
        self.learn_part(backend, is_former).await;
    }

    async fn learn_part(&self, backend: &Backend, converts: bool) {
        let known = backend.with_discovered(|known| {
            let is_complete = !converts || known.converted.is_some();
            known.part.as_ref().filter(|_| is_complete).map(|(tag, _)| tag.clone())
        });
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
        let path = backend.spec.path();
        let part = Arc::new(Part::of(&document, &format!("{path}/")));
        backend.with_discovered(|known| known.part = Some((tag, part)));
        if let Some(converted) = converts.then(|| Converted::of(&document).ok()).flatten() {
            let name = path.trim_start_matches('/');
            let url = format!("{INDEX}/{name}?hash={}", converted.hash);
            backend.with_discovered(|known| {
                known.documents = Map::from_iter([(name.to_owned(), json!({ "serverRelativeURL": url }))]);
                known.converted = Some(Arc::new(converted));
            });
        }
    }

    /// The document of this name that was made here for a backend.
    pub fn converted(&self, name: &str) -> Option<Arc<Converted>> {
        let all = self.backends();
        all.iter().find_map(|backend| {
            let is_it = backend.spec.path().trim_start_matches('/') == name;
            backend.with_discovered(|known| known.converted.clone().filter(|_| is_it))
        })
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

    /// Who has a document of a path itself.
    pub fn describes(&self, path: &str) -> Option<Arc<Backend>> {
        let name = path.strip_prefix(INDEX)?.strip_prefix('/')?;
        let mut backends = self.backends().into_iter();
        backends.find(|backend| {
            backend.with_discovered(|known| known.converted.is_none() && known.documents.contains_key(name))
        })
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
    fn what_was_made_here_has_both_forms() {
        let document = json!({"info": {"title": "t"}, "paths": {"/apis/g/v1/": {}}, "definitions": {}});
        let (converted, other) = (Converted::of(&document).unwrap(), Converted::of(&json!({})).unwrap());
        assert_ne!(converted.hash, other.hash);
        let form = |protobuf| {
            let mut out = Vec::new();
            converted.write(&mut out, protobuf).unwrap();
            out
        };
        let text: Value = serde_json::from_slice(&form(false)).unwrap();
        assert_eq!(
            (&text["openapi"], &text["info"]["title"]),
            (&json!("3.0.0"), &json!("t"))
        );
        assert!(form(true).starts_with(b"\x0a\x053.0.0"));
    }

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
