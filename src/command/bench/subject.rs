//! The measured configuration, and simulated trucks.

use crate::cli::BenchArgs;
use crate::cli::properties::PropertyArgs;
use crate::cli::simulate::{Destination, Format, SimulateArgs};
use crate::config::Job;
use crate::runtime::pace::Rate;
use crate::runtime::stop::Stop;

/// Number of simulated trucks.
const TRUCKS: u32 = 10;

/// The benchmark's arguments and configuration.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    /// The measured job: the user's, isolated from its tables and files.
    pub(super) job: Job,
    pub(super) stop: &'a Stop,
}

impl Bench<'_> {
    /// Describes the input.
    pub(super) fn source(&self) -> String {
        match &self.job.input {
            Some(path) => format!("file {path}"),
            None if self.job.kafka.topic.single().is_some() => format!("topic `{}`", self.job.kafka.topic),
            None => format!("topics `{}`", self.job.kafka.topic),
        }
    }
}

/// Default arguments of the simulator; callers set count, rate and destination.
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
        properties: PropertyArgs::default(),
        json: false,
    }
}
