//! Flags of kine that set nothing here, so that its arguments can be kept when it is replaced.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

/// Flags that are accepted, each with the reason why it sets nothing.
const WITHOUT_EFFECT: [(&str, &str); 10] = [
    ("datastore-max-idle-connections", CONNECTIONS),
    ("datastore-max-open-connections", CONNECTIONS),
    ("datastore-connection-max-lifetime", CONNECTIONS),
    ("datastore-connection-max-idle-time", CONNECTIONS),
    ("compact-timeout", COMPACTION),
    ("compact-batch-size", COMPACTION),
    (
        "poll-batch-size",
        "watchers are fed by commits, nothing is polled in batches",
    ),
    (
        "metrics-enable-profiling",
        "the profiles kine serves are those of its Go runtime",
    ),
    ("peer-bind-address", T4),
    ("peer-advertise-address", T4),
];

const CONNECTIONS: &str = "the store has one connection that writes and a few that read";
const COMPACTION: &str = "compaction works in short slices that hold up no write";
const T4: &str = "it belongs to kine's t4 driver";

/// Flags that would lose what their user counts on: the copy in object storage that kine's t4 driver keeps.
const REFUSED: [&str; 9] = [
    "s3-bucket",
    "s3-folder",
    "s3-endpoint",
    "s3-region",
    "s3-access-key",
    "s3-secret-key",
    "s3-session-token",
    "s3-profile",
    "s3-ca-bundle",
];

/// The flags of kine without effect that were given, each with the reason.
#[derive(Debug, Clone, Default)]
pub struct Inherited(pub Vec<(&'static str, &'static str)>);

impl Args for Inherited {
    fn augment_args(command: Command) -> Command {
        let names = WITHOUT_EFFECT.iter().map(|(name, _)| *name).chain(REFUSED);
        names.fold(command, |command, name| {
            let flag = Arg::new(name).long(name).action(ArgAction::Append);
            // Values are not looked at: a secret key is one of them. A switch has none.
            command.arg(
                flag.num_args(0..=1)
                    .hide(true)
                    .allow_hyphen_values(name != "metrics-enable-profiling"),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Inherited {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        if let Some(name) = REFUSED.into_iter().find(|name| given(name)) {
            return Err(clap::Error::raw(
                clap::error::ErrorKind::UnknownArgument,
                format!(
                    "--{name} belongs to kine's t4 driver, which keeps its data in object storage; this store has no such \
                     driver, use an SQL --endpoint and leave the flag out\n"
                ),
            ));
        }
        Ok(Self(
            WITHOUT_EFFECT.into_iter().filter(|(name, _)| given(name)).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
