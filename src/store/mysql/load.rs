//! Appended rows by `LOAD DATA LOCAL INFILE`, out of memory: the server reads lines, which costs it
//! less than a statement's values.
//!
//! `LOCAL` makes warnings of what is wrong with a row, and may clip or leave it out. So a load that
//! warns, or that did not put all rows in, is rolled back and its rows are inserted: an insert refuses
//! what does not fit. (The session has no notes, which would count as warnings.)
//!
//! A load does not say how many rows will come, so the server takes numbers for their `id`s in blocks
//! of 1, 2, 4 … 32,768, 65,535, 65,535 …, and loses what is left of the last one. Loads of as many rows
//! as some blocks hold lose none; the few rows that are left are inserted.

use std::iter;
use std::ops::Range;

use bytes::Bytes;
use dataflows::rows::Type;
use futures_util::{StreamExt, stream};
use memchr::memchr_iter;
use mysql_async::prelude::Queryable;

use super::errors::Fault;
use super::server::{STATEMENT_LIMIT, Server, time_of};
use super::tables::names;
use crate::store::error::StoreError;
use crate::store::schema::quoted;
use crate::store::table::Table;

/// A load has at most as many rows as the largest block.
const MOST_ROWS: usize = (1 << 16) - 1;
/// Fewer are inserted: a load costs the server a savepoint, and a statement of its own.
const LEAST_ROWS: usize = (1 << 10) - 1;
/// What goes to the server at once: less than the least `max_allowed_packet`.
const PACKET: usize = 256 << 10;
/// After as many loads that were rolled back, a connection inserts the rows of a table: each has cost
/// twice the time and the numbers of `id`s.
pub(super) const MOST_ROLLED_BACK: u32 = 3;

/// How rows of a table are loaded.
pub(super) struct Load {
    pub(super) statement: String,
    /// How many loads of the connection were rolled back.
    pub(super) rolled_back: u32,
}

/// Rows of a chunk, and their lines.
pub(super) struct Part {
    pub(super) chunk: usize,
    pub(super) rows: Range<usize>,
    pub(super) lines: Bytes,
}

impl Load {
    pub fn new(table: &Table) -> Self {
        Self { statement: statement(table), rolled_back: 0 }
    }

    /// Begins to count anew, as another server may have answered.
    pub fn connected(&mut self) {
        self.rolled_back = 0;
    }
}

/// The statement that reads what [`crate::render::lines`] writes. Bytes come in hexadecimal digits, as
/// a load reads characters.
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

/// How many of `rows` the next load takes; none are left over of the last block.
pub(super) fn load_size(rows: usize) -> Option<usize> {
    let size = if rows >= MOST_ROWS { MOST_ROWS } else { (1 << (rows + 1).ilog2()) - 1 };
    (size >= LEAST_ROWS).then_some(size)
}

/// Takes the next `rows` out of `parts`, which begin with the last.
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

impl Server {
    /// Finds out whether rows can be loaded: asks, and loads no row into a table of ours.
    pub(super) fn see_whether_it_loads(&mut self) -> Result<(), StoreError> {
        // Either may end a transaction in the middle of a load.
        let splits = "SHOW VARIABLES WHERE Variable_name = 'wsrep_load_data_splitting' AND Value = 'ON'";
        let splits = self.version().contains("TiDB") || !self.fetch(splits)?.is_empty();
        let loads = !splits
            && match self.load("LOAD DATA LOCAL INFILE 'none' INTO TABLE truckflow_jobs (job)", Vec::new()) {
                Ok(_) => true,
                // Not allowed, by whatever stands between.
                Err(Fault::Server { .. }) if self.link.is_some() => false,
                Err(fault) => return Err(self.explain(fault)),
            };
        if let Some(link) = &mut self.link {
            link.loads = loads;
        }
        Ok(())
    }

    /// Inserts rows from now on.
    pub(super) fn stop_loading(&mut self) {
        if let Some(link) = &mut self.link {
            link.loads = false;
        }
    }

    /// Gives the numbers of rows that were put in and of warnings.
    pub(super) fn load(&mut self, statement: &str, lines: Vec<Bytes>) -> Result<(u64, u16), Fault> {
        let bytes = lines.iter().map(Bytes::len).sum();
        self.ask(STATEMENT_LIMIT + time_of(bytes), async |connection| {
            connection.set_infile_handler(async move { Ok(stream::iter(packets(lines)).map(Ok).boxed()) });
            let loaded = connection.query_iter(statement).await?;
            let counts = (loaded.affected_rows(), loaded.warnings());
            loaded.drop_result().await.map(|()| counts)
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
    fn bytes_are_loaded_through_their_digits() {
        let columns = vec![column("at", Type::Timestamp), column("pay`load", Type::Bytes)];
        let table = Table { name: "t".into(), columns, keyed: false };
        assert_eq!(
            statement(&table),
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `t` CHARACTER SET utf8mb4 (`at`,@b1) \
             SET `pay``load`=UNHEX(@b1)"
        );
    }

    #[test]
    fn loads_leave_nothing_of_a_block() {
        let blocks: Vec<usize> = (0..17).map(|block| (1 << block) - 1).collect();
        for rows in 0..200_000 {
            match load_size(rows) {
                Some(size) => assert!(size <= rows && blocks.contains(&size), "{rows}: {size}"),
                None => assert!(rows < LEAST_ROWS),
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
    fn lines_go_in_packets() {
        let lines = vec![Bytes::from(vec![b'x'; 2 * PACKET + 3]), Bytes::new(), Bytes::from_static(b"y")];
        let sizes: Vec<usize> = packets(lines).map(|packet| packet.len()).collect();
        assert_eq!(sizes, [PACKET, PACKET, 3, 1]);
    }
}
