//! Opens what a job needs before it reads: the schema registry and the store.

use std::sync::Arc;

use crate::config::Job;
use crate::job::backfill;
use crate::job::error::JobError;
use crate::job::filling::Filling;
use crate::job::options::registry_options;
use crate::job::replace;
use crate::job::routes::{check_source, source_name};
use crate::registry::Registry;
use crate::runtime::fault::{self, Moment};
use crate::runtime::health::Health;
use crate::runtime::reload::{Reloaded, Reloads};
use crate::runtime::retry;
use crate::runtime::stop::Stop;
use crate::store::{self, LastCommit, Login, Store, StoreError};

/// Starts the client of the schema registry, if messages have schemas there. One that is away is waited for when a
/// message needs it; none if a stop was requested.
pub(super) fn registry(
    config: &Job,
    reloads: &Reloads,
    health: &Arc<Health>,
    stop: &Arc<Stop>,
) -> Result<Option<Arc<Registry>>, JobError> {
    let Some(options) = registry_options(config) else { return Ok(None) };
    let registry = Registry::start(&options, reloads, health)?;
    let checked = registry.clone();
    match stop.unless_requested(move || checked.check())? {
        Some(Err(error)) if error.is_away() => {
            tracing::warn!("{error}; messages wait for it");
            Ok(Some(registry))
        }
        Some(Err(error)) => Err(error.into()),
        Some(Ok(())) | None => Ok(Some(registry)),
    }
}

/// An opened store.
pub(super) struct Opened {
    pub store: Box<dyn Store>,
    pub last: LastCommit,
    /// The views that have to be filled.
    pub to_fill: Vec<Filling>,
}

/// Opens the store, takes the job's lock, ends replacements that are committed, and finds the views that have to be filled.
pub(super) fn store(config: &Job, login: Arc<Reloaded<Login>>, stop: &Stop) -> Result<Opened, JobError> {
    let asked = source_name(config);
    let open = || -> Result<_, StoreError> {
        let mut store = match &config.memory {
            Some(memory) => memory.store(),
            None => store::open_reloaded(login.clone(), config.connections)?,
        };
        let last = store.claim(&config.job, &asked)?;
        fault::at(Moment::JobClaimed);
        Ok((store, last))
    };
    let may_pass = |error: &StoreError| (config.wait && error.is_retryable()).then(|| error.while_waiting());
    let opened = retry::until_stopped(stop, open, may_pass);
    let (mut store, last) = opened.map_err(|error| JobError::from(error).at_start(config.wait))?;
    check_source(config, &last.source, &last.offsets)?;
    replace::finish(store.as_mut(), config, stop)?;
    let to_fill = backfill::plan(store.as_mut(), config, &last)?;
    Ok(Opened { store, last, to_fill })
}
