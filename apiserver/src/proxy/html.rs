//! Just enough of HTML to find links in it: the tags of a page, and the attributes that hold links.

/// The attributes that hold links, by element (apimachinery `pkg/util/proxy/transport.go`, `atomsToAttrs`).
const LINKS: [(&str, &[&str]); 26] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("track", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose content is text up to their own end tag.
const RAW: [&str; 8] = [
    "iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp",
];

/// A page whose links are replaced. Everything but start tags stays as it is.
pub fn with_links(page: &str, rewrite: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let (text, tail) = rest.split_at(start);
        out.push_str(text);
        if let Some(comment) = tail.strip_prefix("<!--") {
            let end = comment.find("-->").map_or(tail.len(), |end| end + "<!---->".len());
            out.push_str(&tail[..end]);
            rest = &tail[end..];
            continue;
        }
        if !tail[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push('<');
            rest = &tail[1..];
            continue;
        }
        let Some((tag, length)) = Tag::parse(tail) else {
            // It does not end, so nothing behind it is a tag.
            rest = tail;
            break;
        };
        tag.write(&mut out, &rewrite);
        rest = &tail[length..];
        if RAW.contains(&tag.name.as_str()) && !tag.closes {
            let end = end_of_text(rest, &tag.name);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Where the end tag of an element with raw text begins.
fn end_of_text(text: &str, name: &str) -> usize {
    let ends = text.match_indices("</").map(|(at, _)| at);
    let named = |at: &usize| {
        let tail = text.as_bytes().get(at + 2..at + 2 + name.len());
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(name.as_bytes()))
    };
    ends.into_iter().find(named).unwrap_or(text.len())
}

/// A start tag.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    /// Whether it ends with `/>`.
    closes: bool,
}

impl Tag {
    /// Reads a start tag at the beginning of a text, and says how long it is; `None` when it does not end.
    fn parse(text: &str) -> Option<(Self, usize)> {
        let inner = text.strip_prefix('<')?;
        let stop = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
        let name_end = inner.find(stop)?;
        let mut tag = Tag {
            name: inner[..name_end].to_ascii_lowercase(),
            attributes: Vec::new(),
            closes: false,
        };
        let mut rest = &inner[name_end..];
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            if let Some(after) = rest.strip_prefix('>') {
                return Some((tag, text.len() - after.len()));
            }
            if let Some(after) = rest.strip_prefix('/') {
                tag.closes = after.starts_with('>');
                rest = after;
                continue;
            }
            let key_end = rest
                .find(|c: char| stop(c) || c == '=')
                .filter(|end| *end > 0 || rest.starts_with('='));
            let (key, after) = rest.split_at(key_end?.max(1));
            let after_blanks = after.trim_start_matches(|c: char| c.is_ascii_whitespace());
            let (value, after) = match after_blanks.strip_prefix('=') {
                Some(value) => attribute_value(value.trim_start_matches(|c: char| c.is_ascii_whitespace()))?,
                None => ("", after),
            };
            tag.attributes.push((key.to_ascii_lowercase(), unescape(value)));
            rest = after;
        }
    }

    fn write(&self, out: &mut String, rewrite: &impl Fn(&str) -> String) {
        let links = LINKS
            .iter()
            .find(|(name, _)| *name == self.name)
            .map_or(&[][..], |(_, keys)| keys);
        out.push('<');
        out.push_str(&self.name);
        for (key, value) in &self.attributes {
            let value = if links.contains(&key.as_str()) {
                &rewrite(value)
            } else {
                value
            };
            out.push(' ');
            out.push_str(key);
            out.push_str("=\"");
            out.push_str(&escape(value));
            out.push('"');
        }
        out.push_str(if self.closes { "/>" } else { ">" });
    }
}

/// The value at the beginning of a text, and what follows it.
fn attribute_value(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote);
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
    Some(text.split_at(end))
}

/// The characters that Go's `html.EscapeString` escapes.
const ESCAPES: [(char, &str); 5] = [
    ('&', "&amp;"),
    ('\'', "&#39;"),
    ('<', "&lt;"),
    ('>', "&gt;"),
    ('"', "&#34;"),
];

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match ESCAPES.iter().find(|(plain, _)| *plain == c) {
            Some((_, escaped)) => out.push_str(escaped),
            None => out.push(c),
        }
    }
    out
}

/// The text of an attribute. Entities that are not known stay as they are, and are escaped again when written.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let entity = tail.find(';').map(|end| &tail[..=end]);
        let known = entity.and_then(|entity| {
            let plain = ESCAPES
                .iter()
                .find(|(_, escaped)| *escaped == entity)
                .map(|(plain, _)| *plain);
            plain.or_else(|| {
                if entity == "&quot;" {
                    Some('"')
                } else {
                    numbered(entity)
                }
            })
        });
        match (known, entity) {
            (Some(c), Some(entity)) => {
                out.push(c);
                rest = &tail[entity.len()..];
            }
            _ => {
                out.push('&');
                rest = &tail[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of `&#39;` or `&#x27;`.
fn numbered(entity: &str) -> Option<char> {
    let number = entity.strip_prefix("&#")?.strip_suffix(';')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code).filter(|c| *c != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_are_found_in_tags_only() {
        let page = |text: &str| with_links(text, |link| format!("[{link}]"));
        for (text, expected) in [
            ("<a href=/x>y</a>", "<a href=\"[/x]\">y</a>"),
            ("<IMG SRC='/x' alt=\"/x\"/>", "<img src=\"[/x]\" alt=\"/x\"/>"),
            ("<a name=x disabled>", "<a name=\"x\" disabled=\"\">"),
            ("<p href=/x>", "<p href=\"/x\">"),
            (
                "<!-- <a href=/x> --><a href=/y>",
                "<!-- <a href=/x> --><a href=\"[/y]\">",
            ),
            (
                "<script src=/x>'<a href=/y>'</script><a href=/z>",
                "<script src=\"[/x]\">'<a href=/y>'</script><a href=\"[/z]\">",
            ),
            (
                "a < b <a href=\"/x?a=1&amp;b=2\">",
                "a < b <a href=\"[/x?a=1&amp;b=2]\">",
            ),
            ("<!DOCTYPE html><a href", "<!DOCTYPE html><a href"),
            ("<a href=\"x", "<a href=\"x"),
            ("", ""),
        ] {
            assert_eq!(page(text), expected, "{text}");
        }
    }

    #[test]
    fn entities_come_and_go() {
        assert_eq!(unescape("&amp;&#39;&#x27;&quot;&nope;&"), "&''\"&nope;&");
        assert_eq!(escape("<a b='\"'>&"), "&lt;a b=&#39;&#34;&#39;&gt;&amp;");
    }

    proptest! {
        #[test]
        fn no_page_panics(page in "(<[a-z]{0,6}|=|>|'|\"|/| |&#?[0-9a-z]{0,3};?|<!--|-->|\\PC){0,30}") {
            let _ = with_links(&page, str::to_owned);
        }
    }
}
