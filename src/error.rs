//! What can end a command, and its exit status. Every message is one sentence that names the thing
//! and the next step.

use thiserror::Error;

use crate::bench::BenchError;
use crate::cluster::ClusterError;
use crate::config::ConfigError;
use crate::config_command::InitError;
use crate::print::PrintError;
use crate::producer::ProduceError;
use crate::replay::ReplayError;
use crate::simulate::SimulateError;
use crate::sink::csv::CsvError;
use crate::source::SourceError;
use crate::state::StateError;
use crate::state_command::TransferError;
use crate::store::StoreError;
use crate::top::TopError;

/// Why a command ended.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No configuration file is written.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A CSV file cannot be used.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// Stored state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The simulator cannot go on.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A job's state is not moved or forgotten.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The replay cannot go on.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Nothing can be measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The processes of a cluster do not come together, or one is gone.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A running job is not shown.
    #[error(transparent)]
    Top(#[from] TopError),
    /// Standard output cannot be written.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The topic of dead letters cannot be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The job's records come from elsewhere.
    #[error(
        "job `{job}` reads {stored}, but was asked to read {asked}; give another --job (and --out) to begin anew, or the input it began with"
    )]
    OtherSource {
        /// The job.
        job: String,
        /// What it read so far.
        stored: String,
        /// What it should read now.
        asked: String,
    },
    /// A view is not what it was when its state was made.
    #[error(
        "view `{view}` of job `{job}` was made as `{stored}` and is now `{asked}`; give it another name and table, the old definition, or start a new --job with a new --out"
    )]
    OtherView {
        /// The view.
        view: String,
        /// The job.
        job: String,
        /// What it was.
        stored: String,
        /// What it should be now.
        asked: String,
    },
    /// A view cannot be given what was before it.
    #[error(
        "view `{view}` cannot be filled from the input `{input}`, which cannot be read again; leave out its `backfill`"
    )]
    NoBackfill {
        /// The view.
        view: String,
        /// The input.
        input: String,
    },
    /// A key of an upsert job comes from another partition than before.
    #[error(
        "key `{key}` of topic `{topic}` was read from partition {} and now comes from partition {}, so the order of its \
         messages is not known (were partitions added, or do producers choose them differently?); copy the messages \
         into a topic where each key has one partition, and start a new --job with a new --out on it",
        .partitions.0, .partitions.1
    )]
    KeyMoved {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
        /// The partition that it came from first, and the other.
        partitions: (i32, i32),
    },
    /// Another instance writes to the folder.
    #[error("another instance{holder} writes to {out}; stop it, or choose another --out")]
    FolderTaken {
        /// The folder.
        out: String,
        /// ` (process N)`, if that is known.
        holder: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another --listen, or `--listen off`")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A thread ended by a panic.
    #[error(
        "{0} ended by a bug in truckflow; nothing is lost: start again, and please report the lines above"
    )]
    Bug(&'static str),
    /// A resource of the operating system is missing.
    #[error("cannot {verb}: {source}; free some resources and start again")]
    System {
        /// What was tried.
        verb: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A job that runs, or ran meanwhile, moves on while it is looked at.
    #[error("job `{0}` runs, and what it holds moves on; stop it, and try again then")]
    Moved(String),
    /// A job that the database does not know.
    #[error("job `{0}` has committed nothing in this database; give its --job, --out and --database")]
    NothingCommitted(String),
    /// An input that is gone once it was read.
    #[error("standard input cannot be read again; verify a job that reads a topic or a file")]
    Unrepeatable,
    /// Views are not as the input says.
    #[error(
        "{0} of the views are not what their input says; the lines above name the first difference of each"
    )]
    Verify(usize),
    /// Something that a job needs at its start is not there, and it was not asked to wait.
    #[error("{0}, or keep trying with --wait")]
    NotThere(Box<Error>),
    /// Something that was checked is not in order.
    #[error("{0} of the checks failed; mend what they name")]
    Check(usize),
}

impl Error {
    /// What ends a job at its start: the advice to wait is for one that does not.
    pub fn at_start(self, waits: bool) -> Self {
        let can_wait = match &self {
            Self::Source(error) => error.is_missing(),
            Self::Store(error) => error.is_retryable(),
            _ => false,
        };
        if can_wait && !waits { Self::NotThere(Box::new(self)) } else { self }
    }

    /// 1: failed while running. 2: wrong usage or configuration.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OtherSource { .. } | Self::OtherView { .. } | Self::NoBackfill { .. } => {
                2
            }
            Self::Init(InitError::Exists(_)) => 2,
            Self::Transfer(error) if error.is_usage() => 2,
            Self::Cluster(ClusterError::Refused { .. } | ClusterError::Unfilled(_)) => 2,
            Self::Replay(error) if error.is_usage() => 2,
            Self::Simulate(SimulateError::JsonAmongReadings) => 2,
            Self::Bench(error) if error.is_usage() => 2,
            _ => 1,
        }
    }
}
