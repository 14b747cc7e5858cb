//! The connection to a server: setup, lock, statements and their timeouts.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use super::client::{CatalogClient, Client, matched};
use super::errors::{ErrorContext, Fault, Meaning, Product, account};
use super::sql::lock_name;
use crate::runtime::fault::{self, Moment};
use crate::runtime::reload::Reloaded;
use crate::store::bookkeeping::session::{Dialect, Session};
use crate::store::bookkeeping::statement::{Reads, Row, Statement};
use crate::store::bookkeeping::tables::Kind;
use crate::store::chunk::Text;
use crate::store::error::StoreError;
use crate::store::login::{Login, Place};
use crate::store::schema::{self, quoted};

pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// In addition to the transfer of the statement: [`time_of`].
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// Bytes per second of the slowest connection that is not taken for a dead one.
pub(super) const SLOWEST_LINK: u64 = 50_000;
/// For statements that read or copy a whole table.
pub(super) const TABLE_LIMIT: Duration = Duration::from_secs(1800);
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Bytes reserved for a statement without its values.
const PACKET_SPARE: usize = 1 << 10;

/// A connection that commits.
pub(super) type Committer = Server<Conn>;
/// The connection for everything else.
pub(super) type Catalog = Server<CatalogClient>;

/// A server, and the connection of a client to it while there is one.
pub(super) struct Server<C: Client> {
    pub(super) link: Option<Link<C>>,
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
pub(super) struct Link<C> {
    pub(super) client: C,
    pub(super) id: i64,
    /// `'user'@'host'`, as grants name it.
    pub(super) account: String,
    pub(super) version: String,
    pub(super) max_packet: usize,
    /// Whether it accepts `LOAD DATA LOCAL`.
    pub(super) loads: bool,
    /// Whether two loads into the same table at once are no faster. In most modes of `innodb_autoinc_lock_mode` the second one waits
    /// for the first; in mode 2 of MariaDB both are slower.
    pub(super) takes_turns: bool,
    /// Whether table names compare without case.
    pub(super) folds_names: bool,
    /// The collation of text columns that are created.
    pub(super) collation: &'static str,
}

impl<C: Client> Server<C> {
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
            self.address = (**address).clone();
        }
        let connecting = async { tokio::time::timeout(CONNECT_LIMIT, C::connect(&self.address)).await };
        let client = match self.runtime.block_on(connecting) {
            Ok(Ok(client)) => client,
            Ok(Err(fault)) => return Err(self.explain(fault)),
            Err(_) => return Err(self.explain(timed_out(CONNECT_LIMIT))),
        };
        self.link = Some(Link {
            client,
            id: 0,
            account: String::new(),
            version: String::new(),
            max_packet: 0,
            loads: false,
            takes_turns: true,
            folds_names: false,
            collation: schema::PADDING,
        });
        self.set_up().inspect_err(|_| self.close())
    }

    /// Asks for the properties of the server and sets the session variables.
    pub(super) fn set_up(&mut self) -> Result<(), StoreError> {
        let rows = self.query(
            "SELECT CONNECTION_ID(), CURRENT_USER(), VERSION(), @@max_allowed_packet, \
             @@lower_case_table_names, (SELECT GROUP_CONCAT(COLLATION_NAME) \
             FROM information_schema.COLLATIONS \
             WHERE COLLATION_NAME IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')), @@innodb_autoinc_lock_mode",
        )?;
        let row = rows.first().ok_or_else(|| self.failed("the server did not report its version"))?;
        let version = row.text(2);
        if let Some(link) = &mut self.link {
            link.id = row.number(0).unwrap_or_default();
            link.account = account(&row.text(1));
            link.max_packet = row.number(3).unwrap_or_default() as usize;
            link.folds_names = row.number(4) != Some(0);
            link.collation = schema::collation(row.text(5).split(','));
            link.takes_turns = version.contains("MariaDB") || row.number(6) != Some(2);
        }
        let truncate = if truncates_by_mode(&version) { ",TIME_TRUNCATE_FRACTIONAL" } else { "" };
        self.product = Product::of(&version);
        if let Some(link) = &mut self.link {
            link.version = version;
        }
        // Lock waits end before our own timeout. Notes are off, because they would count as warnings of a load.
        self.run(&format!(
            "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION{truncate}', \
             autocommit = 1, lock_wait_timeout = 50, innodb_lock_wait_timeout = 50, \
             sql_safe_updates = 0, sql_big_selects = 1, sql_notes = 0"
        ))
    }

    /// Closes the connection properly, so that the server rolls back and releases the lock at once.
    pub(super) fn close(&mut self) {
        if let Some(link) = self.link.take() {
            self.last_id = Some(link.id);
            let closing = async { tokio::time::timeout(CLOSE_LIMIT, link.client.close()).await };
            // An error does not matter: the connection ends anyway.
            let _ = self.runtime.block_on(closing);
        }
    }

    /// Takes the lock of the `number`-th connection of `job`. If our previous connection still holds it, because the
    /// server has not noticed that it is gone, that connection is killed.
    pub(super) fn lock(&mut self, job: &str, number: usize) -> Result<bool, StoreError> {
        let name = lock_name(&self.address.database, job, number);
        if let Some(last) = self.last_id.take()
            && self.lock_holder(&name)? == Some(last)
        {
            // It may have ended by itself meanwhile.
            let _ = self.try_run(&format!("KILL CONNECTION {last}"), STATEMENT_LIMIT);
            self.last_id = Some(last);
        }
        self.take_lock(&name, 5)
    }

    /// Takes a lock of the server, waiting up to `seconds`.
    pub(super) fn take_lock(&mut self, name: &str, seconds: i64) -> Result<bool, StoreError> {
        let got = self.fetch(&Statement::new("SELECT GET_LOCK(?, ?)", [name.into(), seconds.into()]))?;
        Ok(got.first().and_then(|row| row.number(0)) == Some(1))
    }

    /// The id of the connection that holds a lock of the server.
    pub(super) fn lock_holder(&mut self, name: &str) -> Result<Option<i64>, StoreError> {
        let holder = self.fetch(&Statement::new("SELECT IS_USED_LOCK(?)", [name.into()]))?;
        Ok(holder.first().and_then(|row| row.number(0)))
    }

    /// Executes a statement without values.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        self.try_run(sql, STATEMENT_LIMIT).map(drop).map_err(|fault| self.explain(fault))
    }

    /// Runs a query without values and returns its rows.
    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<Row>, StoreError> {
        self.try_query(sql, STATEMENT_LIMIT).map_err(|fault| self.explain(fault))
    }

    /// Like [`run`](Self::run), with a given timeout and the fault itself as the error. Returns the number of rows that
    /// the statement matched.
    pub(super) fn try_run(&mut self, sql: &str, limit: Duration) -> Result<u64, Fault> {
        let statement = Statement::new(sql, []);
        self.ask(limit + time_of(sql.len()), async |client| client.execute(&statement).await)
    }

    /// Like [`query`](Self::query), with a given timeout and the fault itself as the error.
    pub(super) fn try_query(&mut self, sql: &str, limit: Duration) -> Result<Vec<Row>, Fault> {
        let mut rows = Vec::new();
        self.try_each(&Statement::new(sql, []), limit, &mut |row| rows.push(row))?;
        Ok(rows)
    }

    /// Passes the rows of a query to `take`.
    pub(super) fn try_each(
        &mut self,
        query: &Statement<'_>,
        limit: Duration,
        take: &mut dyn FnMut(Row),
    ) -> Result<(), Fault> {
        self.ask(limit, async |client| client.each(query, take).await)
    }

    /// Sends a request to the server. The connection is dropped after a timeout or if it is broken.
    pub(super) fn ask<T>(
        &mut self,
        limit: Duration,
        request: impl AsyncFnOnce(&mut C) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Some(link) = &mut self.link else { return Err(Fault::Lost("the connection is closed".into())) };
        let id = link.id;
        let asking = async { tokio::time::timeout(limit, request(&mut link.client)).await };
        let fault = match self.runtime.block_on(asking) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => fault,
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

impl Server<Conn> {
    /// Commits the open transaction.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let asked = self.ask(STATEMENT_LIMIT, async |client| {
            Ok(fault::asked(Moment::CommitSent, client.query_drop("COMMIT")).await?)
        });
        asked.map_err(|fault| self.explain(fault))
    }

    /// Executes a statement that writes rows. Returns the number of rows that it matched, whether or not it changed
    /// them.
    pub(super) fn write(&mut self, sql: &[u8]) -> Result<u64, Fault> {
        self.ask(STATEMENT_LIMIT + time_of(sql.len()), async |client| {
            matched(client.query_iter(sql).await?).await
        })
    }

    /// Whether rows can be loaded on this connection.
    pub(super) fn loads(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.loads)
    }
}

