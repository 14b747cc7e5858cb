//! What is measured: the user's job, and simulated trucks.

use crate::cli::BenchArgs;
use crate::cli::simulate::{Destination, Format, SimulateArgs};
use crate::config::Config;
use crate::runtime::pace::Rate;
use crate::runtime::stop::Stop;

/// Trucks that are simulated.
const TRUCKS: u32 = 10;

/// What is measured, and how.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    /// The user's configuration, without what would reach beyond the measurement.
    pub(super) config: Config,
    pub(super) stop: &'a Stop,
}

impl Bench<'_> {
    /// What is read, in words.
    pub(super) fn source(&self) -> String {
        match &self.config.input {
            Some(path) => format!("file {path}"),
            None => format!("topic `{}`", self.config.kafka.topic),
        }
    }
}

/// Simulated trucks; how many readings, how fast and where to is said by whoever takes them.
pub(super) fn simulated() -> SimulateArgs {
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
