//! The version of the schema, and the steps to it.
//!
//! A step may be repeated: MySQL commits each definition by itself, so that a step may have been done in part, or
//! without its version having been written.

use std::collections::BTreeSet;
use std::fmt;

use super::session::Session;
use super::sql::{Existing, create, insert};
use super::statement::Statement;
use super::tables::{JOBS, SCHEMA, all};
use crate::store::error::StoreError;

/// A step from one version to the next one.
pub(in crate::store) type Step = fn(&mut dyn Session) -> Result<(), StoreError>;

/// The step to each version, from version 1 on.
pub(in crate::store) const STEPS: &[Step] = &[create_tables];

/// The version of this program.
pub(in crate::store) const VERSION: usize = STEPS.len();

/// The state of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Schema {
    /// No table exists.
    None,
    /// Some or all tables exist, in this version; 0 if a table is missing.
    Version(usize),
}

/// What `truckflow check` reports.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(VERSION) => f.write_str("compatible"),
            Self::None | Self::Version(0) => f.write_str("the missing ones will be created on the first run"),
            Self::Version(version) => {
                write!(f, "the next run migrates them from version {version} to {VERSION}")
            }
        }
    }
}

/// Creates missing tables.
fn create_tables(session: &mut dyn Session) -> Result<(), StoreError> {
    for table in all() {
        let sql = create(session, table);
        session.execute(&Statement::new(sql, []))?;
    }
    Ok(())
}

/// The bookkeeping tables that exist.
pub(in crate::store) fn existing(session: &mut dyn Session) -> Result<BTreeSet<&'static str>, StoreError> {
    let names = session.fetch(&Statement::new(session.table_names(), []))?;
    Ok(all().map(|table| table.name).filter(|name| names.iter().any(|row| row.text(0) == *name)).collect())
}

/// The state of the tables; an error if a newer program wrote them.
pub(in crate::store) fn schema(session: &mut dyn Session) -> Result<Schema, StoreError> {
    let existing = existing(session)?;
    if existing.is_empty() {
        return Ok(Schema::None);
    }
    if !existing.contains(SCHEMA.name) {
        return Ok(Schema::Version(0));
    }
    let rows = session.fetch(&Statement::new("SELECT version FROM truckflow_schema WHERE id = 1", []))?;
    let version = rows.first().and_then(|row| row.number(0)).unwrap_or(0).max(0) as usize;
    if version > VERSION {
        return Err(StoreError::NewerSchema { place: session.place().to_owned(), version, known: VERSION });
    }
    Ok(Schema::Version(if existing.len() < all().count() { 0 } else { version }))
}

/// Whether there are tables of a version that can be read: false if there is none; an error if they must be migrated
/// first.
pub(in crate::store) fn is_readable(session: &mut dyn Session) -> Result<bool, StoreError> {
    match schema(session)? {
        Schema::None => Ok(false),
        Schema::Version(VERSION) => Ok(true),
        Schema::Version(version) => {
            Err(StoreError::OlderSchema { place: session.place().to_owned(), version, known: VERSION })
        }
    }
}

/// Brings the tables to the version of this program, by those of `steps` that are missing. The caller holds the lock of
/// `job` and one that keeps other jobs from starting; `is_running` says whether another job runs.
pub(in crate::store) fn migrate<S: Session>(
    session: &mut S,
    steps: &[Step],
    job: &str,
    is_running: impl Fn(&mut S, &str) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let version = match schema(session)? {
        Schema::None => 0,
        Schema::Version(version) => version,
    };
    if version >= steps.len() {
        return Ok(());
    }
    if existing(session)?.contains(JOBS.name) {
        let others =
            Statement::new("SELECT job FROM truckflow_jobs WHERE job <> ? ORDER BY job", [job.into()]);
        for other in session.fetch(&others)? {
            let other = other.text(0);
            if is_running(session, &other)? {
                return Err(StoreError::Migrating { place: session.place().to_owned(), job: other });
            }
        }
    }
    for (done, step) in steps.iter().enumerate().skip(version) {
        step(session)?;
        let row = vec![1.into(), (done as i64 + 1).into()];
        for statement in insert(session, &SCHEMA, Existing::Update, [row]) {
            session.execute(&statement)?;
        }
    }
    Ok(())
}
