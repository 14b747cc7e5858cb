//! The store of a job in MySQL or MariaDB: lock, generation and transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataflows::Epoch;
use dataflows::item::MessageId;
use mysql_async::prelude::Queryable;

use super::address::Address;
use super::books::BOOKS;
use super::errors::Fault;
use super::load::Load;
use super::prepared::Prepared;
use super::server::{STATEMENT_LIMIT, Server, update_text};
use super::sql::literal;
use super::tables::{Plan, needed, written};
use crate::runtime::reload::Reloaded;
use crate::state::StoredView;
use crate::store::api::{Finding, Store};
use crate::store::chunk::{Chunk, Form, Text};
use crate::store::commit::{Adopted, Commit, LastCommit};
use crate::store::error::StoreError;
use crate::store::login::Login;
use crate::store::schema::{self};
use crate::store::table::{Refused, Table};

pub(super) const PING_LIMIT: Duration = Duration::from_secs(5);

/// A MySQL or MariaDB database.
pub struct MysqlStore {
    pub(super) server: Server,
    pub(super) claim: Option<Claim>,
    /// Whether a transaction is open.
    pub(super) open: bool,
    pub(super) tables: Vec<Prepared>,
}

/// The job that this instance has claimed.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) job: Arc<str>,
    pub(super) generation: u64,
    /// The syntax that the server supported when the job was claimed.
    pub(super) text: Text,
}

/// Whether a row that is read stays locked until the commit.
pub(super) enum Reading {
    Plain,
    ForUpdate,
}

impl MysqlStore {
    /// The store at `address`, without connecting yet. New connections use the latest address of `login`.
    pub(crate) fn open(address: Address, login: Arc<Reloaded<Login>>) -> Result<Self, StoreError> {
        let server = Server { login: Some(login), ..Server::new(address)? };
        Ok(Self { server, claim: None, open: false, tables: Vec::new() })
    }

    /// The claim; an error if no job is claimed.
    pub(super) fn claimed(&self) -> Result<Claim, StoreError> {
        self.claim.clone().ok_or_else(|| self.server.failed("no job is claimed"))
    }

    /// Ensures a connection that holds the lock of the job; returns the claim.
    pub(super) fn ready(&mut self) -> Result<Claim, StoreError> {
        let claim = self.claimed()?;
        if self.server.link.is_none() {
            self.open = false;
            self.server.connect()?;
            self.retake(&claim).inspect_err(|_| self.disconnect())?;
            self.tables.iter_mut().filter_map(|table| table.load.as_mut()).for_each(Load::reset);
        }
        Ok(claim)
    }

    /// Takes the lock on a new connection, unless another instance has taken over.
    pub(super) fn retake(&mut self, claim: &Claim) -> Result<(), StoreError> {
        self.check_generation(claim, Reading::Plain)?;
        if !self.server.lock(&claim.job)? {
            return Err(StoreError::Busy {
                place: self.server.address.place.clone(),
                reason: format!("another connection holds the lock of job `{}`", claim.job),
                advice: "stop the other instance".into(),
            });
        }
        self.check_generation(claim, Reading::Plain)?;
        self.server.detect_loads()
    }

    /// Fails with [`StoreError::Fenced`] if the stored generation is not that of the claim.
    pub(super) fn check_generation(&mut self, claim: &Claim, reading: Reading) -> Result<(), StoreError> {
        let lock = match reading {
            Reading::Plain => "",
            Reading::ForUpdate => " FOR UPDATE",
        };
        let sql = format!("SELECT generation FROM truckflow_jobs WHERE job = {}{lock}", literal(&claim.job));
        match self.server.fetch(sql)?.first().and_then(|row| row.number(0)) {
            Some(generation) if generation == claim.generation as i64 => Ok(()),
            _ => Err(StoreError::Fenced {
                job: claim.job.to_string(),
                place: self.server.address.place.clone(),
            }),
        }
    }

    /// Connects, takes the lock of a job, and creates the bookkeeping tables.
    pub(super) fn lock_books(&mut self, job: &str) -> Result<(), StoreError> {
        self.server.connect()?;
        if !self.server.lock(job)? {
            return Err(StoreError::Taken { job: job.into(), place: self.server.address.place.clone() });
        }
        self.server.create_books()
    }

