//! What a rule changes.

use crate::request::Request;
use hickory_proto::rr::{DNSClass, Name, RecordType};

/// A rule of the Corefile.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) field: Field,
    /// After a change, apply later rules as well.
    pub(super) proceed: bool,
}

#[derive(Debug)]
pub(super) enum Field {
    Name {
        matcher: Matcher,
        /// Put the name of the query back into the records of the answer.
        restore: bool,
    },
    Type(RecordType, RecordType),
    Class(DNSClass, DNSClass),
}

#[derive(Debug)]
pub(super) enum Matcher {
    Exact(Name, Name),
    Prefix(String, String),
    Suffix(String, String),
    Substring(String, String),
    /// The replacement refers to groups as `{1}`.
    Regex(Box<regex::bytes::Regex>, String),
}

impl Matcher {
    /// The new name, if the rule applies and the result is a name.
    pub(super) fn rewrite(&self, name: &Name) -> Option<Name> {
        if let Matcher::Exact(from, to) = self {
            return (from == name).then(|| to.clone());
        }
        let text = name.to_lowercase().to_ascii();
        let rewritten = match self {
            Matcher::Exact(..) => return None,
            Matcher::Prefix(from, to) => format!("{to}{}", text.strip_prefix(from.as_str())?),
            Matcher::Suffix(from, to) => format!("{}{to}", text.strip_suffix(from.as_str())?),
            Matcher::Substring(from, to) if text.contains(from.as_str()) => text.replace(from.as_str(), to),
            Matcher::Substring(..) => return None,
            Matcher::Regex(pattern, to) => {
                let groups = pattern.captures(text.as_bytes())?;
                let mut result = to.clone();
                for index in 0..groups.len() {
                    let group = groups.get(index).map_or(&b""[..], |group| group.as_bytes());
                    result = result.replace(&format!("{{{index}}}"), &String::from_utf8_lossy(group));
                }
                result
            }
        };
        let mut rewritten = Name::from_ascii(rewritten).ok()?;
        rewritten.set_fqdn(true);
        Some(rewritten)
    }
}

impl Rule {
    /// The request with the rule applied, if it applies.
    pub(super) fn apply(&self, request: &Request) -> Option<Request> {
        match &self.field {
            Field::Name { matcher, .. } => {
                let name = matcher.rewrite(request.name())?;
                Some(request.with_question(name, request.kind()))
            }
            Field::Type(from, to) if request.kind() == *from => {
                Some(request.with_question(request.name().clone(), *to))
            }
            Field::Class(from, to) if request.question.query_class == *from => {
                let mut request = request.clone();
                request.question.query_class = *to;
                request.message.queries = vec![request.question.clone()];
                Some(request)
            }
            _ => None,
        }
    }
}
