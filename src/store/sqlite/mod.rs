//! A store in an SQLite file. SQLite is linked into the program.
//!
//! A lock file next to the database, held as long as the store exists, keeps out a second instance. The database is in
//! WAL mode, so that other programs can read it meanwhile.
//!
//! | module | contents |
//! |---|---|
//! | `store` | the store of a job: lock and transactions |
//! | `insert` | writing rows in the open transaction |
//! | `books`, `tables` | the bookkeeping tables and the tables of views |
//! | `open`, `errors` | opening files, and the classification of errors |
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
