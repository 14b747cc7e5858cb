//! The store of a job in MySQL or MariaDB: lock, generation and transactions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataflows::Epoch;
use dataflows::item::ReadingId;
use mysql_async::prelude::Queryable;

use super::address::Address;
use super::load::Load;
use super::prepared::Prepared;
use super::server::{Catalog, Committer, Server, update_text};
use super::sql::FIRST;
use super::tables::{TablePlan, needed, written};
use crate::runtime::reload::Reloaded;
use crate::state::StoredView;
use crate::store::api::{Finding, Store};
use crate::store::bookkeeping::read;
use crate::store::bookkeeping::session::Lock;
use crate::store::bookkeeping::write;
use crate::store::chunk::{Chunk, Form, Text};
use crate::store::commit::{Adopted, Commit, LastCommit};
use crate::store::error::StoreError;
use crate::store::login::Login;
use crate::store::schema::quoted;
use crate::store::table::{Refused, Replaceable, StoredTable, Table, created_for};

pub(super) const PING_LIMIT: Duration = Duration::from_secs(5);

/// A MySQL or MariaDB database.
pub struct MysqlStore {
    pub(super) server: Committer,
    /// The number of this connection among those of the job.
    number: usize,
    /// How many connections commit.
    connections: usize,
    /// The others, from the claim until [`more`](Store::more) passes them on.
    others: Vec<Committer>,
    pub(super) claim: Option<Claim>,
    /// Whether a transaction is open.
    pub(super) open: bool,
    pub(super) tables: Vec<Prepared>,
    /// Held by the connection that loads rows into a table, by its index, if the server gains nothing by two at once.
    pub(super) turns: Arc<[Mutex<()>]>,
}

/// The job that this instance has claimed.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) job: Arc<str>,
    pub(super) generation: u64,
    /// The syntax that the server supported when the job was claimed.
    pub(super) text: Text,
}

impl MysqlStore {
    /// The store at `address`, without connecting yet. New connections use the latest address of `login`; `connections`
    /// of them commit.
    pub(crate) fn open(
        address: Address,
        login: Arc<Reloaded<Login>>,
        connections: usize,
    ) -> Result<Self, StoreError> {
        let mut server = Server::new(address)?;
        server.login = Some(login);
        Ok(Self {
            server,
            number: FIRST,
            connections,
            others: Vec::new(),
            claim: None,
            open: false,
            tables: Vec::new(),
            turns: Arc::default(),
        })
    }

    /// A server with the login of this one, not connected.
    fn another(&self) -> Result<Committer, StoreError> {
        let mut server = Server::new(self.server.address.clone())?;
        server.login.clone_from(&self.server.login);
        Ok(server)
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
        write::check_generation(&mut self.server, &claim.job, claim.generation, Lock::No)?;
        if !self.server.lock(&claim.job, self.number)? {
            return Err(StoreError::Busy {
                place: self.server.address.place.clone(),
                reason: format!("another connection holds the lock of job `{}`", claim.job),
                advice: "stop the other instance".into(),
            });
        }
        write::check_generation(&mut self.server, &claim.job, claim.generation, Lock::No)?;
        self.server.detect_loads()
    }

    /// A connection for everything except commits.
    pub(super) fn catalog(&self) -> Result<Catalog, StoreError> {
        let mut catalog = Catalog::new(self.server.address.clone())?;
        catalog.connect()?;
        Ok(catalog)
    }

    /// Connects, takes the lock of a job, and creates or migrates the bookkeeping tables.
    pub(super) fn lock_books(&mut self, job: &str) -> Result<Catalog, StoreError> {
        self.server.connect()?;
        let mut catalog = self.catalog()?;
        catalog.lock_schema()?;
        if !self.server.lock(job, FIRST)? {
            return Err(self.taken(job));
        }
        catalog.prepare_books(job)?;
        Ok(catalog)
    }

    fn taken(&self, job: &str) -> StoreError {
        StoreError::Taken { job: job.into(), place: self.server.address.place.clone() }
    }

