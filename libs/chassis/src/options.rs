//! The flags every service has.

use crate::net::BindAddress;
use crate::tls::ServerFiles;
use std::str::FromStr;
use std::time::Duration;

/// A service's command line. Implemented by a `clap::Parser` that flattens [`CommonOptions`] as its last field.
pub trait Options: clap::Parser {
    /// What this service does differently from the other ones.
    const DEFAULTS: Defaults = Defaults::NONE;

    /// The flattened common flags.
    fn common(&self) -> &CommonOptions;

    /// The files with which health and metrics are served over TLS, `None` for plain text.
    fn admin_tls(&self) -> Option<ServerFiles> {
        None
    }
}

/// A service's own defaults; they show up in `--help`.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Where health and metrics are served when the flag is absent; `None` is off.
    pub admin_bind_address: Option<&'static str>,
    /// Where gRPC is served when the flag is absent; `None` is off.
    pub grpc_bind_address: Option<&'static str>,
    /// Threads that run tasks. 1 is a current-thread runtime, which needs the least memory.
    pub worker_threads: usize,
}

impl Defaults {
    /// Nothing is served and one thread does all the work.
    pub const NONE: Defaults = Defaults {
        admin_bind_address: None,
        grpc_bind_address: None,
        worker_threads: 1,
    };
}

/// The flags every service has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Operation")]
pub struct CommonOptions {
    /// What to log: error, warn, info, debug or trace, or a list of target=level
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// How to write the log on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Send OpenTelemetry traces to this OTLP gRPC endpoint, such as http://127.0.0.1:4317 [default: the environment
    /// variable OTEL_EXPORTER_OTLP_ENDPOINT, else off]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Serve /healthz, /livez, /readyz and /metrics over HTTP here; 0 turns it off
    #[arg(long, value_name = "ADDRESS", default_value = "0")]
    pub admin_bind_address: BindFlag,

    /// Serve gRPC (health, reflection and this service's contract) here; 0 turns it off
    #[arg(long, value_name = "ADDRESS", default_value = "0")]
    pub grpc_bind_address: BindFlag,

    /// How long running requests may take to finish after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub drain_timeout: Duration,
}

impl CommonOptions {
    /// Everything on free loopback ports, for tests.
    pub fn ephemeral() -> Self {
        let any = BindFlag(Some(BindAddress::LOOPBACK));
        CommonOptions {
            admin_bind_address: any.clone(),
            grpc_bind_address: any,
            ..Self::quiet()
        }
    }

    /// Nothing served, for tests of components that need a [`crate::Chassis`].
    pub fn quiet() -> Self {
        CommonOptions {
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            admin_bind_address: BindFlag(None),
            grpc_bind_address: BindFlag(None),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[value(alias = "plain")]
    Text,
    /// One JSON object per line.
    Json,
}

/// An address to listen on, or `0` for off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindFlag(pub Option<BindAddress>);

impl FromStr for BindFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            Ok(BindFlag(None))
        } else {
            text.parse().map(|address| BindFlag(Some(address)))
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let digits = text.strip_suffix('s').unwrap_or(text);
    match digits.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err("expected a whole number of seconds, such as 10".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, clap::Parser)]
    struct Sample {
        #[command(flatten)]
        common: CommonOptions,
    }

    #[test]
    fn defaults_serve_nothing() {
        let sample = Sample::try_parse_from(["sample"]).unwrap();
        assert_eq!(sample.common.admin_bind_address, BindFlag(None));
        assert_eq!(sample.common.grpc_bind_address, BindFlag(None));
        assert_eq!(sample.common.log_format, LogFormat::Text);
        assert_eq!(sample.common.drain_timeout, Duration::from_secs(10));
    }

    #[test]
    fn mistakes_name_the_flag() {
        for (argument, flag) in [
            ("--admin-bind-address=nowhere", "--admin-bind-address"),
            ("--grpc-bind-address=1.2.3.4", "--grpc-bind-address"),
            ("--log-format=xml", "--log-format"),
            ("--drain-timeout=soon", "--drain-timeout"),
        ] {
            let message = Sample::try_parse_from(["sample", argument]).unwrap_err().to_string();
            assert!(message.contains(flag), "{message}");
        }
    }
}
