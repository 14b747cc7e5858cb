//! Errors of `bench`.

use std::path::PathBuf;

use thiserror::Error;

/// Why the benchmark failed.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The input can be read only once.
    #[error("standard input cannot be read a second time; give a file or a topic")]
    Unrepeatable,
    /// The job rejects the readings of the latency measurement.
    #[error(
        "the latency is measured with simulated readings, which this job rejects, because it reads other messages; skip it with --seconds 0"
    )]
    OtherReadings,
    /// The input is empty.
    #[error("{0} is empty; send records first, for example with `truckflow simulate`")]
    Empty(String),
    /// A scratch folder cannot be created or used.
    #[error("cannot use {path}: {source}; choose another --out or fix the system's temporary folder")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A request to Kafka failed.
    #[error(
        "cannot {what} {name}: {reason}; allow the user to do that for topics `truckflow-bench-*`, or skip the latency measurement with --seconds 0"
    )]
    Kafka {
        /// The operation, as a verb.
        what: &'static str,
        /// The topic, group or brokers.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The measured job failed.
    #[error("the measured job failed: {0}")]
    Job(String),
    /// The measured job logged nothing.
    #[error("the measured job was silent for {0} s; check that its broker and database respond")]
    Silent(u64),
    /// The measured job made no commit.
    #[error("the measured job committed nothing; check that its input has records")]
    NothingCommitted,
    /// The measured job did not keep up.
    #[error(
        "only {committed} of {sent} sent records were committed within a minute; the job does not keep up, give a lower --rate"
    )]
    Late {
        /// Records sent.
        sent: u64,
        /// Records committed.
        committed: u64,
    },
    /// A signal.
    #[error("interrupted; nothing was measured, and all scratch resources were removed")]
    Interrupted,
}

impl BenchError {
    /// Whether the usage is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unrepeatable | Self::OtherReadings)
    }
}
