//! Classifies errors of SQLite.

use std::io;

use rusqlite::ErrorCode;

use crate::store::error::{StoreError, one_line};

/// The error for a file `name` that cannot be opened.
pub(super) fn unopened(place: &str, name: &str, error: &io::Error) -> StoreError {
    StoreError::Denied {
        place: place.to_owned(),
        reason: format!("{name} cannot be opened: {error}"),
        advice: "give a file that this user can write, in an existing folder".into(),
    }
}

/// The error of a statement on a table of the job.
pub(super) fn failure_on(place: &str, table: &str, error: &rusqlite::Error) -> StoreError {
    match failure(place, error) {
        StoreError::Failed { reason, .. } if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            StoreError::Table {
                table: table.to_owned(),
                reason,
                advice: "start the job again to add what is missing, or correct its triggers".into(),
            }
        }
        other => other,
    }
}

/// The error of the database at `place`.
pub(super) fn failure(place: &str, error: &rusqlite::Error) -> StoreError {
    use ErrorCode::*;
    let (place, reason) = (place.to_owned(), one_line(error));
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => {
            StoreError::Busy { place, reason, advice: "end the program that writes to it".into() }
        }
        Some(ReadOnly | CannotOpen | PermissionDenied | AuthorizationForStatementDenied) => {
            StoreError::Denied {
                place,
                reason,
                advice: "give a file that this user can write, in an existing folder".into(),
            }
        }
        Some(DiskFull) => StoreError::Failed { place, reason: format!("{reason} (free space on its disk)") },
        Some(NotADatabase | DatabaseCorrupt) => {
            let reason = format!("{reason} (restore a backup or give another file)");
            StoreError::Failed { place, reason }
        }
        _ => StoreError::Failed { place, reason },
    }
}
