//! MySQL and MariaDB, through mysql_async: rows as text, state as bound bytes, all in one transaction.
//!
//! ```text
//! claim     GET_LOCK -> bookkeeping tables -> generation + 1
//! begin     (connect, GET_LOCK, same generation?) -> START TRANSACTION
//! insert    LOAD DATA LOCAL, INSERT … VALUES (…),(…), UPDATE from VALUES, or DELETE; a refused
//!           statement is halved until its bad rows are alone
//! commit    generation FOR UPDATE -> state, offsets, files, epoch -> COMMIT
//! ```
//!
//! The lock belongs to the connection and keeps a second instance out. The generation keeps out an
//! instance that lost its connection, and with it the lock, to another.
//!
//! Architecture invariant: every wait for the server has an end, after which the connection is given
//! up. What it may still be doing is over before this store asks for anything again, as the lock
//! comes back only when the old connection has ended.

mod address;
mod errors;
mod load;
mod look;
pub mod scratch;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dataflows::Epoch;
use dataflows::item::MessageId;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio::runtime::{Builder, Runtime};

pub(super) use address::Address;
use errors::{Fault, Meaning, Product, Scene, account, ends_ids};
use load::Load;

use super::look::Look;
use super::privileges::{Answer, Privileges};
use super::schema::{self, FoundColumn, Kind, quoted};
use super::{
    Adopted, Chunk, Commit, Finding, Form, LastCommit, LastReading, Login, Operation, Place, ROW_KEY,
    Refused, RowKey, StateChange, Store, StoreError, StoredView, Table, Text, TopicId, offset,
};
use crate::render::{SqlRows, sql_bytes};
use crate::runtime::fault::{self, Moment};
use crate::runtime::reload::Reloaded;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// And what its bytes may take: [`time_of`].
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// Bytes a second of the slowest link to a server that is no dead one.
const SLOWEST_LINK: u64 = 50_000;
/// For what reads or copies a whole table.
const TABLE_LIMIT: Duration = Duration::from_secs(1800);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_secs(5);
/// What a statement may have beside its values.
const PACKET_SPARE: usize = 1 << 10;
/// State parts are cut into pieces of at most this, or of what the server takes.
const STATE_PIECE: usize = 4 << 20;
/// Pieces of state that are read at once.
const STATE_PAGE: usize = 8;
/// Keys of one list. MariaDB makes a join of a list of 1,000 and then reads the whole table; MySQL
/// reads it from some ten thousand on.
const LIST_KEYS: usize = 900;
/// A part's number is its place times this, plus the place of the piece.
const PIECES: usize = 1 << 10;

/// A bookkeeping table.
struct Book {
    name: &'static str,
    columns: &'static [&'static str],
    definition: &'static str,
    /// What it needs beside SELECT.
    privileges: &'static [&'static str],
}

