//! Errors of `config init`.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::propose::Unreadable;

/// Why no configuration was written.
#[derive(Debug, Error)]
pub enum InitError {
    /// The file exists.
    #[error("{0} already exists; give another name, or overwrite it with --force")]
    Exists(PathBuf),
    /// The messages cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The registry does not have the schemas.
    #[error(
        "the schema registry {url} has no Avro or Protobuf schema with the ids of the messages; correct --registry"
    )]
    Schemas {
        /// Its URL.
        url: String,
    },
    /// The topic cannot be read.
    #[error("{0}")]
    Topic(String),
    /// The input cannot be read.
    #[error("cannot read {path}: {source}; correct --from-file")]
    Read {
        /// The file.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The input can be read only once.
    #[error("{0} is not a regular file; write its lines to a file and give that one")]
    NotAFile(String),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; give a file in an existing, writable folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}
