//! Which representation a client gets and sends (k8s.io/apiserver `pkg/endpoints/handlers/negotiation`).

use super::query::Query;
use http::{HeaderMap, header};
use machinery::status::{Details, Status};

/// What objects can be exchanged as.
pub const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
/// What watches can be streamed as.
pub const STREAM_TYPES: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// What lists, which watches are asked for in the same way, can be exchanged as.
pub const STREAMABLE_TYPES: [&str; 5] = [
    MEDIA_TYPES[0],
    MEDIA_TYPES[1],
    MEDIA_TYPES[2],
    STREAM_TYPES[0],
    STREAM_TYPES[1],
];

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes protobuf.
    Protobuf,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Yaml => "application/yaml",
            Format::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Format::Protobuf),
            _ => None,
        }
    }
}

/// What an object is turned into before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The object itself.
    Plain,
    /// A table; the version of `meta.k8s.io`.
    Table(String),
    /// Only the metadata; the version of `meta.k8s.io`.
    Metadata(String),
    /// A list of only the metadata; the version of `meta.k8s.io`.
    MetadataList(String),
    /// The aggregated discovery document; its version.
    Discovery(String),
}

/// Which shapes an endpoint can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// Only the object itself.
    Plain,
    /// Tables and metadata.
    Transforms,
    /// The same for kinds that have no protobuf form: only their metadata has.
    CustomTransforms,
    /// Metadata.
    Metadata,
    /// The aggregated discovery document.
    Discovery,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The encoding.
    pub format: Format,
    /// The shape.
    pub shape: Shape,
    /// Whether the answer is indented for people.
    pub pretty: bool,
}

impl Negotiated {
    /// What a client gets that asks for nothing.
    pub fn default_for(headers: &HeaderMap, query: &Query) -> Self {
        Negotiated {
            format: Format::Json,
            shape: Shape::Plain,
            pretty: wants_pretty(headers, query),
        }
    }
}

/// One clause of an `Accept` header.
pub(super) struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// What the parameters of a clause ask for.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Group, version and kind, when the answer shall become something else.
    pub(super) conversion: Option<(&'a str, &'a str, &'a str)>,
    /// Whether it shall be indented for people.
    pub(super) pretty: bool,
}

impl<'a> Clause<'a> {
    /// Whether it takes a media type.
    pub(super) fn takes(&self, media_type: &str) -> bool {
        let Some((kind, subtype)) = media_type.split_once('/') else {
            return false;
        };
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (k, "*") => k == kind,
            (k, s) => k == kind && s == subtype,
        }
    }

    /// What its parameters ask for; `None` when nobody can do it. Only watches are `streamed`.
    pub(super) fn wanted(&self, streamed: bool) -> Option<Wanted<'a>> {
        let mut wanted = Wanted::default();
        for (key, value) in &self.parameters {
            let conversion = || wanted.conversion.unwrap_or_default();
            match *key {
                "g" => wanted.conversion = Some((value, conversion().1, conversion().2)),
                "v" => wanted.conversion = Some((conversion().0, value, conversion().2)),
                "as" => wanted.conversion = Some((conversion().0, conversion().1, value)),
                "stream" if !value.is_empty() && (*value != "watch" || !streamed) => return None,
                "sv" if !value.is_empty() => return None,
                "pretty" => wanted.pretty = *value == "1",
                _ => {}
            }
        }
        Some(wanted)
    }
}

/// The first check of `Accept`, which knows neither parameters nor partial wildcards (go-restful `matchesAccept`).
///
/// # Errors
/// 406 that lists what is available.
pub fn check_accept(headers: &HeaderMap, produces: &[&str]) -> Result<(), Status> {
    let accept = header_text(headers, header::ACCEPT);
    let matches = accept.is_empty()
        || accept.split(',').any(|item| {
            let media_type = item.split(';').next().unwrap_or_default().trim();
            media_type == "*/*" || produces.contains(&media_type)
        });
    if matches {
        return Ok(());
    }
    let message = format!(
        "406: Not Acceptable\n\nAvailable representations: {}",
        produces.join(", ")
    );
    Err(Status::failure(406, "NotAcceptable", message).with_details(Details::default()))
}

