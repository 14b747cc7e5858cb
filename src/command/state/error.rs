//! Why a job's state is not moved or forgotten.

use std::path::PathBuf;

use thiserror::Error;

use crate::state::export::ExportError;

/// Why a job's state is not moved or forgotten.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The file cannot be used.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A CSV file lacks what the job has committed.
    #[error(
        "{path} holds {found} bytes, but the job's first {committed} belong to the export; copy the files of the job's --out there, of the export's time or later, and import again"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// What was committed.
        committed: u64,
    },
    /// Tables hold other rows than at the export.
    #[error(
        "{0}; make them what they were, from a dump of that time or by deleting what has a higher `id`, or say --tables-as-they-are if they are right: rows of after the export come again, rows of before it do not"
    )]
    Tables(String),
    /// Nothing was said that a job may be forgotten.
    #[error("{0}; say it again with --yes to do that")]
    Unconfirmed(String),
}

impl TransferError {
    /// Whether the command line, not what is there, is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unconfirmed(_) | Self::Export(ExportError::OtherJob { .. }))
    }
}
