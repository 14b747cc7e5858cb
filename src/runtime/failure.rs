//! Two errors that can occur anywhere: the operating system refuses a resource, or truckflow has a bug.

use std::io;

use thiserror::Error;

/// A resource of the operating system is missing.
#[derive(Debug, Error)]
#[error("cannot {verb}: {source}; free some resources and start again")]
pub struct SystemError {
    /// The operation.
    pub verb: &'static str,
    /// The error of the operating system.
    pub source: io::Error,
}

/// A part of truckflow panicked, or reached a state that must not occur.
#[derive(Debug, Error)]
#[error(
    "{0} panicked; this is a bug in truckflow, please report it with the lines above. What is committed is intact: start the job again"
)]
pub struct Bug(pub &'static str);
