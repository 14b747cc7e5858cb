//! Puts parts of messages back: each into the message that it was in, as its only reading.

use std::sync::Arc;

use super::error::ReplayError;
use super::input::{Message, PartOf};
use super::summary::Why;
use crate::config::Job;
use crate::decode::Envelopes;
use crate::job::options::topic_options_now;
use crate::source::kafka::Fetcher;
use crate::source::sample::Sampled;
use crate::text::time::{self, TimeWriter};

/// The messages of a job, from which parts were rejected.
pub(super) struct Parts {
    /// None if the job reads a file.
    fetcher: Option<Fetcher>,
    envelopes: Envelopes,
    times: TimeWriter,
}

impl Parts {
    /// Connects to the brokers of a job.
    pub fn of(job: &Job) -> Result<Self, ReplayError> {
        let fetcher = match &job.input {
            None => Some(Fetcher::new(&topic_options_now(job, job.kafka.topic.clone())?)?),
            Some(_) => None,
        };
        let envelopes = Envelopes::new(job.mapping.clone());
        Ok(Self { fetcher, envelopes, times: TimeWriter::default() })
    }

    /// Replaces the payload, which is a part, by the message that it was in, without its other readings. Returns why
    /// that is not possible.
    pub fn put_back(&mut self, message: &mut Message, part: PartOf) -> Result<Option<Why>, ReplayError> {
        let Some(fetcher) = &mut self.fetcher else { return Ok(Some(Why::PartOfLine)) };
        let found = match message.partition {
            Some(partition) => fetcher.fetch(&message.topic, partition, part.offset)?,
            None => None,
        };
        let Some(found) = found.filter(|found| self.is_of(found, part)) else {
            return Ok(Some(Why::PartOfNothing));
        };
        let payload = found.payload.as_deref().unwrap_or_default();
        match self.envelopes.of_part(payload, part.place, &message.payload) {
            Ok(envelope) => {
                message.payload = envelope;
                message.headers.clone_from(&found.headers.0);
                Ok(None)
            }
            Err(none) => Ok(Some(Why::NoEnvelope(none))),
        }
    }

    /// Whether a message has the time that the letter names: a topic that was re-created has another message there.
    fn is_of(&mut self, found: &Arc<Sampled>, part: PartOf) -> bool {
        let micros = found.timestamp.map(|millis| millis.saturating_mul(1000));
        // As it is written in a dead letter.
        let written = micros.map(|micros| self.times.text(micros));
        let written = written.and_then(|text| time::parse(std::str::from_utf8(&text).ok()?));
        part.timestamp.is_none() || written == part.timestamp
    }
}
