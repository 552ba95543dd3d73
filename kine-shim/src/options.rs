//! The command line.

use std::time::Duration;

use chassis::{BindAddress, CommonOptions};

use crate::backend::endpoint::{DatastoreOptions, Endpoint};

/// Speaks the etcd v3 API over an SQL database
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// The database: sqlite:///path/state.db, postgres://user@host:5432/database or mysql://user@tcp(host:3306)/database
    #[arg(long, value_name = "URL")]
    pub endpoint: Endpoint,

    /// Where etcd clients connect, separated by commas: unix:///path/kine.sock, tcp://127.0.0.1:2379; port 0 takes a free
    /// one
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        default_value = "tcp://127.0.0.1:2379"
    )]
    pub listen_address: Vec<BindAddress>,

    /// The etcd version that status reports; API servers derive from it what they can ask for
    #[arg(long, value_name = "VERSION", default_value = "3.6.11")]
    pub emulated_etcd_version: String,

    /// How often watches that want to hear of progress do, while nothing happens
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_interval)]
    pub watch_progress_notify_interval: Duration,

    /// How often history is compacted without being asked, keeping that much of it; 0 leaves it to the API servers
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = parse_duration)]
    pub compact_interval: Duration,

    /// Revisions that compaction without being asked always keeps
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(0..))]
    pub compact_min_retain: i64,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub datastore: DatastoreOptions,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub common: CommonOptions,
}

impl chassis::Options for Options {
    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

/// Shortest progress interval (etcd: `minWatchProgressInterval`).
const MIN_INTERVAL: Duration = Duration::from_millis(100);

fn parse_interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if interval < MIN_INTERVAL => Err("the shortest interval is 100ms".into()),
        interval => Ok(interval),
    }
}

/// Reads a duration as Go writes it: numbers with the units h, m, s and ms.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write numbers with units, such as 500ms, 10s, 5m or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let (unit, millis) = units
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        total += Duration::from_millis(u64::from(number) * millis);
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn reads_the_flags_of_kine() {
        let options = Options::try_parse_from([
            "kine-shim",
            "--endpoint=sqlite:///data/state.db",
            "--listen-address=unix:///data/kine.sock,tcp://127.0.0.1:0",
            "--compact-interval=5m",
            "--watch-progress-notify-interval=1m30s",
        ])
        .expect("valid flags");
        assert_eq!(options.listen_address.len(), 2);
        assert_eq!(options.compact_interval, Duration::from_secs(300));
        assert_eq!(options.watch_progress_notify_interval, Duration::from_secs(90));
    }

    #[test]
    fn mistakes_name_the_flag() {
        for (flag, value) in [
            ("--endpoint", "mongodb://x"),
            ("--listen-address", "tcp://nowhere"),
            ("--compact-interval", "5"),
            ("--compact-interval", "5 minutes"),
            ("--watch-progress-notify-interval", "1ms"),
            ("--compact-min-retain", "-1"),
        ] {
            let mut arguments = vec!["kine-shim".to_owned(), format!("{flag}={value}")];
            if flag != "--endpoint" {
                arguments.push("--endpoint=sqlite:///x".into());
            }
            let error = Options::try_parse_from(arguments).expect_err(value).to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
