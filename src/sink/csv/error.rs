//! Why a CSV file cannot be used.

use std::io::{self};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A CSV file that cannot be used.
#[derive(Debug, Error)]
pub enum CsvError {
    /// An I/O operation failed.
    #[error("cannot {verb} {path}: {source}; {advice}")]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
        /// The next step.
        advice: &'static str,
    },
    /// A file that does not have this job's committed content.
    #[error(
        "{path} has {found} bytes, but job `{job}` committed {committed}: the file was changed or belongs to another job; use the --out of this job, or a new --job with a new --out"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The job.
        job: String,
        /// Its length.
        found: u64,
        /// The committed length.
        committed: u64,
    },
    /// A file of this job whose view now has other columns.
    #[error(
        "{path} has the columns {found}, but the view now has {columns}; restore the old columns, rename the view, or start a new --job with a new --out"
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// Its header.
        found: String,
        /// The current header of the view.
        columns: String,
    },
}

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CsvError {
    let path = path.to_owned();
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and start again; the job resumes from its last commit"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "make it writable or choose another --out"
            }
            _ => "fix the folder and start again, or choose another --out",
        };
        CsvError::Io { verb, path, source, advice }
    }
}
