//! Appended rows by `LOAD DATA LOCAL INFILE` from memory. Parsing lines costs the server less than the values of a
//! statement.
//!
//! With `LOCAL`, errors of rows become warnings, and values may be truncated or rows skipped. A load with warnings, or
//! with fewer rows than sent, is therefore rolled back, and its rows are inserted by statements, which refuse values
//! that do not fit. (Notes, which would count as warnings, are off in the session.)
//!
//! A load does not announce its number of rows, so the server reserves `id`s in blocks of 1, 2, 4 … 32,768, 65,535,
//! 65,535 …, and loses the rest of the last one. Loads have as many rows as a sum of these blocks, so that no `id` is
//! lost; the few remaining rows are inserted.

use std::iter;
use std::ops::Range;

use bytes::Bytes;
use dataflows::rows::Type;
use futures_util::{StreamExt, stream};
use memchr::memchr_iter;
use mysql_async::prelude::Queryable;

use super::errors::Fault;
use super::server::{Committer, STATEMENT_LIMIT, time_of};
use super::tables::names;
use crate::store::error::StoreError;
use crate::store::schema::quoted;
use crate::store::table::Table;

/// The maximum rows of a load: the size of the largest block.
const MAX_ROWS: usize = (1 << 16) - 1;
/// Fewer rows are inserted: a load costs the server a savepoint and a statement.
const MIN_ROWS: usize = (1 << 10) - 1;
/// Bytes per packet: less than the smallest `max_allowed_packet`.
const PACKET: usize = 256 << 10;
/// After this many loads of a table that were rolled back, a connection inserts its rows instead: each such load costs
/// twice the time and twice the `id`s.
pub(super) const MAX_ROLLED_BACK: u32 = 3;

/// How rows of a table are loaded.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) statement: String,
    /// Loads that were rolled back on this connection.
    pub(super) rolled_back: u32,
}

/// Some rows of a chunk, and their lines.
pub(super) struct Part {
    pub(super) chunk: usize,
    pub(super) rows: Range<usize>,
    pub(super) lines: Bytes,
}

impl Load {
    pub fn new(table: &Table) -> Self {
        Self { statement: statement(table), rolled_back: 0 }
    }

    /// Resets the count on a new connection, which may be to another server.
    pub fn reset(&mut self) {
        self.rolled_back = 0;
    }
}

/// The statement that reads the output of [`crate::render::lines`]. Bytes are written as hexadecimal digits, because a
/// load reads characters.
fn statement(table: &Table) -> String {
    let (mut targets, mut assignments) = (Vec::new(), Vec::new());
    for (place, (column, name)) in table.columns.iter().zip(names(table)).enumerate() {
        let name = quoted(name);
        if column.column_type == Type::Bytes {
            targets.push(format!("@b{place}"));
            assignments.push(format!("{name}=UNHEX(@b{place})"));
        } else {
            targets.push(name);
        }
    }
    let set = if assignments.is_empty() { "" } else { " SET " };
    format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 ({}){set}{}",
        quoted(&table.name),
        targets.join(","),
        assignments.join(",")
    )
}

/// How many of `rows` the next load takes, so that its last block is full.
pub(super) fn load_size(rows: usize) -> Option<usize> {
    let size = if rows >= MAX_ROWS { MAX_ROWS } else { (1 << (rows + 1).ilog2()) - 1 };
    (size >= MIN_ROWS).then_some(size)
}

/// Removes the next `rows` rows from `parts`, which are in reverse order.
pub(super) fn take(parts: &mut Vec<Part>, mut rows: usize) -> Vec<Part> {
    let mut taken = Vec::new();
    while rows > 0
        && let Some(mut part) = parts.pop()
    {
        let count = part.rows.len();
        if count > rows {
            let end = memchr_iter(b'\n', &part.lines).nth(rows - 1).map_or(part.lines.len(), |at| at + 1);
            let rest = part.rows.start + rows..part.rows.end;
            parts.push(Part { chunk: part.chunk, rows: rest, lines: part.lines.split_off(end) });
            part.rows.end = part.rows.start + rows;
        }
        rows -= part.rows.len();
        taken.push(part);
    }
    taken
}

