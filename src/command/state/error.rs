//! Errors of `state`.

use std::path::PathBuf;

use thiserror::Error;

use crate::state::export::ExportError;

/// Why a job's state cannot be exported, imported or reset.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The export file cannot be used.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A CSV file is shorter than the job's committed length.
    #[error(
        "{path} has {found} bytes, but the export expects at least {committed}; copy the files of the job's --out there, as of the export or later, and import again"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The committed length.
        committed: u64,
    },
    /// Tables have changed since the export.
    #[error(
        "{0}; restore the tables from a dump of that time or delete the rows with a higher `id`, or give --tables-as-they-are if they are correct: the job writes rows from after the export again, but not rows from before it"
    )]
    Tables(String),
    /// A view is being replaced, by a table that is not part of the export.
    #[error("view `{0}` is being replaced; run the job until it is, then export")]
    Replacing(String),
    /// The reset was not confirmed.
    #[error("{0}; repeat the command with --yes to confirm")]
    Unconfirmed(String),
}

impl TransferError {
    /// Whether the usage is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unconfirmed(_) | Self::Export(ExportError::OtherJob { .. }))
    }
}
