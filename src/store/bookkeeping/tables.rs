//! The bookkeeping tables and their columns.

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text of at most this many characters, which may be part of a key.
    Name(u16),
    /// A text of any length.
    Text,
    /// A 32-bit integer.
    Int,
    /// A 64-bit integer.
    BigInt,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) kind: Kind,
    pub(in crate::store) nullable: bool,
}

/// A bookkeeping table. The first columns are its primary key.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) columns: &'static [Column],
    /// The number of columns of the primary key.
    pub(in crate::store) key: usize,
    /// The privileges that a job needs besides SELECT.
    pub(in crate::store) privileges: &'static [&'static str],
}

impl Table {
    /// The names of the columns.
    pub(in crate::store) fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.name).collect()
    }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false }
}

const fn nullable(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true }
}

const JOB: Column = column("job", Kind::Name(64));
const VIEW_NAME: Column = column("view_name", Kind::Name(64));
/// The topic's name, or a shorter one that stands for it: see [`topic_key`](super::statement::topic_key).
const TOPIC: Column = column("topic", Kind::Name(255));
/// The topic's name if it does not fit into `topic`.
const LONG_TOPIC: Column = nullable("long_topic", Kind::Text);

/// The version of the schema, in one row.
pub(in crate::store) const SCHEMA: Table = Table {
    name: "truckflow_schema",
    columns: &[column("id", Kind::Int), column("version", Kind::Int)],
    key: 1,
    privileges: &["INSERT", "UPDATE"],
};

pub(in crate::store) const JOBS: Table = Table {
    name: "truckflow_jobs",
    columns: &[
        JOB,
        column("source", Kind::Text),
        column("generation", Kind::BigInt),
        column("epoch", Kind::BigInt),
    ],
    key: 1,
    privileges: &["INSERT", "UPDATE"],
};

pub(in crate::store) const OFFSETS: Table = Table {
    name: "truckflow_offsets",
    columns: &[
        JOB,
        TOPIC,
        column("part", Kind::Int),
        VIEW_NAME,
        column("role", Kind::Name(16)),
        column("next_offset", Kind::BigInt),
        nullable("byte_position", Kind::BigInt),
        nullable("hash", Kind::Name(32)),
        LONG_TOPIC,
    ],
    key: 5,
    privileges: &["INSERT", "UPDATE"],
};

pub(in crate::store) const TOPICS: Table = Table {
    name: "truckflow_topics",
    columns: &[JOB, TOPIC, column("topic_id", Kind::Name(64))],
    key: 2,
    privileges: &["INSERT", "UPDATE"],
};

/// Where a job began to read each partition, and from which `kafka.start` that was resolved.
pub(in crate::store) const ORIGINS: Table = Table {
    name: "truckflow_origins",
    columns: &[
        JOB,
        TOPIC,
        column("part", Kind::Int),
        column("first_offset", Kind::BigInt),
        nullable("start", Kind::Name(64)),
    ],
    key: 3,
    privileges: &["INSERT", "UPDATE"],
};

pub(in crate::store) const IN_THE_FUTURE: Table = Table {
    name: "truckflow_in_the_future",
    columns: &[
        JOB,
        TOPIC,
        column("part", Kind::Int),
        column("message_offset", Kind::BigInt),
        column("place", Kind::Int),
        LONG_TOPIC,
    ],
    key: 5,
    privileges: &["INSERT", "DELETE"],
};

pub(in crate::store) const FILES: Table = Table {
    name: "truckflow_files",
    columns: &[JOB, column("name", Kind::Name(255)), column("length", Kind::BigInt)],
    key: 2,
    privileges: &["INSERT", "UPDATE"],
};

pub(in crate::store) const STATE: Table = Table {
    name: "truckflow_state",
    columns: &[
        JOB,
        VIEW_NAME,
        column("epoch", Kind::BigInt),
        column("part", Kind::Int),
        column("bytes", Kind::Bytes),
    ],
    key: 4,
    privileges: &["INSERT", "DELETE"],
};

pub(in crate::store) const VIEWS: Table = Table {
    name: "truckflow_views",
    columns: &[JOB, VIEW_NAME, column("definition", Kind::Text), column("state", Kind::Name(16))],
    key: 2,
    privileges: &["INSERT", "UPDATE"],
};

/// The tables that a job writes to, with the columns that it has created.
pub(in crate::store) const TABLES: Table = Table {
    name: "truckflow_tables",
    columns: &[
        JOB,
        column("name", Kind::Name(64)),
        VIEW_NAME,
        column("origin", Kind::Name(16)),
        column("columns", Kind::Text),
    ],
    key: 2,
    privileges: &["INSERT", "UPDATE"],
};

/// The origins of a table in `truckflow_tables`.
pub(super) const CREATED: &str = "created";
pub(super) const FOUND: &str = "found";

/// In `truckflow_state`, `part` is the index of a part times this, plus the index of a piece in the part.
pub(super) const PIECES: usize = 1 << 10;

/// The tables that have rows of jobs. Each has a column `job`.
pub(in crate::store) const OF_JOBS: [&Table; 9] =
    [&JOBS, &OFFSETS, &TOPICS, &ORIGINS, &IN_THE_FUTURE, &FILES, &STATE, &VIEWS, &TABLES];

/// All bookkeeping tables.
pub(in crate::store) fn all() -> impl Iterator<Item = &'static Table> {
    [&SCHEMA].into_iter().chain(OF_JOBS)
}
