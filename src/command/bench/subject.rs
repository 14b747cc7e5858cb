//! The measured configuration, and simulated trucks.

use dataflows::item::Item;

use crate::cli::BenchArgs;
use crate::cli::properties::PropertyArgs;
use crate::cli::simulate::{Destination, Format, SimulateArgs};
use crate::config::Job;
use crate::config::message::{Format as MessageFormat, MessageSettings};
use crate::decode::{Decode, Message};
use crate::job::options::decoder;
use crate::runtime::pace::Rate;
use crate::runtime::stop::Stop;

/// Number of simulated trucks.
const TRUCKS: u32 = 10;

/// A reading in the form of the simulator's.
const SIMULATED: &str = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 0.01, "engine_speed": 80.2, "fuel_consumed": 0.01, "truck_id": "truck-1"}"#;

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

    /// Whether the job accepts simulated readings.
    pub(super) fn accepts_simulated(&self) -> bool {
        let mut decoder = decoder(&self.job, "");
        let (key, payload) = (Some(&b"truck-1"[..]), Some(SIMULATED.as_bytes()));
        decoder.decode(&Message { key, payload, ..Message::default() });
        let mut items = Vec::new();
        decoder.take(&mut items);
        items.iter().any(|item| matches!(item, Item::Records(_) | Item::Upserts(_)))
    }
}

/// The same mapping of messages that are texts, for simulated readings.
pub(super) fn of_text(message: &MessageSettings) -> MessageSettings {
    MessageSettings {
        format: MessageFormat::Auto,
        columns: None,
        separator: None,
        registry: None,
        registry_user: None,
        registry_password_file: None,
        registry_ca: None,
        schema: None,
        message_type: None,
        ..message.clone()
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
