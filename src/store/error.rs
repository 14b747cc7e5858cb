//! Errors of stores.

use thiserror::Error;

/// An error of a store. Every message is one sentence that names the store or table and the next step. It never
/// contains a password.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The URL does not name a store.
    #[error("{0}; give mysql://user:password@host:port/database or sqlite:PATH as --database")]
    Url(String),
    /// A certificate or key that the URL names cannot be used.
    #[error("{path}, the {name} of --database, cannot be used: {reason}; give a readable PEM file")]
    Certificate {
        /// `ssl-ca`, `ssl-cert` or `ssl-key`.
        name: &'static str,
        /// The file.
        path: String,
        /// The error of the operating system, or what the file lacks.
        reason: String,
    },
    /// The server does not answer, or its answer was lost. May be temporary.
    #[error("{place} does not answer: {reason}; start it or correct --database")]
    Away {
        /// Host, port and database, or the file.
        place: String,
        /// The error of the client.
        reason: String,
    },
    /// The server cannot execute a statement now: full disk, lock, too many connections. May be temporary.
    #[error("{place} cannot execute this now: {reason}; {advice}")]
    Busy {
        /// Host, port and database, or the file.
        place: String,
        /// The error of the database.
        reason: String,
        /// The next step.
        advice: String,
    },
    /// Wrong credentials, an untrusted certificate, or a missing privilege.
    #[error("cannot use {place}: {reason}; {advice}")]
    Denied {
        /// Host, port and database, or the file.
        place: String,
        /// The error of the database.
        reason: String,
        /// The next step, if possible a statement.
        advice: String,
    },
    /// A table that cannot be used.
    #[error("table {table}: {reason}; {advice}")]
    Table {
        /// The table.
        table: String,
        /// Why it cannot be used.
        reason: String,
        /// The next step, if possible a statement.
        advice: String,
    },
    /// The job already exists.
    #[error(
        "job `{job}` already exists in {place}; remove it with `truckflow state reset`, or give an empty --database"
    )]
    JobExists {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Another instance of the job is running.
    #[error("another instance of job `{job}` runs on {place}; stop it, or give this one a different --job")]
    Taken {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// The bookkeeping tables were written by a newer program.
    #[error(
        "the tables truckflow_* in {place} have version {version}, and this program knows version {known}; \
         use the newer truckflow that wrote them"
    )]
    NewerSchema {
        /// Host, port and database, or the file.
        place: String,
        /// Their version.
        version: usize,
        /// The version of this program.
        known: usize,
    },
    /// The bookkeeping tables must be migrated before they can be read.
    #[error(
        "the tables truckflow_* in {place} have version {version}, and this program reads version {known}; \
         start a job with this program, which migrates them, or use the older truckflow"
    )]
    OlderSchema {
        /// Host, port and database, or the file.
        place: String,
        /// Their version; 0 if a table is missing.
        version: usize,
        /// The version of this program.
        known: usize,
    },
    /// The bookkeeping tables must be migrated while another job uses them.
    #[error(
        "the tables truckflow_* in {place} must be migrated, and job `{job}` uses them; \
         stop that job, start this one, and start it again"
    )]
    Migrating {
        /// Host, port and database.
        place: String,
        /// A running job.
        job: String,
    },
    /// Another instance took over the job.
    #[error(
        "another instance of job `{job}` took over on {place}; this one stops and has committed nothing since then"
    )]
    Fenced {
        /// The job.
        job: String,
        /// Host, port and database, or the file.
        place: String,
    },
    /// Any other error of the database.
    #[error("{place}: {reason}; fix the cause and start again: the job resumes from its last commit")]
    Failed {
        /// Host, port and database, or the file.
        place: String,
        /// The error of the database.
        reason: String,
    },
}

impl StoreError {
    /// Whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Busy { .. })
    }

    /// The message for a job that retries by itself: without the advice to start the server.
    pub fn while_waiting(&self) -> String {
        match self {
            Self::Away { place, reason } => format!("{place} does not answer: {reason}"),
            other => other.to_string(),
        }
    }
}

/// An error of a database in one line.
pub(super) fn one_line(error: impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
