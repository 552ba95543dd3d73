//! `/openapi/v2` and `/openapi/v3`: documents that are made when first asked for and then kept compressed.

use super::discovery::{self, etag};
use super::negotiation::header_text;
use super::respond::{self, Client, accepts_gzip};
use crate::aggregator::Aggregator;
use crate::registry::catalog::Served;
use crate::registry::resource::Resource;
use crate::registry::store::Store;
use crate::server::request::{Body, empty, full};
use crate::server::version::KUBERNETES;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, StatusCode, header};
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::openapi::{self, Document as Spec, Page, Part, Swagger};
use machinery::schema::Type;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use structural::publish::{Dialect, name_of};

/// The media types of `/openapi/v2`, by the names that clients use and the one that is answered.
const V2_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
/// The same of the documents of `/openapi/v3`.
const V3_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
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
    /// What it was made from.
    stamp: String,
}

impl Documents {
    /// Answers a request for a document; `None` when the path is none.
    pub fn answer(
        &self,
        served: &Served,
        aggregator: &Aggregator,
        path: &str,
        client: Client<'_>,
    ) -> Option<Response<Body>> {
        match path {
            "/openapi/v2" => Some(self.v2(served, &aggregator.parts(), client)),
            "/openapi/v3" => Some(send_index(&index(served, aggregator.documents()), client)),
            other => {
                let path = other.strip_prefix("/openapi/v3/")?;
                if let Some(converted) = aggregator.converted(path) {
                    let write = |out: &mut dyn Write, protobuf| converted.write(out, protobuf);
                    return Some(self.versioned(path, &converted.hash, client, &write));
                }
                let about = described(served).into_iter().find(|about| about.path() == path);
                Some(about.map_or_else(|| code(StatusCode::NOT_FOUND), |about| self.v3(served, &about, client)))
            }
        }
    }

    fn v2(&self, served: &Served, others: &[(String, Arc<Part>)], client: Client<'_>) -> Response<Body> {
        let accepted = |media_type: &str| accepts(client, media_type);
        let mut stamp = stamp(served.stores().map(AsRef::as_ref));
        others.iter().for_each(|(tag, _)| stamp.push_str(tag));
        let document = |name: &str, write: &dyn Fn(&Swagger<'_>, &mut dyn Write) -> std::io::Result<()>| {
            self.document(name, &stamp, |out| {
                let types = CustomTypes::of(served, None);
                let resources = resources(served, None, &types, Dialect::V2);
                let own = Swagger::new(&resources);
                write(&others.iter().fold(own, |all, (_, part)| all.with(part)), out)
            })
        };
        let mut response = if V2_PROTOBUF.iter().any(|name| accepted(name)) {
            let document = document("v2.pb", &|swagger, out| swagger.write_protobuf(out));
            send(document, V2_PROTOBUF[1], client, true)
        } else if accepted(JSON) {
            let document = document("v2.json", &|swagger, out| swagger.write_json(out));
            send(document, JSON, client, true)
        } else {
            code(StatusCode::NOT_ACCEPTABLE)
        };
        vary(&mut response, &["Accept-Encoding", "Accept"]);
        response
    }

    fn v3(&self, served: &Served, about: &About, client: Client<'_>) -> Response<Body> {
        let write = |out: &mut dyn Write, protobuf: bool| {
            let types = CustomTypes::of(served, about.version());
            let resources = about
                .version()
                .map(|version| resources(served, Some(version), &types, Dialect::V3))
                .unwrap_or_default();
            let document = match about {
                About::Version(version) => Spec::new(version, &resources),
                About::Group(group) => Spec::of_group(Some(group)),
                About::Groups => Spec::of_group(None),
                About::Page(page) => Spec::of_page(*page),
            };
            if protobuf {
                document.write_protobuf(out)
            } else {
                document.write_json(out)
            }
        };
        self.versioned(&about.path(), &about.hash(served), client, &write)
    }

