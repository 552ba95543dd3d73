//! How long a client waits for its answer: header `grpc-timeout`.

use std::time::Duration;

use http::{HeaderMap, Response};
use tonic::{Status, body::Body};

use super::routes::Answer;

/// Most digits of a timeout.
const DIGITS: usize = 8;

/// The time a client allows, if it says so in a way that can be understood.
pub(super) fn allowed(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// An answer that has to begin in time.
pub(super) fn within(allowed: Duration, answer: Answer) -> Answer {
    Box::pin(async move {
        match tokio::time::timeout(allowed, answer).await {
            Ok(answer) => answer,
            Err(_) => Ok(exceeded()),
        }
    })
}

fn exceeded() -> Response<Body> {
    Status::deadline_exceeded("context deadline exceeded").into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_known() {
        for (text, expected) in [
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("4S", Some(Duration::from_secs(4))),
            ("5m", Some(Duration::from_millis(5))),
            ("6u", Some(Duration::from_micros(6))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("100000000n", None),
            ("1", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1ä", None),
            ("1x", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told() {
        let late: Answer = Box::pin(std::future::pending());
        let Ok(answer) = within(Duration::from_millis(1), late).await;
        assert_eq!(answer.headers()["grpc-status"], "4");
        let in_time: Answer = Box::pin(std::future::ready(Ok(Status::ok("").into_http())));
        let Ok(answer) = within(Duration::from_secs(1), in_time).await;
        assert_eq!(answer.headers()["grpc-status"], "0");
    }
}
