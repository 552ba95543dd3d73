//! Links in answers, which must lead through the proxy again (apimachinery `pkg/util/proxy/transport.go`).

use super::html;

/// How links are changed.
pub(super) struct Links<'a> {
    /// The path under which clients see what the backend calls `/`.
    pub(super) prepend: &'a str,
    /// Host and port of the backend.
    pub(super) backend: &'a str,
    /// The host that the client asked.
    pub(super) host: &'a str,
}

/// The parts of a link that matter: everything up to the path, the path, and the rest.
struct Link<'a> {
    scheme: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    rest: &'a str,
}

impl<'a> Link<'a> {
    /// Takes a link apart as RFC 3986 has it.
    fn parse(text: &'a str) -> Self {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (before, rest) = text.split_at(end);
        let has_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let (scheme, before) = match before.split_once(':') {
            Some((scheme, tail)) if has_scheme(scheme) => (scheme, tail),
            _ => ("", before),
        };
        match before.strip_prefix("//") {
            Some(tail) => {
                let slash = tail.find('/').unwrap_or(tail.len());
                let (host, path) = tail.split_at(slash);
                Link {
                    scheme,
                    host: Some(host),
                    path,
                    rest,
                }
            }
            None => Link {
                scheme,
                host: None,
                path: before,
                rest,
            },
        }
    }
}

impl Links<'_> {
    /// A link of an answer as the client should see it.
    pub(super) fn rewrite(&self, text: &str) -> String {
        let link = Link::parse(text);
        let host = link.host.unwrap_or_default();
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !link.path.starts_with('/') {
            return text.to_owned();
        }
        // What names the host that the client asked keeps it; what names the backend becomes a path.
        let front = match link.host {
            Some(host) if !host.is_empty() && host == self.host => format!("{}://{host}", link.scheme),
            _ => String::new(),
        };
        let front = front.strip_prefix(':').unwrap_or(&front);
        if link.path.starts_with(self.prepend) {
            return format!("{front}{}{}", link.path, link.rest);
        }
        format!("{front}{}{}", joined(self.prepend, link.path), link.rest)
    }

    /// An HTML page with its links rewritten.
    pub(super) fn page(&self, page: &str) -> String {
        html::with_links(page, |link| self.rewrite(link))
    }
}

/// Two paths in one, cleaned as Go's `path.Join` does; a slash at the end stays.
pub(super) fn joined(first: &str, second: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in first.split('/').chain(second.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let slash = if second.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINKS: Links<'static> = Links {
        prepend: "/api/v1/namespaces/n/services/s/proxy",
        backend: "10.0.0.1:80",
        host: "kube:6443",
    };

    #[test]
    fn links_to_the_backend_lead_through_the_proxy() {
        let through = |rest: &str| format!("{}{rest}", LINKS.prepend);
        for (link, expected) in [
            ("/a/b?c=d#e", through("/a/b?c=d#e")),
            ("/a/", through("/a/")),
            ("/", through("/")),
            ("http://10.0.0.1:80/a", through("/a")),
            ("//10.0.0.1:80/a", through("/a")),
            ("http://kube:6443/a", format!("http://kube:6443{}", through("/a"))),
            ("http://example.com/a", "http://example.com/a".to_owned()),
            ("a/b", "a/b".to_owned()),
            ("#top", "#top".to_owned()),
            ("mailto:a@b", "mailto:a@b".to_owned()),
            (&through("/already"), through("/already")),
            ("/a/../b", through("/b")),
        ] {
            assert_eq!(LINKS.rewrite(link), expected, "{link}");
        }
    }

    #[test]
    fn pages_are_rewritten_where_links_stand() {
        assert_eq!(
            LINKS.page("<p>/a</p><a class=x href='/a'>/a</a>"),
            format!("<p>/a</p><a class=\"x\" href=\"{}/a\">/a</a>", LINKS.prepend)
        );
    }

    proptest! {
        #[test]
        fn no_link_panics(link in "\\PC{0,40}") {
            let _ = LINKS.rewrite(&link);
        }
    }
}
