//! `/flagz` and `/statusz`: what the server tells people and programs about itself (k8s.io/apiserver `pkg/server/flagz` and
//! `pkg/server/statusz`), as a text or as an object of `config.k8s.io`.

mod flagz;
mod statusz;

use super::negotiation::{self, Clause, Format, Negotiated, Shape, header_text};
use super::respond::{self, Client};
use crate::server::request::{Body, full};
use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The server's name on its pages.
const COMPONENT: &str = "apiserver";
const GROUP: &str = "config.k8s.io";
/// The versions of the objects; the first one is old.
const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];
const TEXT: &str = "text/plain";
const WARNING: &str = "This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";

/// What the pages show.
pub struct Pages {
    flags: BTreeMap<String, String>,
    started: Timestamp,
}

/// One page in its two forms.
struct Page {
    /// The kind of its object.
    kind: &'static str,
    /// What the object has besides kind and metadata.
    fields: Value,
    /// The lines of the text.
    text: String,
}

/// What a client gets.
enum Form<'a> {
    Text,
    Object {
        format: Format,
        version: &'a str,
        pretty: bool,
    },
}

impl Pages {
    /// The pages of a server with these flags that starts now.
    pub fn new(flags: BTreeMap<String, String>) -> Self {
        Pages {
            flags,
            started: Timestamp::now(),
        }
    }

    /// The answer for a page, whatever the method; `None` for other paths. `paths` lists everything there is.
    pub fn answer(
        &self,
        paths: impl FnOnce() -> Vec<String>,
        path: &str,
        client: Client<'_>,
    ) -> Option<Response<Body>> {
        let page = match path {
            "/flagz" => flagz::page(&self.flags),
            "/statusz" => statusz::page(&paths(), self.started, Timestamp::now()),
            _ => return None,
        };
        Some(page.answer(client))
    }
}

impl Page {
    fn answer(self, client: Client<'_>) -> Response<Body> {
        let accept = header_text(client.headers, header::ACCEPT).trim();
        let clauses = negotiation::clauses(accept);
        let form = match accept {
            "" => Some(Form::Text),
            _ => clauses.iter().find_map(|clause| self.form(clause)),
        };
        match form {
            Some(Form::Text) => self.text(),
            Some(Form::Object {
                format,
                version,
                pretty,
            }) => {
                let pretty = pretty || negotiation::wants_pretty(client.headers, client.query);
                self.object(format, version, pretty, client)
            }
            None => {
                let accepted = [Format::Json.media_type(), Format::Yaml.media_type(), TEXT];
                respond::error(&negotiation::not_acceptable(&accepted), client)
            }
        }
    }

    /// What a clause of `Accept` asks for: objects only in versions that exist, and texts only as they are.
    fn form<'a>(&self, clause: &Clause<'a>) -> Option<Form<'a>> {
        let wanted = clause.wanted(false)?;
        let object = wanted.conversion.and_then(|(group, version, kind)| {
            let known = group == GROUP && kind == self.kind && VERSIONS.contains(&version);
            let mut formats = [Format::Json, Format::Yaml].into_iter();
            let format = formats.find(|format| clause.takes(format.media_type()))?;
            known.then_some(Form::Object {
                format,
                version,
                pretty: wanted.pretty,
            })
        });
        let text = || (wanted.conversion.is_none() && clause.takes(TEXT)).then_some(Form::Text);
        object.or_else(text)
    }

    fn text(self) -> Response<Body> {
        let name = self.kind.to_lowercase();
        let text = format!("\n{COMPONENT} {name}\nWarning: {WARNING}\n{}", self.text);
        respond::body(StatusCode::OK, "text/plain; charset=utf-8", full(text))
    }

    fn object(self, format: Format, version: &str, pretty: bool, client: Client<'_>) -> Response<Body> {
        let mut object = json!({
            "kind": self.kind,
            "apiVersion": format!("{GROUP}/{version}"),
            "metadata": {"name": COMPONENT},
        });
        if let (Value::Object(object), Value::Object(mut fields)) = (&mut object, self.fields) {
            object.append(&mut fields);
        }
        let negotiated = Negotiated {
            format,
            shape: Shape::Plain,
            pretty,
        };
        let mut response = respond::tree(StatusCode::OK, &object, &negotiated, client);
        let headers = response.headers_mut();
        let media_type = format!("{};g={GROUP};v={version};as={}", format.media_type(), self.kind);
        if let Ok(media_type) = HeaderValue::from_str(&media_type) {
            headers.insert(header::CONTENT_TYPE, media_type);
        }
        if version == VERSIONS[0] {
            let text = format!(
                "299 - \"This version of the {} endpoint is deprecated. Please use a newer version.\"",
                self.kind.to_lowercase()
            );
            if let Ok(warning) = HeaderValue::from_str(&text) {
                headers.insert(header::WARNING, warning);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::query::Query;
    use http::HeaderMap;
    use http_body_util::BodyExt;

    async fn get(accept: &str) -> (u16, String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let flags = BTreeMap::from([("b".to_owned(), "1".to_owned()), ("a".to_owned(), String::new())]);
        let query = Query::default();
        let client = Client {
            headers: &headers,
            query: &query,
        };
        let response = flagz::page(&flags).answer(client);
        let (code, media_type) = (
            response.status().as_u16(),
            response.headers()[header::CONTENT_TYPE].clone(),
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            media_type.to_str().unwrap().to_owned(),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn clients_choose_between_texts_and_objects() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/*",
            "application/json;as=X, text/plain;q=0.1",
        ] {
            let (code, media_type, text) = get(accept).await;
            assert_eq!(
                (code, media_type.as_str()),
                (200, "text/plain; charset=utf-8"),
                "{accept}"
            );
            assert!(
                text.starts_with("\napiserver flagz\nWarning: ") && text.ends_with("\na:\nb:1\n"),
                "{text}"
            );
        }
        let (code, media_type, text) = get("application/yaml;v=v1beta1;g=config.k8s.io;as=Flagz").await;
        assert_eq!(code, 200);
        assert_eq!(media_type, "application/yaml;g=config.k8s.io;v=v1beta1;as=Flagz");
        assert_eq!(
            text,
            "apiVersion: config.k8s.io/v1beta1\nflags:\n  a: \"\"\n  b: \"1\"\nkind: Flagz\nmetadata:\n  name: apiserver\n"
        );
        for accept in [
            "application/json",
            "application/json;v=v1beta1;g=config.k8s.io;as=Statusz",
            "application/json;v=v1;g=config.k8s.io;as=Flagz",
            "application/vnd.kubernetes.protobuf;v=v1beta1;g=config.k8s.io;as=Flagz",
            "text/plain;v=v1beta1;g=config.k8s.io;as=Flagz",
        ] {
            let (code, _, text) = get(accept).await;
            assert_eq!(code, 406, "{accept}");
            let accepted = "accepted: application/json, application/yaml, text/plain";
            assert!(text.contains(accepted), "{text}");
        }
    }
}
