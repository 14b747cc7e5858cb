//! Errors of `top`.

use std::io;

use thiserror::Error;

/// Why a job cannot be shown.
#[derive(Debug, Error)]
pub enum TopError {
    /// No answer.
    #[error("no job answers at {address}: {reason}; start the job or give its --listen address")]
    NoAnswer {
        /// The address.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The job requires a token.
    #[error(
        "the job at {0} requires a token; give the file with its listen_token_file token in --token-file"
    )]
    NoToken(String),
    /// The token is wrong.
    #[error(
        "the job at {0} rejects the token; give the file with its listen_token_file token in --token-file"
    )]
    OtherToken(String),
    /// The process has no live page.
    #[error("{0} does not serve the live page; in a cluster, give the address of process 0")]
    Elsewhere(String),
    /// The job refuses the request.
    #[error("the job at {address} refuses the connection: {said}")]
    Refused {
        /// The address.
        address: String,
        /// The response of the job.
        said: String,
    },
    /// The response is not one of a job.
    #[error("{0} is not a truckflow job of a compatible version; give a job's --listen address")]
    Incompatible(String),
    /// The connection was lost before the job ended.
    #[error("lost the connection to the job at {address}: {reason}")]
    Gone {
        /// The address.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}; --once prints a snapshot as plain text")]
    Terminal(io::Error),
}