impl<C: Client> Drop for Server<C> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<C: Client> Dialect for Server<C> {
    fn column_type(&self, kind: Kind) -> String {
        match kind {
            Kind::Name(characters) => format!("VARCHAR({characters})"),
            Kind::Text => "MEDIUMTEXT".into(),
            Kind::Int => "INT".into(),
            Kind::BigInt => "BIGINT".into(),
            Kind::Bytes => "LONGBLOB".into(),
        }
    }

    fn table_options(&self) -> String {
        format!(" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {}", self.collation())
    }

    fn update_existing(&self, _key: &[&str], columns: &[&str]) -> String {
        let updated: Vec<String> =
            columns.iter().map(|column| format!("{column} = VALUES({column})")).collect();
        format!(" ON DUPLICATE KEY UPDATE {}", updated.join(", "))
    }

    fn insert_ignore(&self) -> &'static str {
        "INSERT IGNORE"
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn table_names(&self) -> &'static str {
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
         AND TABLE_NAME LIKE 'truckflow\\_%'"
    }

    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn exact(&self, text: &str) -> String {
        format!("CAST({text} AS BINARY)")
    }

    fn row_id(&self) -> &'static str {
        "`id`"
    }
}

impl<C: Client> Session for Server<C> {
    fn place(&self) -> &str {
        &self.address.place
    }

    fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, StoreError> {
        let limit = STATEMENT_LIMIT + time_of(statement.bytes());
        let done = self.ask(limit, async |client| client.execute(statement).await);
        done.map_err(|fault| self.explain(fault))
    }

    fn fetch(&mut self, query: &Statement<'_>) -> Result<Vec<Row>, StoreError> {
        let limit = match query.reads {
            Reads::Bytes(bytes) => STATEMENT_LIMIT + time_of(bytes),
            Reads::Table => TABLE_LIMIT,
        };
        let mut rows = Vec::new();
        let fetched = self.try_each(query, limit, &mut |row| rows.push(row));
        fetched.map(|()| rows).map_err(|fault| self.explain(fault))
    }

    fn max_value(&self) -> usize {
        self.max_packet().saturating_sub(PACKET_SPARE)
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
