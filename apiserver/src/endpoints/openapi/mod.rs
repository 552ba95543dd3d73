//! `/openapi/v2` and `/openapi/v3`: documents that are made when first asked for and then kept compressed.

use super::discovery::{self, etag};
use super::negotiation::header_text;
use super::respond::{Client, accepts_gzip};
use crate::registry::catalog::Catalog;
use crate::registry::resource::Resource;
use crate::server::request::{Body, empty, full};
use crate::server::version::KUBERNETES;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, StatusCode, header};
use machinery::gvk::GroupVersion;
use machinery::openapi::{self, Swagger, write_v3};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The media types of `/openapi/v2`, by the names that clients use and the one that is answered.
const V2_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
const JSON: &str = "application/json";
/// How long a document that is named by its hash stays what it is.
const IMMUTABLE: &str = "public, immutable, max-age=31536000";

/// The documents that have been asked for.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<String, Arc<Document>>>);

struct Document {
    compressed: Bytes,
    etag: String,
}

impl Documents {
    /// Answers a request for a document; `None` when the path is none.
    pub fn answer(&self, catalog: &Catalog, path: &str, client: Client<'_>) -> Option<Response<Body>> {
        match path.trim_end_matches('/') {
            "/openapi/v2" => Some(self.v2(catalog, client)),
            "/openapi/v3" => Some(answer_index(&index(catalog))),
            other => {
                let path = other.strip_prefix("/openapi/v3/")?;
                Some(
                    match served(catalog)
                        .into_iter()
                        .find(|version| document_path(version) == path)
                    {
                        Some(version) => self.v3(catalog, &version, client),
                        None => code(StatusCode::NOT_FOUND),
                    },
                )
            }
        }
    }

    fn v2(&self, catalog: &Catalog, client: Client<'_>) -> Response<Body> {
        let accepted = |media_type: &str| accepts(client, media_type);
        let protobuf = V2_PROTOBUF.iter().any(|name| accepted(name));
        if protobuf {
            let document = self.document("v2.pb", |out| {
                let resources = resources(catalog, None);
                Swagger::new(&resources).write_protobuf(out)
            });
            return send(document, V2_PROTOBUF[1], client);
        }
        if !accepted(JSON) {
            return code(StatusCode::NOT_ACCEPTABLE);
        }
        let document = self.document("v2.json", |out| {
            let resources = resources(catalog, None);
            Swagger::new(&resources).write_json(out)
        });
        send(document, JSON, client)
    }

    fn v3(&self, catalog: &Catalog, version: &GroupVersion, client: Client<'_>) -> Response<Body> {
        if !accepts(client, JSON) {
            return code(StatusCode::NOT_ACCEPTABLE);
        }
        let hash = hash(catalog, version);
        let asked = client.query.text("hash");
        if !asked.is_empty() && asked != hash {
            let mut response = code(StatusCode::MOVED_PERMANENTLY);
            if let Ok(location) = HeaderValue::from_str(&format!("/openapi/v3/{}?hash={hash}", document_path(version)))
            {
                response.headers_mut().insert(header::LOCATION, location);
            }
            return response;
        }
        let document = self.document(&document_path(version), |out| {
            write_v3(version, &resources(catalog, Some(version)), out)
        });
        let mut response = send(document, JSON, client);
        if !asked.is_empty() {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
        }
        response
    }

    /// The compressed document of a name, made by `write` when it is asked for the first time.
    fn document(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Option<Arc<Document>> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = documents.get(name) {
            return Some(document.clone());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = write(&mut encoder).and_then(|()| encoder.finish());
        match written {
            Ok(mut compressed) => {
                compressed.shrink_to_fit();
                let etag = etag(&compressed);
                let document = Arc::new(Document {
                    compressed: compressed.into(),
                    etag,
                });
                documents.insert(name.to_owned(), document.clone());
                Some(document)
            }
            Err(error) => {
                tracing::error!(document = name, %error, "cannot write the OpenAPI document");
                None
            }
        }
    }
}

/// Whether the client takes a media type.
fn accepts(client: Client<'_>, media_type: &str) -> bool {
    let accept = header_text(client.headers, header::ACCEPT);
    accept.is_empty() && media_type == JSON
        || accept.split(',').any(|item| {
            let name = item.split(';').next().unwrap_or_default().trim();
            name == media_type || (media_type == JSON && matches!(name, "*/*" | "application/*"))
        })
}

fn code(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = code;
    response
}

fn send(document: Option<Arc<Document>>, media_type: &'static str, client: Client<'_>) -> Response<Body> {
    let Some(document) = document else {
        return code(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let unchanged = header_text(client.headers, header::IF_NONE_MATCH) == document.etag;
    let mut response = if unchanged {
        code(StatusCode::NOT_MODIFIED)
    } else if accepts_gzip(client.headers) {
        let mut response = Response::new(full(document.compressed.clone()));
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let mut plain = Vec::new();
        match GzDecoder::new(document.compressed.as_ref()).read_to_end(&mut plain) {
            Ok(_) => Response::new(full(plain)),
            Err(_) => return code(StatusCode::INTERNAL_SERVER_ERROR),
        }
    };
    let headers = response.headers_mut();
    if !unchanged {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// The groups and versions that have documents.
fn served(catalog: &Catalog) -> Vec<GroupVersion> {
    let named = discovery::groups(catalog);
    let named = named
        .iter()
        .flat_map(|(group, versions)| versions.iter().map(|v| GroupVersion::new(group.clone(), v)));
    std::iter::once(GroupVersion::new("", "v1")).chain(named).collect()
}

fn document_path(version: &GroupVersion) -> String {
    if version.group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{version}")
    }
}

/// What changes when a document does. Documents depend on nothing but this program and the resources it serves.
fn hash(catalog: &Catalog, version: &GroupVersion) -> String {
    let list = discovery::legacy::resource_list(catalog, &version.group, &version.version);
    let tag = etag(format!("{} {KUBERNETES} {list}", chassis::VERSION).as_bytes());
    tag.trim_matches('"').to_owned()
}

fn index(catalog: &Catalog) -> Value {
    let entry = |version: &GroupVersion| {
        let path = document_path(version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(catalog, version));
        (path, json!({ "serverRelativeURL": url }))
    };
    let paths: Map<String, Value> = served(catalog).iter().map(entry).collect();
    json!({ "paths": paths })
}

fn answer_index(index: &Value) -> Response<Body> {
    let mut response = Response::new(full(index.to_string()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// The resources of one version, or of all, for the documents.
fn resources<'a>(catalog: &'a Catalog, version: Option<&GroupVersion>) -> Vec<openapi::Resource<'a>> {
    let wanted = |resource: &Resource| version.is_none_or(|version| resource.gvk.group_version() == *version);
    let all = catalog.stores().iter().map(|store| store.resource.as_ref());
    all.filter(|resource| wanted(resource))
        .map(|resource| {
            let kind = resource.gvk.clone();
            let start = openapi::Resource::builtin(kind, resource.plural, resource.namespaced(), resource.verbs);
            let below = resource
                .subresources
                .iter()
                .filter(|subresource| !subresource.name.is_empty());
            below.fold(start, |built, s| built.with(s.name, s.gvk.clone(), s.verbs))
        })
        .collect()
}
