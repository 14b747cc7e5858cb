//! The errors of a job. Every message is one sentence that names the thing and the next step.

use thiserror::Error;

use crate::config::ConfigError;
use crate::job::cluster::ClusterError;
use crate::kafka::producer::ProduceError;
use crate::observe::web::ListenError;
use crate::registry::RegistryError;
use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::folder::FolderError;
use crate::runtime::stop::WorkError;
use crate::sink::csv::CsvError;
use crate::source::SourceError;
use crate::state::StateError;
use crate::store::StoreError;

/// Why a job failed.
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
    /// The schema registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The processes of a cluster could not connect, or one was lost.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The dead-letter topic cannot be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// The output folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The HTTP server cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An operating system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A part of the job panicked.
    #[error(transparent)]
    Bug(#[from] Bug),
    /// The job has read another input before.
    #[error(
        "job `{job}` reads {stored}, but is configured to read {asked}; restore its input and mode, or give another --job and --out to start over"
    )]
    OtherSource {
        /// The job.
        job: String,
        /// The stored input.
        stored: String,
        /// The configured input.
        asked: String,
    },
    /// The definition of a view has changed.
    #[error(
        "view `{view}` of job `{job}` was created as `{stored}` and is now `{asked}`; add --replace {view} to rebuild it (in SQL: CREATE OR REPLACE), restore its definition, or give it another name and table"
    )]
    OtherView {
        /// The view.
        view: String,
        /// The job.
        job: String,
        /// The stored definition.
        stored: String,
        /// The configured definition.
        asked: String,
    },
    /// The job has dropped other repetitions before.
    #[error(
        "message.dedupe of job `{job}` was {stored} and is now {asked}; restore it, or start a new --job with a new --out"
    )]
    OtherDedupe {
        /// The job.
        job: String,
        /// The stored value.
        stored: String,
        /// The configured value.
        asked: String,
    },
    /// A new view reads views that have read different parts of the input.
    #[error(
        "view `{view}` reads `{}` and `{}`, which did not begin at the same offsets; write WITH (backfill = true) to fill it from the beginning", .read[0], .read[1]
    )]
    OtherOrigins {
        /// The view.
        view: String,
        /// Two of the views that it reads.
        read: [String; 2],
    },
    /// A view cannot be backfilled.
    #[error(
        "view `{view}` cannot be filled, because the input `{input}` cannot be read again; leave out its `backfill`, let it read `readings` only, or restore its definition"
    )]
    NoBackfill {
        /// The view.
        view: String,
        /// The input.
        input: String,
    },
    /// A key of an upsert job appeared in a second partition.
    #[error(
        "key `{key}` of topic `{topic}` was read from partition {} and now appears in partition {}, so the order of its \
         messages is unknown (were partitions added, or do producers partition differently?); copy the messages to a \
         topic with one partition per key, and start a new --job with a new --out on it",
        .partitions.0, .partitions.1
    )]
    KeyMoved {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
        /// The first partition, and the second.
        partitions: (i32, i32),
    },
    /// Something that the job needs is unavailable at the start, and --wait was not given.
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
    /// Marks an error at the start: without --wait, the message suggests it.
    pub fn at_start(self, waits: bool) -> Self {
        let can_wait = match &self {
            Self::Source(error) => error.is_missing(),
            Self::Store(error) => error.is_retryable(),
            _ => false,
        };
        if can_wait && !waits { Self::NotThere(Box::new(self)) } else { self }
    }

    /// Whether the configuration is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::OtherSource { .. }
            | Self::OtherView { .. }
            | Self::OtherDedupe { .. }
            | Self::OtherOrigins { .. }
            | Self::NoBackfill { .. } => true,
            Self::Cluster(error) => {
                matches!(error, ClusterError::Refused { .. } | ClusterError::Unfilled(_))
            }
            _ => false,
        }
    }
}
