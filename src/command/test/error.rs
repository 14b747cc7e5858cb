//! The errors of `truckflow test`.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why cases could not be tried, or differ.
#[derive(Debug, Error)]
pub enum CaseError {
    /// Tables differ from what is expected.
    #[error("{0} of the cases differ; the lines above say how, and --update accepts what was found")]
    Different(usize),
    /// There are no cases.
    #[error("{path} has no case; give a folder with views.sql, or one that contains such folders")]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// A case does not have one input.
    #[error("{path} has {found} files whose names begin with `input`; give it one, such as input.jsonl")]
    Input {
        /// The case.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// A folder cannot be read.
    #[error("cannot read {path}: {source}; a case has views.sql, input.jsonl and expected/TABLE.csv")]
    Read {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Expected rows cannot be read.
    #[error("cannot read {path}: {source}; give a header and rows of as many fields")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: csv::Error,
    },
    /// Expected rows cannot be written.
    #[error("cannot write {path}: {source}; give a folder that can be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl CaseError {
    /// Whether the command was used wrongly.
    pub fn is_wrong_use(&self) -> bool {
        !matches!(self, Self::Different(_) | Self::Write { .. })
    }
}
