//! Reads `hosts`.

use super::file::Hosts;
use super::handler::{HostsFile, Settings};
use crate::corefile::{Directive, Error};
use crate::plugins::{Block, Job, only_once};
use crate::request::Handler;
use crate::zone::{self, Fallthrough};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TTL: u32 = 3600;
const LARGEST_TTL: u32 = 65535;
const DEFAULT_RELOAD: Duration = Duration::from_secs(5);

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
    for directive in directives {
        let handler = Arc::new(HostsFile::new(
            settings(directive, block)?,
            block.shared.metrics.clone(),
        ));
        handler.read(block.sources);
        if let Some(reload) = handler.reload_interval() {
            let reader = handler.clone();
            block
                .plan
                .jobs
                .push(Job::new("hosts", move |context| reader.watch(reload, context.stop)));
        }
        handlers.push(handler);
    }
    Ok(handlers)
}

fn settings(directive: &Directive, block: &Block<'_>) -> Result<Settings, Error> {
    let (file, zones) = match directive.args.split_first() {
        None => ("/etc/hosts", [].as_slice()),
        Some((file, zones)) => (file.text.as_str(), zones),
    };
    let mut settings = Settings {
        file: PathBuf::from(file),
        zones: if zones.is_empty() {
            block.zones.to_vec()
        } else {
            zone::parse_all(zones)?
        },
        inline: Hosts::default(),
        reverse: true,
        ttl: DEFAULT_TTL,
        reload: DEFAULT_RELOAD,
        fallthrough: Fallthrough::default(),
    };
    let mut inline = String::new();
    for line in &directive.block {
        match line.name.text.as_str() {
            "ttl" => {
                let token = &line.exactly::<1>("ttl SECONDS")?[0];
                settings.ttl = token.parse("a number of seconds")?;
                if settings.ttl == 0 || settings.ttl > LARGEST_TTL {
                    return Err(token.error(format!("the ttl must be between 1 and {LARGEST_TTL}")));
                }
            }
            "no_reverse" => {
                line.exactly::<0>("no_reverse")?;
                settings.reverse = false;
            }
            "reload" => settings.reload = line.exactly::<1>("reload DURATION")?[0].duration()?,
            "fallthrough" => settings.fallthrough = Fallthrough::parse(&line.args)?,
            address if address.parse::<IpAddr>().is_ok() => {
                if line.args.is_empty() {
                    return Err(line.name.error(format!("the address {address} has no name")));
                }
                let words = line.args.iter().map(|token| token.text.as_str());
                inline += &[address].into_iter().chain(words).collect::<Vec<_>>().join(" ");
                inline.push('\n');
            }
            _ => return Err(line.unknown("hosts")),
        }
    }
    settings.inline.add(&inline, settings.reverse);
    Ok(settings)
}
