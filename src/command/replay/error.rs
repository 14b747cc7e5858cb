//! Errors of `replay`.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::job::error::JobError;
use crate::kafka::producer::ProduceError;
use crate::runtime::failure::SystemError;
use crate::runtime::print::PrintError;
use crate::source::kafka::FetchError;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka did not take the messages.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The summary cannot be printed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The input could not be opened or read.
    #[error("cannot read {path}: {source}; correct FILE")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The input is not lines of text.
    #[error("cannot read {path}: {reason}; FILE must be lines of UTF-8 text")]
    Text {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The dead letters are not a CSV file of the expected shape.
    #[error("bad dead letter at line {line} of {path}: {reason}; correct or remove the line")]
    DeadLetter {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The reason.
        reason: String,
    },
    /// A folder, or a file in it, has no dead letters.
    #[error(
        "{path} has no dead letters; give a dead_letters.csv, or the folder `dead_letters` of a job with csv.max_records"
    )]
    NoDeadLetters {
        /// The folder, or the file in it.
        path: PathBuf,
    },
    /// Lines need a topic.
    #[error("no topic for the lines of {path}; give --topic")]
    NoTopic {
        /// The file.
        path: PathBuf,
    },
    /// Standard input cannot be repeated.
    #[error("--loop cannot repeat standard input; give a file")]
    LoopOverStdin,
    /// A loop over an empty input would never end.
    #[error("{path} has nothing to send, so --loop would never end; give another file")]
    LoopOverNothing {
        /// The file.
        path: PathBuf,
    },
    /// Only messages have parts.
    #[error("{path} has lines, not dead letters; leave out --parts, or give a dead_letters.csv")]
    PartsOfLines {
        /// The file.
        path: PathBuf,
    },
    /// The job's configuration or schema registry cannot be used.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A message cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The message that is explained cannot be read.
    #[error("cannot read {path}: {source}; correct --explain")]
    Message {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The text names no message of a topic.
    #[error("`{text}` names no message; give kafka:PARTITION/OFFSET, or kafka:TOPIC/PARTITION/OFFSET")]
    Place {
        /// The text.
        text: String,
    },
    /// The job has no topic.
    #[error(
        "`{text}` names no topic, and the job reads a file; give kafka:TOPIC/PARTITION/OFFSET, or the line"
    )]
    PlaceInFile {
        /// The text.
        text: String,
    },
    /// A message is named without its topic, but the job reads several.
    #[error("`{text}` names no topic, and the job reads several; give kafka:TOPIC/PARTITION/OFFSET")]
    PlaceInTopics {
        /// The text.
        text: String,
    },
    /// The topic has no such message.
    #[error(
        "topic `{topic}` partition {partition} on {brokers} has no message at offset {offset}, or no longer; correct --explain"
    )]
    NoMessage {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The bootstrap servers.
        brokers: String,
    },
    /// The schema of the message is not known yet.
    #[error(
        "the schema registry did not return the schema of the message within {seconds} s; check message.registry and try again"
    )]
    NoSchema {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The message that was explained would be a dead letter, or parts of it.
    #[error(
        "{} would be {}; correct what sends the message, or [message] and [record]",
        subject(*.rejected, *.readings),
        if *.rejected == 1 { "a dead letter" } else { "dead letters" }
    )]
    WouldBeRejected {
        /// Readings that would be dead letters.
        rejected: usize,
        /// All readings.
        readings: usize,
    },
    /// A dead letter has its own key.
    #[error("dead letters are sent with their original keys; leave out {flag}")]
    KeyOfDeadLetters {
        /// The flag that asks for other keys.
        flag: &'static str,
    },
    /// A message has one key.
    #[error("--key and --key-separator exclude each other; leave out one of them")]
    TwoKeys,
    /// The separator cannot occur within a line.
    #[error(
        "--key-separator {separator:?} cannot end a key within a line; give a separator that lines do not end with, such as $'\\t'"
    )]
    KeySeparator {
        /// The separator.
        separator: String,
    },
    /// Signal handlers cannot be installed.
    #[error(transparent)]
    Signals(#[from] SystemError),
}

/// Some of the readings of a message, as the subject of a sentence.
fn subject(some: usize, all: usize) -> String {
    match all {
        1 => "the message".into(),
        _ => format!("{some} of {all} readings"),
    }
}

impl From<ConfigError> for ReplayError {
    fn from(error: ConfigError) -> Self {
        Self::Job(error.into())
    }
}

impl ReplayError {
    /// Whether the usage is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Job(error) => error.is_usage(),
            Self::Produce(_)
            | Self::Print(_)
            | Self::Read { .. }
            | Self::Text { .. }
            | Self::DeadLetter { .. }
            | Self::Fetch(_)
            | Self::Message { .. }
            | Self::NoMessage { .. }
            | Self::NoSchema { .. }
            | Self::WouldBeRejected { .. }
            | Self::Signals(_) => false,
            _ => true,
        }
    }
}
