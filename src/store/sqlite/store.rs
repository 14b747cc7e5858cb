//! The store of a job in SQLite: lock and transactions.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dataflows::Epoch;
use dataflows::item::ReadingId;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::books::{Books, Claim, PRAGMAS};
use super::errors::{failure, failure_on, unopened};
use super::insert::{Prepared, put};
use super::open::{LOCK_POLL, LOCK_TIMEOUT, inspect};
use super::replace;
use super::tables::{look_up, plan, quoted};
use crate::state::StoredView;
use crate::store::api::{Finding, Store};
use crate::store::bookkeeping::migrate::{self, STEPS};
use crate::store::bookkeeping::read;
use crate::store::bookkeeping::session::{Lock, Session};
use crate::store::bookkeeping::statement::Statement;
use crate::store::bookkeeping::write;
use crate::store::chunk::{Chunk, Form};
use crate::store::commit::{Adopted, Commit, LastCommit};
use crate::store::error::StoreError;
use crate::store::table::{Refused, Replaceable, StoredTable, Table, created_for};

/// A job's store in an SQLite file.
pub struct SqliteStore {
    pub(super) path: String,
    pub(super) lock_timeout: Duration,
    /// The lock file, which is locked from the claim on.
    pub(super) lock: Option<File>,
    pub(super) claim: Option<Claim>,
    pub(super) connection: Option<Connection>,
    pub(super) tables: Vec<Prepared>,
}

impl SqliteStore {
    /// A store in the file `path`, which [`Store::claim`] creates if it is missing.
    pub fn open(path: &str) -> Result<Self, StoreError> {
        if path == ":memory:" {
            return Err(StoreError::Url("an in-memory SQLite database cannot hold a job".into()));
        }
        Ok(Self {
            path: path.to_owned(),
            lock_timeout: LOCK_TIMEOUT,
            lock: None,
            claim: None,
            connection: None,
            tables: Vec::new(),
        })
    }

    /// Locks the lock file, waiting up to the timeout, and creates its folder if needed.
    pub(super) fn take_lock(&mut self, job: &str) -> Result<(), StoreError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let name = format!("{}.lock", self.path);
        // By default the database is in the output folder, which the first run creates.
        if let Some(folder) = Path::new(&self.path).parent() {
            fs::create_dir_all(folder).map_err(|error| unopened(&self.path, &self.path, &error))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
        let file = file.map_err(|error| unopened(&self.path, &name, &error))?;
        let deadline = Instant::now() + self.lock_timeout;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Taken { job: job.to_owned(), place: self.path.clone() });
                }
                Err(TryLockError::Error(error)) => {
                    let reason = format!("{name} cannot be locked: {error}");
                    return Err(StoreError::Failed { place: self.path.clone(), reason });
                }
            }
        }
        self.lock = Some(file);
        Ok(())
    }

    /// The connection, opened again if needed. Only a claim may create the file: if it disappears while the job runs, it
    /// must not be replaced by an empty one.
    pub(super) fn connect(&mut self, create: bool) -> Result<&mut Connection, StoreError> {
        if self.connection.is_none() {
            let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
            let open = || -> rusqlite::Result<Connection> {
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.execute_batch(PRAGMAS)?;
                connection.set_prepared_statement_cache_capacity(64);
                Ok(connection)
            };
            self.connection = Some(open().map_err(|error| failure(&self.path, &error))?);
        }
        Ok(self.connection.as_mut().expect("it was opened"))
    }

    /// The bookkeeping tables and the claim, once a job is claimed.
    pub(super) fn books(&mut self) -> Result<(Books<&Connection>, Claim), StoreError> {
        self.connect(false)?;
        let claim = self.claim.clone().expect("a job is claimed first");
        Ok((Books { connection: self.connection.as_ref(), path: self.path.clone() }, claim))
    }

    /// Does `work` with the bookkeeping tables, in a transaction that locks the file.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Books<&Connection>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.path.clone();
        let transaction = self.connection.as_mut().expect("it was opened");
        let transaction = transaction.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(|error| failure(&path, &error))?;
        // Rolled back if it is dropped.
        let done = work(&mut Books { connection: Some(&*transaction), path: path.clone() })?;
        transaction.commit().map(|()| done).map_err(|error| failure(&path, &error))
    }

    /// Takes the lock and creates or migrates the bookkeeping tables, and with `create` a missing file. The lock is that
    /// of the file, so no other job runs.
    pub(super) fn lock_books(&mut self, job: &str, create: bool) -> Result<(), StoreError> {
        self.take_lock(job)?;
        self.connect(create)?;
        self.in_transaction(|books| migrate::migrate(books, STEPS, job, |_, _| Ok(false)))
    }
}

