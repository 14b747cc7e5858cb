//! Writes rows in the open transaction by INSERT, UPDATE and DELETE statements.

use std::collections::HashSet;
use std::ops::Range;

use super::errors::{Fault, is_id_exhausted};
use super::prepared::Put;
use super::server::STATEMENT_LIMIT;
use super::sql::list;
use super::store::MysqlStore;
use crate::render::SqlRows;
use crate::store::api::Store;
use crate::store::chunk::{Chunk, Operation};
use crate::store::error::StoreError;
use crate::store::schema::quoted;
use crate::store::table::{ROW_KEY, Refused};

/// Maximum keys in an `IN` list. MariaDB turns a list of 1,000 into a join and then reads the whole table; MySQL does so
/// from about ten thousand on.
pub(super) const LIST_KEYS: usize = 900;

impl MysqlStore {
    /// Executes `operation` for some rows of a chunk; `text` is their rendered text, if there is one.
    pub(super) fn put(
        &mut self,
        chunk: &Chunk,
        operation: Operation,
        rows: Range<usize>,
        text: Option<&[u8]>,
    ) -> Result<Put, StoreError> {
        let form = self.claimed()?.text;
        let prepared =
            self.tables.get(chunk.table).ok_or_else(|| self.server.failed("a table is not prepared"))?;
        let frame = prepared.frame(operation);
        let largest = self.server.max_packet();
        let mut sql = Vec::with_capacity(
            frame.prefix.len() + text.map_or(rows.len() * 40, <[u8]>::len) + frame.suffix.len(),
        );
        sql.extend_from_slice(frame.prefix.as_bytes());
        match (text, operation) {
            (Some(text), _) => sql.extend_from_slice(text),
            (None, Operation::Delete) => list(&chunk.keys[rows.clone()], &mut sql),
            (None, _) => {
                SqlRows { rows: &chunk.rows, keys: &chunk.keys, opening: form.opening(operation) }
                    .write(rows.clone(), &mut sql);
            }
        }
        sql.extend_from_slice(frame.suffix.as_bytes());
        if sql.len() + 1 > largest {
            let reason = format!("larger than the server's max_allowed_packet of {largest} bytes");
            return Ok(Put::Refused(reason));
        }
        match self.server.write(&sql) {
            Ok(found) if operation == Operation::Update && found < rows.len() as u64 => Ok(Put::Missing),
            Ok(_) => Ok(Put::Done),
            Err(Fault::Server { number, message, .. })
                if prepared.has_auto_id && is_id_exhausted(number, &message) =>
            {
                let table = quoted(&prepared.table);
                Err(StoreError::Table {
                    table: prepared.table.clone(),
                    reason: format!("`id` is exhausted ({number}: {message})"),
                    advice: format!("run ALTER TABLE {table} MODIFY `id` BIGINT NOT NULL AUTO_INCREMENT"),
                })
            }
            Err(Fault::Server { number: 1406, message, .. }) if message.contains(ROW_KEY) => {
                Ok(Put::Refused("another row has the same values in a unique key".into()))
            }
            Err(fault) if self.server.concerns_a_row(&fault) => match fault {
                Fault::Server { number, message, .. } => Ok(Put::Refused(format!("{number}: {message}"))),
                fault => Err(self.server.explain(fault)),
            },
            Err(fault) => Err(prepared.explain(&self.server, fault)),
        }
    }

    pub(super) fn table_name(&self, chunk: &Chunk) -> String {
        self.tables.get(chunk.table).map(|prepared| prepared.table.clone()).unwrap_or_default()
    }

    /// Inserts those of the updated rows that do not exist, and no others: an INSERT uses an `id` for each row, even if
    /// the row exists or the statement fails, and an INT would soon be exhausted.
    pub(super) fn reinsert_missing(
        &mut self,
        chunk: &Chunk,
        rows: Range<usize>,
    ) -> Result<Vec<Refused>, StoreError> {
        let prepared =
            self.tables.get(chunk.table).ok_or_else(|| self.server.failed("a table is not prepared"))?;
        let table = quoted(&prepared.table);
        let mut there = HashSet::new();
        for keys in chunk.keys[rows.clone()].chunks(LIST_KEYS) {
            let mut sql = format!("SELECT {ROW_KEY} FROM {table} WHERE {ROW_KEY} IN (").into_bytes();
            list(keys, &mut sql);
            sql.push(b')');
            let found = self.server.try_query(&String::from_utf8_lossy(&sql), STATEMENT_LIMIT);
            let found = found.map_err(|fault| prepared.explain(&self.server, fault))?;
            there.extend(found.into_iter().filter_map(|mut row| row.0[0].take()));
        }
        let missing: Vec<u32> =
            rows.filter(|&row| !there.contains(&chunk.keys[row][..])).map(|row| row as u32).collect();
        let keys = missing.iter().map(|&row| chunk.keys[row as usize]).collect();
        let missed = self.form().chunk(chunk.table, Operation::Insert, chunk.rows.gather(&missing), keys);
        let refused = self.put_chunk(&missed)?.into_iter();
        Ok(refused.map(|refused| Refused { row: missing[refused.row] as usize, ..refused }).collect())
    }

    /// Writes a chunk that is not loaded.
    pub(super) fn put_chunk(&mut self, chunk: &Chunk) -> Result<Vec<Refused>, StoreError> {
        let deleted = (0..if chunk.operation == Operation::Delete { chunk.keys.len() } else { 0 })
            .step_by(LIST_KEYS)
            .map(|first| (first..chunk.keys.len().min(first + LIST_KEYS), None));
        let written = chunk.text.iter().map(|(rows, text)| (rows.clone(), Some(text.as_slice())));
        self.put_pieces(chunk, deleted.chain(written))
    }

    /// Writes rows of a chunk, each of `pieces` by one statement. A refused piece is split in half until it is one
    /// row.
    pub(super) fn put_pieces<'text>(
        &mut self,
        chunk: &Chunk,
        pieces: impl Iterator<Item = (Range<usize>, Option<&'text [u8]>)>,
    ) -> Result<Vec<Refused>, StoreError> {
        let mut refused = Vec::new();
        for (rows, mut text) in pieces {
            let mut ranges = vec![rows];
            while let Some(rows) = ranges.pop() {
                match self.put(chunk, chunk.operation, rows.clone(), text.take())? {
                    Put::Done => {}
                    Put::Missing => refused.extend(self.reinsert_missing(chunk, rows)?),
                    Put::Refused(_) if rows.len() > 1 => {
                        let (first, second) = halves(&rows);
                        ranges.extend([second, first]);
                    }
                    Put::Refused(reason) => {
                        let row = rows.start;
                        if matches!(chunk.operation, Operation::Insert | Operation::Update) {
                            self.put(chunk, Operation::Delete, rows, None)?;
                        }
                        let table = self.table_name(chunk);
                        refused.push(Refused { chunk: 0, row, table, reason });
                    }
                }
            }
        }
        Ok(refused)
    }
}

/// Splits a range in the middle.
pub(super) fn halves(range: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = range.start + range.len() / 2;
    (range.start..middle, middle..range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_whole() {
        assert_eq!(halves(&(3..10)), (3..6, 6..10));
        assert_eq!(halves(&(3..5)), (3..4, 4..5));
    }
}
