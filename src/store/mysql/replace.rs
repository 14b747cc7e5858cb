//! Replaces the table of a view by the one that its new definition has filled.
//!
//! `RENAME TABLE` commits by itself. So the replacement is committed first, with a mark; the tables are renamed after
//! that, and at the next start if the job ends in between.

use super::errors::{Fault, Product};
use super::server::{Catalog, STATEMENT_LIMIT, TABLE_LIMIT};
use crate::store::error::StoreError;
use crate::store::privileges::{Answer, Privileges};
use crate::store::schema::quoted;
use crate::store::table::{Replaceable, new_table, not_replaceable, old_table};

/// How many seconds a table that others use is waited for at a time. Statements that come later wait behind it.
const PATIENCE: u32 = 5;

impl Catalog {
    /// Checks that the table of a view can be replaced. Changes nothing.
    pub(super) fn check_replaceable(&mut self, view: &str, recorded: &Replaceable) -> Result<(), StoreError> {
        let table = &*recorded.table;
        for (name, is_own) in [(new_table(table), recorded.is_filling()), (old_table(table), false)] {
            if !is_own && self.found(&name)?.is_some() {
                return Err(recorded.name_taken(&name));
            }
        }
        let Some(found) = self.found(table)? else { return Ok(()) };
        let columns = found.columns.iter().map(|column| &*column.name);
        if let Some(reason) = not_replaceable(view, recorded, columns) {
            return Err(recorded.refused(&reason));
        }
        self.check_sees_triggers(table)?;
        if let Some(attached) = self.attached(&found.name)? {
            return Err(recorded.refused(&format!("it has {attached}")));
        }
        self.check_drop(table)
    }

    /// Checks that triggers of a table are visible: MySQL shows them only to accounts with the privilege for them.
    fn check_sees_triggers(&mut self, table: &str) -> Result<(), StoreError> {
        if self.product == Product::MariaDb {
            return Ok(());
        }
        let grants = self.query("SHOW GRANTS")?;
        let privileges = Privileges::read(grants.iter().map(|row| row.text(0)));
        match privileges.on("TRIGGER", &self.address.database, table) {
            Answer::Granted | Answer::Unknown => Ok(()),
            Answer::Missing => Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason: format!(
                    "without the privilege TRIGGER it cannot see whether table {table} has triggers"
                ),
                advice: self.grant("TRIGGER"),
            }),
        }
    }

    /// The GRANT of a privilege on all tables, as a next step.
    fn grant(&self, privilege: &str) -> String {
        format!("run GRANT {privilege} ON {}.* TO {}", quoted(&self.address.database), self.account())
    }

    /// Checks the privilege to drop a replaced table, by dropping one that does not exist.
    fn check_drop(&mut self, table: &str) -> Result<(), StoreError> {
        let old = quoted(&old_table(table));
        match self.try_run(&format!("DROP TABLE IF EXISTS {old}"), STATEMENT_LIMIT) {
            Ok(_) => Ok(()),
            Err(Fault::Server { number: number @ 1142, message, .. }) => Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason: format!("to replace table {table}: {number}: {message}"),
                advice: self.grant("DROP"),
            }),
            Err(fault) => Err(self.error_context().explain_on(table, &[], fault)),
        }
    }

    /// Puts the table that was filled in the place of `table`, and drops the latter.
    pub(super) fn replace(&mut self, table: &str) -> Result<(), StoreError> {
        let (filled, old) = (new_table(table), old_table(table));
        let [name, to_rename, to_drop] = [table, &*filled, &*old].map(quoted);
        self.run(&format!("SET SESSION lock_wait_timeout = {PATIENCE}"))?;
        if self.found(&filled)?.is_some() {
            let sql = match self.found(table)? {
                Some(_) => format!("RENAME TABLE {name} TO {to_drop}, {to_rename} TO {name}"),
                None => format!("RENAME TABLE {to_rename} TO {name}"),
            };
            let renamed = self.try_run(&sql, STATEMENT_LIMIT);
            renamed.map_err(|fault| self.error_context().explain_on(table, &[], fault))?;
        }
        let dropped = self.try_run(&format!("DROP TABLE IF EXISTS {to_drop}"), TABLE_LIMIT);
        dropped.map(drop).map_err(|fault| self.error_context().explain_on(&old, &[], fault))
    }
}