    /// A document of version 3, which `write` writes as JSON or as protobuf.
    fn versioned(
        &self,
        path: &str,
        hash: &str,
        client: Client<'_>,
        write: &dyn Fn(&mut dyn Write, bool) -> std::io::Result<()>,
    ) -> Response<Body> {
        let mut response = self.in_form(path, hash, client, write);
        vary(&mut response, &["Accept"]);
        response
    }

    fn in_form(
        &self,
        path: &str,
        hash: &str,
        client: Client<'_>,
        write: &dyn Fn(&mut dyn Write, bool) -> std::io::Result<()>,
    ) -> Response<Body> {
        let protobuf = V3_PROTOBUF.iter().any(|name| accepts(client, name));
        if !protobuf && !accepts(client, JSON) {
            return code(StatusCode::NOT_ACCEPTABLE);
        }
        let asked = client.query.text("hash");
        if !asked.is_empty() && asked != hash {
            let mut response = code(StatusCode::MOVED_PERMANENTLY);
            if let Ok(location) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={hash}")) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            return response;
        }
        let (name, media_type) = if protobuf {
            (format!("{path}.pb"), V3_PROTOBUF[1])
        } else {
            (path.to_owned(), JSON)
        };
        let mut response = send(
            self.document(&name, hash, |out| write(out, protobuf)),
            media_type,
            client,
            false,
        );
        if !asked.is_empty() {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
        }
        response
    }

