//! The store of a job in SQLite: lock and transactions.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dataflows::Epoch;
use dataflows::item::MessageId;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::books::{
    BOOKKEEPING, BOOKS, Claim, PRAGMAS, adopt, raise_generation, read_in_the_future, read_state, read_views,
    write,
};
use super::errors::{failure, failure_on, unopened};
use super::insert::{Prepared, put};
use super::open::{LOCK_POLL, LOCK_TIMEOUT, inspect};
use super::tables::{changes, look_up};
use crate::state::StoredView;
use crate::store::api::{Finding, Store};
use crate::store::chunk::{Chunk, Form};
use crate::store::commit::{Adopted, Commit, LastCommit};
use crate::store::error::StoreError;
use crate::store::table::{Refused, Table};

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

    /// Runs `work` on the connection; its error names the file.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Claim) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.connect(false)?;
        let connection = self.connection.as_ref().expect("it was opened");
        let claim = self.claim.as_ref().expect("a job is claimed first");
        work(connection, claim).map_err(|error| failure(&self.path, &error))
    }

    /// The error if another instance took over.
    pub(super) fn fenced(&self) -> StoreError {
        let job = self.claim.as_ref().map(|claim| claim.job.to_string()).unwrap_or_default();
        StoreError::Fenced { job, place: self.path.clone() }
    }
}

impl Store for SqliteStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.take_lock(job)?;
        let connection = self.connect(true)?;
        let last = raise_generation(connection, job, source).map_err(|error| failure(&self.path, &error))?;
        self.claim = Some(Claim { job: job.into(), generation: last.generation as i64 });
        Ok(last)
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failure = |error| failure(&path, &error);
        let connection = self.connect(false)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
        for table in tables {
            let found = look_up(&transaction, &table.name).map_err(failure)?;
            for statement in changes(table, found.as_ref())? {
                transaction.execute_batch(&statement).map_err(failure)?;
            }
        }
        transaction.commit().map_err(failure)?;
        self.tables = tables.iter().map(Prepared::new).collect();
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        self.with(|connection, claim| read_state(connection, &claim.job, view, take))
    }

    fn in_the_future(&mut self) -> Result<Vec<MessageId>, StoreError> {
        self.with(|connection, claim| read_in_the_future(connection, &claim.job))
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        self.with(|connection, claim| read_views(connection, &claim.job))
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let put = self.with(|connection, claim| {
            // The generation is checked in the same statement, and so in the same transaction.
            let sql = "INSERT INTO truckflow_views (job, view_name, definition, backfilled)
                       SELECT job, ?2, ?3, ?4 FROM truckflow_jobs WHERE job = ?1 AND generation = ?5
                       ON CONFLICT (job, view_name) DO UPDATE
                       SET definition = excluded.definition, backfilled = excluded.backfilled";
            let values = params![claim.job, view.name, view.definition, view.backfilled, claim.generation];
            Ok(connection.execute(sql, values)? == 1)
        })?;
        if put { Ok(()) } else { Err(self.fenced()) }
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let holds = self.with(|connection, claim| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let sql = "SELECT generation FROM truckflow_jobs WHERE job = ?";
            let found =
                connection.prepare_cached(sql)?.query_row([&claim.job], |row| row.get(0)).optional()?;
            Ok(found == Some(claim.generation))
        })?;
        if !holds {
            self.abandon();
            return Err(self.fenced());
        }
        Ok(())
    }

    fn insert(&mut self, chunks: &[Chunk]) -> Result<Vec<Refused>, StoreError> {
        let connection = self.connection.as_ref().expect("a transaction is begun first");
        let mut refused = Vec::new();
        for (place, chunk) in chunks.iter().enumerate() {
            let table = &self.tables[chunk.table];
            let of_chunk = put(connection, table, chunk)
                .map_err(|error| failure_on(&self.path, &table.table, &error))?;
            refused.extend(of_chunk.into_iter().map(|refused| Refused { chunk: place, ..refused }));
        }
        Ok(refused)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let committed = self.with(|connection, claim| {
            let holds = write(connection, claim, commit)?;
            if holds {
                connection.execute_batch("COMMIT")?;
            }
            Ok(holds)
        })?;
        if !committed {
            self.abandon();
            return Err(self.fenced());
        }
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        self.with(|connection, claim| {
            let sql = "SELECT epoch FROM truckflow_jobs WHERE job = ?";
            connection.query_row(sql, [&claim.job], |row| row.get::<_, i64>(0)).map(|epoch| epoch as Epoch)
        })
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
        self.take_lock(adopted.job)?;
        let path = self.path.clone();
        match adopt(self.connect(true)?, adopted) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::JobExists { job: adopted.job.to_owned(), place: path }),
            Err(error) => Err(failure(&path, &error)),
        }
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        self.take_lock(job)?;
        let path = self.path.clone();
        let connection = self.connect(false)?;
        let mut forget = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(BOOKKEEPING)?;
            for book in BOOKS {
                transaction.execute(&format!("DELETE FROM {book} WHERE job = ?"), [job])?;
            }
            transaction.commit()
        };
        forget().map_err(|error| failure(&path, &error))
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
        for table in tables {
            let found = match &connection {
                Some(connection) => look_up(connection, &table.name),
                None => Ok(None),
            };
            let result = found
                .map_err(|error| failure(&self.path, &error))
                .and_then(|found| changes(table, found.as_ref()))
                .map(|statements| match statements.is_empty() {
                    true => "compatible".to_owned(),
                    false => format!("the next run will execute {}", statements.join("; ")),
                })
                .map_err(|error| error.to_string());
            findings.push(Finding { what: format!("table {}", table.name), result });
        }
        findings
    }
}
