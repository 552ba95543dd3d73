//! What the labels of a namespace say (k8s.io/pod-security-admission `api`).

use crate::field::{Error, ErrorList, Path};
use crate::meta;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much pods may ask for, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Privileged,
    /// Nothing that is known to lead out of the pod.
    Baseline,
    /// Only what hardened pods need.
    Restricted,
}

/// The newest rules, or those of a minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The newest.
    Latest,
    /// Those of Kubernetes 1.x.
    Minor(u32),
}

impl Version {
    /// Whether rules of a minor version are in force.
    pub(super) fn has(self, minor: u32) -> bool {
        match self {
            Version::Latest => true,
            Version::Minor(own) => own >= minor,
        }
    }
}

/// A level in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// How much pods may ask for.
    pub level: Level,
    /// By whose rules.
    pub version: Version,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Latest => f.write_str("latest"),
            Version::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

/// What happens to the pods of a namespace. Nothing is written down here, so the label `audit` is only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pods that ask for more are refused.
    pub enforce: Standard,
    /// Clients that ask for more are warned.
    pub warn: Standard,
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "privileged" => Ok(Level::Privileged),
            "baseline" => Ok(Level::Baseline),
            "restricted" => Ok(Level::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

fn version(text: &str) -> Result<Version, &'static str> {
    let minor = || {
        let digits = text.strip_prefix("v1.")?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| plain)
    };
    match text {
        "latest" => Ok(Version::Latest),
        _ => minor().map(Version::Minor).ok_or("must be \"latest\" or \"v1.x\""),
    }
}

impl Policy {
    /// The policy of a namespace, and what is wrong with its labels: a wrong level is enforced as the strictest one, and
    /// warns of nothing.
    pub fn of(namespace: &Value) -> (Self, ErrorList) {
        let mut problems = ErrorList::new();
        let mut read = |mode: &str, wrong: Level| {
            let text = |label: &str| meta::str_at(namespace, &["metadata", "labels", label]).map(str::to_owned);
            let mut problem = |label: &str, given: &str, why: &str| {
                let path = Path::new("metadata").child("labels").key(label);
                problems.push(Error::invalid(&path, given, why));
            };
            let (label, versions) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
            let asked = text(&label).map(|given| given.parse::<Level>().map_err(|why| problem(&label, &given, why)));
            let version = text(&versions).map(|given| {
                version(&given).unwrap_or_else(|why| {
                    problem(&versions, &given, why);
                    Version::Latest
                })
            });
            let standard = Standard {
                level: asked.map_or(Level::Privileged, |level| level.unwrap_or(wrong)),
                version: version.unwrap_or(Version::Latest),
            };
            (standard, asked, version.is_some())
        };
        let (enforce, asked, _) = read("enforce", Level::Restricted);
        read("audit", Level::Privileged);
        let (mut warn, asked_to_warn, has_version) = read("warn", Level::Privileged);
        // What is refused is warned of too, unless somebody said otherwise: that is how what makes pods is warned of.
        if asked_to_warn.is_none() && matches!(asked, Some(Ok(level)) if level > warn.level) {
            warn.level = enforce.level;
            if !has_version {
                warn.version = enforce.version;
            }
        }
        (Policy { enforce, warn }, problems)
    }
}