    /// The compressed document of a name, made by `write` when it is asked for the first time or its stamp has changed.
    fn document(
        &self,
        name: &str,
        stamp: &str,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Option<Arc<Document>> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = documents.get(name).filter(|document| document.stamp == stamp) {
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
                    stamp: stamp.to_owned(),
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

fn vary(response: &mut Response<Body>, names: &[&'static str]) {
    for name in names {
        response
            .headers_mut()
            .append(header::VARY, HeaderValue::from_static(name));
    }
}

/// Whether the client has the document of this tag already (RFC 9110 `If-None-Match`).
fn has_it(client: Client<'_>, etag: &str) -> bool {
    let tags = header_text(client.headers, header::IF_NONE_MATCH);
    let same = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    tags.split(',').any(|tag| same(tag.trim()))
}

/// Sends a document; `compressed` when the client may get it as it is kept.
fn send(
    document: Option<Arc<Document>>,
    media_type: &'static str,
    client: Client<'_>,
    compressed: bool,
) -> Response<Body> {
    let Some(document) = document else {
        return code(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let unchanged = has_it(client, &document.etag);
    let mut response = if unchanged {
        code(StatusCode::NOT_MODIFIED)
    } else if compressed && accepts_gzip(client.headers) {
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
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// What a document of version 3 is about.
enum About {
    /// The resources of a group and version.
    Version(GroupVersion),
    /// The versions of a group.
    Group(String),
    /// All groups.
    Groups,
    /// Something else.
    Page(Page),
}

impl About {
    fn path(&self) -> String {
        match self {
            About::Version(version) if version.group.is_empty() => format!("api/{version}"),
            About::Version(version) => format!("apis/{version}"),
            About::Group(group) if group.is_empty() => "api".to_owned(),
            About::Group(group) => format!("apis/{group}"),
            About::Groups => "apis".to_owned(),
            About::Page(page) => page.path().to_owned(),
        }
    }

    fn version(&self) -> Option<&GroupVersion> {
        match self {
            About::Version(version) => Some(version),
            _ => None,
        }
    }

    /// What changes when the document does. Documents depend on nothing but this program and the resources it serves.
    fn hash(&self, served: &Served) -> String {
        let list = self
            .version()
            .map(|version| discovery::legacy::resource_list(served, &version.group, &version.version));
        let own = served
            .stores()
            .filter(|store| self.version() == Some(&store.resource.group_version()));
        let stamp = stamp(own.map(AsRef::as_ref));
        let tag = etag(format!("{} {KUBERNETES} {} {list:?} {stamp}", chassis::VERSION, self.path()).as_bytes());
        tag.trim_matches('"').to_owned()
    }
}

/// Everything that has a document of version 3.
fn described(served: &Served) -> Vec<About> {
    let named = discovery::groups(served);
    let mut described = vec![
        About::Groups,
        About::Group(String::new()),
        About::Version(GroupVersion::new("", "v1")),
    ];
    for (group, versions) in named {
        let versions = versions.iter().map(|version| GroupVersion::new(group.clone(), version));
        described.extend(versions.map(About::Version));
        // Upstream describes only the groups that it has built in.
        if served.is_builtin(&group) {
            described.push(About::Group(group));
        }
    }
    described.extend(Page::ALL.map(About::Page));
    described
}

fn index(served: &Served, others: Map<String, Value>) -> Value {
    let entry = |about: &About| {
        let path = about.path();
        let url = format!("/openapi/v3/{path}?hash={}", about.hash(served));
        (path, json!({ "serverRelativeURL": url }))
    };
    let mut paths = others;
    paths.extend(described(served).iter().map(entry));
    json!({ "paths": paths })
}

/// The index, whose media type upstream leaves to Go's guess.
fn send_index(index: &Value, client: Client<'_>) -> Response<Body> {
    let text = index.to_string();
    let tag = etag(text.as_bytes());
    let mut response = if has_it(client, &tag) {
        code(StatusCode::NOT_MODIFIED)
    } else {
        respond::body(StatusCode::OK, "text/plain; charset=utf-8", full(text))
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What changes when a definition does.
fn stamp<'a>(stores: impl Iterator<Item = &'a Store>) -> String {
    let custom = stores.filter_map(|store| store.resource.custom.as_ref());
    custom.map(|custom| custom.stamp.as_str()).collect::<Vec<_>>().join(" ")
}

/// The names of types that are defined at run time, by resource.
struct CustomTypes(HashMap<GroupVersionKind, [Type; 2]>);

impl CustomTypes {
    fn of(served: &Served, version: Option<&GroupVersion>) -> Self {
        let wanted = |resource: &Resource| version.is_none_or(|version| resource.group_version() == *version);
        let all = served.stores().map(|store| store.resource.as_ref());
        let custom = all.filter(|resource| resource.custom.is_some() && wanted(resource));
        let types = |resource: &Resource| {
            let kind = &resource.gvk;
            let name = |kind_name: &str| name_of(&kind.group, &kind.version, kind_name);
            let object = openapi::custom_type(&name(&kind.kind), "ObjectMeta");
            let list = openapi::custom_type(&name(&resource.list_kind), "ListMeta");
            (kind.clone(), [object, list])
        };
        CustomTypes(custom.map(types).collect())
    }
}

/// The resources of one version, or of all, for the documents.
fn resources<'a>(
    served: &'a Served,
    version: Option<&GroupVersion>,
    types: &'a CustomTypes,
    dialect: Dialect,
) -> Vec<openapi::Resource<'a>> {
    let wanted = |resource: &Resource| version.is_none_or(|version| resource.gvk.group_version() == *version);
    let all = served.stores().map(|store| store.resource.as_ref());
    all.filter(|resource| wanted(resource))
        .map(|resource| {
            let kind = resource.gvk.clone();
            let mut start = openapi::Resource {
                returns_deleted: resource.strategy.returns_deleted_object(),
                ..openapi::Resource::builtin(kind, &resource.plural, resource.namespaced(), resource.verbs)
            };
            let own = types.0.get(&resource.gvk);
            if let (Some(structure), Some([object, list])) = (resource.structure(), own) {
                (start.ty, start.list) = (Some(object), Some(list));
                start.custom = Some(openapi::Custom(Arc::new(move |part| {
                    structure.published(dialect, part)
                })));
            }
            let below = resource
                .subresources
                .iter()
                .filter(|subresource| !subresource.name.is_empty());
            below.fold(start, |built, s| {
                let mut built = built.with(s.name, s.gvk.clone(), s.verbs);
                // The status of a kind that is defined at run time is of the same type.
                if let (true, Some([object, _]), Some(last)) =
                    (s.gvk == resource.gvk, own, built.subresources.last_mut())
                {
                    last.ty = Some(object);
                }
                built
            })
        })
        .collect()
}
