//! `truckflow bench`: what a user's own broker, database and messages give.
//!
//! ```text
//! throughput  bare consumers, and the job in a process of its own, over the same messages in turn
//! latency     simulator -> scratch topic -> the job, which says when each offset was committed
//! start       a process over a few readings, to its first commit
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`throughput`], [`latency`], [`start`] | what is measured |
//! | [`bare`] | readers that only count |
//! | [`child`] | a job in a process of its own, told by its log |
//! | [`scratch`] | folders, databases and topics that are removed again |
//! | [`report`] | the numbers, as text and as JSON |
//!
//! The user's job, tables and files are never opened: only his topic or file is read.

mod bare;
mod child;
mod latency;
mod report;
mod scratch;
mod start;
mod throughput;

use std::path::PathBuf;

use thiserror::Error;

use self::report::{Machine, Measured, Report};
use crate::cli::BenchArgs;
use crate::cli::simulate::{Destination, Format, SimulateArgs};
use crate::command::error::Error;
use crate::config::defined::ViewEntry;
use crate::config::{Config, Orientation};
use crate::runtime::pace::Rate;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::source::file::full_path;

/// Trucks that are simulated.
const TRUCKS: u32 = 10;

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// What cannot be read twice.
    #[error("standard input cannot be read again and again; give a file or a topic")]
    Unrepeatable,
    /// A job without the trucks' readings.
    #[error("the job reads no readings of trucks, which are what is measured; give other views")]
    NoTrucks,
    /// Nothing to be read.
    #[error("{0} holds nothing to be measured; send it records, such as with `truckflow simulate`")]
    Empty(String),
    /// A folder that cannot be made or used.
    #[error("cannot use {path}: {source}; choose another --out, or mend the system's temporary folder")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Kafka did not do what was asked of it.
    #[error(
        "cannot {what} {name}: {reason}; let the user do that with topics `truckflow-bench-*`, or measure no latency with --seconds 0"
    )]
    Kafka {
        /// What was asked, as a verb.
        what: &'static str,
        /// Of which topic, group or brokers.
        name: String,
        /// What the brokers said.
        reason: String,
    },
    /// The measured job failed.
    #[error("the measured job failed: {0}")]
    Job(String),
    /// The measured job said nothing.
    #[error("the measured job said nothing for {0} s; look whether its broker and database answer")]
    Silent(u64),
    /// The measured job has not done anything.
    #[error("the measured job committed nothing; look whether its input holds records")]
    NothingCommitted,
    /// The measured job did not keep up.
    #[error(
        "of {sent} records that were sent, {committed} were committed a minute later; the job does not keep up: give a lower --rate"
    )]
    Late {
        /// Records sent.
        sent: u64,
        /// Records committed.
        committed: u64,
    },
    /// A signal.
    #[error("interrupted: nothing was measured, and nothing is left behind")]
    Interrupted,
}

impl BenchError {
    /// Whether the command was used in a wrong way.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unrepeatable | Self::NoTrucks)
    }
}

/// What is measured, and how.
struct Bench<'a> {
    args: &'a BenchArgs,
    /// The user's configuration, without what would reach beyond the measurement.
    config: Config,
    stop: &'a Stop,
}

impl Bench<'_> {
    /// What is read, in words.
    fn source(&self) -> String {
        match &self.config.input {
            Some(path) => format!("file {path}"),
            None => format!("topic `{}`", self.config.kafka.topic),
        }
    }
}

/// Measures, and prints what was found.
pub fn run(args: &BenchArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let stop = Stop::on_signals(Hangup::Stops)?;
    let bench = Bench { args, config: alone(config)?, stop: &stop };
    let measured = Measured {
        throughput: throughput::measure(&bench)?,
        latency: match args.seconds > 0 && bench.config.input.is_none() {
            true => Some(latency::measure(&bench)?),
            false => None,
        },
        start: start::measure(&bench)?,
    };
    let report = Report::new(&bench, Machine::look(), measured)?;
    match args.json {
        true => report.print_json(),
        false => Ok(print::out(report)?),
    }
}

/// The configuration of a job that reaches nothing but what it reads.
fn alone(mut config: Config) -> Result<Config, Error> {
    if !config.reads()?.trucks {
        return Err(BenchError::NoTrucks.into());
    }
    match config.input.as_deref() {
        Some("-") => return Err(BenchError::Unrepeatable.into()),
        Some(path) => config.input = Some(full_path(path)),
        None => {}
    }
    let is_phone = |name: &str| name == dataflows::views::ORIENTATION;
    config.views.retain(|entry| !matches!(entry, ViewEntry::Name(name) if is_phone(name)));
    config.selected.retain(|name| !is_phone(name));
    config.orientation = Orientation::default();
    config.dead_letters.topic = None;
    config.listen = "off".into();
    config.wait = false;
    config.until_end = false;
    // The user's group keeps telling how far his own job is.
    config.kafka.properties.remove("group.id");
    Ok(config)
}

/// Simulated trucks; how many readings, how fast and where to is said by whoever takes them.
fn simulated() -> SimulateArgs {
    SimulateArgs {
        trucks: TRUCKS,
        truck_prefix: None,
        records: 0,
        rate: Rate::Max,
        seed: 0,
        to: Destination::Stdout,
        brokers: String::new(),
        topic: String::new(),
        format: Format::Json,
        start: 0,
        resume_from: None,
        resume_password_file: None,
        properties: Vec::new(),
        property_files: Vec::new(),
        json: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::secret::ExposeSecret;

    #[test]
    fn a_measured_job_reaches_nothing_but_its_input() {
        let toml = r#"
            views = ["above_speed", "orientation", { name = "hot", columns = ["truck_id"] }]
            dead_letters.topic = "letters"
            orientation.topic = "phone"
            [kafka.properties]
            group.id = "mine"
            security.protocol = "plaintext"
        "#;
        let config = alone(toml::from_str(toml).unwrap()).unwrap();
        assert_eq!(config.kafka_properties().unwrap().names().collect::<Vec<_>>(), ["security.protocol"]);
        assert!(config.dead_letters.topic.is_none() && config.orientation.topic.is_none());
        let names: Vec<String> =
            config.active_views().unwrap().into_iter().map(|view| view.name.into()).collect();
        assert_eq!(names, ["above_speed", "hot", "dead_letters"]);
        // What the child is given says the same.
        let told: Config = toml::from_str(config.exposed().unwrap().expose_secret()).unwrap();
        assert_eq!(format!("{told:?}"), format!("{config:?}"));
    }
}
