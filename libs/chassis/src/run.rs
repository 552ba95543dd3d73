//! The life of a service's process: parse, build, serve, wait, drain.

use crate::error::exit_code;
use crate::options::Options;
use crate::service::Chassis;
use crate::telemetry::{ENDPOINT_VARIABLE, Telemetry};
use anyhow::{Context, Result};
use clap::ArgAction;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the service `name` until SIGTERM or SIGINT, or until one of its tasks fails. A second signal ends it at once.
/// What `build` returns is kept until everything has ended.
///
/// The exit code is 0 after a clean end, 2 when a flag, file or configuration cannot be used, 1 for every other failure; one
/// sentence on standard error says what happened.
pub fn run<O, T>(name: &'static str, build: impl AsyncFnOnce(O, &mut Chassis) -> Result<T>) -> ExitCode
where
    O: Options,
{
    let (options, flags) = match parse::<O>(name, std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nothing can be said when standard error is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = runtime::<O>().and_then(|runtime| {
        let result = runtime.block_on(live(name, (options, flags), build));
        // A blocking call that hangs must not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            exit_code(&error)
        }
    }
}

/// Flags by name, as texts.
type Flags = BTreeMap<String, String>;

fn parse<O: Options>(
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(O, Flags), clap::Error> {
    let mut command = O::command().name(name).version(crate::VERSION);
    let defaults = [
        ("admin_bind_address", O::DEFAULTS.admin_bind_address),
        ("grpc_bind_address", O::DEFAULTS.grpc_bind_address),
    ];
    for (flag, default) in defaults {
        if let Some(default) = default {
            command = command.mut_arg(flag, |argument| argument.default_value(default));
        }
    }
    let mut matches = command.clone().try_get_matches_from(arguments)?;
    let flags = in_effect(&command, &matches);
    let options = O::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((options, flags))
}

fn in_effect(command: &clap::Command, matches: &clap::ArgMatches) -> Flags {
    let text = |argument: &clap::Arg| {
        let id = argument.get_id().as_str();
        // What stands for no value, such as --help, is no flag in effect.
        let values = matches.try_get_raw(id).ok()?;
        let values: Vec<String> = values
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let list = argument.get_value_delimiter().is_some() || matches!(argument.get_action(), ArgAction::Append);
        Some(if list {
            format!("[{}]", values.join(","))
        } else {
            values.concat()
        })
    };
    let arguments = command.get_arguments();
    arguments
        .filter_map(|argument| Some((argument.get_long()?.to_owned(), text(argument)?)))
        .collect()
}

fn runtime<O: Options>() -> Result<tokio::runtime::Runtime> {
    let mut builder = match O::DEFAULTS.worker_threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build().context("cannot start the runtime")
}

async fn live<O: Options, T>(
    name: &'static str,
    (options, flags): (O, Flags),
    build: impl AsyncFnOnce(O, &mut Chassis) -> Result<T>,
) -> Result<()> {
    let telemetry = Telemetry::install(name, options.common(), std::env::var(ENDPOINT_VARIABLE).ok())?;
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing::info!(version = crate::VERSION, "{name} starts");
    let mut signals = Signals::new()?;
    let mut chassis = Chassis::start_secured(options.common(), options.admin_tls()).await?;
    chassis.set_flags(flags);
    let (ended, app) = until_the_end(options, build, &mut chassis, &mut signals).await;
    let drained = tokio::select! {
        drained = chassis.drain() => drained,
        signal = signals.next() => Err(anyhow::anyhow!("{signal} while draining: ended at once")),
    };
    drop(app);
    telemetry.flush().await;
    tracing::info!("{name} ended");
    // Why the service ended is more telling than what was left when it did.
    ended.and(drained)
}

async fn until_the_end<O: Options, T>(
    options: O,
    build: impl AsyncFnOnce(O, &mut Chassis) -> Result<T>,
    chassis: &mut Chassis,
    signals: &mut Signals,
) -> (Result<()>, Option<T>) {
    let tasks = chassis.tasks().clone();
    let build_and_serve = async {
        let app = build(options, chassis).await?;
        chassis.serve().await?;
        anyhow::Ok(app)
    };
    let app = tokio::select! {
        built = build_and_serve => match built {
            Ok(app) => app,
            Err(error) => return (Err(error), None),
        },
        error = tasks.failed() => return (Err(error), None),
        signal = signals.next() => {
            tracing::info!(signal, "asked to end while starting");
            return (Ok(()), None);
        }
    };
    tokio::select! {
        error = tasks.failed() => (Err(error), Some(app)),
        signal = signals.next() => {
            tracing::info!(signal, "draining");
            (Ok(()), Some(app))
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{BindFlag, CommonOptions, Defaults};

    /// Answers questions.
    #[derive(Debug, clap::Parser)]
    struct Sample {
        #[command(flatten)]
        common: CommonOptions,
    }

    impl Options for Sample {
        const DEFAULTS: Defaults = Defaults {
            admin_bind_address: Some("127.0.0.1:9153"),
            ..Defaults::NONE
        };

        fn common(&self) -> &CommonOptions {
            &self.common
        }
    }

    fn sample(arguments: &[&str]) -> Result<Sample, clap::Error> {
        parsed(arguments).map(|(options, _)| options)
    }

    fn parsed(arguments: &[&str]) -> Result<(Sample, Flags), clap::Error> {
        parse(
            "sample",
            std::iter::once("sample")
                .chain(arguments.iter().copied())
                .map(OsString::from),
        )
    }

    #[test]
    fn flags_in_effect_are_told() {
        let (_, flags) = parsed(&["--log-level=debug"]).unwrap();
        let flag = |name: &str| flags.get(name).map(String::as_str);
        assert_eq!(flag("log-level"), Some("debug"));
        assert_eq!(flag("admin-bind-address"), Some("127.0.0.1:9153"));
        assert_eq!(flag("otlp-endpoint"), Some(""));
    }

    #[test]
    fn a_service_sets_its_own_defaults() {
        let address = sample(&[]).unwrap().common.admin_bind_address;
        assert_eq!(address, BindFlag(Some("127.0.0.1:9153".parse().unwrap())));
        assert_eq!(
            sample(&["--admin-bind-address=0"]).unwrap().common.admin_bind_address,
            BindFlag(None)
        );
    }

    #[test]
    fn help_and_version_are_not_errors() {
        let help = sample(&["--help"]).unwrap_err();
        assert!(!help.use_stderr());
        let text = help.to_string();
        assert!(
            text.starts_with("Answers questions") && text.contains("[default: 127.0.0.1:9153]"),
            "{text}"
        );
        assert_eq!(
            sample(&["--version"]).unwrap_err().to_string(),
            format!("sample {}\n", crate::VERSION)
        );
        assert!(sample(&["--nonsense"]).unwrap_err().use_stderr());
    }
}