const BOOKS: [Book; 7] = [
    Book {
        name: "truckflow_jobs",
        columns: &["job", "source", "generation", "epoch"],
        definition: "job VARCHAR(64) NOT NULL PRIMARY KEY, source TEXT NOT NULL, \
                     generation BIGINT NOT NULL, epoch BIGINT NOT NULL",
        privileges: &["INSERT", "UPDATE"],
    },
    Book {
        name: "truckflow_offsets",
        // `long_topic` has what does not fit the key.
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
const COMPLETE: &str = "complete";
const BACKFILLING: &str = "backfilling";

/// A MySQL or MariaDB database.
pub struct MysqlStore {
    server: Server,
    claim: Option<Claim>,
    /// Whether a transaction is open.
    open: bool,
    tables: Vec<Prepared>,
}

/// The job that this instance has.
#[derive(Clone)]
struct Claim {
    job: Arc<str>,
    generation: u64,
    /// What the server took when the job was claimed.
    text: Text,
}

/// Whether a row that is read stays locked until the commit.
enum Reading {
    Plain,
    ForUpdate,
}

/// A prepared table: what stands around the rows of a statement.
struct Prepared {
    table: String,
    /// The columns that rows have values for.
    columns: Vec<String>,
    append: Frame,
    insert: Frame,
    update: Frame,
    delete: Frame,
    /// Whether `id` is the database's.
    counted: bool,
    /// How rows are loaded, if that keeps the same values as inserting them.
    load: Option<Load>,
}

/// What came of a statement.
enum Put {
    Done,
    /// Done, except that some rows to be updated are not there.
    Missing,
    /// The server does not take the rows, for their content or their size: nothing was done.
    Refused(String),
}

/// What stands before the values of a statement, and behind them.
struct Frame {
    before: String,
    behind: String,
}

impl Prepared {
    fn new(table: &Table, loads: bool) -> Self {
        let name = quoted(&table.name);
        let names = names(table);
        let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let key = quoted(ROW_KEY);
        let insert = |columns: &[String]| format!("INSERT INTO {name} ({}) VALUES ", columns.join(","));
        // The names that the values have in an update: columns first, as they are rendered.
        let values: Vec<String> = (0..columns.len()).map(|place| format!("c{place}")).collect();
        let list = |format: &dyn Fn(&str, &str) -> String| {
            let all: Vec<String> =
                columns.iter().zip(&values).map(|(column, value)| format(column, value)).collect();
            all.join(",")
        };
        let with_key: Vec<String> = columns.iter().cloned().chain([key.clone()]).collect();
        Self {
            table: table.name.clone(),
            columns: names.iter().map(|&name| name.to_owned()).collect(),
            append: Frame { before: insert(&columns), behind: String::new() },
            insert: Frame {
                before: insert(&with_key),
                // Another unique key may find another row, which must stay as it is: 17 bytes fit no
                // key, so the row is refused.
                behind: format!(
                    " ON DUPLICATE KEY UPDATE {key}=IF({key}<=>VALUES({key}),{key},REPEAT('x',17)),{}",
                    list(&|column, _| format!("{column}=VALUES({column})"))
                ),
            },
            // It touches no row that is not there, so no `id` is counted up. The values are read
            // first, and each finds its row by the unique key.
            update: Frame {
                before: format!(
                    "UPDATE (SELECT {},NULL AS k FROM DUAL WHERE FALSE UNION ALL VALUES ",
                    list(&|_, value| format!("NULL AS {value}"))
                ),
                behind: format!(
                    ") AS n STRAIGHT_JOIN {name} AS t ON t.{key}=n.k SET {}",
                    list(&|column, value| format!("t.{column}=n.{value}"))
                ),
            },
            delete: Frame { before: format!("DELETE FROM {name} WHERE {key} IN ("), behind: ")".into() },
            counted: !names.iter().any(|name| name.eq_ignore_ascii_case("id")),
            load: (loads && !table.keyed).then(|| Load::new(table)),
        }
    }

    fn frame(&self, operation: Operation) -> &Frame {
        match operation {
            Operation::Append => &self.append,
            Operation::Insert => &self.insert,
            Operation::Update => &self.update,
            Operation::Delete => &self.delete,
        }
    }

    /// What a fault of a statement on this table means.
    fn explain(&self, server: &Server, fault: Fault) -> StoreError {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        server.scene().explain_on(&self.table, &columns, fault)
    }
}

impl MysqlStore {
    /// The store at `address`; nothing is asked of the server yet. Connections take the address of `login`.
    pub(super) fn open(address: Address, login: Arc<Reloaded<Login>>) -> Result<Self, StoreError> {
        let server = Server { login: Some(login), ..Server::new(address)? };
        Ok(Self { server, claim: None, open: false, tables: Vec::new() })
    }

    fn claimed(&self) -> Result<Claim, StoreError> {
        self.claim.clone().ok_or_else(|| self.server.failed("no job is claimed"))
    }

    /// A connection that has the job's lock, and the job.
    fn ready(&mut self) -> Result<Claim, StoreError> {
        let claim = self.claimed()?;
        if self.server.link.is_none() {
            self.open = false;
            self.server.connect()?;
            self.retake(&claim).inspect_err(|_| self.disconnect())?;
            self.tables.iter_mut().filter_map(|table| table.load.as_mut()).for_each(Load::connected);
        }
        Ok(claim)
    }

    fn retake(&mut self, claim: &Claim) -> Result<(), StoreError> {
        self.check_generation(claim, Reading::Plain)?;
        if !self.server.lock(&claim.job)? {
            return Err(StoreError::Busy {
                place: self.server.address.place.clone(),
                reason: format!("another connection has the lock of job `{}`", claim.job),
                advice: "stop the other instance".into(),
            });
        }
        self.check_generation(claim, Reading::Plain)?;
        self.server.see_whether_it_loads()
    }

    fn check_generation(&mut self, claim: &Claim, reading: Reading) -> Result<(), StoreError> {
        let lock = match reading {
            Reading::Plain => "",
            Reading::ForUpdate => " FOR UPDATE",
        };
        let sql = format!("SELECT generation FROM truckflow_jobs WHERE job = {}{lock}", literal(&claim.job));
        match self.server.fetch(sql)?.first().and_then(|row| row.number(0)) {
            Some(generation) if generation == claim.generation as i64 => Ok(()),
            _ => Err(StoreError::Fenced {
                job: claim.job.to_string(),
                place: self.server.address.place.clone(),
            }),
        }
    }

    /// Does `operation` with some rows of a chunk, of which `text` is the text if there is one.
    fn put(
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
            frame.before.len() + text.map_or(rows.len() * 40, <[u8]>::len) + frame.behind.len(),
        );
        sql.extend_from_slice(frame.before.as_bytes());
        match (text, operation) {
            (Some(text), _) => sql.extend_from_slice(text),
            (None, Operation::Delete) => list(&chunk.keys[rows.clone()], &mut sql),
            (None, _) => {
                SqlRows { rows: &chunk.rows, keys: &chunk.keys, opening: form.opening(operation) }
                    .write(rows.clone(), &mut sql);
            }
        }
        sql.extend_from_slice(frame.behind.as_bytes());
        if sql.len() + 1 > largest {
            let reason = format!("larger than the server's max_allowed_packet of {largest} bytes");
            return Ok(Put::Refused(reason));
        }
        match self.server.try_execute(sql, STATEMENT_LIMIT) {
            Ok(found) if operation == Operation::Update && found < rows.len() as u64 => Ok(Put::Missing),
            Ok(_) => Ok(Put::Done),
            Err(Fault::Server { number, message, .. }) if prepared.counted && ends_ids(number, &message) => {
                let table = quoted(&prepared.table);
                Err(StoreError::Table {
                    table: prepared.table.clone(),
                    reason: format!("`id` has no next number ({number}: {message})"),
                    advice: format!("run ALTER TABLE {table} MODIFY `id` BIGINT NOT NULL AUTO_INCREMENT"),
                })
            }
            Err(Fault::Server { number: 1406, message, .. }) if message.contains(ROW_KEY) => {
                Ok(Put::Refused("another row has its values in a unique key".into()))
            }
            Err(fault) if self.server.concerns_a_row(&fault) => match fault {
                Fault::Server { number, message, .. } => Ok(Put::Refused(format!("{number}: {message}"))),
                fault => Err(self.server.explain(fault)),
            },
            Err(fault) => Err(prepared.explain(&self.server, fault)),
        }
    }

    fn table_name(&self, chunk: &Chunk) -> String {
        self.tables.get(chunk.table).map(|prepared| prepared.table.clone()).unwrap_or_default()
    }

    /// Inserts those of some updated rows that are not there. Only those: rows that an INSERT only
    /// finds take numbers for their `id`s all the same, and so does every row of one that fails; an
    /// INT would soon be at its end.
    fn bring_back(&mut self, chunk: &Chunk, rows: Range<usize>) -> Result<Vec<Refused>, StoreError> {
        let prepared =
            self.tables.get(chunk.table).ok_or_else(|| self.server.failed("a table is not prepared"))?;
        let table = quoted(&prepared.table);
        let mut there = HashSet::new();
        for keys in chunk.keys[rows.clone()].chunks(LIST_KEYS) {
            let mut sql = format!("SELECT {ROW_KEY} FROM {table} WHERE {ROW_KEY} IN (").into_bytes();
            list(keys, &mut sql);
            sql.push(b')');
            let found = self.server.try_fetch(sql, STATEMENT_LIMIT);
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

    /// Puts a chunk in that is not loaded.
    fn put_chunk(&mut self, chunk: &Chunk) -> Result<Vec<Refused>, StoreError> {
        let deleted = (0..if chunk.operation == Operation::Delete { chunk.keys.len() } else { 0 })
            .step_by(LIST_KEYS)
            .map(|first| (first..chunk.keys.len().min(first + LIST_KEYS), None));
        let written = chunk.text.iter().map(|(rows, text)| (rows.clone(), Some(text.as_slice())));
        self.put_pieces(chunk, deleted.chain(written))
    }

    /// Puts rows of a chunk in, each of `pieces` by a statement. What is refused is halved until it
    /// is a row.
    fn put_pieces<'text>(
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
                    Put::Missing => refused.extend(self.bring_back(chunk, rows)?),
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

    fn put_state(&mut self, claim: &Claim, epoch: Epoch, change: &StateChange) -> Result<(), StoreError> {
        if change.replaces {
            self.server.execute(format!(
                "DELETE FROM truckflow_state WHERE job = {} AND view_name = {} AND epoch <= {epoch}",
                literal(&claim.job),
                literal(&change.view),
            ))?;
        }
        let largest = self.server.max_packet().saturating_sub(PACKET_SPARE).clamp(1, STATE_PIECE);
        for (place, part) in change.parts.iter().enumerate() {
            // An empty part is a part.
            let pieces = part.len().div_ceil(largest).max(1);
            if pieces > PIECES {
                return Err(self.server.failed(&format!(
                    "state of {} bytes is too large for a max_allowed_packet of {} bytes",
                    part.len(),
                    self.server.max_packet(),
                )));
            }
            for piece in 0..pieces {
                let bytes = &part[piece * largest..part.len().min((piece + 1) * largest)];
                self.server.put_piece(claim, &change.view, epoch, place * PIECES + piece, bytes)?;
            }
        }
        Ok(())
    }

    /// Everything of a commit before its `COMMIT`.
    fn put_commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let claim = self.claimed()?;
        self.check_generation(&claim, Reading::ForUpdate)?;
        for change in commit.state {
            self.put_state(&claim, commit.epoch, change)?;
        }
        let job = literal(&claim.job);
        // Many files or partitions still fit one packet of the smallest server.
        let offsets: Vec<String> = commit
            .offset_rows()
            .map(|offset::Row { view, role, at }| {
                let (topic, long) = topic_key(&at.topic);
                let (bytes, hash) = match at.mark {
                    Some(mark) => (mark.bytes.to_string(), literal(&offset::hash_text(mark))),
                    None => ("NULL".into(), "NULL".into()),
                };
                let (partition, next, view) = (at.partition, at.offset, literal(view));
                format!("({job},{topic},{partition},{view},'{role}',{next},{bytes},{hash},{long})")
            })
            .collect();
        for values in offsets.chunks(500) {
            self.server.execute(format!(
                "INSERT INTO truckflow_offsets \
                 (job, topic, part, view_name, role, next_offset, byte_position, hash, long_topic) VALUES {} \
                 ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset), \
                 byte_position = VALUES(byte_position), hash = VALUES(hash)",
                values.join(",")
            ))?;
        }
        for TopicId { topic, id } in commit.topics {
            self.server.execute(format!(
                "INSERT INTO truckflow_topics (job, topic, topic_id) VALUES ({job},{},{}) \
                 ON DUPLICATE KEY UPDATE topic_id = VALUES(topic_id)",
                literal(topic),
                literal(id)
            ))?;
            // What was decided of another topic of this name.
            self.server.execute(format!(
                "DELETE FROM truckflow_in_the_future WHERE job = {job} AND topic = {}",
                topic_key(topic).0
            ))?;
        }
        for messages in commit.in_the_future.chunks(500) {
            let values: Vec<String> = messages
                .iter()
                .map(|message| {
                    let (topic, long) = topic_key(&message.topic);
                    format!("({job},{topic},{},{},{long})", message.partition, message.offset)
                })
                .collect();
            self.server.execute(format!(
                "INSERT IGNORE INTO truckflow_in_the_future (job, topic, part, message_offset, long_topic) VALUES {}",
                values.join(",")
            ))?;
        }
        for files in commit.files.chunks(500) {
            let values: Vec<String> =
                files.iter().map(|(name, length)| format!("({job},{},{length})", literal(name))).collect();
            self.server.execute(format!(
                "INSERT INTO truckflow_files (job, name, length) VALUES {} \
                 ON DUPLICATE KEY UPDATE length = VALUES(length)",
                values.join(",")
            ))?;
        }
        self.server.execute(format!("UPDATE truckflow_jobs SET epoch = {} WHERE job = {job}", commit.epoch))
    }

    /// Connects, takes the lock of a job, and makes the bookkeeping tables.
    fn lock_books(&mut self, job: &str) -> Result<(), StoreError> {
        self.server.connect()?;
        if !self.server.lock(job)? {
            return Err(StoreError::Taken { job: job.into(), place: self.server.address.place.clone() });
        }
        self.server.make_books()
    }

    /// Everything of an adoption, and its `COMMIT`.
    fn put_adopted(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        let Adopted { job, source, generation, views, commit } = *adopted;
        let (name, source) = (literal(job), literal(source));
        let sql = format!(
            "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES ({name},{source},{generation},0)"
        );
        match self.server.try_execute(sql, STATEMENT_LIMIT) {
            Ok(_) => {}
            Err(Fault::Server { number: 1062, .. }) => {
                let place = self.server.address.place.clone();
                return Err(StoreError::There { job: job.to_owned(), place });
            }
            Err(fault) => return Err(self.server.explain(fault)),
        }
        for view in views {
            self.server.put_view(job, view)?;
        }
        self.put_commit(&commit)?;
        self.server.execute("COMMIT")
    }

    fn take(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.lock_books(job)?;
        self.server.see_whether_it_loads()?;
        self.count_generation(job, source)
    }

    /// Ends the connection, with what is open on it.
    fn disconnect(&mut self) {
        self.open = false;
        self.server.close();
    }

    fn count_generation(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        let job = literal(job);
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        self.server.execute(format!(
            "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES ({job},{},1,0) \
             ON DUPLICATE KEY UPDATE generation = generation + 1",
            literal(source)
        ))?;
        let last = self.server.read_last(&job)?;
        self.server.execute("COMMIT")?;
        self.open = false;
        last.ok_or_else(|| self.server.failed("truckflow_jobs does not keep the job"))
    }
}

impl Store for MysqlStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.abandon();
        let last = self.take(job, source);
        match &last {
            Ok(last) => {
                let text = update_text(self.server.version());
                self.claim = Some(Claim { job: job.into(), generation: last.generation, text });
            }
            Err(_) => self.disconnect(),
        }
        last
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        self.ready()?;
        let mut prepared = Vec::new();
        for table in tables {
            let loads = match self.server.plan(table)? {
                Plan::Create => {
                    let sql = schema::create(table, self.server.collation());
                    self.server.define(table, sql)?;
                    true
                }
                Plan::Extend { columns, with_key, loads, is_versioned, .. } => {
                    if with_key || !columns.is_empty() {
                        let sql = schema::extend(&table.name, &columns, with_key, self.server.collation());
                        // The history of a table has the new columns, too, as NULL.
                        let keeping = "SET STATEMENT system_versioning_alter_history = KEEP FOR ";
                        let sql = format!("{}{sql}", if is_versioned { keeping } else { "" });
                        self.server.define(table, sql)?;
                    }
                    loads
                }
            };
            self.server.probe(&table.name, &written(table), needed(table))?;
            prepared.push(Prepared::new(table, loads));
        }
        self.tables = prepared;
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        let claim = self.ready()?;
        self.server.read_state(&claim.job, view, take)
    }

    fn in_the_future(&mut self) -> Result<Vec<MessageId>, StoreError> {
        let claim = self.ready()?;
        self.server.read_in_the_future(&claim.job)
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        let claim = self.ready()?;
        self.server.read_views(&claim.job)
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let claim = self.ready()?;
        if self.open {
            return Err(self.server.failed("a view is put into an epoch's transaction"));
        }
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let put = self.check_generation(&claim, Reading::ForUpdate).and_then(|()| {
            self.server.put_view(&claim.job, view)?;
            self.server.execute("COMMIT")
        });
        match put {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        put
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        // A transaction that is open would be committed by the start of another.
        self.abandon();
        self.ready()?;
        if let Err(error) = self.server.execute("START TRANSACTION") {
            // A server ends a connection that was idle for long; nothing is lost with it.
            if !matches!(error, StoreError::Away { .. }) {
                return Err(error);
            }
            self.ready()?;
            self.server.execute("START TRANSACTION")?;
        }
        self.open = true;
        Ok(())
    }

    fn insert(&mut self, chunks: &[Chunk]) -> Result<Vec<Refused>, StoreError> {
        if !self.open {
            return Err(self.server.failed("no transaction is open"));
        }
        let mut refused = Vec::new();
        let mut to_load: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, chunk) in chunks.iter().enumerate() {
            if !chunk.lines.is_empty() {
                to_load.entry(chunk.table).or_default().push(place);
                continue;
            }
            let of_chunk = self.put_chunk(chunk)?.into_iter();
            refused.extend(of_chunk.map(|refused| Refused { chunk: place, ..refused }));
        }
        for (table, places) in to_load {
            refused.extend(self.put_lines(table, chunks, &places)?);
        }
        Ok(refused)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        if !self.open {
            return Err(self.server.failed("no transaction is open"));
        }
        self.put_commit(commit)?;
        self.server.commit()?;
        self.open = false;
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        let claim = self.ready()?;
        let sql = format!("SELECT epoch FROM truckflow_jobs WHERE job = {}", literal(&claim.job));
        let epoch = self.server.fetch(sql)?.first().and_then(|row| row.number(0));
        epoch
            .map(|epoch| epoch as Epoch)
            .ok_or_else(|| self.server.failed("truckflow_jobs does not have the job"))
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        // A server that ended an old connection may take a new one.
        for last in [false, true] {
            self.ready()?;
            match self.server.ask(PING_LIMIT, async |connection| connection.ping().await) {
                Ok(()) => return Ok(()),
                Err(fault) if last || self.server.link.is_some() => return Err(self.server.explain(fault)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.open)
            && self.server.link.is_some()
            && self.server.execute("ROLLBACK").is_err()
        {
            self.server.link = None;
        }
    }

    fn adopt(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        self.lock_books(adopted.job)?;
        let (job, generation) = (adopted.job.into(), adopted.generation);
        self.claim = Some(Claim { job, generation, text: Text::Inserts });
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let put = self.put_adopted(adopted);
        match put {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        put
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        self.lock_books(job)?;
        let there = self.server.books()?;
        let kept = self.server.not_deletable(&there)?;
        if !kept.is_empty() {
            return Err(StoreError::Denied {
                place: self.server.address.place.clone(),
                reason: format!("{} has no DELETE on {}", self.server.account(), kept.join(", ")),
                advice: self.server.grant_of_deletes(&kept),
            });
        }
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let forgotten = BOOKS.iter().rev().try_for_each(|book| {
            self.server.execute(format!("DELETE FROM {} WHERE job = {}", book.name, literal(job)))
        });
        let forgotten = forgotten.and_then(|()| self.server.execute("COMMIT"));
        match forgotten {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        forgotten
    }

    fn form(&self) -> Form {
        let (job, text) = match &self.claim {
            Some(claim) => (claim.job.clone(), claim.text),
            None => ("".into(), Text::Inserts),
        };
        let loads = |table: &Prepared| self.server.loads() && table.load.is_some();
        Form { job, text: Some(text), lines: self.tables.iter().map(loads).collect() }
    }

    fn check(&mut self, tables: &[Table]) -> Vec<Finding> {
        let finding = |what: String, result: Result<String, StoreError>| Finding {
            what,
            result: result.map_err(|error| error.to_string()),
        };
        let reached = self.server.connect().map(|()| self.server.described());
        let is_reached = reached.is_ok();
        let mut findings = vec![finding(format!("database {}", self.server.address.place), reached)];
        if is_reached {
            findings.push(finding("tables truckflow_*".into(), self.server.check_books()));
            for table in tables {
                findings.push(finding(format!("table {}", table.name), self.server.check_table(table)));
            }
            findings.push(finding("privileges".into(), self.server.check_privileges(tables)));
        }
        findings
    }
}

impl Drop for MysqlStore {
    fn drop(&mut self) {
        self.server.close();
    }
}

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`: the one with the highest `id`. A table
/// without `truck_id` is that of one truck without a name.
pub(super) fn last_readings(address: Address) -> Result<Vec<LastReading>, StoreError> {
    const TABLE: &str = "TRUCK_PARAMETER_MAP";
    let mut server = Server::new(address)?;
    server.connect()?;
    let Some(found) = server.found(TABLE)? else { return Ok(Vec::new()) };
    let named = found.columns.iter().any(|column| column.name.eq_ignore_ascii_case("truck_id"));
    let truck = if named { "COALESCE(truck_id, '')" } else { "''" };
    let table = quoted(&found.name);
    // Doubles, as a FLOAT would print six digits.
    let sql = format!(
        "SELECT {truck}, distance_covered + 0e0, fuel_consumed + 0e0, \
         TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `timestamp`) FROM {table} WHERE id IN \
         (SELECT id FROM (SELECT MAX(id) AS id FROM {table} WHERE distance_covered IS NOT NULL \
         AND fuel_consumed IS NOT NULL AND `timestamp` IS NOT NULL \
         GROUP BY CAST({truck} AS BINARY)) AS last) ORDER BY 1"
    );
    let rows = server.try_fetch(sql, TABLE_LIMIT).map_err(|fault| server.explain(fault))?;
    let readings = rows.iter().map(|row| LastReading {
        truck: row.text(0),
        distance: shortest(row.text(1).parse().unwrap_or_default()),
        fuel: shortest(row.text(2).parse().unwrap_or_default()),
        timestamp_micros: row.number(3).unwrap_or_default(),
    });
    Ok(readings.collect())
}

/// A double that came out of a FLOAT column, as the decimal that went in.
fn shortest(value: f64) -> f64 {
    match value as f32 {
        single if f64::from(single) == value => single.to_string().parse().unwrap_or(value),
        _ => value,
    }
}

/// The database at an address, only to be looked at.
pub(super) fn look(address: Address) -> Result<Box<dyn Look>, StoreError> {
    Ok(Box::new(Server::new(address)?))
}

/// A server, and the connection to it while there is one.
struct Server {
    link: Option<Link>,
    address: Address,
    /// Where the address of the next connection comes from, if it may change.
    login: Option<Arc<Reloaded<Login>>>,
    /// What the last server was that answered.
    product: Product,
    /// The connection before this one.
    last_id: Option<i64>,
    runtime: Runtime,
}

/// A connection.
struct Link {
    connection: Conn,
    id: i64,
    /// `'user'@'host'`, as grants name it.
    account: String,
    version: String,
    max_packet: usize,
    /// Whether it takes `LOAD DATA LOCAL`.
    loads: bool,
    /// Whether table names compare without case.
    folds_names: bool,
    /// That of the texts in what is created.
    collation: &'static str,
}

/// A row as text.
struct TextRow(Vec<Option<Vec<u8>>>);

impl From<Row> for TextRow {
    fn from(row: Row) -> Self {
        let bytes = |value| match value {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None, // all that is not NULL comes as text
        };
        Self(row.unwrap_raw().into_iter().map(bytes).collect())
    }
}

impl TextRow {
    fn text(&self, index: usize) -> String {
        let bytes = self.0.get(index).and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn number(&self, index: usize) -> Option<i64> {
        self.text(index).parse().ok()
    }

    fn is_null(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(Option::is_none)
    }
}

/// A table that exists.
struct FoundTable {
    name: String,
    /// Its TABLE_TYPE.
    kind: String,
    engine: String,
    transactional: bool,
    columns: Vec<FoundColumn>,
}

/// What there is to do for a table.
enum Plan {
    Create,
    Extend {
        /// The columns to add.
        columns: Vec<dataflows::rows::ColumnSpec>,
        /// Whether to add that of the keys.
        with_key: bool,
        /// Those that round values.
        rounding: Vec<String>,
        /// Those of a key that do not tell a text from the same with spaces behind it.
        padded: Vec<String>,
        /// Whether they keep the same of lines that are loaded.
        loads: bool,
        /// Whether the server keeps the history of its rows.
        is_versioned: bool,
    },
}

impl Server {
    fn new(address: Address) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            StoreError::Failed { place: address.place.clone(), reason: format!("no runtime ({error})") }
        })?;
        Ok(Self { link: None, address, login: None, product: Product::Any, last_id: None, runtime })
    }

    /// Connects, unless there is a connection, and sets the session up.
    fn connect(&mut self) -> Result<(), StoreError> {
        if self.link.is_some() {
            return Ok(());
        }
        if let Some(login) = &self.login
            && let Place::Mysql(address) = &login.get().0
        {
            self.address = address.clone();
        }
        let connecting = async { tokio::time::timeout(CONNECT_LIMIT, self.address.connect()).await };
        let connection = match self.runtime.block_on(connecting) {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.explain(Fault::from(error))),
            Err(_) => return Err(self.explain(timed_out(CONNECT_LIMIT))),
        };
        self.link = Some(Link {
            connection,
            id: 0,
            account: String::new(),
            version: String::new(),
            max_packet: 0,
            loads: false,
            folds_names: false,
            collation: schema::PADDING,
        });
        self.set_up().inspect_err(|_| self.close())
    }

    fn set_up(&mut self) -> Result<(), StoreError> {
        let rows = self.fetch(
            "SELECT CONNECTION_ID(), CURRENT_USER(), VERSION(), @@max_allowed_packet, \
             @@lower_case_table_names, (SELECT GROUP_CONCAT(COLLATION_NAME) \
             FROM information_schema.COLLATIONS \
             WHERE COLLATION_NAME IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin'))",
        )?;
        let row = rows.first().ok_or_else(|| self.failed("the server does not say what it is"))?;
        let version = row.text(2);
        if let Some(link) = &mut self.link {
            link.id = row.number(0).unwrap_or_default();
            link.account = account(&row.text(1));
            link.max_packet = row.number(3).unwrap_or_default() as usize;
            link.folds_names = row.number(4) != Some(0);
            link.collation = schema::collation(row.text(5).split(','));
        }
        let truncate = if truncates_by_mode(&version) { ",TIME_TRUNCATE_FRACTIONAL" } else { "" };
        self.product = Product::of(&version);
        if let Some(link) = &mut self.link {
            link.version = version;
        }
        // A wait for another's lock ends before our patience does. Notes say no more of a row than that
        // a value was rounded.
        self.execute(format!(
            "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION{truncate}', \
             autocommit = 1, lock_wait_timeout = 50, innodb_lock_wait_timeout = 50, \
             sql_safe_updates = 0, sql_big_selects = 1, sql_notes = 0"
        ))
    }

    /// Ends the connection in order, which rolls back and frees the lock at once.
    fn close(&mut self) {
        if let Some(link) = self.link.take() {
            self.last_id = Some(link.id);
            let closing = async { tokio::time::timeout(CLOSE_LIMIT, link.connection.disconnect()).await };
            // It ends one way or the other.
            let _ = self.runtime.block_on(closing);
        }
    }

    /// Takes the lock of `job`. A former connection of ours that the server still keeps, as it does
    /// not know that we are gone, is ended.
    fn lock(&mut self, job: &str) -> Result<bool, StoreError> {
        let name = lock_name(&self.address.database, job);
        if let Some(last) = self.last_id.take() {
            let holder = self.fetch(format!("SELECT IS_USED_LOCK({name})"))?;
            if holder.first().and_then(|row| row.number(0)) == Some(last) {
                // It may end by itself meanwhile.
                let _ = self.try_execute(format!("KILL CONNECTION {last}"), STATEMENT_LIMIT);
                self.last_id = Some(last);
            }
        }
        let got = self.fetch(format!("SELECT GET_LOCK({name}, 5)"))?;
        Ok(got.first().and_then(|row| row.number(0)) == Some(1))
    }

    /// Makes the bookkeeping tables that are missing, and sees whether all can be used.
    fn make_books(&mut self) -> Result<(), StoreError> {
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

    fn check_books(&mut self) -> Result<String, StoreError> {
        let there = self.books()?;
        for book in BOOKS.iter().filter(|book| there.contains(book.name)) {
            self.probe(book.name, book.columns, book.privileges)?;
        }
        let all = there.len() == BOOKS.len();
        let fit = if all { "they fit" } else { "a run makes those that are missing" };
        let kept = self.not_deletable(&there)?;
        Ok(match kept.is_empty() {
            true => fit.into(),
            false => format!("{fit}; `truckflow state reset` needs more: {}", self.grant_of_deletes(&kept)),
        })
    }

    /// Those of these bookkeeping tables whose rows the account may not delete: a job does not need it,
    /// but to forget one does.
    fn not_deletable(&mut self, there: &BTreeSet<String>) -> Result<Vec<&'static str>, StoreError> {
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

    fn grant_of_deletes(&self, tables: &[&str]) -> String {
        let (database, account) = (quoted(&self.address.database), self.account());
        let grant = |table: &&str| format!("GRANT DELETE ON {database}.{} TO {account}", quoted(table));
        format!("run {}", tables.iter().map(grant).collect::<Vec<_>>().join("; "))
    }

    fn books(&mut self) -> Result<BTreeSet<String>, StoreError> {
        let rows = self.fetch(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME LIKE 'truckflow\\_%'",
        )?;
        let is_book = |name: &String| BOOKS.iter().any(|book| book.name == name);
        Ok(rows.iter().map(|row| row.text(0)).filter(is_book).collect())
    }

    /// Whether a table may be read and written: statements that touch no row.
    fn probe(&mut self, table: &str, columns: &[&str], privileges: &[&str]) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut denied = None;
        let name = quoted(table);
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let list = columns.join(",");
        for privilege in ["SELECT"].iter().chain(privileges) {
            let sql = match *privilege {
                "SELECT" => format!("SELECT {list} FROM {name} LIMIT 0"),
                "INSERT" => format!("INSERT INTO {name} ({list}) SELECT {list} FROM {name} WHERE FALSE"),
                "UPDATE" => format!("UPDATE {name} SET {0} = {0} WHERE FALSE", columns[0]),
                _ => format!("DELETE FROM {name} WHERE FALSE"),
            };
            match self.try_execute(sql, STATEMENT_LIMIT) {
                Ok(_) => {}
                Err(Fault::Server { number: number @ (1142 | 1143), message, .. }) => {
                    // The others need SELECT too, which is told once.
                    if message.starts_with(privilege) {
                        missing.push(*privilege);
                    }
                    denied = denied.or(Some(format!("{number}: {message}")));
                }
                Err(fault) => return Err(self.scene().explain_on(table, &[], fault)),
            }
        }
        match denied {
            None => Ok(()),
            Some(reason) => Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason,
                advice: format!(
                    "run GRANT {} ON {}.{name} TO {}",
                    missing.join(", "),
                    quoted(&self.address.database),
                    self.account()
                ),
            }),
        }
    }

    fn check_table(&mut self, table: &Table) -> Result<String, StoreError> {
        Ok(match self.plan(table)? {
            Plan::Create => "a run makes it".into(),
            Plan::Extend { columns, with_key, rounding, padded, .. } => {
                let key = with_key.then_some(ROW_KEY);
                let new: Vec<&str> = columns.iter().map(|column| &*column.name).chain(key).collect();
                let there: Vec<&str> =
                    written(table).into_iter().filter(|name| !new.contains(name)).collect();
                if !there.is_empty() {
                    self.probe(&table.name, &there, needed(table))?;
                }
                let mut said = String::from("it fits");
                if !new.is_empty() {
                    let _ = write!(said, "; a run adds {}", new.join(", "));
                }
                if !rounding.is_empty() {
                    let _ = write!(said, "; values are rounded in {}", rounding.join(", "));
                }
                if !padded.is_empty() {
                    let _ = write!(
                        said,
                        "; texts that differ only in trailing spaces are the same key in {}",
                        padded.join(", ")
                    );
                }
                said
            }
        })
    }

    /// Whether the account may make and extend what is missing, and use it then. What is there was
    /// tried.
    fn check_privileges(&mut self, tables: &[Table]) -> Result<String, StoreError> {
        let mut needs: Vec<(String, Vec<&str>)> = Vec::new();
        let there = self.books()?;
        for book in BOOKS.iter().filter(|book| !there.contains(book.name)) {
            needs.push((book.name.into(), [&["CREATE", "SELECT"], book.privileges].concat()));
        }
        for table in tables {
            // What is wrong with a table was said.
            match self.plan(table) {
                Ok(Plan::Create) => {
                    needs.push((table.name.clone(), [&["CREATE", "SELECT"], needed(table)].concat()));
                }
                Ok(Plan::Extend { columns, with_key, .. }) if with_key || !columns.is_empty() => {
                    needs.push((table.name.clone(), vec!["ALTER"]));
                }
                Ok(Plan::Extend { .. }) | Err(_) => {}
            }
        }
        if needs.is_empty() {
            return Ok("nothing has to be made or extended".into());
        }
        let lines = match self.try_fetch("SHOW GRANTS", STATEMENT_LIMIT) {
            Ok(rows) => rows,
            Err(fault) if self.link.is_none() => return Err(self.explain(fault)),
            Err(_) => return Ok("they cannot be seen; a run says what it lacks".into()),
        };
        let privileges = Privileges::read(lines.iter().map(|row| row.text(0)));
        let (mut all, mut unknown, mut missing) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut extends = BTreeSet::new();
        for (table, privileges_needed) in &needs {
            for &privilege in privileges_needed {
                all.insert(privilege);
                match privileges.on(privilege, &self.address.database, table) {
                    Answer::Granted => {}
                    Answer::Unknown => {
                        unknown.insert(privilege);
                    }
                    Answer::Missing if privilege == "ALTER" => {
                        extends.insert(table.as_str());
                    }
                    Answer::Missing => {
                        missing.insert(privilege);
                    }
                }
            }
        }
        let list = |privileges: BTreeSet<&str>| privileges.into_iter().collect::<Vec<_>>().join(", ");
        if !missing.is_empty() || !extends.is_empty() {
            let (database, account) = (quoted(&self.address.database), self.account());
            let mut lacks: Vec<String> = Vec::new();
            let mut grants: Vec<String> = Vec::new();
            if !missing.is_empty() {
                let missing = list(missing);
                grants.push(format!("GRANT {missing} ON {database}.* TO {account}"));
                lacks.push(format!("{missing} for tables that are missing"));
            }
            for table in extends {
                grants.push(format!("GRANT ALTER ON {database}.{} TO {account}", quoted(table)));
                lacks.push(format!("ALTER for table {table}, which lacks columns"));
            }
            return Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason: format!("{account} has no {}", lacks.join(", no ")),
                advice: format!("run {}", grants.join("; ")),
            });
        }
        Ok(match unknown.is_empty() {
            true => format!("{} are there", list(all)),
            false => format!("whether {} come with a role cannot be told; a run says if not", list(unknown)),
        })
    }

    /// What there is to do for `table`, or why it cannot be used.
    fn plan(&mut self, table: &Table) -> Result<Plan, StoreError> {
        let Some(found) = self.found(&table.name)? else { return Ok(Plan::Create) };
        let name = quoted(&table.name);
        let unusable = |reason: String, advice: String| {
            Err(StoreError::Table { table: table.name.clone(), reason, advice })
        };
        let is_versioned = match schema::kind(&found.kind) {
            Kind::Table => false,
            Kind::Versioned => true,
            Kind::Other(what) => {
                let other = quoted(&format!("{}_old", table.name));
                return unusable(
                    format!("it is {what}, and rows need a table"),
                    format!("run RENAME TABLE {name} TO {other}"),
                );
            }
        };
        if !found.transactional {
            return unusable(
                format!("its engine {} has no transactions", found.engine),
                format!("run ALTER TABLE {name} ENGINE=InnoDB"),
            );
        }
        let flaws = schema::flaws(table, &found.columns, self.collation());
        if !flaws.is_empty() {
            let reasons: Vec<&str> = flaws.iter().map(|flaw| &*flaw.reason).collect();
            let clauses: Vec<&str> = flaws.iter().map(|flaw| &*flaw.clause).collect();
            return unusable(reasons.join(", "), format!("run ALTER TABLE {name} {}", clauses.join(", ")));
        }
        let missing = schema::missing(&table.columns, found.columns.iter().map(|column| &*column.name));
        let rounding = found.columns.iter().filter(|there| {
            table.columns.iter().any(|ours| {
                ours.name.eq_ignore_ascii_case(&there.name)
                    && schema::rounds(ours.column_type, &there.data_type)
            })
        });
        let rounding = rounding.map(|column| format!("{} ({})", column.name, column.full_type)).collect();
        let loads = found.columns.iter().all(|there| {
            table
                .columns
                .iter()
                .filter(|ours| ours.name.eq_ignore_ascii_case(&there.name))
                .all(|ours| schema::loads(ours.column_type, &there.data_type))
        });
        let with_key = schema::lacks_key(table, found.columns.iter().map(|column| &*column.name));
        let padded = schema::padded_keys(table, &found.columns);
        Ok(Plan::Extend { columns: missing, with_key, rounding, padded, loads, is_versioned })
    }

    /// The table `name`, if it exists.
    fn found(&mut self, name: &str) -> Result<Option<FoundTable>, StoreError> {
        let folds = self.link.as_ref().is_some_and(|link| link.folds_names);
        let is_it = |row: &TextRow| {
            let there = row.text(0);
            there == name || (folds && there.eq_ignore_ascii_case(name))
        };
        let literal = literal(name);
        let tables = self.fetch(format!(
            "SELECT t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t \
             LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = {literal} \
             AND t.TABLE_TYPE NOT LIKE 'TEMPORARY%'"
        ))?;
        let Some(table) = tables.iter().find(|row| is_it(row)) else { return Ok(None) };
        let columns = self.fetch(format!(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, \
             COLUMN_KEY, COLLATION_NAME, GENERATION_EXPRESSION FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {literal} ORDER BY ORDINAL_POSITION"
        ))?;
        // The end of a row's time, where the server keeps its history, is part of each of its keys.
        let is_end = |name: &str| {
            columns.iter().any(|row| is_it(row) && row.text(1) == name && row.text(9) == "ROW END")
        };
        let parts = self.fetch(format!(
            "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART \
             FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {literal}"
        ))?;
        let mut keys: BTreeMap<String, Vec<&TextRow>> = BTreeMap::new();
        for part in parts.iter().filter(|part| is_it(part) && !is_end(&part.text(3))) {
            keys.entry(part.text(1)).or_default().push(part);
        }
        let in_key = |name: &str| parts.iter().any(|part| is_it(part) && part.text(3) == name);
        let is_unique = |name: &str| {
            keys.values().any(|parts| match parts.as_slice() {
                [part] => part.text(2) == "0" && part.text(3) == name && part.is_null(4),
                _ => false,
            })
        };
        let column = |row: &TextRow| {
            let extra = row.text(6).to_ascii_lowercase();
            FoundColumn {
                name: row.text(1),
                data_type: row.text(2).to_ascii_lowercase(),
                full_type: row.text(3),
                optional: row.text(4) == "YES" || !row.is_null(5) || extra.contains("auto_increment"),
                // An expression as the default is `DEFAULT_GENERATED`.
                generated: extra.contains("virtual generated") || extra.contains("stored generated"),
                primary: row.text(7) == "PRI",
                unique: is_unique(&row.text(1)),
                in_key: in_key(&row.text(1)),
                collation: row.text(8),
            }
        };
        Ok(Some(FoundTable {
            name: table.text(0),
            kind: table.text(1),
            engine: table.text(2),
            transactional: table.text(3) == "YES",
            columns: columns.iter().filter(|row| is_it(row)).map(column).collect(),
        }))
    }

    /// Gives the parts of a view's state, newest first, to `take`.
    fn read_state(&mut self, job: &str, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        let of_view =
            format!("FROM truckflow_state WHERE job = {} AND view_name = {}", literal(job), literal(view));
        let listed = format!("SELECT epoch, part, LENGTH(bytes) {of_view} ORDER BY epoch DESC, part DESC");
        let pieces = self.fetch(listed)?;
        // The later pieces of a part whose first one is still to come, from the last one on.
        let mut rest: Vec<Vec<u8>> = Vec::new();
        // A page at a time: all at once may take longer than a statement may, and much memory.
        // Each piece is named by its whole key, as a range would read the ones before it, too.
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
    fn read_views(&mut self, job: &str) -> Result<Vec<StoredView>, StoreError> {
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

    fn put_view(&mut self, job: &str, view: &StoredView) -> Result<(), StoreError> {
        self.execute(format!(
            "INSERT INTO truckflow_views (job, view_name, definition, state) VALUES ({},{},{},'{}') \
             ON DUPLICATE KEY UPDATE definition = VALUES(definition), state = VALUES(state)",
            literal(job),
            literal(&view.name),
            literal(&view.definition),
            if view.backfilled { COMPLETE } else { BACKFILLING },
        ))
    }

    fn put_piece(
        &mut self,
        claim: &Claim,
        view: &str,
        epoch: Epoch,
        number: usize,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // Bound, as text would double it.
        let sql = "INSERT INTO truckflow_state (job, view_name, epoch, part, bytes) VALUES (?, ?, ?, ?, ?)";
        let values = (&*claim.job, view, epoch, number as u64, bytes);
        self.ask(STATEMENT_LIMIT + time_of(bytes.len()), async |connection| {
            connection.exec_drop(sql, values).await
        })
        .map_err(|fault| self.explain(fault))
    }

    fn execute(&mut self, sql: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.try_execute(sql, STATEMENT_LIMIT).map(drop).map_err(|fault| self.explain(fault))
    }

    fn fetch(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<TextRow>, StoreError> {
        self.try_fetch(sql, STATEMENT_LIMIT).map_err(|fault| self.explain(fault))
    }

    /// Gives the number of rows that the statement found, whether or not it changed them.
    fn try_execute(&mut self, sql: impl AsRef<[u8]>, limit: Duration) -> Result<u64, Fault> {
        self.ask(limit + time_of(sql.as_ref().len()), async |connection| {
            let done = connection.query_iter(sql.as_ref()).await?;
            let found = done.affected_rows();
            done.drop_result().await.map(|()| found)
        })
    }

    /// Commits the open transaction.
    fn commit(&mut self) -> Result<(), StoreError> {
        let asked = self.ask(STATEMENT_LIMIT, async |connection| {
            fault::asked(Moment::CommitSent, connection.query_drop("COMMIT")).await
        });
        asked.map_err(|fault| self.explain(fault))
    }

    /// Makes or changes a table of the job.
    fn define(&mut self, table: &Table, sql: String) -> Result<(), StoreError> {
        let defined = self.try_execute(sql, TABLE_LIMIT).map(drop);
        defined.map_err(|fault| match self.explain(fault) {
            StoreError::Failed { reason, .. } => StoreError::Table {
                table: table.name.clone(),
                reason,
                advice:
                    "create or change it by hand to what the server takes, or leave it out with tables.views"
                        .into(),
            },
            other => other,
        })
    }

    fn try_fetch(&mut self, sql: impl AsRef<[u8]>, limit: Duration) -> Result<Vec<TextRow>, Fault> {
        self.ask(limit, async |connection| {
            let rows: Vec<Row> = connection.query(sql.as_ref()).await?;
            Ok(rows.into_iter().map(TextRow::from).collect())
        })
    }

    /// Asks the server something. After a timeout or a broken connection there is none.
    fn ask<T>(
        &mut self,
        limit: Duration,
        question: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>,
    ) -> Result<T, Fault> {
        let Some(link) = &mut self.link else { return Err(Fault::Lost("the connection is gone".into())) };
        let id = link.id;
        let asking = async { tokio::time::timeout(limit, question(&mut link.connection)).await };
        let fault = match self.runtime.block_on(asking) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Fault::from(error),
            Err(_) => timed_out(limit),
        };
        if fault.meaning(self.product) == Meaning::Connection {
            self.last_id = Some(id);
            self.link = None;
        }
        Err(fault)
    }

    fn max_packet(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.max_packet)
    }

    fn loads(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.loads)
    }

    fn version(&self) -> &str {
        self.link.as_ref().map_or("", |link| &link.version)
    }

    fn account(&self) -> &str {
        self.link.as_ref().map_or("", |link| &link.account)
    }

    fn collation(&self) -> &'static str {
        self.link.as_ref().map_or(schema::PADDING, |link| link.collation)
    }

    fn described(&self) -> String {
        format!("{}, as {}", self.version(), self.account())
    }

    fn failed(&self, reason: &str) -> StoreError {
        StoreError::Failed { place: self.address.place.clone(), reason: reason.into() }
    }

    fn explain(&self, fault: Fault) -> StoreError {
        self.scene().explain(fault)
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            place: &self.address.place,
            database: &self.address.database,
            account: self.account(),
            product: self.product,
        }
    }

    /// Whether a fault concerns a row's values.
    fn concerns_a_row(&self, fault: &Fault) -> bool {
        fault.meaning(self.product) == Meaning::Row
    }
}

/// How long bytes may be on their way.
fn time_of(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST_LINK)
}

fn timed_out(limit: Duration) -> Fault {
    Fault::Lost(format!("no answer within {} s", limit.as_secs()))
}

/// Whether the server rounds fractions of seconds unless its mode says otherwise: MySQL from 8.0
/// has such a mode, MariaDB cuts by itself.
fn truncates_by_mode(version: &str) -> bool {
    !version.contains("MariaDB") && (8..100).contains(&numbers(version)[0])
}

/// How a server writes rows in an update: MySQL has `VALUES ROW(…)` from 8.0.19 on, MariaDB
/// `VALUES (…)` from 10.3 on.
fn update_text(version: &str) -> Text {
    let numbers = numbers(version);
    match version.contains("MariaDB") {
        true if numbers >= [10, 3, 0] => Text::Values,
        false if numbers >= [8, 0, 19] => Text::ValuesRow,
        _ => Text::Inserts,
    }
}

/// The three numbers that a version begins with.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split(|digit: char| !digit.is_ascii_digit()).map(|part| part.parse());
    std::array::from_fn(|_| numbers.next().and_then(Result::ok).unwrap_or(0))
}

/// The columns that we write.
fn written(table: &Table) -> Vec<&str> {
    names(table).into_iter().chain(table.keyed.then_some(ROW_KEY)).collect()
}

/// What is needed to write them.
fn needed(table: &Table) -> &'static [&'static str] {
    if table.keyed { &["INSERT", "UPDATE", "DELETE"] } else { &["INSERT"] }
}

fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| &*column.name).collect()
}

/// Appends keys, as a list holds them.
fn list(keys: &[RowKey], sql: &mut Vec<u8>) {
    for (place, key) in keys.iter().enumerate() {
        if place > 0 {
            sql.push(b',');
        }
        sql_bytes(key, sql);
    }
}

fn halves(range: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = range.start + range.len() / 2;
    (range.start..middle, middle..range.end)
}

/// The key of a topic, and the topic itself where the key is not it: a file's path can be longer
/// than a key.
fn topic_key(topic: &str) -> (String, String) {
    let whole = literal(topic);
    if topic.chars().count() <= 255 {
        return (whole, "NULL".into());
    }
    let start: String = topic.chars().take(190).collect();
    (format!("CONCAT({}, '#', SHA2({whole}, 256))", literal(&start)), whole)
}

/// The lock of a job, as an expression.
fn lock_name(database: &str, job: &str) -> String {
    format!("CONCAT('truckflow_', LEFT(SHA2({}, 256), 48))", literal(&format!("{database}\n{job}")))
}

/// A string in SQL. The session's mode leaves the backslash its meaning.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, StoreError> {
        Address::read(url, |path| std::fs::read(path))
    }

    #[test]
    fn a_url_must_name_a_database() {
        assert!(matches!(read("mysql://u:secret@h"), Err(StoreError::Url(_))));
        assert_eq!(read("mariadb://u:secret@h:1/d?ssl-mode=REQUIRED").unwrap().place, "h:1/d");
    }

    #[test]
    fn no_message_shows_the_password() {
        for url in ["mysql://u:secret@h:99999/d", "mysql://u:secret@h/d?ssl-mode=x", "mysql://u:secret@/"] {
            let error = read(url).err().map(|error| error.to_string());
            assert!(error.is_none_or(|error| !error.contains("secret")), "{url}");
        }
    }

    #[test]
    fn only_mysql_from_8_has_the_mode() {
        assert!(truncates_by_mode("8.4.3"));
        assert!(!truncates_by_mode("5.7.44-log"));
        assert!(!truncates_by_mode("10.11.6-MariaDB-0+deb12u1"));
    }

    #[test]
    fn an_update_is_written_as_the_server_reads_it() {
        for (version, text) in [
            ("9.7.1", Text::ValuesRow),
            ("8.0.19-0ubuntu5", Text::ValuesRow),
            ("8.0.18", Text::Inserts),
            ("5.7.44-log", Text::Inserts),
            ("8.0.11-TiDB-v7.5.0", Text::Inserts),
            ("10.11.6-MariaDB-0+deb12u1", Text::Values),
            ("10.2.44-MariaDB", Text::Inserts),
            ("11.4.2-MariaDB", Text::Values),
            ("?", Text::Inserts),
        ] {
            assert_eq!(update_text(version), text, "{version}");
        }
    }

    #[test]
    fn halves_are_the_whole() {
        assert_eq!(halves(&(3..10)), (3..6, 6..10));
        assert_eq!(halves(&(3..5)), (3..4, 4..5));
    }

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
