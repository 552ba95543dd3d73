//! How long a request may take (k8s.io/apiserver `endpoints/filters/request_deadline.go`, `server/filters/timeout.go`).

use super::Refusal;
use super::request_info::{RequestInfo, query_pairs};
use http::Response;
use machinery::field::go_quote;
use machinery::status::Status;
use std::time::{Duration, Instant};

/// When a request is cut off: after the `timeout` it asks for, at most after `limit` (`--request-timeout`). Watches, logs
/// and tunnels have no deadline.
pub fn of(
    info: &RequestInfo,
    query: Option<&str>,
    limit: Duration,
    received: Instant,
) -> Result<Option<Instant>, Refusal> {
    if info.is_long_running() {
        return Ok(None);
    }
    let asked = query_pairs(query.unwrap_or_default()).find(|(key, value)| key == "timeout" && !value.is_empty());
    let timeout = match asked {
        None => limit,
        // What has passed before it begins is as good as none.
        Some((_, text)) => match parse_duration(text.strip_prefix('-').unwrap_or(&text)) {
            Ok(timeout) if timeout.is_zero() || text.starts_with('-') => limit,
            Ok(timeout) => timeout.min(limit),
            Err(what) => {
                let text = go_quote(&text);
                let why = format!("invalid timeout specified in the request URL - time: {what} duration {text}");
                return Err(Status::bad_request(why).into());
            }
        },
    };
    Ok(Some(received + timeout))
}

/// Runs the rest of the chain, but not for longer than the deadline.
pub async fn enforce<B>(
    deadline: Option<Instant>,
    rest: impl Future<Output = Result<Response<B>, Refusal>>,
) -> Result<Response<B>, Refusal> {
    let Some(deadline) = deadline else { return rest.await };
    match tokio::time::timeout_at(deadline.into(), rest).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::timeout("request did not complete within the allotted timeout", 0).into()),
    }
}

/// Go's `time.ParseDuration`, for durations that are not negative.
///
/// # Errors
/// What Go says before the word `duration`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || "invalid".to_owned();
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err("missing unit in".to_owned()),
                unit => return Err(format!("unknown unit {} in", go_quote(unit))),
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proptest::prelude::*;

    #[test]
    fn durations_are_gos() {
        let millis = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        let (invalid, missing) = (Err("invalid".to_owned()), Err("missing unit in".to_owned()));
        for (text, expected) in [
            ("34s", Ok(34_000)),
            ("1m30s", Ok(90_000)),
            ("1.5h", Ok(5_400_000)),
            ("250ms", Ok(250)),
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("", invalid.clone()),
            ("10", missing.clone()),
            ("s", invalid.clone()),
            ("-1s", invalid.clone()),
            ("1d", Err("unknown unit \"d\" in".to_owned())),
            ("1..s", invalid.clone()),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn requests_are_cut_off_and_watches_are_not() {
        let (limit, now) = (Duration::from_secs(60), Instant::now());
        let info = |query: &str| RequestInfo::parse(&Method::GET, "/api/v1/pods", Some(query)).unwrap();
        let seconds = |query: &str| {
            of(&info(query), Some(query), limit, now)
                .map(|d| d.map(|d| (d - now).as_secs()))
                .map_err(|_| "refused")
        };
        assert_eq!(seconds(""), Ok(Some(60)));
        assert_eq!(seconds("timeout=10s"), Ok(Some(10)));
        assert_eq!(seconds("timeout=10m"), Ok(Some(60)));
        assert_eq!(seconds("timeout=0"), Ok(Some(60)));
        assert_eq!(seconds("timeout=-10s"), Ok(Some(60)));
        assert_eq!(seconds("timeout=soon"), Err("refused"));
        assert_eq!(seconds("watch=1"), Ok(None));
        let never = std::future::pending::<Result<Response<()>, Refusal>>();
        let Err(Refusal::Status(status)) = enforce(Some(now), never).await else {
            panic!("not cut off")
        };
        assert_eq!(
            status.message,
            "Timeout: request did not complete within the allotted timeout"
        );
    }

    proptest! {
        #[test]
        fn no_duration_panics(text in "\\PC{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