    /// Writes an adopted job and commits.
    pub(super) fn put_adopted(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        let Adopted { job, source, generation, views, commit } = *adopted;
        let (name, source) = (literal(job), literal(source));
        let sql = format!(
            "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES ({name},{source},{generation},0)"
        );
        match self.server.try_execute(sql, STATEMENT_LIMIT) {
            Ok(_) => {}
            Err(Fault::Server { number: 1062, .. }) => {
                let place = self.server.address.place.clone();
                return Err(StoreError::JobExists { job: job.to_owned(), place });
            }
            Err(fault) => return Err(self.server.explain(fault)),
        }
        for view in views {
            self.server.put_view(job, view)?;
        }
        self.put_commit(&commit)?;
        self.server.execute("COMMIT")
    }

    /// Takes the lock, creates the bookkeeping tables, and raises the generation.
    pub(super) fn take(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.lock_books(job)?;
        self.server.detect_loads()?;
        self.raise_generation(job, source)
    }

    /// Closes the connection and with it an open transaction.
    pub(super) fn disconnect(&mut self) {
        self.open = false;
        self.server.close();
    }

    /// Inserts the job or raises its generation, commits, and returns the last commit.
    pub(super) fn raise_generation(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        let job = literal(job);
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        self.server.execute(format!(
            "INSERT INTO truckflow_jobs (job, source, generation, epoch) VALUES ({job},{},1,0) \
             ON DUPLICATE KEY UPDATE generation = generation + 1",
            literal(source)
        ))?;
        let last = self.server.read_last(&job)?;
        self.server.execute("COMMIT")?;
        self.open = false;
        last.ok_or_else(|| self.server.failed("truckflow_jobs lost the job that was just inserted"))
    }
}

