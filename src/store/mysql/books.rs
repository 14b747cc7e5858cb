//! The bookkeeping tables, `truckflow_*`.

use std::collections::BTreeSet;

use dataflows::Epoch;
use mysql_async::prelude::Queryable;

use super::errors::Fault;
use super::server::{STATEMENT_LIMIT, Server, TextRow, time_of};
use super::sql::literal;
use crate::state::StoredView;
use crate::store::error::StoreError;
use crate::store::schema::quoted;

/// The number of a piece is the index of its part times this, plus its index in the part.
pub(super) const PIECES: usize = 1 << 10;
/// Pieces of state per query.
pub(super) const STATE_PAGE: usize = 8;

/// A bookkeeping table.
pub(super) struct Book {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) definition: &'static str,
    /// The required privileges besides SELECT.
    pub(super) privileges: &'static [&'static str],
}

/// All bookkeeping tables. Every table has a column `job`.
pub(super) const BOOKS: [Book; 7] = [
    Book {
        name: "truckflow_jobs",
        columns: &["job", "source", "generation", "epoch"],
        definition: "job VARCHAR(64) NOT NULL PRIMARY KEY, source TEXT NOT NULL, \
                     generation BIGINT NOT NULL, epoch BIGINT NOT NULL",
        privileges: &["INSERT", "UPDATE"],
    },
    Book {
        name: "truckflow_offsets",
        // `long_topic` has a topic that does not fit into the key.
        columns: &[
            "job",
            "topic",
            "part",
            "view_name",
            "role",
            "next_offset",
            "byte_position",
            "hash",
            "long_topic",
        ],
        definition: "job VARCHAR(64) NOT NULL, topic VARCHAR(255) NOT NULL, part INT NOT NULL, \
                     view_name VARCHAR(64) NOT NULL, role VARCHAR(16) NOT NULL, next_offset BIGINT NOT NULL, \
                     byte_position BIGINT NULL, hash CHAR(32) NULL, long_topic TEXT NULL, \
                     PRIMARY KEY (job, topic, part, view_name, role)",
        privileges: &["INSERT", "UPDATE"],
    },
    Book {
        name: "truckflow_topics",
        columns: &["job", "topic", "topic_id"],
        definition: "job VARCHAR(64) NOT NULL, topic VARCHAR(255) NOT NULL, topic_id VARCHAR(64) NOT NULL, \
                     PRIMARY KEY (job, topic)",
        privileges: &["INSERT", "UPDATE"],
    },
    Book {
        name: "truckflow_in_the_future",
        columns: &["job", "topic", "part", "message_offset", "long_topic"],
        definition: "job VARCHAR(64) NOT NULL, topic VARCHAR(255) NOT NULL, part INT NOT NULL, \
                     message_offset BIGINT NOT NULL, long_topic TEXT NULL, \
                     PRIMARY KEY (job, topic, part, message_offset)",
        privileges: &["INSERT", "DELETE"],
    },
    Book {
        name: "truckflow_files",
        columns: &["job", "name", "length"],
        definition: "job VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL, length BIGINT NOT NULL, \
                     PRIMARY KEY (job, name)",
        privileges: &["INSERT", "UPDATE"],
    },
    Book {
        name: "truckflow_state",
        columns: &["job", "view_name", "epoch", "part", "bytes"],
        definition: "job VARCHAR(64) NOT NULL, view_name VARCHAR(64) NOT NULL, epoch BIGINT NOT NULL, \
                     part INT NOT NULL, bytes LONGBLOB NOT NULL, \
                     PRIMARY KEY (job, view_name, epoch, part)",
        privileges: &["INSERT", "DELETE"],
    },
    Book {
        name: "truckflow_views",
        columns: &["job", "view_name", "definition", "state"],
        definition: "job VARCHAR(64) NOT NULL, view_name VARCHAR(64) NOT NULL, \
                     definition MEDIUMTEXT NOT NULL, state VARCHAR(16) NOT NULL, \
                     PRIMARY KEY (job, view_name)",
        privileges: &["INSERT", "UPDATE"],
    },
];

/// The states of a view in `truckflow_views`.
pub(super) const COMPLETE: &str = "complete";
pub(super) const BACKFILLING: &str = "backfilling";

impl Server {
    /// Creates missing bookkeeping tables and checks that all can be used.
    pub(super) fn create_books(&mut self) -> Result<(), StoreError> {
        let there = self.books()?;
        for book in &BOOKS {
            if !there.contains(book.name) {
                self.execute(format!(
                    "CREATE TABLE IF NOT EXISTS {} ({}) ENGINE=InnoDB \
                     DEFAULT CHARACTER SET utf8mb4 COLLATE {}",
                    book.name,
                    book.definition,
                    self.collation()
                ))?;
            }
            self.probe(book.name, book.columns, book.privileges)?;
        }
        Ok(())
    }

    /// What `truckflow check` reports of the bookkeeping tables.
    pub(super) fn check_books(&mut self) -> Result<String, StoreError> {
        let there = self.books()?;
        for book in BOOKS.iter().filter(|book| there.contains(book.name)) {
            self.probe(book.name, book.columns, book.privileges)?;
        }
        let all = there.len() == BOOKS.len();
        let fit = if all { "compatible" } else { "the missing ones will be created on the first run" };
        let kept = self.not_deletable(&there)?;
        Ok(match kept.is_empty() {
            true => fit.into(),
            false => format!("{fit}; for `truckflow state reset`, {}", self.grant_of_deletes(&kept)),
        })
    }

