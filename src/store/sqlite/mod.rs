//! A file as the store: SQLite, linked into the program.
//!
//! A lock file beside the database, held as long as the store lives, keeps a second instance out.
//! The database itself is in WAL mode, so that other programs may read it meanwhile.
//!
//! | module | is |
//! |---|---|
//! | `store` | the store of a job: the lock, and the order of a transaction |
//! | `insert` | rows into the open transaction |
//! | `books`, `tables` | the bookkeeping tables; the tables of views |
//! | `open`, `errors` | files, and what their errors mean |
//! | `reader`, `last_readings` | readers that claim no job |

mod books;
mod errors;
mod insert;
pub(super) mod last_readings;
mod open;
pub(super) mod reader;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use store::SqliteStore;
