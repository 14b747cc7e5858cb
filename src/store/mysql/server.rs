//! The connection to a server: setup, lock, statements and their timeouts.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use super::errors::{ErrorContext, Fault, Meaning, Product, account};
use super::sql::lock_name;
use crate::runtime::fault::{self, Moment};
use crate::runtime::reload::Reloaded;
use crate::store::chunk::Text;
use crate::store::error::StoreError;
use crate::store::login::{Login, Place};
use crate::store::schema::{self};

pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// In addition to the transfer of the statement: [`time_of`].
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// Bytes per second of the slowest connection that is not taken for a dead one.
pub(super) const SLOWEST_LINK: u64 = 50_000;
/// For statements that read or copy a whole table.
pub(super) const TABLE_LIMIT: Duration = Duration::from_secs(1800);
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A server, and the connection to it while there is one.
pub(super) struct Server {
    pub(super) link: Option<Link>,
    pub(super) address: Address,
    /// The source of the address of the next connection, if it may change.
    pub(super) login: Option<Arc<Reloaded<Login>>>,
    /// The product of the last server that answered.
    pub(super) product: Product,
    /// The id of the previous connection.
    pub(super) last_id: Option<i64>,
    pub(super) runtime: Runtime,
}

/// A connection.
pub(super) struct Link {
    pub(super) connection: Conn,
    pub(super) id: i64,
    /// `'user'@'host'`, as grants name it.
    pub(super) account: String,
    pub(super) version: String,
    pub(super) max_packet: usize,
    /// Whether it accepts `LOAD DATA LOCAL`.
    pub(super) loads: bool,
    /// Whether table names compare without case.
    pub(super) folds_names: bool,
    /// The collation of text columns that are created.
    pub(super) collation: &'static str,
}

/// A row as text.
pub(super) struct TextRow(pub(super) Vec<Option<Vec<u8>>>);

impl From<Row> for TextRow {
    fn from(row: Row) -> Self {
        let bytes = |value| match value {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None, // in the text protocol only NULL is not bytes
        };
        Self(row.unwrap_raw().into_iter().map(bytes).collect())
    }
}

