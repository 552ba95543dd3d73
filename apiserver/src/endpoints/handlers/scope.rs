//! What every handler knows about its request.

use crate::admission::Operation;
use crate::endpoints::installer::{Route, Verb};
use crate::endpoints::negotiation::{self, Allows, MEDIA_TYPES, Negotiated, STREAMABLE_TYPES, Shape, header_text};
use crate::endpoints::options::Shown;
use crate::endpoints::query::Query;
use crate::endpoints::respond::{self, Client};
use crate::endpoints::table::{self, Include, Style};
use crate::registry::codec;
use crate::registry::columns::Table;
use crate::registry::managers::Managers;
use crate::registry::request::Request;
use crate::registry::resource::Resource;
use crate::registry::store::Store;
use crate::registry::store::admit::Write;
use crate::server::request::{Body, RequestContext};
use http::{Response, StatusCode, header, request};
use machinery::gvk::GroupVersionKind;
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request on a resource.
pub struct Scope {
    /// Who asks for what.
    pub cx: RequestContext,
    /// The request line and headers.
    pub parts: request::Parts,
    /// The parameters.
    pub query: Query,
    /// The resource and verb.
    pub route: Route,
    /// When the request came.
    pub now: jiff::Timestamp,
    /// How the answer looks.
    pub negotiated: Negotiated,
}

impl Scope {
    /// Negotiates the answer of a request.
    ///
    /// # Errors
    /// 406 when the client accepts nothing that there is.
    pub fn new(cx: RequestContext, parts: request::Parts, query: Query, route: Route) -> Result<Self, Status> {
        let resource = &route.store.resource;
        if let Some(text) = &resource.deprecation {
            cx.warnings.add(text.to_string());
        }
        if resource.custom.is_none() {
            let streams = matches!(route.verb, Verb::List | Verb::Watch);
            let produces: &[&str] = if streams { &STREAMABLE_TYPES } else { &MEDIA_TYPES };
            negotiation::check_accept(&parts.headers, produces)?;
        }
        let allows = allowed_shapes(&route);
        let negotiated = negotiation::negotiate(&parts.headers, &query, allows)?;
        Ok(Scope {
            cx,
            parts,
            query,
            route,
            now: jiff::Timestamp::now(),
            negotiated,
        })
    }

    /// The shapes that the answer can have.
    pub fn allows(&self) -> Allows {
        allowed_shapes(&self.route)
    }

    /// The resource's pipeline.
    pub fn store(&self) -> &Arc<Store> {
        &self.route.store
    }

    /// The resource's definition.
    pub fn resource(&self) -> &Resource {
        &self.route.store.resource
    }

    /// The name of the subresource; empty for the object itself.
    pub fn subresource(&self) -> &'static str {
        self.route.subresource().map_or("", |subresource| subresource.name)
    }

    /// What admission sees of something that is made below an object, such as a binding.
    pub fn creation<'a>(&self, kind: &'a GroupVersionKind, name: &'a str) -> Write<'a> {
        Write {
            operation: Operation::Create,
            kind,
            subresource: self.subresource(),
            name,
            old: None,
        }
    }

    /// What answers depend on.
    pub fn client(&self) -> Client<'_> {
        Client {
            headers: &self.parts.headers,
            query: &self.query,
        }
    }

    /// The rules of ownership for a write to the object or to a subresource that is the object.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn managers(&self) -> Result<Managers, Status> {
        self.store().managers(self.subresource())
    }

    /// The manager of the fields that a write sets: the one it names or the client's program name.
    pub fn field_manager(&self, named: &str) -> String {
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = header_text(&self.parts.headers, header::USER_AGENT);
        let program = agent.split('/').next().unwrap_or_default();
        // Upstream cuts by bytes what is too long and drops what cannot be printed.
        let printable: String = program.chars().filter(|c| !c.is_control()).collect();
        let mut end = printable.len().min(128);
        while !printable.is_char_boundary(end) {
            end -= 1;
        }
        printable[..end].to_owned()
    }

    /// Runs `f` with the registry's view of a request with these options.
    pub async fn registry<T>(&self, options: &Shown, f: impl AsyncFnOnce(&Request<'_>) -> T) -> T {
        let warnings = self.cx.warnings.clone();
        let warn = move |text: String| warnings.add(text);
        let request = Request {
            namespace: &self.route.namespace,
            user: &self.cx.user.name,
            uid: &self.cx.user.uid,
            groups: &self.cx.user.groups,
            extra: &self.cx.user.extra,
            now: self.now,
            dry_run: options.dry_run,
            options: &options.value,
            warn: &warn,
        };
        f(&request).await
    }

    /// Answers with a stored object in the shape that was negotiated.
    ///
    /// # Errors
    /// 406 when the client wants a list, 400 for bad table options.
    pub fn object(&self, code: StatusCode, stored: &Stored) -> Result<Response<Body>, Status> {
        if self.negotiated.shape == Shape::Plain {
            let text = codec::served(self.resource(), stored)?;
            return Ok(respond::json(code, text, &self.negotiated, self.client()));
        }
        let object = codec::decode(self.resource(), stored)?;
        self.value(code, object, &*self.resource().columns)
    }

    /// Answers with an object in the shape that was negotiated.
    ///
    /// # Errors
    /// 406 when the client wants a list, 400 for bad table options.
    pub fn value(&self, code: StatusCode, object: Value, columns: &dyn Table) -> Result<Response<Body>, Status> {
        let shaped = match &self.negotiated.shape {
            Shape::Table(version) => {
                let style = self.table_style(version)?;
                let metadata = match machinery::meta::str_at(&object, &["metadata", "resourceVersion"]) {
                    Some(version) => json!({ "resourceVersion": version }),
                    None => json!({}),
                };
                table::table(columns, [Ok(object)], metadata, style)?
            }
            Shape::Metadata(version) => table::partial(&object, version, self.resource().internal_annotations),
            Shape::MetadataList(_) if self.resource().custom.is_some() => {
                // Upstream takes an untyped object for a list until it looks for the items.
                return Err(Status::failure(500, "", "content is not a list"));
            }
            Shape::MetadataList(_) => {
                return Err(not_acceptable(format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
                    self.go_type("")
                )));
            }
            Shape::Plain | Shape::Discovery(_) => object,
        };
        Ok(respond::tree(code, &shaped, &self.negotiated, self.client()))
    }

    /// The style of tables in this answer.
    ///
    /// # Errors
    /// 400 for bad table options.
    pub fn table_style<'a>(&self, version: &'a str) -> Result<Style<'a>, Status> {
        let include = Include::read(&self.query)?;
        Ok(Style {
            version,
            include,
            headings: true,
            hidden: self.resource().internal_annotations,
            now: self.now.as_second(),
        })
    }

    /// Upstream's name of the kind's Go type, which some messages show.
    pub fn go_type(&self, suffix: &str) -> String {
        if self.resource().custom.is_some() {
            return format!("*unstructured.Unstructured{suffix}");
        }
        let kind = &self.resource().gvk;
        let package = match kind.group.as_str() {
            "" | "events.k8s.io" => "core",
            group => group.split('.').next().unwrap_or_default(),
        };
        format!("*{package}.{}{suffix}", kind.kind)
    }
}

fn allowed_shapes(route: &Route) -> Allows {
    match route.subresource() {
        _ if route.store.resource.custom.is_some() => Allows::CustomTransforms,
        Some(subresource) if !subresource.tables => Allows::Metadata,
        _ => Allows::Transforms,
    }
}

/// 406 with a reason.
pub fn not_acceptable(message: String) -> Status {
    Status::failure(406, "NotAcceptable", message)
}
