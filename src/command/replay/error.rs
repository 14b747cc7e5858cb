//! Errors of `replay`.

use std::io;
use std::path::PathBuf;

use crate::kafka::producer::ProduceError;
use crate::runtime::failure::SystemError;
use crate::runtime::print::PrintError;

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

impl ReplayError {
    /// Whether the usage is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Produce(_)
                | Self::Print(_)
                | Self::Read { .. }
                | Self::Text { .. }
                | Self::DeadLetter { .. }
                | Self::Signals(_)
        )
    }
}
