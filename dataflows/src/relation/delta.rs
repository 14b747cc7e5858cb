//! Changes of a relation, which operators pass on.

use std::cell::OnceCell;
use std::sync::Arc;

use super::column::Column;
use super::value::Value;

/// The bytes of a group's keys, or of a row's.
pub(super) type Key = Arc<[u8]>;

/// Changes of a relation, many at once: the values of their rows follow each other in memory. In one epoch a key has at
/// most one change for tables, and one for files.
#[derive(Clone, Debug, Default)]
pub(super) struct Deltas {
    heads: Vec<Head>,
    /// The number of values of a row.
    width: usize,
    values: Vec<Value>,
    /// The rows of the change that is being written.
    open: Rows,
    /// Rows that are inserted, known by their content.
    inserted: Option<Inserted>,
}

/// Rows as columns.
#[derive(Clone, Debug)]
pub(super) struct Inserted {
    pub columns: Vec<Column>,
    pub len: usize,
    key: Key,
    /// The same row by row, if somebody asked for that.
    values: OnceCell<Vec<Value>>,
}

impl Inserted {
    fn rows(&self) -> impl Iterator<Item = &[Value]> {
        let row = |row: usize| self.columns.iter().map(move |column| column.value(row));
        let values = self.values.get_or_init(|| (0..self.len).flat_map(row).collect());
        values.chunks(self.columns.len().max(1))
    }
}

/// A change, whose rows are among the values.
#[derive(Clone, Debug)]
struct Head {
    key: Key,
    had_row: bool,
    to: To,
    rows: Rows,
}

/// The rows that a change has, in this order.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    old: bool,
    new: bool,
    end: bool,
}

/// A change of a relation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta<'a> {
    /// What identifies the row; empty where only its content does.
    pub key: &'a Key,
    /// The row before. Where nobody needs it, it may be left out.
    pub old: Option<&'a [Value]>,
    /// Whether there was a row before.
    pub had_row: bool,
    /// The row after.
    pub new: Option<&'a [Value]>,
    /// What a history shows of a row that disappears.
    pub end: Option<&'a [Value]>,
    pub to: To,
}

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    All,
    /// All but files.
    Table,
    /// Files only: it tells what tables and other operators know.
    File,
}

impl Deltas {
    /// So many rows that are inserted, by their columns.
    pub fn inserting(columns: Vec<Column>, len: usize) -> Self {
        let inserted = Inserted { columns, len, key: Key::default(), values: OnceCell::new() };
        Self { inserted: Some(inserted), ..Self::default() }
    }

    /// The rows that are inserted, if there are no other changes.
    pub fn inserted(&self) -> Option<&Inserted> {
        self.inserted.as_ref().filter(|_| self.heads.is_empty())
    }

    /// Takes the rows that are inserted, if there are no other changes.
    pub fn take_inserted(&mut self) -> Option<Inserted> {
        self.inserted.take_if(|_| self.heads.is_empty())
    }

    pub fn len(&self) -> usize {
        self.heads.len() + self.inserted.as_ref().map_or(0, |inserted| inserted.len)
    }

    /// Makes room for so many changes with one row.
    pub fn reserve(&mut self, changes: usize, width: usize) {
        self.heads.reserve(changes);
        self.values.reserve(changes * width);
    }

    fn row(&mut self, row: impl IntoIterator<Item = Value>) {
        let start = self.values.len();
        self.values.extend(row);
        self.width = self.values.len() - start;
    }

    /// Begins a change with the row before it.
    pub fn put_old(&mut self, row: impl IntoIterator<Item = Value>) {
        self.row(row);
        self.open.old = true;
    }

    /// Writes the row after a change.
    pub fn put_new(&mut self, row: impl IntoIterator<Item = Value>) {
        self.row(row);
        self.open.new = true;
    }

    /// Writes what a history shows of a row that disappears.
    pub fn put_end(&mut self, row: impl IntoIterator<Item = Value>) {
        self.row(row);
        self.open.end = true;
    }

