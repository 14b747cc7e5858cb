//! The top-level error of all commands, and the exit status. Every message is one sentence that names the thing
//! and the next step.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::command::bench::error::BenchError;
use crate::command::config::error::InitError;
use crate::command::replay::error::ReplayError;
use crate::command::simulate::error::SimulateError;
use crate::command::state::error::TransferError;
use crate::command::test::error::CaseError;
use crate::command::top::error::TopError;
use crate::config::ConfigError;
use crate::job::error::JobError;
use crate::runtime::print::PrintError;
use crate::store::StoreError;
use crate::text::printable::quantity;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A job failed.
    #[error(transparent)]
    Job(JobError),
    /// The configuration template cannot be written.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The simulator failed.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A job's state cannot be exported, imported or reset.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The replay failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The benchmark failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A running job cannot be shown.
    #[error(transparent)]
    Top(#[from] TopError),
    /// The manual pages cannot be written.
    #[error("cannot write the manual pages to {path}: {source}; give a writable folder as --to")]
    Man {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The job runs, or ran in the meantime, so its state changes while it is read.
    #[error("job `{0}` is running; stop it first")]
    Running(String),
    /// The database does not have the job.
    #[error("job `{0}` has no commit in this database; check --job, --out and --database")]
    NothingCommitted(String),
    /// The input cannot be read a second time.
    #[error("standard input cannot be read a second time; verify a job that reads a topic or a file")]
    Unrepeatable,
    /// Some views differ from their recomputation.
    #[error("{} differed from the recomputation; the lines above name the first difference of each", quantity(*.0, "view"))]
    Verify(usize),
    /// Cases could not be tried, or differ.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// A view to print does not exist, or has no table.
    #[error("there is no view `{view}` with a table; give --print one of {known}")]
    NoSuchView {
        /// The view.
        view: String,
        /// Those that there are.
        known: String,
    },
    /// Some checks failed.
    #[error("{} failed; the lines above name each with its fix", quantity(*.0, "check"))]
    Check(usize),
}

/// Errors of a job are also errors of other commands.
impl<E: Into<JobError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

impl Error {
    /// The text that is at fault, for a terminal.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Job(JobError::Config(ConfigError::Views { excerpt, .. })) => excerpt.as_deref(),
            _ => None,
        }
    }

    /// 1: failed while running. 2: wrong usage or configuration.
    pub fn exit_status(&self) -> u8 {
        let is_usage = match self {
            Self::Job(JobError::Store(StoreError::Url(_))) | Self::Unrepeatable | Self::NoSuchView { .. } => {
                true
            }
            Self::Case(error) => error.is_wrong_use(),
            // It is not an address; one that cannot be used has another kind.
            Self::Job(JobError::Listen(error)) => error.source.kind() == io::ErrorKind::InvalidInput,
            Self::Job(error) => error.is_usage(),
            Self::Init(InitError::Exists(_) | InitError::NotAFile(_)) => true,
            Self::Transfer(error) => error.is_usage(),
            Self::Replay(error) => error.is_usage(),
            Self::Simulate(SimulateError::JsonAmongReadings | SimulateError::SeveralTopics(_)) => true,
            Self::Bench(error) => error.is_usage(),
            _ => false,
        };
        if is_usage { 2 } else { 1 }
    }
}
