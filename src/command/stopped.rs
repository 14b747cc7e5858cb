//! Jobs that are read while they are stopped.

use crate::command::error::Error;
use crate::config::Job;
use crate::runtime::folder::FolderLock;
use crate::runtime::secret::DatabaseUrl;
use crate::store;
use crate::store::LastCommit;

/// What a job that does not run now has committed.
pub(crate) fn committed(config: &Job, url: &DatabaseUrl) -> Result<LastCommit, Error> {
    let mut look = store::open_reader(url)?;
    if FolderLock::is_held(&config.out) || look.is_running(&config.job)? {
        return Err(Error::Running(config.job.clone()));
    }
    look.last_commit(&config.job)?.ok_or_else(|| Error::NothingCommitted(config.job.clone()))
}
