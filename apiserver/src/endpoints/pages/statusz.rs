//! `/statusz`: how long the server runs, its versions, and where else to look.

use super::Page;
use crate::server::version;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use std::collections::BTreeSet;

/// Paths that do not help to find out what is wrong.
const OTHER: [&str; 5] = ["/apis", "/api", "/openid", "/openapi", "/.well-known"];

pub(super) fn page(listed: &[String], started: Timestamp, now: Timestamp) -> Page {
    let up = (now.as_second() - started.as_second()).max(0);
    let paths = folders(listed);
    let document = version::document();
    let go = document["goVersion"].as_str().unwrap_or_default();
    let binary = version::KUBERNETES.trim_start_matches('v');
    let emulated = binary.rsplit_once('.').map_or(binary, |(minor, _)| minor);
    let rows = [
        (
            "Started",
            started
                .to_zoned(TimeZone::UTC)
                .strftime("%a %b %e %H:%M:%S UTC %Y")
                .to_string(),
        ),
        (
            "Up",
            format!("{} hr {:02} min {:02} sec", up / 3600, up / 60 % 60, up % 60),
        ),
        ("Go version", go.to_owned()),
        ("Binary version", binary.to_owned()),
        ("Emulation version", emulated.to_owned()),
        ("Paths", paths.join(" ")),
    ];
    let lines = rows.iter().map(|(name, value)| format!("{name}: {value}\n"));
    Page {
        kind: "Statusz",
        fields: json!({
            "startTime": started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "uptimeSeconds": up,
            "goVersion": go,
            "binaryVersion": binary,
            "emulationVersion": emulated,
            "paths": paths,
        }),
        text: std::iter::once("\n".to_owned()).chain(lines).collect(),
    }
}

/// The first segments of paths, each once and in order.
fn folders(listed: &[String]) -> Vec<String> {
    let first = |path: &String| {
        let folder = format!("/{}", path.strip_prefix('/')?.split('/').next()?);
        (folder.len() > 1 && !OTHER.contains(&folder.as_str())).then_some(folder)
    };
    let folders: BTreeSet<String> = listed.iter().filter_map(first).collect();
    folders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_times_versions_and_paths() {
        let listed = [
            "/",
            "/api/v1",
            "/healthz/ping",
            "/healthz",
            "/version",
            "/openid/v1/jwks",
        ]
        .map(str::to_owned);
        let page = page(&listed, Timestamp::UNIX_EPOCH, Timestamp::from_second(3_725).unwrap());
        assert_eq!(page.fields["uptimeSeconds"], 3725);
        assert_eq!(page.fields["startTime"], "1970-01-01T00:00:00Z");
        assert_eq!(page.fields["paths"], json!(["/healthz", "/version"]));
        let start = "\nStarted: Thu Jan  1 00:00:00 UTC 1970\nUp: 1 hr 02 min 05 sec\nGo version: ";
        assert!(page.text.starts_with(start), "{}", page.text);
        assert!(page.text.ends_with("\nPaths: /healthz /version\n"), "{}", page.text);
    }
}