    /// Whether the rows of the change that is being written are equal.
    pub fn is_same(&self) -> bool {
        match (self.open.old, self.open.new) {
            (true, true) => {
                let (rest, new) = self.values.split_at(self.values.len() - self.width);
                rest.ends_with(new)
            }
            (old, new) => old == new,
        }
    }

    /// Completes a change.
    pub fn close(&mut self, key: Key, had_row: bool, to: To) {
        let rows = std::mem::take(&mut self.open);
        self.heads.push(Head { key, had_row, to, rows });
    }

    /// Leaves out the change that is being written.
    pub fn cancel(&mut self) {
        let Rows { old, new, end } = std::mem::take(&mut self.open);
        let rows = [old, new, end].into_iter().filter(|is_there| *is_there).count();
        self.values.truncate(self.values.len() - rows * self.width);
    }

    /// Appends a row that is inserted (`sign` 1) or taken back (-1), known by its content.
    pub fn push_row(&mut self, row: impl IntoIterator<Item = Value>, sign: i64) {
        if sign < 0 {
            self.put_old(row)
        } else {
            self.put_new(row)
        }
        self.close(Key::default(), sign < 0, To::All);
    }

    pub fn iter(&self) -> impl Iterator<Item = Delta<'_>> {
        let mut values = &self.values[..];
        let mut row = move |is_there: bool| {
            let (row, rest) = values.split_at_checked(self.width).filter(|_| is_there)?;
            values = rest;
            Some(row)
        };
        let changed = self.heads.iter().map(move |Head { key, had_row, to, rows }| Delta {
            key,
            old: row(rows.old),
            had_row: *had_row,
            new: row(rows.new),
            end: row(rows.end),
            to: *to,
        });
        let inserted = self.inserted.iter().flat_map(|inserted| {
            let (key, had_row, to) = (&inserted.key, false, To::All);
            inserted.rows().map(move |row| Delta { key, old: None, had_row, new: Some(row), end: None, to })
        });
        changed.chain(inserted)
    }

    /// The rows, each with its sign, for other operators.
    pub fn rows(&self) -> impl Iterator<Item = (&[Value], i64)> {
        self.iter().filter(|delta| delta.to != To::File).flat_map(|delta| {
            let old = delta.old.map(|row| (row, -1));
            old.into_iter().chain(delta.new.map(|row| (row, 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written() {
        let row = |number: i64| [Value::Number(number.into()), Value::Null];
        let mut deltas = Deltas::default();
        deltas.push_row(row(1), 1);
        // One that changes nothing is left out.
        deltas.put_old(row(2));
        deltas.put_new(row(2));
        assert!(deltas.is_same());
        deltas.cancel();
        deltas.put_old(row(3));
        assert!(!deltas.is_same());
        deltas.put_end(row(4));
        deltas.close([7].into(), true, To::File);
        deltas.push_row(row(5), -1);

        assert_eq!(deltas.len(), 3);
        let ends: Vec<_> = deltas.iter().map(|delta| (delta.end, &**delta.key, delta.had_row)).collect();
        assert_eq!(
            ends,
            [(None, &[][..], false), (Some(&row(4)[..]), &[7][..], true), (None, &[][..], true)]
        );
        // Other operators know nothing of what is for files alone.
        let rows: Vec<_> = deltas.rows().collect();
        assert_eq!(rows, [(&row(1)[..], 1), (&row(5)[..], -1)]);
        assert!(deltas.take_inserted().is_none());
    }

    #[test]
    fn inserted_rows_are_read_like_others() {
        let columns = vec![Column::Times(vec![1, 2]), Column::Same(Value::Null)];
        let mut deltas = Deltas::inserting(columns.clone(), 2);
        let rows = [1, 2].map(|time| [Value::Time(time), Value::Null]);
        assert_eq!(deltas.rows().collect::<Vec<_>>(), [(&rows[0][..], 1), (&rows[1][..], 1)]);
        assert_eq!(deltas.len(), 2);
        assert_eq!(deltas.take_inserted().unwrap().columns, columns);
    }
}
