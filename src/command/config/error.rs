//! Why no configuration file is written.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why no file is written.
#[derive(Debug, Error)]
pub enum InitError {
    /// It is there.
    #[error("{0} is there already; give another name, or --force to replace it")]
    Exists(PathBuf),
    /// The operating system refuses.
    #[error("cannot write {path}: {source}; give a file in a folder that is there and may be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
