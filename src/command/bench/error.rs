//! Why nothing is measured.

use std::path::PathBuf;

use thiserror::Error;

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// What cannot be read twice.
    #[error("standard input cannot be read a second time; give a file or a topic")]
    Unrepeatable,
    /// A job without the trucks' readings.
    #[error("the job reads no readings of trucks, which are what is measured; give other views")]
    NoTrucks,
    /// Nothing to be read.
    #[error("{0} holds nothing to be measured; send it records, such as with `truckflow simulate`")]
    Empty(String),
    /// A folder that cannot be made or used.
    #[error("cannot use {path}: {source}; choose another --out, or mend the system's temporary folder")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Kafka did not do what was asked of it.
    #[error(
        "cannot {what} {name}: {reason}; let the user do that with topics `truckflow-bench-*`, or measure no latency with --seconds 0"
    )]
    Kafka {
        /// What was asked, as a verb.
        what: &'static str,
        /// Of which topic, group or brokers.
        name: String,
        /// What the brokers said.
        reason: String,
    },
    /// The measured job failed.
    #[error("the measured job failed: {0}")]
    Job(String),
    /// The measured job said nothing.
    #[error("the measured job said nothing for {0} s; look whether its broker and database answer")]
    Silent(u64),
    /// The measured job has not done anything.
    #[error("the measured job committed nothing; look whether its input holds records")]
    NothingCommitted,
    /// The measured job did not keep up.
    #[error(
        "of {sent} records that were sent, {committed} were committed a minute later; the job does not keep up: give a lower --rate"
    )]
    Late {
        /// Records sent.
        sent: u64,
        /// Records committed.
        committed: u64,
    },
    /// A signal.
    #[error("interrupted: nothing was measured, and nothing is left behind")]
    Interrupted,
}

impl BenchError {
    /// Whether the command was used in a wrong way.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unrepeatable | Self::NoTrucks)
    }
}
