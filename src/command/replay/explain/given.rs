//! The message that is explained.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::command::replay::error::ReplayError;
use crate::config::Job;
use crate::job::options::topic_options_now;
use crate::runtime::clock::wall_clock;
use crate::source::kafka::Fetcher;
use crate::source::sample::Sampled;

/// The prefix of an offset of a topic.
const KAFKA: &str = "kafka:";

/// The message that is explained.
pub(super) struct Given {
    pub message: Sampled,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a message is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A topic.
    Topic,
    /// The command line, or a file: read as if it arrived now in the job's topic.
    AsInTopic,
    /// The same, read as a line of the job's file.
    AsInFile,
}

/// A message of a topic.
#[derive(Debug, PartialEq, Eq)]
struct Place<'t> {
    /// None: that of the job.
    topic: Option<&'t str>,
    partition: i32,
    offset: i64,
}

impl Given {
    /// Reads the message that a text names, for a job. `key` is the key of one that is not fetched.
    pub fn read(text: &str, key: Option<&str>, job: &Job) -> Result<Self, ReplayError> {
        let read_error = |path: &str| {
            let path = PathBuf::from(path);
            |source| ReplayError::Message { path, source }
        };
        let payload = match (text.strip_prefix('@'), text.strip_prefix(KAFKA)) {
            (_, Some(place)) => return Self::fetch(text, place, job),
            (Some(path), _) => fs::read(path).map_err(read_error(path))?,
            _ if text == "-" => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map_err(read_error("-"))?;
                bytes
            }
            _ => text.as_bytes().to_vec(),
        };
        let is_of_topic = job.input.is_none() || job.embedded;
        let message = Sampled {
            topic: job.kafka.topic.single().filter(|_| is_of_topic).map(Into::into),
            timestamp: is_of_topic.then(|| wall_clock() / 1000),
            key: key.map(|key| key.as_bytes().to_vec()),
            payload: Some(payload),
            ..Sampled::default()
        };
        let origin = if is_of_topic { Origin::AsInTopic } else { Origin::AsInFile };
        Ok(Self { message, origin })
    }

    /// Fetches a message from a topic of the job's brokers.
    fn fetch(text: &str, place: &str, job: &Job) -> Result<Self, ReplayError> {
        let place = Place::parse(place).ok_or_else(|| ReplayError::Place { text: text.to_owned() })?;
        if job.input.is_some() && place.topic.is_none() {
            return Err(ReplayError::PlaceInFile { text: text.to_owned() });
        }
        let topic = place.topic.or_else(|| job.kafka.topic.single());
        let topic = topic.ok_or_else(|| ReplayError::PlaceInTopics { text: text.to_owned() })?;
        let mut fetcher = Fetcher::new(&topic_options_now(job, job.kafka.topic.clone())?)?;
        let found = fetcher.fetch(topic, place.partition, place.offset)?;
        let message = found.ok_or_else(|| ReplayError::NoMessage {
            topic: topic.to_owned(),
            partition: place.partition,
            offset: place.offset,
            brokers: job.kafka.brokers.clone(),
        })?;
        Ok(Self { message: Sampled::clone(&message), origin: Origin::Topic })
    }
}

impl<'t> Place<'t> {
    /// Reads `PARTITION/OFFSET` or `TOPIC/PARTITION/OFFSET`. Names of topics have no slash.
    fn parse(text: &'t str) -> Option<Self> {
        let (rest, offset) = text.rsplit_once('/')?;
        let (topic, partition) = match rest.rsplit_once('/') {
            Some((topic, partition)) => (Some(topic), partition),
            None => (None, rest),
        };
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        let is_valid = partition >= 0 && offset >= 0 && topic.is_none_or(|topic| !topic.is_empty());
        is_valid.then_some(Self { topic, partition, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_partition_and_offset_and_may_have_a_topic() {
        let place = |topic, partition, offset| Some(Place { topic, partition, offset });
        assert_eq!(Place::parse("0/17"), place(None, 0, 17));
        assert_eq!(Place::parse("Truck-Data/3/0"), place(Some("Truck-Data"), 3, 0));
        for wrong in ["", "17", "/0/17", "0:17", "-1/17", "0/-17", "0/x", "t/0/"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
