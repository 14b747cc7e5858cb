//! Flags of `top`.

use std::path::PathBuf;

use crate::observe::board::trucks::By;

/// The default port, for an address without one.
const PORT: u16 = 9600;

/// Flags of `top`.
#[derive(Clone, clap::Args)]
pub struct TopArgs {
    /// The job's --listen address
    #[arg(value_name = "ADDRESS", env = "TRUCKFLOW_LISTEN", default_value = "127.0.0.1:9600", value_parser = Address::parse)]
    pub(crate) address: Address,
    /// File with the token that the job requires (its `listen_token_file`)
    #[arg(long, value_name = "FILE", env = "TRUCKFLOW_LISTEN_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print one snapshot as plain text and exit; the default if standard output is not a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print the job's status as JSON, one object per line, until the job ends; with --once a single object
    #[arg(long)]
    pub(crate) json: bool,
    /// Show only trucks whose names contain this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) search: String,
    /// Sort trucks by name, distance, speed, fuel, distance_r, speed_r, samples or time; prefix with `-` for
    /// descending order
    #[arg(long, value_name = "FIELD", default_value = "name", allow_hyphen_values = true, value_parser = field)]
    pub(crate) sort: String,
}

fn field(text: &str) -> Result<String, String> {
    match By::named(text.strip_prefix('-').unwrap_or(text)) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("expected one of {}", By::NAMES.join(", "))),
    }
}

/// Where a job listens: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) host_and_port: String,
}

impl Address {
    /// Reads `host:port`, `host`, or an `http://` URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("jobs serve plain HTTP only; give host:port of the job itself, not of a proxy".into());
        }
        let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let url = url::Url::parse(&format!("http://{text}/"));
        let host = url.ok().filter(|url| url.path() == "/" && url.username().is_empty());
        // `Url::port` is None for 80, the default.
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match host.as_ref().and_then(|url| url.host_str()) {
            Some(host) if !has_port => Ok(Self { host_and_port: format!("{host}:{PORT}") }),
            Some(_) => Ok(Self { host_and_port: text.to_owned() }),
            None => Err("expected host:port, such as 127.0.0.1:9600".into()),
        }
    }
}
