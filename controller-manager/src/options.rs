//! The command line, with the flag names and defaults of kube-controller-manager.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use chassis::{CommonOptions, usage};
use clap::{ArgAction, Parser};

use crate::controllers::{self, Selection};

/// Runs the built-in controllers: what turns Deployments, StatefulSets, DaemonSets and Jobs into Pods, Services into
/// endpoints, and deletions into clean-ups.
#[derive(Debug, Parser)]
#[command(after_help = controllers::help())]
pub(crate) struct Options {
    /// Kubeconfig file that says where the API server is and who we are
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,

    /// Which controllers run: '*' stands for all of them, 'name' turns one on, '-name' turns one off
    #[arg(
        long,
        value_name = "LIST",
        default_value = "*",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    controllers: Vec<String>,

    /// Certificate authority to publish as ConfigMap kube-root-ca.crt in every namespace; without it none is published
    #[arg(long, value_name = "FILE")]
    root_ca_file: Option<PathBuf>,

    /// Accepted so that command lines of kube-controller-manager work; the API server signs all tokens itself
    #[arg(long, value_name = "FILE")]
    service_account_private_key_file: Option<PathBuf>,

    /// Work only while holding the lease kube-system/kube-controller-manager
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    leader_elect: bool,

    /// How long a node may be silent before it counts as unreachable
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = parse_duration)]
    node_monitor_grace_period: Duration,

    /// How often silent nodes are looked for
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    node_monitor_period: Duration,

    /// How many pods that have ended are kept; 0 or less keeps all of them
    #[arg(long, value_name = "COUNT", default_value_t = 12500, allow_negative_numbers = true)]
    terminated_pod_gc_threshold: i64,

    /// How often the usage of all ResourceQuotas is counted again; 0 for never
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = parse_duration_or_zero)]
    resource_quota_sync_period: Duration,

    #[command(flatten)]
    autoscaling: Autoscaling,

    #[command(flatten)]
    workers: Workers,

    #[command(flatten)]
    common: CommonOptions,
}

/// How HorizontalPodAutoscalers judge measurements.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Autoscaling")]
pub(crate) struct Autoscaling {
    /// How often each autoscaler looks at its measurements
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    pub(crate) horizontal_pod_autoscaler_sync_period: Duration,
    /// For how long nothing is scaled below what was recommended meanwhile
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = parse_duration_or_zero)]
    pub(crate) horizontal_pod_autoscaler_downscale_stabilization: Duration,
    /// How far measurement and target may be apart before anything is scaled, as a part of the target
    #[arg(long, value_name = "NUMBER", default_value_t = 0.1)]
    pub(crate) horizontal_pod_autoscaler_tolerance: f64,
    /// For how long after its start the CPU of a pod that is not ready does not count
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = parse_duration_or_zero)]
    pub(crate) horizontal_pod_autoscaler_cpu_initialization_period: Duration,
    /// For how long after its start a pod may become unready as if it had never been ready
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration_or_zero)]
    pub(crate) horizontal_pod_autoscaler_initial_readiness_delay: Duration,
}

/// How many objects of a kind are worked on at the same time.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Concurrency")]
pub(crate) struct Workers {
    /// Deployments worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_deployment_syncs: usize,
    /// ReplicaSets worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_replicaset_syncs: usize,
    /// StatefulSets worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_statefulset_syncs: usize,
    /// DaemonSets worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(crate) concurrent_daemonset_syncs: usize,
    /// Jobs worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_job_syncs: usize,
    /// Services whose Endpoints are worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_endpoint_syncs: usize,
    /// Services whose EndpointSlices are worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_service_endpoint_syncs: usize,
    /// HorizontalPodAutoscalers worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_horizontal_pod_autoscaler_syncs: usize,
    /// ResourceQuotas worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) concurrent_resource_quota_syncs: usize,
    /// Namespaces worked on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) concurrent_namespace_syncs: usize,
    /// Objects the garbage collector works on at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) concurrent_gc_syncs: usize,
    /// Endpoints of services without selector that are mirrored at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) mirroring_concurrent_service_endpoint_syncs: usize,
}

/// What the controllers need to know, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) root_ca: Option<String>,
    pub(crate) node_monitor_grace_period: Duration,
    pub(crate) node_monitor_period: Duration,
    pub(crate) terminated_pod_gc_threshold: usize,
    pub(crate) resource_quota_sync_period: Duration,
    pub(crate) autoscaling: Autoscaling,
    pub(crate) workers: Workers,
}

