//! MySQL and MariaDB: rows as text, state as bound bytes, all in one transaction.
//!
//! ```text
//! claim     GET_LOCK -> bookkeeping tables -> generation + 1
//! begin     (connect, GET_LOCK, same generation?) -> START TRANSACTION
//! insert    LOAD DATA LOCAL, INSERT … VALUES (…),(…), UPDATE from VALUES, or DELETE; a refused
//!           statement is split in half until each refused row is alone
//! commit    generation FOR UPDATE -> state, offsets, files, epoch -> COMMIT
//! ```
//!
//! The lock belongs to the connection and keeps out a second instance. The generation keeps out an instance that
//! lost its connection, and with it the lock, to another instance.
//!
//! Architecture invariant: every wait for the server has a timeout, after which the connection is closed. A statement
//! that is still running on it ends before this store sends anything else, because the lock is only free again when
//! the old connection has ended.
//!
//! | module | contents |
//! |---|---|
//! | `store` | the store of a job: lock, generation, transactions |
//! | `insert`, `load`, `load_rows` | writing rows in the open transaction, by statements and by `LOAD DATA LOCAL` |
//! | `books`, `tables`, `prepared` | the bookkeeping tables, the tables of views, and the statements that write them |
//! | `replace` | replaces a table of a view |
//! | `server`, `client`, `address`, `sql` | the connection, its two clients, its URL, and pieces of SQL |
//! | `errors` | the classification of errors |
//! | `reader`, [`scratch`] | a reader that claims no job, and temporary databases |

pub(super) mod address;
mod books;
mod client;
mod errors;
mod insert;
mod load;
mod load_rows;
mod prepared;
pub(super) mod reader;
mod replace;
pub mod scratch;
mod server;
mod sql;
pub(super) mod store;
mod tables;

pub use store::MysqlStore;
