//! Inputs of a job: one interface for Kafka and files.
//!
//! Each worker owns one [`Reader`] of each source, all in one [`InputSet`](several::InputSet). Between two steps of the
//! dataflow it polls one of them, which decodes about a batch of available messages and returns their epoch.

pub mod embedded;
pub mod file;
pub mod kafka;
pub mod per_topic;
pub mod sample;
pub mod several;

use dataflows::Epoch;
use dataflows::item::{Arrival, NextOffset};
use thiserror::Error;

use crate::decode::Decode;
use crate::kafka::error::BrokerError;
use crate::kafka::producer::ProduceError;
use crate::runtime::clock::Clock;

/// Maximum records decoded by a poll.
pub const BATCH_RECORDS: usize = 8192;

/// What to do if unread offsets are no longer on the broker, or the file that was read is gone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDataLoss {
    /// Stop with an error that names the missing offsets.
    #[default]
    Stop,
    /// Continue from the earliest available offset.
    Earliest,
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Messages of this epoch were decoded.
    Read(Epoch),
    /// No messages are available now.
    Idle,
    /// The input has ended.
    End,
}

/// One worker's share of a source.
pub trait Reader {
    /// Decodes available messages, at most about [`BATCH_RECORDS`], without waiting. The epoch that it returns never
    /// decreases. It is read from `clock` before messages are taken, so that all messages of a partition up to an
    /// offset belong to epochs up to the one committed with it.
    fn poll<D: Decode>(&mut self, clock: &Clock, decoder: &mut D) -> Result<Polled, SourceError>;

    /// Appends the offsets reached by the last polls, and the times at which their messages were produced. Called once
    /// for each poll that read something.
    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>);

    /// The minimum, over the partitions that are not read to their end, of the latest event time read: `i64::MAX` if all
    /// are read to their end, `i64::MIN` if nothing was read of one that is not. Partitions are not read evenly, and
    /// views need to know up to which time readings may still follow.
    fn behind(&self) -> i64 {
        i64::MAX
    }
}