impl Committer {
    /// Detects whether the server supports loads, by a load without rows.
    pub(super) fn detect_loads(&mut self) -> Result<(), StoreError> {
        // TiDB and Galera with this setting may commit in the middle of a load.
        let splits = "SHOW VARIABLES WHERE Variable_name = 'wsrep_load_data_splitting' AND Value = 'ON'";
        let splits = self.version().contains("TiDB") || !self.query(splits)?.is_empty();
        let loads = !splits
            && match self.load("LOAD DATA LOCAL INFILE 'none' INTO TABLE truckflow_jobs (job)", Vec::new()) {
                Ok(_) => true,
                // Not allowed by the server or a proxy.
                Err(Fault::Server { .. }) if self.link.is_some() => false,
                Err(fault) => return Err(self.explain(fault)),
            };
        if let Some(link) = &mut self.link {
            link.loads = loads;
        }
        Ok(())
    }

    /// Uses statements instead of loads from now on.
    pub(super) fn stop_loading(&mut self) {
        if let Some(link) = &mut self.link {
            link.loads = false;
        }
    }

    /// Returns the numbers of loaded rows and of warnings.
    pub(super) fn load(&mut self, statement: &str, lines: Vec<Bytes>) -> Result<(u64, u16), Fault> {
        let bytes = lines.iter().map(Bytes::len).sum();
        self.ask(STATEMENT_LIMIT + time_of(bytes), async |connection| {
            connection.set_infile_handler(async move { Ok(stream::iter(packets(lines)).map(Ok).boxed()) });
            let loaded = connection.query_iter(statement).await?;
            let counts = (loaded.affected_rows(), loaded.warnings());
            Ok(loaded.drop_result().await.map(|()| counts)?)
        })
    }
}

fn packets(lines: Vec<Bytes>) -> impl Iterator<Item = Bytes> {
    lines.into_iter().flat_map(|mut lines| {
        iter::from_fn(move || {
            let size = lines.len().min(PACKET);
            (size > 0).then(|| lines.split_to(size))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::column;

    #[test]
    fn bytes_are_loaded_as_hexadecimal_digits() {
        let columns = vec![column("at", Type::Timestamp), column("pay`load", Type::Bytes)];
        let table = Table {
            view: "v".into(),
            name: "t".into(),
            columns,
            keyed: false,
            in_order: false,
            index: Vec::new(),
        };
        assert_eq!(
            statement(&table),
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `t` CHARACTER SET utf8mb4 (`at`,@b1) \
             SET `pay``load`=UNHEX(@b1)"
        );
    }

    #[test]
    fn loads_fill_their_last_block() {
        let blocks: Vec<usize> = (0..17).map(|block| (1 << block) - 1).collect();
        for rows in 0..200_000 {
            match load_size(rows) {
                Some(size) => assert!(size <= rows && blocks.contains(&size), "{rows}: {size}"),
                None => assert!(rows < MIN_ROWS),
            }
        }
        assert_eq!(load_size(1023), Some(1023));
        assert_eq!(load_size(65_534), Some(32_767));
        assert_eq!(load_size(200_000), Some(65_535));
    }

    #[test]
    fn rows_are_taken_across_chunks() {
        let part = |chunk: usize, lines: &'static str| Part {
            chunk,
            rows: 0..lines.lines().count(),
            lines: Bytes::from_static(lines.as_bytes()),
        };
        let mut parts = vec![part(2, "x\n"), part(1, "p\nq\nr\n"), part(0, "a\nb\n")];
        let mut next = |rows| {
            let taken = take(&mut parts, rows).into_iter();
            taken.map(|part| (part.chunk, part.rows, part.lines)).collect::<Vec<_>>()
        };
        assert_eq!(next(3), [(0, 0..2, "a\nb\n".into()), (1, 0..1, "p\n".into())]);
        assert_eq!(next(1), [(1, 1..2, "q\n".into())]);
        assert_eq!(next(2), [(1, 2..3, "r\n".into()), (2, 0..1, "x\n".into())]);
    }

    #[test]
    fn lines_are_sent_in_packets() {
        let lines = vec![Bytes::from(vec![b'x'; 2 * PACKET + 3]), Bytes::new(), Bytes::from_static(b"y")];
        let sizes: Vec<usize> = packets(lines).map(|packet| packet.len()).collect();
        assert_eq!(sizes, [PACKET, PACKET, 3, 1]);
    }
}
