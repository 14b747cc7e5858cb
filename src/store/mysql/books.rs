//! The bookkeeping tables on a server: their migration, and the privileges on them.

use super::errors::Fault;
use super::server::{Catalog, STATEMENT_LIMIT};
use super::sql::{FIRST, lock_name, schema_lock_name};
use crate::store::bookkeeping::migrate::{self, STEPS};
use crate::store::bookkeeping::tables;
use crate::store::error::StoreError;
use crate::store::schema::quoted;

/// How many seconds a job waits while another one migrates the tables.
const MIGRATION_SECONDS: i64 = 50;

impl Catalog {
    /// Takes the lock without which no job starts. Closing the connection releases it.
    pub(super) fn lock_schema(&mut self) -> Result<(), StoreError> {
        self.connect()?;
        if self.take_lock(&schema_lock_name(&self.address.database), MIGRATION_SECONDS)? {
            return Ok(());
        }
        Err(StoreError::Busy {
            place: self.address.place.clone(),
            reason: "another job creates or migrates the tables truckflow_*".into(),
            advice: "wait until it has started".into(),
        })
    }

    /// Brings the bookkeeping tables to the version of this program, and checks that all can be used. The caller holds
    /// the lock of `job` and [that of the schema](Self::lock_schema).
    pub(super) fn prepare_books(&mut self, job: &str) -> Result<(), StoreError> {
        migrate::migrate(self, STEPS, job, |catalog, job| {
            Ok(catalog.lock_holder(&lock_name(&catalog.address.database, job, FIRST))?.is_some())
        })?;
        tables::all().try_for_each(|table| self.probe(table.name, &table.names(), table.privileges))
    }

    /// What `truckflow check` reports of the bookkeeping tables.
    pub(super) fn check_books(&mut self) -> Result<String, StoreError> {
        let existing = migrate::existing(self)?;
        for table in tables::all().filter(|table| existing.contains(table.name)) {
            self.probe(table.name, &table.names(), table.privileges)?;
        }
        let fit = migrate::schema(self)?;
        let kept = self.not_deletable()?;
        Ok(match kept.is_empty() {
            true => fit.to_string(),
            false => format!("{fit}; for `truckflow state reset`, {}", self.grant_of_deletes(&kept)),
        })
    }

    /// The tables with rows of jobs on which the account lacks DELETE, which only `truckflow state reset` needs for all
    /// of them.
    pub(super) fn not_deletable(&mut self) -> Result<Vec<&'static str>, StoreError> {
        let mut kept = Vec::new();
        let existing = migrate::existing(self)?;
        for table in tables::OF_JOBS.iter().filter(|table| existing.contains(table.name)) {
            let sql = format!("DELETE FROM {} WHERE FALSE", table.name);
            match self.try_run(&sql, STATEMENT_LIMIT) {
                Ok(_) => {}
                Err(Fault::Server { number: 1142 | 1143, .. }) => kept.push(table.name),
                Err(fault) => return Err(self.explain(fault)),
            }
        }
        Ok(kept)
    }

    /// The GRANTs of DELETE on `tables`, as a next step.
    pub(super) fn grant_of_deletes(&self, tables: &[&str]) -> String {
        let (database, account) = (quoted(&self.address.database), self.account());
        let grant = |table: &&str| format!("GRANT DELETE ON {database}.{} TO {account}", quoted(table));
        format!("run {}", tables.iter().map(grant).collect::<Vec<_>>().join("; "))
    }
}