/// An error of an input. Each message names the input and the next step.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; give a readable file as --input, or - for standard input")]
    File {
        /// The path.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file at a path is not the one that was read, and that one is not in the folder.
    #[error(
        "{path} is not the file that was read before: no file in {folder} begins with the {bytes} bytes ({lines} lines) that were read; put that file back into {folder}, start a new --job with a new --out, or set on_data_loss = \"earliest\" to continue with the first line of {path}"
    )]
    Replaced {
        /// The path.
        path: String,
        /// Its folder.
        folder: String,
        /// Lines that were read.
        lines: i64,
        /// Bytes that were read.
        bytes: u64,
    },
    /// A stream does not begin with the bytes that were read from it.
    #[error(
        "{path} does not begin with the {bytes} bytes that were read from it before; give the same input again, or start a new --job with a new --out"
    )]
    OtherStream {
        /// The path.
        path: String,
        /// Bytes that were read.
        bytes: u64,
    },
    /// A file that has to be read again cannot be found.
    #[error(
        "no file in {folder} begins with the {bytes} bytes that were read from {path}; put that file back into {folder}, under any name, and try again"
    )]
    FileGone {
        /// The path at which it was read.
        path: String,
        /// The folder.
        folder: String,
        /// Bytes that were read.
        bytes: u64,
    },
    /// A text has an unsupported encoding.
    #[error(
        "{path} is {encoding} text; convert it to UTF-8, for example with `iconv -f {encoding} -t UTF-8`"
    )]
    Encoding {
        /// The path.
        path: String,
        /// The encoding.
        encoding: &'static str,
    },
    /// A file has the name of a compressed format, but other contents.
    #[error("{path} is not {format} data, though its name says so; rename it, or give a complete file")]
    NotCompressed {
        /// The path.
        path: String,
        /// The format.
        format: &'static str,
    },
    /// A file was empty at first and then got compressed data.
    #[error(
        "{path} was empty and now contains {format} data, which is read only when complete; start again then"
    )]
    CompressedLater {
        /// The path.
        path: String,
        /// The format.
        format: &'static str,
    },
    /// A line is too long.
    #[error(
        "line {line} of {path} is longer than {limit} bytes; split it, or give a file with one reading per line"
    )]
    LongLine {
        /// The path.
        path: String,
        /// The line, counted from 1.
        line: i64,
        /// The limit.
        limit: usize,
    },
    /// The brokers cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The topic of dead letters cannot be opened.
    #[error(transparent)]
    DeadLetters(#[from] ProduceError),
    /// A partition has no metadata now.
    #[error(
        "{topic} partition {partition} is not available on {brokers} ({reason}); check the brokers, or keep trying with --wait"
    )]
    Unavailable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The bootstrap servers.
        brokers: String,
        /// The error of librdkafka.
        reason: String,
    },
    /// Unread offsets are no longer on the broker.
    #[error(
        "{topic} partition {partition}: offsets {from} to {to} were not read and are gone from the broker; set on_data_loss = \"earliest\" to continue without them"
    )]
    DataLoss {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first missing offset.
        from: i64,
        /// The last missing offset.
        to: i64,
    },
    /// Offsets that have to be read again are no longer on the broker.
    #[error(
        "{topic} partition {partition} begins at offset {low}: earlier records are no longer on the broker and cannot be verified; verify a job whose topic still has every record that it read"
    )]
    Gone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first available offset.
        low: i64,
    },
    /// Offsets from which a view is to be rebuilt are no longer on the broker.
    #[error(
        "{topic} partition {partition} begins at offset {low}, but the job began at {first}: earlier records are no longer on the broker, so the view cannot be rebuilt; restore its definition, or give the changed view another name and table"
    )]
    Forgotten {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first available offset.
        low: i64,
        /// The offset at which the job began.
        first: i64,
    },
    /// The committed offset is past the partition's end.
    #[error(
        "{topic} partition {partition} ends at offset {end}, but {committed} was committed, so the topic was re-created; start a new --job with a new --out, or set on_data_loss = \"earliest\""
    )]
    Recreated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The partition's end.
        end: i64,
        /// The committed offset.
        committed: i64,
    },
    /// The topic has a different id than when its offsets were committed.
    #[error("topic `{topic}` was re-created: its id was {known} and is now {found}; {advice}")]
    TopicReplaced {
        /// The topic.
        topic: String,
        /// The earlier id.
        known: String,
        /// The current id.
        found: String,
        /// The next step.
        advice: &'static str,
    },
    /// A permanent error of Kafka.
    #[error(
        "Kafka, {topic} partition {partition}: {reason}; fix the cause and start again: the job resumes from its last commit"
    )]
    Kafka {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The error of librdkafka.
        reason: String,
    },
    /// A broker returns nothing although there is more to read.
    #[error(
        "the broker returned no records for {seconds} s although there are more to read; check the broker and start again"
    )]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// The file that feeds the embedded broker is not the one that was read before.
    #[error(
        "{path} does not begin with the lines that were read from it before, and the embedded broker is fed from the beginning at every start; give that file, start a new --job with a new --out, or read the file without --embedded"
    )]
    OtherFeed {
        /// The path.
        path: String,
    },
    /// The embedded broker failed.
    #[error("the embedded broker failed: {0}; run the job again, or read the file without --embedded")]
    Embedded(String),
}

impl SourceError {
    fn broker(&self) -> Option<&BrokerError> {
        match self {
            Self::Broker(error) | Self::DeadLetters(ProduceError::Broker(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether a retry may succeed, so that `--wait` tries again.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. }) || self.broker().is_some_and(BrokerError::may_pass)
    }

    /// Whether something is only missing so far: a server that has to start, or a topic to be created.
    pub fn is_missing(&self) -> bool {
        self.may_pass() && !matches!(self.broker(), Some(BrokerError::Refused { .. }))
    }

    /// The message for a job that retries by itself: without the advice to start the server.
    pub fn while_waiting(&self) -> String {
        match self {
            Self::Unavailable { topic, partition, brokers, reason } => {
                format!("{topic} partition {partition} is not available on {brokers} ({reason})")
            }
            other => other.broker().map_or_else(|| other.to_string(), BrokerError::while_waiting),
        }
    }
}
