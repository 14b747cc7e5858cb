//! A store in an SQLite file. SQLite is linked into the program.
//!
//! A lock file next to the database, held as long as the store exists, keeps out a second instance. The database is in
//! WAL mode, so that other programs can read it meanwhile.
//!
//! It is written through rusqlite: with sqlx 0.9, inserting a million rows takes 1.7 times the CPU at best (0.72 instead
//! of 0.42 µs a row; 2 cores, medians of 5 runs, 2026-11-28), because each statement is sent to a thread and each text
//! is copied twice. The two cannot be linked together.
//!
//! | module | contents |
//! |---|---|
//! | `store` | the store of a job: lock and transactions |
//! | `insert` | writing rows in the open transaction |
//! | `books`, `tables` | the bookkeeping tables and the tables of views |
//! | `replace` | replaces a table of a view |
//! | `open`, `errors` | opening files, and the classification of errors |
//! | `reader` | a reader that claims no job |

pub(super) mod books;
mod errors;
mod insert;
mod open;
pub(super) mod reader;
mod replace;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use store::SqliteStore;