impl Store for MysqlStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.abandon();
        let last = self.take(job, source);
        match &last {
            Ok(last) => {
                let text = update_text(self.server.version());
                self.claim = Some(Claim { job: job.into(), generation: last.generation, text });
            }
            Err(_) => self.disconnect(),
        }
        last
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        self.ready()?;
        let mut prepared = Vec::new();
        for table in tables {
            let loads = match self.server.plan(table)? {
                Plan::Create => {
                    let sql = schema::create(table, self.server.collation());
                    self.server.define(table, sql)?;
                    true
                }
                Plan::Extend { columns, with_key, loads, is_versioned, .. } => {
                    if with_key || !columns.is_empty() {
                        let sql = schema::extend(&table.name, &columns, with_key, self.server.collation());
                        // Keeps the history, in which the new columns are NULL.
                        let keeping = "SET STATEMENT system_versioning_alter_history = KEEP FOR ";
                        let sql = format!("{}{sql}", if is_versioned { keeping } else { "" });
                        self.server.define(table, sql)?;
                    }
                    loads
                }
            };
            self.server.probe(&table.name, &written(table), needed(table))?;
            prepared.push(Prepared::new(table, loads));
        }
        self.tables = prepared;
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        let claim = self.ready()?;
        self.server.read_state(&claim.job, view, take)
    }

    fn in_the_future(&mut self) -> Result<Vec<MessageId>, StoreError> {
        let claim = self.ready()?;
        self.server.read_in_the_future(&claim.job)
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        let claim = self.ready()?;
        self.server.read_views(&claim.job)
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let claim = self.ready()?;
        if self.open {
            return Err(self.server.failed("a view cannot be stored inside an epoch's transaction"));
        }
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let put = self.check_generation(&claim, Reading::ForUpdate).and_then(|()| {
            self.server.put_view(&claim.job, view)?;
            self.server.execute("COMMIT")
        });
        match put {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        put
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        // START TRANSACTION would commit an open transaction.
        self.abandon();
        self.ready()?;
        if let Err(error) = self.server.execute("START TRANSACTION") {
            // The server may have closed an idle connection; there is nothing to roll back.
            if !matches!(error, StoreError::Away { .. }) {
                return Err(error);
            }
            self.ready()?;
            self.server.execute("START TRANSACTION")?;
        }
        self.open = true;
        Ok(())
    }

    fn insert(&mut self, chunks: &[Chunk]) -> Result<Vec<Refused>, StoreError> {
        if !self.open {
            return Err(self.server.failed("no transaction is open"));
        }
        let mut refused = Vec::new();
        let mut to_load: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, chunk) in chunks.iter().enumerate() {
            if !chunk.lines.is_empty() {
                to_load.entry(chunk.table).or_default().push(place);
                continue;
            }
            let of_chunk = self.put_chunk(chunk)?.into_iter();
            refused.extend(of_chunk.map(|refused| Refused { chunk: place, ..refused }));
        }
        for (table, places) in to_load {
            refused.extend(self.put_lines(table, chunks, &places)?);
        }
        Ok(refused)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        if !self.open {
            return Err(self.server.failed("no transaction is open"));
        }
        self.put_commit(commit)?;
        self.server.commit()?;
        self.open = false;
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        let claim = self.ready()?;
        let sql = format!("SELECT epoch FROM truckflow_jobs WHERE job = {}", literal(&claim.job));
        let epoch = self.server.fetch(sql)?.first().and_then(|row| row.number(0));
        epoch
            .map(|epoch| epoch as Epoch)
            .ok_or_else(|| self.server.failed("truckflow_jobs does not contain the job"))
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        // If the server closed the old connection, a new one may succeed.
        for last in [false, true] {
            self.ready()?;
            match self.server.ask(PING_LIMIT, async |connection| connection.ping().await) {
                Ok(()) => return Ok(()),
                Err(fault) if last || self.server.link.is_some() => return Err(self.server.explain(fault)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.open)
            && self.server.link.is_some()
            && self.server.execute("ROLLBACK").is_err()
        {
            self.server.link = None;
        }
    }

    fn adopt(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        self.lock_books(adopted.job)?;
        let (job, generation) = (adopted.job.into(), adopted.generation);
        self.claim = Some(Claim { job, generation, text: Text::Inserts });
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let put = self.put_adopted(adopted);
        match put {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        put
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        self.lock_books(job)?;
        let there = self.server.books()?;
        let kept = self.server.not_deletable(&there)?;
        if !kept.is_empty() {
            return Err(StoreError::Denied {
                place: self.server.address.place.clone(),
                reason: format!("{} lacks DELETE on {}", self.server.account(), kept.join(", ")),
                advice: self.server.grant_of_deletes(&kept),
            });
        }
        self.server.execute("START TRANSACTION")?;
        self.open = true;
        let forgotten = BOOKS.iter().rev().try_for_each(|book| {
            self.server.execute(format!("DELETE FROM {} WHERE job = {}", book.name, literal(job)))
        });
        let forgotten = forgotten.and_then(|()| self.server.execute("COMMIT"));
        match forgotten {
            Ok(()) => self.open = false,
            Err(_) => self.abandon(),
        }
        forgotten
    }

    fn form(&self) -> Form {
        let (job, text) = match &self.claim {
            Some(claim) => (claim.job.clone(), claim.text),
            None => ("".into(), Text::Inserts),
        };
        let loads = |table: &Prepared| self.server.loads() && table.load.is_some();
        Form { job, text: Some(text), lines: self.tables.iter().map(loads).collect() }
    }

    fn check(&mut self, tables: &[Table]) -> Vec<Finding> {
        let finding = |what: String, result: Result<String, StoreError>| Finding {
            what,
            result: result.map_err(|error| error.to_string()),
        };
        let reached = self.server.connect().map(|()| self.server.described());
        let is_reached = reached.is_ok();
        let mut findings = vec![finding(format!("database {}", self.server.address.place), reached)];
        if is_reached {
            findings.push(finding("tables truckflow_*".into(), self.server.check_books()));
            for table in tables {
                findings.push(finding(format!("table {}", table.name), self.server.check_table(table)));
            }
            findings.push(finding("privileges".into(), self.server.check_privileges(tables)));
        }
        findings
    }
}

impl Drop for MysqlStore {
    fn drop(&mut self) {
        self.server.close();
    }
}