impl TextRow {
    /// The field as text; empty if it is NULL.
    pub(super) fn text(&self, index: usize) -> String {
        let bytes = self.0.get(index).and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The field as an integer; `None` if it is NULL or not an integer.
    pub(super) fn number(&self, index: usize) -> Option<i64> {
        self.text(index).parse().ok()
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(Option::is_none)
    }
}

impl Server {
    /// A server without a connection.
    pub(super) fn new(address: Address) -> Result<Self, StoreError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| StoreError::Failed {
                place: address.place.clone(),
                reason: format!("cannot create a runtime ({error})"),
            })?;
        Ok(Self { link: None, address, login: None, product: Product::Any, last_id: None, runtime })
    }

    /// Connects and sets up the session, unless there is a connection.
    pub(super) fn connect(&mut self) -> Result<(), StoreError> {
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

    /// Asks for the properties of the server and sets the session variables.
    pub(super) fn set_up(&mut self) -> Result<(), StoreError> {
        let rows = self.fetch(
            "SELECT CONNECTION_ID(), CURRENT_USER(), VERSION(), @@max_allowed_packet, \
             @@lower_case_table_names, (SELECT GROUP_CONCAT(COLLATION_NAME) \
             FROM information_schema.COLLATIONS \
             WHERE COLLATION_NAME IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin'))",
        )?;
        let row = rows.first().ok_or_else(|| self.failed("the server did not report its version"))?;
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
        // Lock waits end before our own timeout. Notes are off, because they would count as warnings of a load.
        self.execute(format!(
            "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION{truncate}', \
             autocommit = 1, lock_wait_timeout = 50, innodb_lock_wait_timeout = 50, \
             sql_safe_updates = 0, sql_big_selects = 1, sql_notes = 0"
        ))
    }

    /// Closes the connection properly, so that the server rolls back and releases the lock at once.
    pub(super) fn close(&mut self) {
        if let Some(link) = self.link.take() {
            self.last_id = Some(link.id);
            let closing = async { tokio::time::timeout(CLOSE_LIMIT, link.connection.disconnect()).await };
            // An error does not matter: the connection ends anyway.
            let _ = self.runtime.block_on(closing);
        }
    }

    /// Takes the lock of `job`. If our previous connection still holds it, because the server has not noticed that it
    /// is gone, that connection is killed.
    pub(super) fn lock(&mut self, job: &str) -> Result<bool, StoreError> {
        let name = lock_name(&self.address.database, job);
        if let Some(last) = self.last_id.take() {
            let holder = self.fetch(format!("SELECT IS_USED_LOCK({name})"))?;
            if holder.first().and_then(|row| row.number(0)) == Some(last) {
                // It may have ended by itself meanwhile.
                let _ = self.try_execute(format!("KILL CONNECTION {last}"), STATEMENT_LIMIT);
                self.last_id = Some(last);
            }
        }
        let got = self.fetch(format!("SELECT GET_LOCK({name}, 5)"))?;
        Ok(got.first().and_then(|row| row.number(0)) == Some(1))
    }

    /// Executes a statement without a result.
    pub(super) fn execute(&mut self, sql: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.try_execute(sql, STATEMENT_LIMIT).map(drop).map_err(|fault| self.explain(fault))
    }

    /// Runs a query and returns its rows.
    pub(super) fn fetch(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<TextRow>, StoreError> {
        self.try_fetch(sql, STATEMENT_LIMIT).map_err(|fault| self.explain(fault))
    }

    /// Returns the number of rows that the statement matched, whether or not it changed them.
    pub(super) fn try_execute(&mut self, sql: impl AsRef<[u8]>, limit: Duration) -> Result<u64, Fault> {
        self.ask(limit + time_of(sql.as_ref().len()), async |connection| {
            let done = connection.query_iter(sql.as_ref()).await?;
            let found = done.affected_rows();
            done.drop_result().await.map(|()| found)
        })
    }

    /// Commits the open transaction.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let asked = self.ask(STATEMENT_LIMIT, async |connection| {
            fault::asked(Moment::CommitSent, connection.query_drop("COMMIT")).await
        });
        asked.map_err(|fault| self.explain(fault))
    }

    /// Like [`fetch`](Self::fetch), with a given timeout and the fault itself as the error.
    pub(super) fn try_fetch(
        &mut self,
        sql: impl AsRef<[u8]>,
        limit: Duration,
    ) -> Result<Vec<TextRow>, Fault> {
        self.ask(limit, async |connection| {
            let rows: Vec<Row> = connection.query(sql.as_ref()).await?;
            Ok(rows.into_iter().map(TextRow::from).collect())
        })
    }

    /// Sends a request to the server. The connection is dropped after a timeout or if it is broken.
    pub(super) fn ask<T>(
        &mut self,
        limit: Duration,
        request: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>,
    ) -> Result<T, Fault> {
        let Some(link) = &mut self.link else { return Err(Fault::Lost("the connection is closed".into())) };
        let id = link.id;
        let asking = async { tokio::time::timeout(limit, request(&mut link.connection)).await };
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

    /// `max_allowed_packet`; 0 without a connection.
    pub(super) fn max_packet(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.max_packet)
    }

    /// Whether rows can be loaded on this connection.
    pub(super) fn loads(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.loads)
    }

    pub(super) fn version(&self) -> &str {
        self.link.as_ref().map_or("", |link| &link.version)
    }

    /// The account as grants name it; empty without a connection.
    pub(super) fn account(&self) -> &str {
        self.link.as_ref().map_or("", |link| &link.account)
    }

    pub(super) fn collation(&self) -> &'static str {
        self.link.as_ref().map_or(schema::PADDING, |link| link.collation)
    }

    /// What `truckflow check` reports of the server.
    pub(super) fn described(&self) -> String {
        format!("{}, as {}", self.version(), self.account())
    }

    /// A permanent error.
    pub(super) fn failed(&self, reason: &str) -> StoreError {
        StoreError::Failed { place: self.address.place.clone(), reason: reason.into() }
    }

    pub(super) fn explain(&self, fault: Fault) -> StoreError {
        self.error_context().explain(fault)
    }

    pub(super) fn error_context(&self) -> ErrorContext<'_> {
        ErrorContext {
            place: &self.address.place,
            database: &self.address.database,
            account: self.account(),
            product: self.product,
        }
    }

    /// Whether a fault concerns the values of a row.
    pub(super) fn concerns_a_row(&self, fault: &Fault) -> bool {
        fault.meaning(self.product) == Meaning::Row
    }
}

/// The time allowed for the transfer of bytes.
pub(super) fn time_of(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST_LINK)
}

pub(super) fn timed_out(limit: Duration) -> Fault {
    Fault::Lost(format!("no answer within {} s", limit.as_secs()))
}

/// Whether the server rounds fractional seconds unless its `sql_mode` says otherwise. MySQL has that mode from 8.0 on,
/// and MariaDB always truncates.
pub(super) fn truncates_by_mode(version: &str) -> bool {
    !version.contains("MariaDB") && (8..100).contains(&numbers(version)[0])
}

/// The syntax of rows in an update: MySQL has `VALUES ROW(…)` from 8.0.19 on, MariaDB `VALUES (…)` from 10.3 on.
pub(super) fn update_text(version: &str) -> Text {
    let numbers = numbers(version);
    match version.contains("MariaDB") {
        true if numbers >= [10, 3, 0] => Text::Values,
        false if numbers >= [8, 0, 19] => Text::ValuesRow,
        _ => Text::Inserts,
    }
}

/// The first three numbers of a version.
pub(super) fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split(|digit: char| !digit.is_ascii_digit()).map(|part| part.parse());
    std::array::from_fn(|_| numbers.next().and_then(Result::ok).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mysql_from_8_has_the_mode() {
        assert!(truncates_by_mode("8.4.3"));
        assert!(!truncates_by_mode("5.7.44-log"));
        assert!(!truncates_by_mode("10.11.6-MariaDB-0+deb12u1"));
    }

    #[test]
    fn an_update_has_the_syntax_of_the_server() {
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
}
