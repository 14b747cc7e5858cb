//! The schemas of a job's messages, for short-lived commands.

use std::sync::Arc;

use super::error::JobError;
use super::options::registry_options;
use crate::config::Job;
use crate::registry::Registry;
use crate::runtime::reload::Reloads;

/// The schema registry of a job, if its messages have schemas there.
///
/// # Errors
/// It cannot be used, or does not answer.
pub(crate) fn schemas(job: &Job) -> Result<Option<Arc<Registry>>, JobError> {
    let Some(options) = registry_options(job) else { return Ok(None) };
    let registry = Registry::start(&options, &Reloads::default(), &Arc::default())?;
    registry.check()?;
    Ok(Some(registry))
}
