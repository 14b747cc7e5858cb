//! Reads the committed state of a stopped job.

use crate::command::error::Error;
use crate::config::Job;
use crate::runtime::folder::FolderLock;
use crate::runtime::secret::DatabaseUrl;
use crate::store;
use crate::store::LastCommit;

/// The last commit of a job, which must not be running.
pub(crate) fn committed(config: &Job, url: &DatabaseUrl) -> Result<LastCommit, Error> {
    let mut reader = store::open_reader(url)?;
    if FolderLock::is_held(&config.out) || reader.is_running(&config.job)? {
        return Err(Error::Running(config.job.clone()));
    }
    reader.last_commit(&config.job)?.ok_or_else(|| Error::NothingCommitted(config.job.clone()))
}
