//! Errors of `config init`.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the configuration template was not written.
#[derive(Debug, Error)]
pub enum InitError {
    /// The file exists.
    #[error("{0} already exists; give another name, or overwrite it with --force")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; give a file in an existing, writable folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}