/// Everything the flags say.
pub(crate) struct Config {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) controllers: Selection,
    pub(crate) leader_elect: bool,
    pub(crate) settings: Settings,
}

impl chassis::Options for Options {
    const DEFAULTS: chassis::Defaults = chassis::Defaults {
        admin_bind_address: Some("127.0.0.1:10257"),
        ..chassis::Defaults::NONE
    };

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

impl Options {
    /// Checks the flags and reads the files they name.
    pub(crate) fn resolve(self) -> Result<Config> {
        let root_ca = self.root_ca_file.map(|path| {
            let text = read("--root-ca-file", &path)?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(usage(format!(
                    "--root-ca-file: {} holds no PEM certificate",
                    path.display()
                )));
            }
            Ok(text)
        });
        if let Some(path) = &self.service_account_private_key_file {
            read("--service-account-private-key-file", path)?;
        }

        Ok(Config {
            kubeconfig: self.kubeconfig,
            controllers: Selection::parse(&self.controllers)?,
            leader_elect: self.leader_elect,
            settings: Settings {
                root_ca: root_ca.transpose()?,
                node_monitor_grace_period: self.node_monitor_grace_period,
                node_monitor_period: self.node_monitor_period,
                terminated_pod_gc_threshold: usize::try_from(self.terminated_pod_gc_threshold).unwrap_or(0),
                resource_quota_sync_period: self.resource_quota_sync_period,
                autoscaling: self.autoscaling,
                workers: self.workers,
            },
        })
    }
}

fn read(flag: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| usage(format!("{flag}: cannot read {}: {error}", path.display())))
}

/// A duration as Go writes it, which may be none at all.
pub(crate) fn parse_duration_or_zero(text: &str) -> std::result::Result<Duration, String> {
    match text {
        "0" | "0s" | "0m0s" => Ok(Duration::ZERO),
        text => parse_duration(text),
    }
}

/// A duration as Go writes it: `50s`, `1m30s`, `1.5h`, `200ms`.
fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("{text:?} is not a duration such as 50s or 1m30s")),
        };
        let number: f64 = number
            .parse()
            .map_err(|_| format!("{text:?} is not a duration such as 50s or 1m30s"))?;
        total += number * scale;
        rest = after;
    }
    match Duration::try_from_secs_f64(total) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("the duration has to be positive".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config> {
        let all = ["controller-manager", "--kubeconfig", "k"].iter().chain(arguments);
        Options::try_parse_from(all)?.resolve()
    }

    #[test]
    fn defaults_are_upstreams() {
        let config = parse(&[]).unwrap();
        assert!(config.leader_elect);
        assert_eq!(config.settings.node_monitor_grace_period, Duration::from_secs(50));
        assert_eq!(config.settings.terminated_pod_gc_threshold, 12500);
        assert_eq!(config.settings.resource_quota_sync_period, Duration::from_secs(300));
        let autoscaling = config.settings.autoscaling;
        assert_eq!(
            autoscaling.horizontal_pod_autoscaler_sync_period,
            Duration::from_secs(15)
        );
        assert_eq!(
            autoscaling.horizontal_pod_autoscaler_downscale_stabilization,
            Duration::from_secs(300)
        );
        assert!(!parse(&["--leader-elect=false"]).unwrap().leader_elect);
        assert!(parse(&["--leader-elect"]).unwrap().leader_elect);
        assert_eq!(
            parse(&["--terminated-pod-gc-threshold=-1"])
                .unwrap()
                .settings
                .terminated_pod_gc_threshold,
            0
        );
    }

    #[test]
    fn durations() {
        for (text, millis) in [("50s", 50_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("200ms", 200)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "50", "s", "-1s", "1x", "0s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_flag() {
        let table = [
            ("--controllers=*,nonsense", "--controllers"),
            ("--root-ca-file=/does/not/exist", "--root-ca-file"),
            (
                "--service-account-private-key-file=/does/not/exist",
                "--service-account-private-key-file",
            ),
            ("--node-monitor-grace-period=soon", "--node-monitor-grace-period"),
        ];
        for (argument, flag) in table {
            let error = format!("{:#}", parse(&[argument]).err().unwrap());
            assert!(error.contains(flag), "{error}");
        }
    }
}
