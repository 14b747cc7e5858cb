//! What can end a job. Every message is one sentence that names the thing and the next step.

use thiserror::Error;

use crate::config::ConfigError;
use crate::job::cluster::ClusterError;
use crate::kafka::producer::ProduceError;
use crate::observe::web::ListenError;
use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::folder::FolderError;
use crate::runtime::stop::WorkError;
use crate::sink::csv::CsvError;
use crate::source::SourceError;
use crate::state::StateError;
use crate::store::StoreError;

/// Why a job ended.
#[derive(Debug, Error)]
pub enum JobError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// The processes of a cluster do not come together, or one is gone.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The topic of dead letters cannot be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The output folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A resource of the operating system is missing.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A part of the job panicked.
    #[error(transparent)]
    Bug(#[from] Bug),
    /// The job's records come from elsewhere.
    #[error(
        "job `{job}` reads {stored}, but was asked to read {asked}; give another --job (and --out) to start over, or the input it began with"
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
    /// Something that a job needs at its start is not there, and it was not asked to wait.
    #[error("{0}, or keep trying with --wait")]
    NotThere(Box<JobError>),
}

impl From<WorkError> for JobError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::System(error) => error.into(),
            WorkError::Bug(error) => error.into(),
        }
    }
}

impl JobError {
    /// What ends a job at its start: the advice to wait is for one that does not.
    pub fn at_start(self, waits: bool) -> Self {
        let can_wait = match &self {
            Self::Source(error) => error.is_missing(),
            Self::Store(error) => error.is_retryable(),
            _ => false,
        };
        if can_wait && !waits { Self::NotThere(Box::new(self)) } else { self }
    }

    /// Whether the configuration is wrong, not what it meets: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::OtherSource { .. } | Self::OtherView { .. } | Self::NoBackfill { .. } => {
                true
            }
            Self::Cluster(error) => {
                matches!(error, ClusterError::Refused { .. } | ClusterError::Unfilled(_))
            }
            _ => false,
        }
    }
}
