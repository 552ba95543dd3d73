//! The templates of records: text with fields such as `{{ .Name }}`, `{{ .Group.ip }}` and `{{ index .Match 1 }}`.

use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::str::FromStr;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Zone,
    Name,
    Class,
    Type,
    /// By position; 0 is the whole match.
    Match(usize),
    Group(String),
}

/// What the fields stand for.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) zone: String,
    pub(super) name: String,
    pub(super) class: String,
    pub(super) kind: String,
    pub(super) matches: Vec<String>,
    pub(super) groups: HashMap<String, String>,
}

/// A record whose words have fields in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Reads a template; what is wrong is said in words that follow "the template".
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, tail) = after.split_once("}}").ok_or("has {{ without }}")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Field(field(action)?));
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Template(pieces))
    }

    /// The record; what is wrong with it otherwise.
    pub(super) fn record(&self, values: &Values) -> Result<Record, String> {
        let text: String = self
            .0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Field(field) => field.value(values),
            })
            .collect();
        parse_record(&text).ok_or_else(|| format!("{text:?} is not a record such as: a.example.org. 60 IN A 10.0.0.1"))
    }
}

fn field(action: &str) -> Result<Field, String> {
    let words: Vec<&str> = action.split_whitespace().collect();
    match words.as_slice() {
        [".Zone"] => Ok(Field::Zone),
        [".Name"] => Ok(Field::Name),
        [".Class"] => Ok(Field::Class),
        [".Type"] => Ok(Field::Type),
        ["index", ".Match", index] => index
            .parse()
            .map(Field::Match)
            .map_err(|_| format!("has no match {index:?}")),
        [one] if one.starts_with(".Group.") => Ok(Field::Group(one[".Group.".len()..].to_owned())),
        _ => Err(format!("has an action that is not supported: {{{{{action}}}}}")),
    }
}

impl Field {
    fn value<'a>(&self, values: &'a Values) -> &'a str {
        match self {
            Field::Zone => &values.zone,
            Field::Name => &values.name,
            Field::Class => &values.class,
            Field::Type => &values.kind,
            Field::Match(index) => values.matches.get(*index).map_or("", String::as_str),
            Field::Group(name) => values.groups.get(name).map_or("", String::as_str),
        }
    }
}

/// `NAME [TTL] [CLASS] TYPE DATA`, as in a zone file.
fn parse_record(text: &str) -> Option<Record> {
    let (owner, mut rest) = word(text)?;
    let mut name = Name::from_ascii(owner).ok()?;
    name.set_fqdn(true);
    let (mut ttl, mut class) = (3600, DNSClass::IN);
    let kind = loop {
        let (next, after) = word(rest)?;
        rest = after;
        if let Ok(seconds) = next.parse() {
            ttl = seconds;
        } else if let Ok(one) = DNSClass::from_str(&next.to_uppercase()) {
            class = one;
        } else {
            break RecordType::from_str(&next.to_uppercase()).ok()?;
        }
    };
    let data = RData::try_from_str(kind, rest.trim()).ok()?;
    let mut record = Record::from_rdata(name, ttl, data);
    record.dns_class = class;
    Some(record)
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_made_from_the_query() {
        let values = Values {
            name: "ip-10-0-0-7.example.".to_owned(),
            matches: vec!["ip-10-0-0-7".to_owned(), "10".to_owned()],
            groups: HashMap::from([("d".to_owned(), "7".to_owned())]),
            ..Values::default()
        };
        for (text, expected) in [
            (
                "{{ .Name }} 60 IN A 10.0.0.{{ .Group.d }}",
                Ok("ip-10-0-0-7.example. 60 IN A 10.0.0.7"),
            ),
            (
                "{{.Name}} IN A {{index .Match 1}}.0.0.1",
                Ok("ip-10-0-0-7.example. 3600 IN A 10.0.0.1"),
            ),
            (
                "{{ .Name }} 5 IN CNAME b.example.",
                Ok("ip-10-0-0-7.example. 5 IN CNAME b.example."),
            ),
            ("{{ .Name }} 5 IN A nonsense", Err(())),
            ("{{ .Name }}", Err(())),
        ] {
            let record = Template::parse(text).unwrap().record(&values);
            assert_eq!(
                record.map(|record| record.to_string()).map_err(drop).as_deref(),
                expected.as_ref().copied().map_err(|_| &()),
                "{text}"
            );
        }
        assert!(Template::parse("{{ range .Match }}").is_err());
        assert!(Template::parse("{{ .Name ").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zA-Z0-9 .{}\"\\\\-]{0,60}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.record(&Values::default());
            }
        }
    }
}