    /// The bookkeeping tables on which the account lacks DELETE, which only `truckflow state reset` needs for all of
    /// them.
    pub(super) fn not_deletable(
        &mut self,
        there: &BTreeSet<String>,
    ) -> Result<Vec<&'static str>, StoreError> {
        let mut kept = Vec::new();
        for book in BOOKS.iter().filter(|book| there.contains(book.name)) {
            let sql = format!("DELETE FROM {} WHERE FALSE", book.name);
            match self.try_execute(sql, STATEMENT_LIMIT) {
                Ok(_) => {}
                Err(Fault::Server { number: 1142 | 1143, .. }) => kept.push(book.name),
                Err(fault) => return Err(self.explain(fault)),
            }
        }
        Ok(kept)
    }

    /// The GRANTs of DELETE on `tables`, as a next step.
    pub(super) fn grant_of_deletes(&self, tables: &[&str]) -> String {
        let (database, account) = (quoted(&self.address.database), self.account());
        let grant = |table: &&str| format!("GRANT DELETE ON {database}.{} TO {account}", quoted(table));
        format!("run {}", tables.iter().map(grant).collect::<Vec<_>>().join("; "))
    }

    /// The bookkeeping tables that exist.
    pub(super) fn books(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let rows = self.fetch(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME LIKE 'truckflow\\_%'",
        )?;
        let is_book = |name: &String| BOOKS.iter().any(|book| book.name == name);
        Ok(rows.iter().map(|row| row.text(0)).filter(is_book).collect())
    }

    /// Passes the parts of a view's state to `take`, newest first.
    pub(super) fn read_state(
        &mut self,
        job: &str,
        view: &str,
        take: &mut dyn FnMut(Vec<u8>),
    ) -> Result<(), StoreError> {
        let of_view =
            format!("FROM truckflow_state WHERE job = {} AND view_name = {}", literal(job), literal(view));
        let listed = format!("SELECT epoch, part, LENGTH(bytes) {of_view} ORDER BY epoch DESC, part DESC");
        let pieces = self.fetch(listed)?;
        // Pieces of a part, last first, until its first piece is read.
        let mut rest: Vec<Vec<u8>> = Vec::new();
        // In pages: everything at once may exceed the timeout of a statement, and takes much memory. Pieces are
        // selected by their full keys, because a range would also read the pieces before it.
        for page in pieces.chunks(STATE_PAGE) {
            let named: Vec<String> = page
                .iter()
                .map(|piece| format!("epoch = {} AND part = {}", piece.text(0), piece.text(1)))
                .collect();
            let sql = format!(
                "SELECT part, bytes {of_view} AND ({}) ORDER BY epoch DESC, part DESC",
                named.join(" OR ")
            );
            let bytes: i64 = page.iter().filter_map(|piece| piece.number(2)).sum();
            let limit = STATEMENT_LIMIT + time_of(bytes as usize);
            let rows = self.try_fetch(sql, limit).map_err(|fault| self.explain(fault))?;
            for mut row in rows {
                let bytes = row.0[1].take().unwrap_or_default();
                if row.number(0).unwrap_or_default() % PIECES as i64 != 0 {
                    rest.push(bytes);
                } else if rest.is_empty() {
                    take(bytes);
                } else {
                    rest.push(bytes);
                    rest.reverse();
                    take(std::mem::take(&mut rest).concat());
                }
            }
        }
        Ok(())
    }

    /// The views that a job has had.
    pub(super) fn read_views(&mut self, job: &str) -> Result<Vec<StoredView>, StoreError> {
        let rows = self.fetch(format!(
            "SELECT view_name, definition, state FROM truckflow_views WHERE job = {} ORDER BY view_name",
            literal(job)
        ))?;
        let view = |row: &TextRow| StoredView {
            name: row.text(0),
            definition: row.text(1),
            backfilled: row.text(2) == COMPLETE,
        };
        Ok(rows.iter().map(view).collect())
    }

    /// Inserts or updates the entry of a view.
    pub(super) fn put_view(&mut self, job: &str, view: &StoredView) -> Result<(), StoreError> {
        self.execute(format!(
            "INSERT INTO truckflow_views (job, view_name, definition, state) VALUES ({},{},{},'{}') \
             ON DUPLICATE KEY UPDATE definition = VALUES(definition), state = VALUES(state)",
            literal(job),
            literal(&view.name),
            literal(&view.definition),
            if view.backfilled { COMPLETE } else { BACKFILLING },
        ))
    }

    /// Inserts a piece of a state part.
    pub(super) fn put_piece(
        &mut self,
        job: &str,
        view: &str,
        epoch: Epoch,
        number: usize,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // Bound, because as text it would be twice as large.
        let sql = "INSERT INTO truckflow_state (job, view_name, epoch, part, bytes) VALUES (?, ?, ?, ?, ?)";
        let values = (job, view, epoch, number as u64, bytes);
        self.ask(STATEMENT_LIMIT + time_of(bytes.len()), async |connection| {
            connection.exec_drop(sql, values).await
        })
        .map_err(|fault| self.explain(fault))
    }
}
