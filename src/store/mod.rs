//! Commits a job's rows, state and offsets to a database in one transaction.
//!
//! | module | contents |
//! |---|---|
//! | [`mysql`] | MySQL and MariaDB |
//! | [`sqlite`] | a file, by default in the output folder |
//! | [`memory`] | tables in memory, of jobs that are run once |
//! | `bookkeeping` | the tables `truckflow_*`, for all databases |
//! | [`privileges`] | the privileges of a MySQL or MariaDB account |
//! | [`reader`] | reading a job's data without claiming the job |
//! | [`offset`] | offsets of the job and its views |
//! | [`schema`] | required tables and columns |
//!
//! The order of calls is: [`Store::claim`], [`Store::views`], [`Store::prepare`], [`Store::state`]; then for each
//! commit [`Store::begin`], [`Store::insert`] for all chunks, [`Store::commit`]. After a temporary error, call
//! [`Store::abandon`] and start over with `begin`. With [`Store::more`] connections, rows of the next epochs may be
//! inserted meanwhile; epochs are committed in their order.

mod api;
mod bookkeeping;
pub mod chunk;
mod commit;
mod error;
mod last_reading;
mod login;
pub mod memory;
pub mod mysql;
pub mod offset;
mod plan;
pub mod privileges;
pub mod reader;
pub mod schema;
pub mod sqlite;
mod table;

use std::sync::Arc;

pub use api::{Finding, Store};
pub use chunk::{Chunk, Form, Operation, Text};
pub use commit::{Adopted, Commit, LastCommit, Replacement, StateChange};
pub use error::StoreError;
pub use last_reading::LastReading;
pub use login::Login;
pub use reader::StoreReader;
pub use table::{OTHER_ID, ROW_KEY, Refused, StoredTable, Table, new_table};

use crate::runtime::reload::Reloaded;
use crate::runtime::secret::DatabaseUrl;
use login::Place;

/// Opens the store at `url`; see [`StoreError::Url`] for its forms.
pub fn open(url: &DatabaseUrl) -> Result<Box<dyn Store>, StoreError> {
    open_reloaded(Reloaded::fixed(Login::read(url)?), 1)
}

/// Opens a store that commits on so many connections, if it is a server. Each new one uses the latest login.
pub fn open_reloaded(login: Arc<Reloaded<Login>>, connections: usize) -> Result<Box<dyn Store>, StoreError> {
    match &login.get().0 {
        Place::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        Place::Mysql(address) => {
            Ok(Box::new(mysql::MysqlStore::open((**address).clone(), login.clone(), connections)?))
        }
    }
}

/// Creates a temporary database on the server of `url`, which the caller must drop. `None` for SQLite, which needs
/// none.
pub fn create_scratch(url: &DatabaseUrl, name: &str) -> Result<Option<mysql::scratch::Scratch>, StoreError> {
    match url.file() {
        Some(_) => Ok(None),
        None => mysql::scratch::Scratch::create(url, name).map(Some),
    }
}

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`; empty if there is no such table.
pub fn last_readings(url: &DatabaseUrl) -> Result<Vec<LastReading>, StoreError> {
    last_reading::last_readings(open_reader(url)?.as_mut())
}

/// Opens the store at `url` for reading only.
pub fn open_reader(url: &DatabaseUrl) -> Result<Box<dyn StoreReader>, StoreError> {
    match Login::read(url)?.0 {
        Place::Sqlite(path) => sqlite::reader::open(&path),
        Place::Mysql(address) => mysql::reader::open(*address),
    }
}