/// Chooses the representation of an answer.
///
/// # Errors
/// 406 that lists what is accepted.
pub fn negotiate(headers: &HeaderMap, query: &Query, allows: Allows) -> Result<Negotiated, Status> {
    choose(headers, query, allows).ok_or_else(|| not_acceptable(&MEDIA_TYPES))
}

/// Chooses the representation of a watch: YAML cannot be streamed.
///
/// # Errors
/// 406 that lists what is accepted.
pub fn negotiate_stream(headers: &HeaderMap, query: &Query, allows: Allows) -> Result<Negotiated, Status> {
    choose(headers, query, allows)
        .filter(|chosen| chosen.format != Format::Yaml)
        .ok_or_else(|| not_acceptable(&STREAM_TYPES))
}

/// 406 that lists what is accepted.
pub fn not_acceptable(accepted: &[&str]) -> Status {
    let message = format!("only the following media types are accepted: {}", accepted.join(", "));
    Status::failure(406, "NotAcceptable", message)
}

/// The encoding of a request body; JSON when the client does not say.
///
/// # Errors
/// 415 that lists what is accepted.
pub fn body_format(headers: &HeaderMap) -> Result<Format, Status> {
    let content_type = header_text(headers, header::CONTENT_TYPE);
    if content_type.is_empty() {
        return Ok(Format::Json);
    }
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media_type = media_type.trim().to_ascii_lowercase();
    let format = Format::of(&media_type).filter(|_| are_parameters(parameters));
    format.ok_or_else(|| {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            MEDIA_TYPES.join(", ")
        );
        Status::failure(415, "UnsupportedMediaType", message)
    })
}

/// Whether a text is what Go's `mime.ParseMediaType` takes behind a semicolon; another one may end it.
fn are_parameters(text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_suffix(';').unwrap_or(text);
    let named = |parameter: &str| {
        parameter
            .split_once('=')
            .is_some_and(|(name, _)| !name.trim().is_empty())
    };
    text.trim().is_empty() || text.split(';').all(named)
}

/// A header as text; empty when absent or no text.
pub fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn choose(headers: &HeaderMap, query: &Query, allows: Allows) -> Option<Negotiated> {
    let accept = header_text(headers, header::ACCEPT);
    let human = wants_pretty(headers, query);
    if accept.is_empty() {
        return Some(Negotiated {
            format: Format::Json,
            shape: Shape::Plain,
            pretty: human,
        });
    }
    clauses(accept).iter().find_map(|clause| {
        [Format::Json, Format::Yaml, Format::Protobuf]
            .into_iter()
            .find_map(|format| {
                let fits = clause.takes(format.media_type());
                let (shape, pretty) = fits.then(|| parameters(clause, format, allows)).flatten()?;
                Some(Negotiated {
                    format,
                    shape,
                    pretty: pretty || human,
                })
            })
    })
}

/// The clauses of an `Accept` header, best first.
pub(super) fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = accept
        .split(',')
        .filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let media_type = parts.next()?;
            let (kind, subtype) = match media_type.split_once('/') {
                Some((kind, subtype)) => (kind.trim(), subtype.trim()),
                None if media_type == "*" => ("*", "*"),
                None => return None,
            };
            let mut clause = Clause {
                kind,
                subtype,
                quality: 1.0,
                parameters: Vec::new(),
            };
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => clause.quality = value.trim().parse().unwrap_or_default(),
                    _ if value.trim().is_empty() => {}
                    key => clause.parameters.push((key, value.trim())),
                }
            }
            Some(clause)
        })
        .collect();
    // The sort is stable: among equals, the order written counts. Wildcards come last.
    let rank = |clause: &Clause<'_>| (clause.kind == "*", clause.subtype == "*");
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality).then_with(|| rank(a).cmp(&rank(b))));
    clauses
}

