//! Names of images, as far as defaults depend on them (kubernetes `pkg/util/parsers` over `distribution/reference`).

/// The longest name of a repository with its registry.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;
const MIN_DIGEST: usize = 32;

/// How an image is pulled when nothing is said: always when its tag is `latest`, said or implied. A name that cannot be
/// read has no tag.
pub(crate) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") {
        "Always"
    } else {
        "IfNotPresent"
    }
}

/// The tag of an image, which is `latest` when it has neither tag nor digest.
fn tag(image: &str) -> Option<&str> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let path = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path..].find(':') {
        Some(colon) => (&rest[..path + colon], Some(&rest[path + colon + 1..])),
        None => (rest, None),
    };
    let readable = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    match (readable, tag, digest) {
        (false, _, _) => None,
        (true, Some(tag), _) => Some(tag),
        (true, None, None) => Some("latest"),
        (true, None, Some(_)) => None,
    }
}

fn is_name(name: &str) -> bool {
    let is_hash = name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_said_domain(first) => (first, rest),
        _ => ("", name),
    };
    !is_hash
        && name.len() <= MAX_NAME
        && (domain.is_empty() || is_domain(domain))
        && path.split('/').all(is_path_component)
}

/// Whether the first part of a name is a registry rather than a part of the path (`splitDockerDomain`).
fn is_said_domain(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|ip| !ip.is_empty() && ip.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (is_ipv6 || host.split('.').all(is_label)) && port.is_none_or(is_port)
}

/// Small letters and digits, separated by one `.`, one or two `_` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let bounded = bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b));
    let mut separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    bounded && separators.all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let mut parts = algorithm.split(['-', '_', '+', '.']);
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    parts.all(is_part) && hex.len() >= MIN_DIGEST && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_decide_the_pull_policy() {
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        let hash = "a".repeat(64);
        let long = "a/".repeat(200);
        for (image, expected) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.25", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("[::1]:5000/a__b/c--d", "Always"),
            ("Registry/nginx", "Always"),
            (&digest, "IfNotPresent"),
            ("nginx:latest@sha256:00", "IfNotPresent"),
            ("", "IfNotPresent"),
            ("NGINX", "IfNotPresent"),
            ("a..b", "IfNotPresent"),
            ("a_-b", "IfNotPresent"),
            (" nginx", "IfNotPresent"),
            ("nginx:", "IfNotPresent"),
            ("-x.io/nginx", "IfNotPresent"),
            (&hash, "IfNotPresent"),
            (&long, "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
