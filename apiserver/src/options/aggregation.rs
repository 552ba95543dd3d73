//! The flags of servers that trust each other: this one towards backends, and proxies towards this one.

use clap::ArgAction;
use http::HeaderName;
use std::path::PathBuf;

/// What backends are shown, and which proxies are trusted.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Aggregation {
    /// Client certificate for servers behind APIServices
    #[arg(
        long,
        value_name = "FILE",
        requires = "proxy_client_key_file",
        help_heading = "Aggregation"
    )]
    pub proxy_client_cert_file: Option<PathBuf>,

    /// Key of the client certificate for servers behind APIServices
    #[arg(
        long,
        value_name = "FILE",
        requires = "proxy_client_cert_file",
        help_heading = "Aggregation"
    )]
    pub proxy_client_key_file: Option<PathBuf>,

    /// Send requests to the endpoints of a Service behind an APIService rather than to its cluster IP
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", action = ArgAction::Set, help_heading = "Aggregation")]
    pub enable_aggregator_routing: bool,

    /// Authorities of proxies that say in headers who asks
    #[arg(long, value_name = "FILE", help_heading = "Aggregation")]
    pub requestheader_client_ca_file: Option<PathBuf>,

    /// Common names of the certificates of such proxies [default: any]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Aggregation")]
    pub requestheader_allowed_names: Vec<String>,

    /// Headers with the name of the user, such as X-Remote-User
    #[arg(long, value_name = "HEADER,...", value_delimiter = ',', value_parser = header, help_heading = "Aggregation")]
    pub requestheader_username_headers: Vec<String>,

    /// Headers with the UID of the user, such as X-Remote-Uid
    #[arg(long, value_name = "HEADER,...", value_delimiter = ',', value_parser = header, help_heading = "Aggregation")]
    pub requestheader_uid_headers: Vec<String>,

    /// Headers with the groups of the user, such as X-Remote-Group
    #[arg(long, value_name = "HEADER,...", value_delimiter = ',', value_parser = header, help_heading = "Aggregation")]
    pub requestheader_group_headers: Vec<String>,

    /// What the names of headers with anything else about the user begin with, such as X-Remote-Extra-
    #[arg(long, value_name = "PREFIX,...", value_delimiter = ',', value_parser = header, help_heading = "Aggregation")]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

/// A name that a header can have, as it was written.
fn header(text: &str) -> Result<String, String> {
    let text = text.trim();
    match HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected the name of a header such as X-Remote-User".to_owned()),
    }
}
