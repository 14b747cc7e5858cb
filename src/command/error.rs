//! What can end a command, and its exit status. Every message is one sentence that names the thing
//! and the next step.

use thiserror::Error;

use crate::command::bench::error::BenchError;
use crate::command::config::error::InitError;
use crate::command::replay::error::ReplayError;
use crate::command::simulate::error::SimulateError;
use crate::command::state::error::TransferError;
use crate::command::top::error::TopError;
use crate::job::error::JobError;
use crate::runtime::print::PrintError;

/// Why a command ended.
#[derive(Debug, Error)]
pub enum Error {
    /// A job ended.
    #[error(transparent)]
    Job(JobError),
    /// No configuration file is written.
    #[error(transparent)]
    Init(#[from] InitError),
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
    /// A running job is not shown.
    #[error(transparent)]
    Top(#[from] TopError),
    /// Standard output cannot be written.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// A job that runs, or ran meanwhile, changes while it is read.
    #[error("job `{0}` is running; stop it first")]
    Running(String),
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
    /// Something that was checked is not in order.
    #[error("{0} of the checks failed; fix what they name")]
    Check(usize),
}

/// What ends a job ends other commands, too.
impl<E: Into<JobError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

impl Error {
    /// 1: failed while running. 2: wrong usage or configuration.
    pub fn exit_status(&self) -> u8 {
        let is_usage = match self {
            Self::Job(error) => error.is_usage(),
            Self::Init(InitError::Exists(_)) => true,
            Self::Transfer(error) => error.is_usage(),
            Self::Replay(error) => error.is_usage(),
            Self::Simulate(SimulateError::JsonAmongReadings) => true,
            Self::Bench(error) => error.is_usage(),
            _ => false,
        };
        if is_usage { 2 } else { 1 }
    }
}
