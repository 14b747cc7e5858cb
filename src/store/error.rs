//! Why a store cannot be used.

use thiserror::Error;

/// A store that cannot be used. Every message is one sentence that names the place and the next
/// step, and never shows a password.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error("{0}; give mysql://user:password@host:port/database or sqlite:PATH as --database")]
    Url(String),
    /// A certificate or key that the URL names cannot be used.
    #[error("{path}, the {name} of --database, cannot be used: {reason}; give a readable PEM file")]
    Certificate {
        /// `ssl-ca`, `ssl-cert` or `ssl-key`.
        name: &'static str,
        /// The file.
        path: String,
        /// What the operating system said, or what the file lacks.
        reason: String,
    },
    /// The server does not answer, or the answer was lost. It may pass by itself.
    #[error("{place} does not answer: {reason}; start it or correct --database")]
    Away {
        /// Host, port and database, or the file.
        place: String,
        /// What the client said.
        reason: String,
    },
    /// The server cannot do it now: full disk, lock, too many connections. It may pass by itself.
    #[error("{place} cannot execute this now: {reason}; {advice}")]
    Busy {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
        /// The next step.
        advice: String,
    },
    /// User, password or privilege.
    #[error("{place} denies access: {reason}; {advice}")]
    Denied {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
        /// The next step, a statement where there is one.
        advice: String,
    },
    /// A table that cannot be used.
    #[error("table {table}: {reason}; {advice}")]
    Table {
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
        /// The next step, a statement where there is one.
        advice: String,
    },
    /// The job is there already.
    #[error(
        "job `{job}` already exists in {place}; remove it with `truckflow state reset`, or give an empty --database"
    )]
    JobExists {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Another instance has the job.
    #[error(
        "another instance of job `{job}` is running on {place}; stop it, or give this one a different --job"
    )]
    Taken {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Another instance took the job over.
    #[error(
        "another instance took over job `{job}` on {place}; this one stops and has committed nothing since then"
    )]
    Fenced {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Anything else that the database said.
    #[error("{place}: {reason}; fix the cause and start again: the job resumes from its last commit")]
    Failed {
        /// Host, port and database, or the file.
        place: String,
        /// What the database said.
        reason: String,
    },
}

impl StoreError {
    /// Whether it may pass by itself.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Busy { .. })
    }

    /// The same for a job that tries again by itself: without the advice to start what it waits for.
    pub fn while_waiting(&self) -> String {
        match self {
            Self::Away { place, reason } => format!("{place} does not answer: {reason}"),
            other => other.to_string(),
        }
    }
}
