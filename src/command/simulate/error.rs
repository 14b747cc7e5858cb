//! Why a simulation failed.

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
    /// The output could not be opened.
    #[error("{path} cannot be written ({source}): mend --to")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The output could not be written to its end.
    #[error(
        "writing {output} failed after {records} readings ({source}): look at its disk, then start again"
    )]
    Write {
        /// The file, or `standard output`.
        output: String,
        /// Readings generated so far.
        records: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// A last reading is out of range.
    #[error(
        "truck `{truck}` cannot go on from its last row (distance {distance}, fuel {fuel}): mend the row or \
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
    /// One output would have two things.
    #[error("--json says its object where the readings go: give --to a file or `topic`, or leave out --json")]
    JsonAmongReadings,
    /// Signals cannot be listened to.
    #[error(transparent)]
    Signals(#[from] SystemError),
}
