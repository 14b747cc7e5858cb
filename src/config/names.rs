//! Valid names of fields, views and tables.

/// Columns that tables and files have in addition to those of their view. Tables also have an `id`, or a `row_id` if the
/// view has an `id`.
pub const RESERVED_COLUMNS: [&str; 2] = ["row_key", "change"];

/// Whether a column or field can have this name: letters, digits and `_`, at most 60, not starting with a digit.
pub fn is_column_name(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

pub(super) fn is_view_name(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.as_bytes()[0].is_ascii_lowercase()
}

pub(super) fn is_table_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}
