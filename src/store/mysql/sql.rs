//! Pieces of SQL.

use dataflows::rows::RowKey;

use crate::render::sql_bytes;

/// Appends keys, separated by commas.
pub(super) fn list(keys: &[RowKey], sql: &mut Vec<u8>) {
    for (place, key) in keys.iter().enumerate() {
        if place > 0 {
            sql.push(b',');
        }
        sql_bytes(key, sql);
    }
}

/// The key column of a topic, and its full name if that differs: the path of a file can be longer than a key.
pub(super) fn topic_key(topic: &str) -> (String, String) {
    let whole = literal(topic);
    if topic.chars().count() <= 255 {
        return (whole, "NULL".into());
    }
    let start: String = topic.chars().take(190).collect();
    (format!("CONCAT({}, '#', SHA2({whole}, 256))", literal(&start)), whole)
}

/// The name of a job's lock, as an expression.
pub(super) fn lock_name(database: &str, job: &str) -> String {
    format!("CONCAT('truckflow_', LEFT(SHA2({}, 256), 48))", literal(&format!("{database}\n{job}")))
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
    fn a_long_path_has_a_key_of_its_own() {
        assert_eq!(topic_key("Truck-Data"), ("'Truck-Data'".into(), "NULL".into()));
        let path = "/dir".repeat(100);
        let (key, whole) = topic_key(&path);
        assert_eq!(whole, format!("'{path}'"));
        assert!(key.starts_with("CONCAT('/dir") && key.contains("'#', SHA2("));
    }
}
