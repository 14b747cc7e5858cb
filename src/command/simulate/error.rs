//! Errors of `simulate`.

use std::io;
use std::path::PathBuf;

use crate::kafka::producer::ProduceError;
use crate::runtime::failure::SystemError;

/// Why a simulation failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Kafka did not take the readings.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The topic is a pattern or a list.
    #[error("readings are sent to one topic, not to `{0}`; give its name as --topic")]
    SeveralTopics(String),
    /// The output could not be opened.
    #[error("cannot write {path}: {source}; correct --to")]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Writing the output failed.
    #[error("writing to {output} failed after {records} readings: {source}; check its disk and start again")]
    Write {
        /// The file, or `standard output`.
        output: String,
        /// Readings generated so far.
        records: u64,
        /// The operating system's error.
        source: io::Error,
    },
    /// A truck's last row is out of range.
    #[error(
        "truck `{truck}` cannot continue from its last row (distance {distance}, fuel {fuel}); correct the row or \
         leave out --resume-from"
    )]
    Resume {
        /// The truck's name.
        truck: String,
        /// The row's distance.
        distance: f64,
        /// The row's fuel.
        fuel: f64,
    },
    /// Readings and JSON summary would go to the same output.
    #[error(
        "--json would print among the readings on standard output; write to a file or `topic` with --to, or leave out --json"
    )]
    JsonAmongReadings,
    /// Signal handlers cannot be installed.
    #[error(transparent)]
    Signals(#[from] SystemError),
}
