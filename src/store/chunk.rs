//! Rows of a table in the form that the store needs. They are rendered on the worker's thread.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dataflows::rows::{Change, Changes, RowKey, Rows};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::render::{self, SqlRows};

/// What the rows of a chunk do to those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// They are added without a key.
    Append,
    /// They are new; if a row of the key exists after all, it is updated.
    Insert,
    /// The rows of their keys are updated; a missing row is inserted again.
    Update,
    /// The rows of their keys are deleted; a missing row is no error.
    Delete,
}

/// Rows of one table in the form that the store needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// The table's index among the prepared ones.
    pub table: usize,
    /// What is done with the rows.
    pub operation: Operation,
    /// The rows.
    pub rows: Rows,
    /// Their keys, unless they are appended.
    pub keys: Vec<RowKey>,
    /// For a store that takes text: `(…),(…)`, in pieces that each fit one statement, with the range of their rows.
    /// Empty for deletes.
    pub text: Vec<(Range<usize>, Vec<u8>)>,
    /// Instead of `text`, if the store loads the appended rows of this table: see [`render::lines`].
    pub lines: Bytes,
}

/// Approximate bytes of values in a statement.
pub(super) const STATEMENT_BYTES: usize = 1 << 20;

impl Chunk {
    /// Its approximate size in bytes.
    pub fn weight(&self) -> usize {
        let text: usize = self.text.iter().map(|(_, text)| text.len()).sum();
        text + self.lines.len() + self.rows.weight() + size_of_val(&*self.keys)
    }
}

/// The form in which a store needs the rows of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Form {
    /// The job; part of each row's key, because jobs may share a table.
    pub job: Arc<str>,
    /// How rows are written as text, for a store that needs text.
    pub text: Option<Text>,
    /// For each prepared table, whether appended rows are needed as lines.
    pub lines: Arc<[bool]>,
}

/// How rows are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Text {
    /// `(…),(…)`; an update is an insert with `ON DUPLICATE KEY UPDATE`.
    Inserts,
    /// `(…),(…)`, also in an update.
    Values,
    /// `(…),(…)`, but `ROW(…),ROW(…)` in an update.
    ValuesRow,
}

impl Text {
    /// The opening of a row.
    pub fn opening(self, operation: Operation) -> &'static str {
        if self == Self::ValuesRow && operation == Operation::Update { "ROW(" } else { "(" }
    }
}

impl Form {
    /// Rows of the `table`-th prepared table in the order in which they must be written: deletes, updates, inserts.
    /// Hashed and rendered here, on the caller's thread.
    pub fn chunks(&self, table: usize, rows: Rows) -> Vec<Chunk> {
        let Some(Changes { kinds, keys }) = rows.changes.clone() else {
            return vec![self.chunk(table, Operation::Append, rows, Vec::new())];
        };
        let rows = Rows::from(rows.columns);
        let mut chunks = Vec::new();
        for (change, operation) in [
            (Change::Delete, Operation::Delete),
            (Change::Update, Operation::Update),
            (Change::Insert, Operation::Insert),
        ] {
            let places: Vec<u32> =
                (0..kinds.len() as u32).filter(|&place| kinds[place as usize] == change).collect();
            if places.is_empty() {
                continue;
            }
            let of_kind = if places.len() == kinds.len() { rows.clone() } else { rows.gather(&places) };
            let keys = places.iter().map(|&place| self.row_key(&keys[place as usize])).collect();
            chunks.push(self.chunk(table, operation, of_kind, keys));
        }
        chunks
    }

    pub(super) fn chunk(&self, table: usize, operation: Operation, rows: Rows, keys: Vec<RowKey>) -> Chunk {
        let operation = match (operation, self.text) {
            (Operation::Update, Some(Text::Inserts)) => Operation::Insert,
            _ => operation,
        };
        let (mut text, mut lines) = (Vec::new(), Bytes::new());
        match self.text {
            Some(_) if operation == Operation::Append && self.lines.get(table) == Some(&true) => {
                lines = render::lines(&rows).into();
            }
            Some(form) if operation != Operation::Delete => {
                let values = SqlRows { rows: &rows, keys: &keys, opening: form.opening(operation) };
                text = values.pieces(0..rows.len(), STATEMENT_BYTES);
            }
            _ => {}
        }
        Chunk { table, operation, rows, keys, text, lines }
    }

    /// The key in the database of the row with `key` in its view.
    fn row_key(&self, key: &[u8]) -> RowKey {
        let hash = Sha256::new().chain_update(&*self.job).chain_update([0]).chain_update(key).finalize();
        std::array::from_fn(|at| hash[at])
    }
}

#[cfg(test)]
mod tests {
    use dataflows::rows::Column;

    use super::*;

    /// The operations and texts of the chunks of three rows.
    fn chunks(text: Option<Text>) -> Vec<(Operation, String)> {
        let keys = [b"a", b"b", b"c"].map(|key| Arc::from(&key[..])).to_vec();
        let rows = Rows {
            columns: vec![Column::Integer(Arc::new(vec![1, 2, 3]))],
            changes: Some(Changes {
                kinds: Arc::new(vec![Change::Insert, Change::Update, Change::Delete]),
                keys: Arc::new(keys),
            }),
        };
        let text_of = |chunk: &Chunk| {
            let texts: Vec<_> = chunk.text.iter().map(|(_, text)| text.as_slice()).collect();
            String::from_utf8(texts.concat()).unwrap()
        };
        let chunks = Form { job: "job".into(), text, lines: [true].into() }.chunks(0, rows);
        chunks.iter().map(|chunk| (chunk.operation, text_of(chunk))).collect()
    }

    #[test]
    fn an_update_is_written_as_the_store_wants_it() {
        use Operation::{Delete, Insert, Update};
        for (text, operation, start) in [
            (None, Update, ""),
            (Some(Text::Inserts), Insert, "(2,X'"),
            (Some(Text::Values), Update, "(2,X'"),
            (Some(Text::ValuesRow), Update, "ROW(2,X'"),
        ] {
            let chunks = chunks(text);
            let operations: Vec<_> = chunks.iter().map(|(operation, _)| *operation).collect();
            assert_eq!(operations, [Delete, operation, Insert]);
            assert!(chunks[0].1.is_empty() && chunks[1].1.starts_with(start), "{chunks:?}");
            assert_eq!(chunks[2].1.starts_with("(1,X'"), text.is_some());
        }
    }

    #[test]
    fn rows_without_changes_are_appended_without_a_key() {
        let rows: Rows = vec![Column::Integer(Arc::new(vec![1, 2]))].into();
        let form = Form { job: "job".into(), text: Some(Text::ValuesRow), lines: [false, true].into() };
        let chunks = form.chunks(0, rows.clone());
        assert_eq!((chunks.len(), chunks[0].table, chunks[0].operation), (1, 0, Operation::Append));
        assert_eq!((&*chunks[0].text[0].1, chunks[0].keys.len()), (&b"(1),(2)"[..], 0));
        assert!(chunks[0].lines.is_empty());
        let chunks = form.chunks(1, rows);
        assert_eq!((&*chunks[0].lines, chunks[0].text.len()), (&b"1\n2\n"[..], 0));
    }
}