impl Store for SqliteStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.lock_books(job, true)?;
        let last = self.in_transaction(|books| write::raise_generation(books, job, source))?;
        self.claim = Some(Claim { job: job.into(), generation: last.generation });
        Ok(last)
    }

    fn last_commit(&mut self) -> Result<LastCommit, StoreError> {
        let (mut books, claim) = self.books()?;
        read::committed(&mut books, &claim.job)
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let (_, claim) = self.books()?;
        let path = self.path.clone();
        let failure = |error| failure(&path, &error);
        let connection = self.connect(false)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
        let mut recorded = Vec::new();
        for table in tables {
            let found = look_up(&transaction, &table.name).map_err(failure)?;
            let plan = plan(table, found.as_ref())?;
            for statement in &plan.statements {
                transaction.execute_batch(statement).map_err(failure)?;
            }
            recorded.push((table, plan.is_new));
        }
        let mut books = Books { connection: Some(&*transaction), path: path.clone() };
        write::put_tables(&mut books, &claim.job, &recorded)?;
        transaction.commit().map_err(failure)?;
        self.tables = tables.iter().map(Prepared::new).collect();
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        let (mut books, claim) = self.books()?;
        read::state(&mut books, &claim.job, view, Lock::No, take)
    }

    fn in_the_future(&mut self) -> Result<Vec<ReadingId>, StoreError> {
        let (mut books, claim) = self.books()?;
        read::in_the_future(&mut books, &claim.job)
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        let (mut books, claim) = self.books()?;
        read::views(&mut books, &claim.job)
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let (_, claim) = self.books()?;
        self.in_transaction(|books| {
            write::check_generation(books, &claim.job, claim.generation, Lock::UntilCommit)?;
            write::put_view(books, &claim.job, view)
        })
    }

    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        let (mut books, claim) = self.books()?;
        read::tables(&mut books, &claim.job)
    }

    fn check_replaceable(&mut self, job: &str, view: &str, table: &str) -> Result<(), StoreError> {
        let inspected;
        let connection = match &self.connection {
            Some(connection) => connection,
            None => match inspect(&self.path)?.1 {
                Some(connection) => {
                    inspected = connection;
                    &inspected
                }
                None => return Ok(()),
            },
        };
        let mut books = Books { connection: Some(connection), path: self.path.clone() };
        let recorded = Replaceable {
            table: table.to_owned(),
            recorded: read::tables(&mut books, job)?,
            other: read::other_writer(&mut books, job, table)?,
        };
        replace::check(connection, &self.path, view, &recorded)
    }

    fn rename(&mut self, _: &str) -> Result<(), StoreError> {
        // The commit has done it.
        Ok(())
    }

    fn discard(&mut self, view: &str) -> Result<(), StoreError> {
        let (_, claim) = self.books()?;
        self.in_transaction(|books| {
            write::check_generation(books, &claim.job, claim.generation, Lock::UntilCommit)?;
            for table in created_for(read::tables(books, &claim.job)?, view) {
                books.execute(&Statement::new(format!("DROP TABLE IF EXISTS {}", quoted(&table)), []))?;
            }
            write::forget_view(books, &claim.job, view)
        })
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let (mut books, claim) = self.books()?;
        let begun = books.execute(&Statement::new("BEGIN IMMEDIATE", [])).and_then(|_| {
            write::check_generation(&mut books, &claim.job, claim.generation, Lock::UntilCommit)
        });
        begun.inspect_err(|_| self.abandon())
    }

    fn insert(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Refused>, StoreError> {
        let connection = self.connection.as_ref().expect("a transaction is begun first");
        let mut refused = Vec::new();
        for (place, chunk) in chunks.iter().enumerate() {
            let table = &self.tables[chunk.table];
            let of_chunk = put(connection, table, chunk)
                .map_err(|error| failure_on(&self.path, &table.table, &error))?;
            refused.extend(Refused::in_chunk(place, of_chunk));
        }
        Ok(refused)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let (mut books, claim) = self.books()?;
        if let (Some(connection), Some(table)) =
            (books.connection, commit.replacement.and_then(|of| of.table))
        {
            replace::rename(connection, table).map_err(|error| failure_on(&books.path, table, &error))?;
        }
        write::put_commit(&mut books, &claim.job, claim.generation, commit)?;
        books.execute(&Statement::new("COMMIT", [])).map(drop)
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        let (mut books, claim) = self.books()?;
        read::committed_epoch(&mut books, &claim.job)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        // A file is always reachable.
        Ok(())
    }

    fn abandon(&mut self) {
        // Closing rolls back an open transaction.
        self.connection = None;
    }

    fn adopt(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        self.lock_books(adopted.job, true)?;
        self.in_transaction(|books| write::adopt(books, adopted))
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        self.lock_books(job, false)?;
        self.in_transaction(|books| write::forget(books, job))
    }

    fn form(&self) -> Form {
        let job = self.claim.as_ref().map_or_else(|| "".into(), |claim| claim.job.clone());
        Form { job, text: None, lines: [].into() }
    }

    fn check(&mut self, tables: &[Table]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let connection = match inspect(&self.path) {
            Ok((found, connection)) => {
                findings.push(Finding { what: self.path.clone(), result: Ok(found.into()) });
                connection
            }
            Err(error) => {
                return vec![Finding { what: self.path.clone(), result: Err(error.to_string()) }];
            }
        };
        findings.push(Finding {
            what: "tables truckflow_*".into(),
            result: check_books(connection.as_ref(), &self.path),
        });
        for table in tables {
            let found = match &connection {
                Some(connection) => look_up(connection, &table.name),
                None => Ok(None),
            };
            let result = found
                .map_err(|error| failure(&self.path, &error))
                .and_then(|found| plan(table, found.as_ref()))
                .map(|plan| plan.to_string())
                .map_err(|error| error.to_string());
            findings.push(Finding { what: format!("table {}", table.name), result });
        }
        findings
    }
}

/// What `truckflow check` reports of the bookkeeping tables.
fn check_books(connection: Option<&Connection>, path: &str) -> Result<String, String> {
    let schema = migrate::schema(&mut Books { connection, path: path.to_owned() });
    schema.map(|schema| schema.to_string()).map_err(|error| error.to_string())
}
