//! Pieces of SQL.

use dataflows::rows::RowKey;

use crate::render::sql_bytes;
use crate::store::bookkeeping::statement::hash;

/// The number of the connection that claims the job.
pub(super) const FIRST: usize = 1;

/// Appends keys, separated by commas.
pub(super) fn list(keys: &[RowKey], sql: &mut Vec<u8>) {
    for (place, key) in keys.iter().enumerate() {
        if place > 0 {
            sql.push(b',');
        }
        sql_bytes(key, sql);
    }
}

/// The name of the lock that the `number`-th committing connection of a job holds. A job is running while the first one
/// is held.
pub(super) fn lock_name(database: &str, job: &str, number: usize) -> String {
    let of_connection = if number == FIRST { String::new() } else { format!("\n{number}") };
    format!("truckflow_{}", &hash(&format!("{database}\n{job}{of_connection}"))[..48])
}

/// The name of the lock that keeps jobs from starting while the bookkeeping tables of a database are migrated.
pub(super) fn schema_lock_name(database: &str) -> String {
    format!("truckflow_schema_{}", &hash(database)[..40])
}

/// A string literal. The session's mode does not include NO_BACKSLASH_ESCAPES.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(literal(r"a'b\c"), r"'a''b\\c'");
    }

    #[test]
    fn locks_have_short_names() {
        const LOCK: &str = "truckflow_a7dab185f2a6fb9a17ca6a98d30efa07f7d29b1e6504a7ac"; // of "trucks\njob"
        assert_eq!(lock_name("trucks", "job", FIRST), LOCK);
        assert_eq!(LOCK.len(), 58);
        // MySQL accepts 64 characters.
        assert_eq!(schema_lock_name("trucks").len(), 57);
        let others = [
            lock_name("trucks", "other", FIRST),
            lock_name("trucks", "job", 2),
            lock_name("trucks", "job", 3),
        ];
        assert!(others.iter().all(|other| other != LOCK) && others[1] != others[2]);
    }
}
