//! The command line, with the flag names of kube-scheduler.

use std::path::PathBuf;

use chassis::CommonOptions;
use clap::{ArgAction, Parser};

/// Chooses a node for every pod that has none: filters out the nodes it cannot run on, scores the rest, binds it to the best.
#[derive(Debug, Parser)]
#[command(after_help = crate::plugins::help())]
pub(crate) struct Options {
    /// Kubeconfig file that says where the API server is and who we are
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,

    /// Work only while holding the lease kube-system/kube-scheduler
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) leader_elect: bool,

    #[command(flatten)]
    common: CommonOptions,
}

impl chassis::Options for Options {
    const DEFAULTS: chassis::Defaults = chassis::Defaults {
        admin_bind_address: Some("127.0.0.1:10259"),
        ..chassis::Defaults::NONE
    };

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_upstreams() {
        let parse = |arguments: &[&str]| {
            let all = ["scheduler", "--kubeconfig=k"]
                .iter()
                .chain(arguments)
                .copied()
                .collect::<Vec<_>>();
            Options::try_parse_from(all)
        };
        assert!(parse(&[]).unwrap().leader_elect);
        assert!(!parse(&["--leader-elect=false"]).unwrap().leader_elect);
        assert!(
            parse(&["--leader-elect=maybe"])
                .unwrap_err()
                .to_string()
                .contains("--leader-elect")
        );
    }
}
