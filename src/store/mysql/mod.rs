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
//!
//! | module | is |
//! |---|---|
//! | `store` | the store of a job: connection, lock and generation, the order of a transaction |
//! | `insert`, `load` | rows into the open transaction, by statements and by `LOAD DATA LOCAL` |
//! | `commit` | everything else of a commit |
//! | `books`, `tables`, `prepared` | the bookkeeping tables; the tables of views; their statements |
//! | `server`, `address`, `sql` | the connection |
//! | `errors` | what each error means |
//! | `reader`, `last_readings`, [`scratch`] | readers that claim no job, and databases for measurements |

pub(super) mod address;
mod books;
mod commit;
mod errors;
mod insert;
pub(super) mod last_readings;
mod load;
mod load_rows;
mod prepared;
pub(super) mod reader;
pub mod scratch;
mod server;
mod sql;
pub(super) mod store;
mod tables;

pub use store::MysqlStore;
