//! Why a job is not shown.

use std::io;

use thiserror::Error;

/// Why a job is not shown.
#[derive(Debug, Error)]
pub enum TopError {
    /// Nobody is there.
    #[error("no job answers at {address}: {reason}; start one, or give the address of its --listen")]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The job wants a token.
    #[error(
        "the job at {0} asks for its token; give the file that it has as listen_token_file in --token-file"
    )]
    NoToken(String),
    /// The job has another token.
    #[error(
        "the job at {0} has another token; give the file that it has as listen_token_file in --token-file"
    )]
    OtherToken(String),
    /// It has no page.
    #[error("{0} shows no trucks: of a job with several processes, give the address of process 0")]
    Elsewhere(String),
    /// The job says why not.
    #[error("the job at {address} refuses: {said}")]
    Refused {
        /// Where it was asked.
        address: String,
        /// What it said.
        said: String,
    },
    /// What was heard is not what a job says.
    #[error(
        "what answers at {0} is not a truckflow that this version understands; give the address of a job's --listen"
    )]
    Strange(String),
    /// The connection ended, though the job had not said that it ends.
    #[error("the job at {address} is gone: {reason}")]
    Gone {
        /// Where it was asked.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}; --once prints one view as plain text")]
    Terminal(io::Error),
}
