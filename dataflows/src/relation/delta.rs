//! Changes of a relation, which operators pass on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::value::Row;

/// The bytes of a group's keys, or of a row's.
pub(super) type Key = Arc<[u8]>;

/// A change of a relation. In one epoch a key has at most one change for tables, and one for files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delta {
    /// What identifies the row; empty where only its content does.
    pub key: Key,
    /// The row before. Where nobody needs it, it may be left out.
    pub old: Option<Row>,
    /// Whether there was a row before.
    pub had_row: bool,
    /// The row after.
    pub new: Option<Row>,
    /// What a history shows of a row that disappears.
    pub end: Option<Row>,
    pub to: To,
}

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum To {
    All,
    /// All but files.
    Table,
    /// Files only: it tells what tables and other operators know.
    File,
}

impl Delta {
    /// The change of a row.
    pub fn new(key: Key, old: Option<Row>, new: Option<Row>, to: To) -> Self {
        Self { key, had_row: old.is_some(), old, new, end: None, to }
    }

    /// A row that is inserted (`sign` 1) or taken back (-1), known by its content.
    pub fn of_row(row: Row, sign: i64) -> Self {
        let (old, new) = if sign < 0 { (Some(row), None) } else { (None, Some(row)) };
        Self::new(Arc::default(), old, new, To::All)
    }

    /// Its rows, each with its sign, for other operators.
    pub fn rows(self) -> impl Iterator<Item = (Row, i64)> {
        let is_for_them = self.to != To::File;
        let old = self.old.map(|row| (row, -1));
        old.into_iter().chain(self.new.map(|row| (row, 1))).filter(move |_| is_for_them)
    }
}
