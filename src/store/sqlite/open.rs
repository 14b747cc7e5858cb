//! Opens a file for reading, and checks whether it can be created.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::errors::{failure, unopened};
use crate::store::error::StoreError;

/// How long a claim waits for the lock, as another instance may be about to end.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a claim tries to take the lock.
pub(super) const LOCK_POLL: Duration = Duration::from_millis(50);

/// What `truckflow check` reports of the file at `path`, and a read-only connection if it exists.
pub(super) fn inspect(path: &str) -> Result<(&'static str, Option<Connection>), StoreError> {
    let file = Path::new(path);
    if file.try_exists().map_err(|error| unopened(path, path, &error))? {
        OpenOptions::new().write(true).open(file).map_err(|error| unopened(path, path, &error))?;
        return Ok(("exists", Some(open_to_read(path)?)));
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => Ok(("will be created on the first run, with its folder", None)),
        _ => Ok(("will be created on the first run", None)),
    }
}

pub(super) fn open_to_read(path: &str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(LOCK_TIMEOUT)?;
        Ok(connection)
    };
    open().map_err(|error| failure(path, &error))
}
