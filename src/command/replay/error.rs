//! Why a replay failed.

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
    /// What was sent cannot be printed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The input could not be opened or read.
    #[error("{path} cannot be read ({source}): mend FILE")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The input is no text of lines.
    #[error("{path} cannot be read: {reason}; give lines of UTF-8 as FILE")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The dead letters are not a CSV file of the expected shape.
    #[error("{path} is no file of dead letters at line {line} ({reason}): mend the line or take it out")]
    DeadLetter {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder is not one of dead letters, or a file in it is not.
    #[error(
        "{path} holds no dead letters: name a file, or the folder `dead_letters` that csv.max_records makes"
    )]
    NoDeadLetters {
        /// The folder, or the file in it.
        path: PathBuf,
    },
    /// Lines do not know their topic.
    #[error("the lines of {path} do not say where they go: name the topic with --topic")]
    NoTopic {
        /// The file.
        path: PathBuf,
    },
    /// Standard input has no start to go back to.
    #[error("--loop cannot start standard input over: name a file")]
    LoopOverStdin,
    /// A loop over nothing would never end.
    #[error("--loop over {path}, which holds nothing to send, would never end: name another file")]
    LoopOverNothing {
        /// The file.
        path: PathBuf,
    },
    /// A dead letter has its own key.
    #[error("dead letters are sent with the keys that they had: leave out {flag}")]
    KeyOfDeadLetters {
        /// The flag that asks for other keys.
        flag: &'static str,
    },
    /// A message has one key.
    #[error("--key and --key-separator each say what a line's key is: leave out one of them")]
    TwoKeys,
    /// No line holds the separator, or each begins with it.
    #[error(
        "--key-separator {separator:?} ends no key within a line: give a text that lines do not end with, such as $'\\t'"
    )]
    KeySeparator {
        /// What was given.
        separator: String,
    },
    /// Signals cannot be listened to.
    #[error(transparent)]
    Signals(#[from] SystemError),
}

impl ReplayError {
    /// Whether the command line, not the run, is wrong: exit status 2 instead of 1.
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