    /// Connects the other connections, and takes their locks.
    fn lock_others(&mut self, job: &str) -> Result<(), StoreError> {
        self.others.clear();
        for number in FIRST + 1..=self.connections {
            let mut other = self.another()?;
            other.connect()?;
            if !other.lock(job, number)? {
                return Err(self.taken(job));
            }
            other.detect_loads()?;
            self.others.push(other);
        }
        Ok(())
    }

    /// Does `work` in a transaction.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Committer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.server.run("START TRANSACTION")?;
        self.open = true;
        let done = work(&mut self.server).and_then(|done| self.server.run("COMMIT").map(|()| done));
        match done {
            Ok(_) => self.open = false,
            Err(_) => self.abandon(),
        }
        done
    }

    /// Takes the locks of all connections, creates or migrates the bookkeeping tables, and raises the generation.
    pub(super) fn take(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        // Two jobs whose first rows are inserted at once would deadlock, so its lock is kept.
        let _catalog = self.lock_books(job)?;
        self.lock_others(job)?;
        self.server.detect_loads()?;
        self.in_transaction(|server| write::raise_generation(server, job, source))
    }

    /// Closes the connection and with it an open transaction, and the others.
    pub(super) fn disconnect(&mut self) {
        self.open = false;
        self.server.close();
        self.others.clear();
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

    fn last_commit(&mut self) -> Result<LastCommit, StoreError> {
        let claim = self.ready()?;
        read::committed(&mut self.server, &claim.job)
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let claim = self.ready()?;
        let mut catalog = self.catalog()?;
        let plans: Vec<TablePlan> =
            tables.iter().map(|table| catalog.plan(table)).collect::<Result<_, _>>()?;
        // Before they exist, because each definition is committed by itself.
        let recorded: Vec<_> =
            tables.iter().zip(&plans).map(|(table, planned)| (table, planned.plan.is_new)).collect();
        self.in_transaction(|server| {
            write::check_generation(server, &claim.job, claim.generation, Lock::UntilCommit)?;
            write::put_tables(server, &claim.job, &recorded)
        })?;
        let mut prepared = Vec::new();
        for (table, TablePlan { plan, loads, takes_ahead }) in tables.iter().zip(plans) {
            for statement in &plan.statements {
                catalog.define(table, statement)?;
            }
            catalog.probe(&table.name, &written(table), needed(table))?;
            prepared.push(Prepared::new(table, loads, takes_ahead));
        }
        self.turns = prepared.iter().map(|_| Mutex::default()).collect();
        self.tables = prepared;
        Ok(())
    }

    fn state(&mut self, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        let claim = self.ready()?;
        // A transaction may have begun before the epoch before was committed.
        let lock = if self.open { Lock::UntilCommit } else { Lock::No };
        read::state(&mut self.server, &claim.job, view, lock, take)
    }

    fn in_the_future(&mut self) -> Result<Vec<ReadingId>, StoreError> {
        let claim = self.ready()?;
        read::in_the_future(&mut self.server, &claim.job)
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        let claim = self.ready()?;
        read::views(&mut self.server, &claim.job)
    }

    fn put_view(&mut self, view: &StoredView) -> Result<(), StoreError> {
        let claim = self.ready()?;
        if self.open {
            return Err(self.server.failed("a view cannot be stored inside an epoch's transaction"));
        }
        self.in_transaction(|server| {
            write::check_generation(server, &claim.job, claim.generation, Lock::UntilCommit)?;
            write::put_view(server, &claim.job, view)
        })
    }

    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        let claim = self.ready()?;
        read::tables(&mut self.server, &claim.job)
    }

    fn check_replaceable(&mut self, job: &str, view: &str, table: &str) -> Result<(), StoreError> {
        let mut catalog = self.catalog()?;
        let recorded = Replaceable {
            table: table.to_owned(),
            recorded: read::tables(&mut catalog, job)?,
            other: read::other_writer(&mut catalog, job, table)?,
        };
        catalog.check_replaceable(view, &recorded)
    }

    fn rename(&mut self, table: &str) -> Result<(), StoreError> {
        self.ready()?;
        self.catalog()?.replace(table)
    }

    fn discard(&mut self, view: &str) -> Result<(), StoreError> {
        let claim = self.ready()?;
        let mut catalog = self.catalog()?;
        for table in created_for(read::tables(&mut catalog, &claim.job)?, view) {
            catalog.run(&format!("DROP TABLE IF EXISTS {}", quoted(&table)))?;
        }
        self.in_transaction(|server| {
            write::check_generation(server, &claim.job, claim.generation, Lock::UntilCommit)?;
            write::forget_view(server, &claim.job, view)
        })
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        // START TRANSACTION would commit an open transaction.
        self.abandon();
        self.ready()?;
        if let Err(error) = self.server.run("START TRANSACTION") {
            // The server may have closed an idle connection; there is nothing to roll back.
            if !matches!(error, StoreError::Away { .. }) {
                return Err(error);
            }
            self.ready()?;
            self.server.run("START TRANSACTION")?;
        }
        self.open = true;
        Ok(())
    }

    fn insert(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Refused>, StoreError> {
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
            refused.extend(Refused::in_chunk(place, self.put_chunk(chunk)?));
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
        let claim = self.claimed()?;
        write::put_commit(&mut self.server, &claim.job, claim.generation, commit)?;
        self.server.commit()?;
        self.open = false;
        Ok(())
    }

    fn more(&mut self) -> Result<Vec<Box<dyn Store>>, StoreError> {
        let claim = self.claimed()?;
        // Those of the claim are closed by now if they were used before, to fill a view: they connect again.
        let mut connected = std::mem::take(&mut self.others).into_iter();
        let another = |number| -> Result<Box<dyn Store>, StoreError> {
            Ok(Box::new(Self {
                server: connected.next().map_or_else(|| self.another(), Ok)?,
                number,
                connections: self.connections,
                others: Vec::new(),
                claim: Some(claim.clone()),
                open: false,
                tables: self.tables.clone(),
                turns: self.turns.clone(),
            }))
        };
        (FIRST + 1..=self.connections).map(another).collect()
    }

    fn number(&self) -> usize {
        self.number
    }

    fn takes_ahead(&self, table: usize) -> bool {
        self.tables.get(table).is_some_and(|table| table.takes_ahead)
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        // A new connection takes the lock that the lost one had, so that one has ended.
        self.ready().map(drop)
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        let claim = self.ready()?;
        read::committed_epoch(&mut self.server, &claim.job)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        // If the server closed the old connection, a new one may succeed.
        for last in [false, true] {
            self.ready()?;
            match self.server.ask(PING_LIMIT, async |client| Ok(client.ping().await?)) {
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
            && self.server.run("ROLLBACK").is_err()
        {
            self.server.link = None;
        }
    }

    fn adopt(&mut self, adopted: &Adopted<'_>) -> Result<(), StoreError> {
        let _catalog = self.lock_books(adopted.job)?;
        self.in_transaction(|server| write::adopt(server, adopted))
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        let mut catalog = self.lock_books(job)?;
        let kept = catalog.not_deletable()?;
        if !kept.is_empty() {
            return Err(StoreError::Denied {
                place: catalog.address.place.clone(),
                reason: format!("{} lacks DELETE on {}", catalog.account(), kept.join(", ")),
                advice: catalog.grant_of_deletes(&kept),
            });
        }
        self.in_transaction(|server| write::forget(server, job))
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
        let database = format!("database {}", self.server.address.place);
        let mut catalog = match self.catalog() {
            Ok(catalog) => catalog,
            Err(error) => return vec![finding(database, Err(error))],
        };
        let mut findings = vec![finding(database, Ok(catalog.described()))];
        findings.push(finding("tables truckflow_*".into(), catalog.check_books()));
        for table in tables {
            findings.push(finding(format!("table {}", table.name), catalog.check_table(table)));
        }
        findings.push(finding("privileges".into(), catalog.check_privileges(tables)));
        findings
    }
}
