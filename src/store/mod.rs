//! Where a job's rows, state and offsets are committed, all in one transaction.
//!
//! | module | is |
//! |---|---|
//! | [`mysql`] | MySQL and MariaDB, through mysql_async |
//! | [`sqlite`] | a file, by default in the output folder |
//! | [`privileges`] | what an account of MySQL or MariaDB may do, as its grants say |
//! | [`reader`] | reading all that without taking the job over |
//! | [`offset`] | how far the job and its views have read |
//! | [`schema`] | which tables and columns there must be, whatever the database |
//!
//! The order of calls is: [`Store::claim`], [`Store::views`], [`Store::prepare`], [`Store::state`];
//! then for each commit [`Store::begin`], [`Store::insert`] for all chunks, [`Store::commit`]. After
//! an error that may pass, [`Store::abandon`] and again from `begin`.

mod api;
pub mod chunk;
mod commit;
mod error;
mod last_reading;
mod login;
pub mod mysql;
pub mod offset;
pub mod privileges;
pub mod reader;
pub mod schema;
pub mod sqlite;
mod table;

use std::sync::Arc;

pub use api::{Finding, Store};
pub use chunk::{Chunk, Form, Operation, Text};
pub use commit::{Adopted, Commit, LastCommit, StateChange};
pub use error::StoreError;
pub use last_reading::LastReading;
pub use login::Login;
pub use reader::StoreReader;
pub use table::{ROW_KEY, Refused, Table};

use crate::runtime::reload::Reloaded;
use crate::runtime::secret::DatabaseUrl;
use login::Place;

/// Opens the store at `url`; see [`StoreError::Url`] for the forms.
pub fn open(url: &DatabaseUrl) -> Result<Box<dyn Store>, StoreError> {
    open_reloaded(Reloaded::fixed(Login::read(url)?))
}

/// Opens a store; each new connection takes the login as it was last read.
pub fn open_reloaded(login: Arc<Reloaded<Login>>) -> Result<Box<dyn Store>, StoreError> {
    match &login.get().0 {
        Place::Sqlite(path) => Ok(Box::new(sqlite::SqliteStore::open(path)?)),
        Place::Mysql(address) => Ok(Box::new(mysql::MysqlStore::open(address.clone(), login.clone())?)),
    }
}

/// A database that is made beside the one of `url`, and that is to be dropped again; its URL, and what
/// the server is. SQLite needs none.
pub fn create_scratch(url: &DatabaseUrl, name: &str) -> Result<Option<mysql::scratch::Scratch>, StoreError> {
    match url.file() {
        Some(_) => Ok(None),
        None => mysql::scratch::Scratch::create(url, name).map(Some),
    }
}

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`; none if there is no such table.
pub fn last_readings(url: &DatabaseUrl) -> Result<Vec<LastReading>, StoreError> {
    match Login::read(url)?.0 {
        Place::Sqlite(path) => sqlite::last_readings::last_readings(&path),
        Place::Mysql(address) => mysql::last_readings::last_readings(address),
    }
}

/// Opens the store at `url` to look at it.
pub fn open_reader(url: &DatabaseUrl) -> Result<Box<dyn StoreReader>, StoreError> {
    match Login::read(url)?.0 {
        Place::Sqlite(path) => sqlite::reader::open(&path),
        Place::Mysql(address) => mysql::reader::open(address),
    }
}