/// What the parameters of a clause ask for; `None` when the endpoint cannot do it.
fn parameters(clause: &Clause<'_>, format: Format, allows: Allows) -> Option<(Shape, bool)> {
    let Wanted { conversion, pretty } = clause.wanted(format != Format::Yaml)?;
    let Some((group, version, kind)) = conversion else {
        let possible = allows != Allows::CustomTransforms || format != Format::Protobuf;
        return possible.then_some((Shape::Plain, pretty));
    };
    if format == Format::Protobuf && kind == "Table" {
        // Tables have no protobuf form.
        return None;
    }
    let version_text = version.to_owned();
    let shape = match (allows, group, version, kind) {
        (Allows::Transforms | Allows::CustomTransforms, "meta.k8s.io", "v1" | "v1beta1", "Table") => {
            Shape::Table(version_text)
        }
        (
            Allows::Transforms | Allows::CustomTransforms | Allows::Metadata,
            "meta.k8s.io",
            "v1" | "v1beta1",
            "PartialObjectMetadata",
        ) => Shape::Metadata(version_text),
        (
            Allows::Transforms | Allows::CustomTransforms | Allows::Metadata,
            "meta.k8s.io",
            "v1" | "v1beta1",
            "PartialObjectMetadataList",
        ) => Shape::MetadataList(version_text),
        (Allows::Discovery, "apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Shape::Discovery(version_text),
        _ => return None,
    };
    Some((shape, pretty))
}

/// `pretty` in the query decides; else people's command line tools and browsers get indented answers.
pub(super) fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    match query.text("pretty") {
        "" => {
            let agent = header_text(headers, header::USER_AGENT);
            ["curl", "Wget", "Mozilla/5.0"]
                .iter()
                .any(|prefix| agent.starts_with(prefix))
        }
        text => matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn accept(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        headers
    }

    fn chosen(value: &str, allows: Allows) -> Option<(Format, Shape)> {
        let negotiated = negotiate(&accept(value), &Query::default(), allows).ok()?;
        Some((negotiated.format, negotiated.shape))
    }

    #[test]
    fn the_best_clause_that_can_be_served_wins() {
        let v1 = || "v1".to_owned();
        for (value, expected) in [
            ("application/json", Some((Format::Json, Shape::Plain))),
            ("*/*", Some((Format::Json, Shape::Plain))),
            ("application/*", Some((Format::Json, Shape::Plain))),
            ("application/yaml", Some((Format::Yaml, Shape::Plain))),
            (
                "application/json;q=0.5, application/yaml",
                Some((Format::Yaml, Shape::Plain)),
            ),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some((Format::Json, Shape::Table(v1()))),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some((Format::Json, Shape::Plain)),
            ),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v2", None),
            ("application/json;as=Foo;v=v1;g=meta.k8s.io", None),
            ("application/json;stream=watch", Some((Format::Json, Shape::Plain))),
            ("application/cbor", None),
            ("text/html", None),
        ] {
            assert_eq!(chosen(value, Allows::Transforms), expected, "{value}");
        }
        assert_eq!(
            chosen("application/json;as=Table;v=v1;g=meta.k8s.io", Allows::Plain),
            None
        );
    }

    #[test]
    fn the_first_check_knows_no_partial_wildcards() {
        for (value, good) in [
            ("application/json;q=1", true),
            ("*/*", true),
            ("application/*", false),
            ("text/html, */*;q=0.1", true),
        ] {
            assert_eq!(check_accept(&accept(value), &MEDIA_TYPES).is_ok(), good, "{value}");
        }
        let status = check_accept(&accept("text/html"), &MEDIA_TYPES).unwrap_err();
        assert_eq!(
            status.message,
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        );
    }

    #[test]
    fn bodies_are_json_unless_told() {
        let mut headers = HeaderMap::new();
        assert_eq!(body_format(&headers).unwrap(), Format::Json);
        for (value, expected) in [
            ("application/json; charset=utf-8", Some(Format::Json)),
            ("application/yaml", Some(Format::Yaml)),
            ("application/xml", None),
        ] {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(body_format(&headers).ok(), expected, "{value}");
        }
    }
}
