//! The tables of views: existing columns, missing ones, and the privileges of the account.

use std::collections::{BTreeMap, BTreeSet};

use super::errors::Fault;
use super::server::{Catalog, STATEMENT_LIMIT, TABLE_LIMIT};
use crate::store::bookkeeping::session::Session;
use crate::store::bookkeeping::statement::{Row, Statement};
use crate::store::bookkeeping::{migrate, tables};
use crate::store::error::StoreError;
use crate::store::plan::Plan;
use crate::store::privileges::{Answer, Privileges};
use crate::store::schema::{self, FoundColumn, Kind, quoted};
use crate::store::table::{ROW_KEY, Table};

/// An existing table.
pub(super) struct FoundTable {
    pub(super) name: String,
    /// Its TABLE_TYPE.
    pub(super) kind: String,
    pub(super) engine: String,
    pub(super) transactional: bool,
    pub(super) columns: Vec<FoundColumn>,
    /// Whether it has a unique key besides the AUTO_INCREMENT column.
    pub(super) has_unique_key: bool,
}

/// The changes that a table needs, and how rows can be written to it.
pub(super) struct TablePlan {
    pub(super) plan: Plan,
    /// Whether a load stores the same values in it as an INSERT.
    pub(super) loads: bool,
    /// Whether rows may be appended before the epoch before theirs is committed.
    pub(super) takes_ahead: bool,
}

impl Catalog {
    /// Checks that a table can be read and written, by statements that affect no row.
    pub(super) fn probe(
        &mut self,
        table: &str,
        columns: &[&str],
        privileges: &[&str],
    ) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut denied = None;
        let name = quoted(table);
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let list = columns.join(",");
        for privilege in ["SELECT"].iter().chain(privileges) {
            let sql = match *privilege {
                "SELECT" => format!("SELECT {list} FROM {name} LIMIT 0"),
                "INSERT" => format!("INSERT INTO {name} ({list}) SELECT {list} FROM {name} WHERE FALSE"),
                "UPDATE" => format!("UPDATE {name} SET {0} = {0} WHERE FALSE", columns[0]),
                _ => format!("DELETE FROM {name} WHERE FALSE"),
            };
            match self.try_run(&sql, STATEMENT_LIMIT) {
                Ok(_) => {}
                Err(Fault::Server { number: number @ (1142 | 1143), message, .. }) => {
                    // The other statements also need SELECT, which is reported once.
                    if message.starts_with(privilege) {
                        missing.push(*privilege);
                    }
                    denied = denied.or(Some(format!("{number}: {message}")));
                }
                Err(fault) => return Err(self.error_context().explain_on(table, &[], fault)),
            }
        }
        match denied {
            None => Ok(()),
            Some(reason) => Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason,
                advice: format!(
                    "run GRANT {} ON {}.{name} TO {}",
                    missing.join(", "),
                    quoted(&self.address.database),
                    self.account()
                ),
            }),
        }
    }

    /// What `truckflow check` reports of a table.
    pub(super) fn check_table(&mut self, table: &Table) -> Result<String, StoreError> {
        let TablePlan { plan, .. } = self.plan(table)?;
        let is_there = |name: &&str| !plan.is_new && !plan.added.iter().any(|added| added == name);
        let there: Vec<&str> = written(table).into_iter().filter(is_there).collect();
        if !there.is_empty() {
            self.probe(&table.name, &there, needed(table))?;
        }
        Ok(plan.to_string())
    }

    /// Checks the privileges to create, alter and use what is missing. Existing tables are checked by [`Self::probe`].
    pub(super) fn check_privileges(&mut self, tables: &[Table]) -> Result<String, StoreError> {
        let mut needs: Vec<(String, Vec<&str>)> = Vec::new();
        let existing = migrate::existing(self)?;
        for book in tables::all().filter(|book| !existing.contains(book.name)) {
            needs.push((book.name.into(), [&["CREATE", "SELECT"], book.privileges].concat()));
        }
        for table in tables {
            // Errors of tables are reported by `check_table`.
            match self.plan(table) {
                Ok(TablePlan { plan, .. }) if plan.is_new => {
                    needs.push((table.name.clone(), [&["CREATE", "SELECT"], needed(table)].concat()));
                }
                Ok(TablePlan { plan, .. }) if !plan.statements.is_empty() => {
                    needs.push((table.name.clone(), vec!["ALTER"]));
                }
                Ok(_) | Err(_) => {}
            }
        }
        if needs.is_empty() {
            return Ok("no table has to be created or altered".into());
        }
        let lines = match self.try_query("SHOW GRANTS", STATEMENT_LIMIT) {
            Ok(rows) => rows,
            Err(fault) if self.link.is_none() => return Err(self.explain(fault)),
            Err(_) => return Ok("unknown; the next run reports missing ones".into()),
        };
        let privileges = Privileges::read(lines.iter().map(|row| row.text(0)));
        let (mut all, mut unknown, mut missing) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut extends = BTreeSet::new();
        for (table, privileges_needed) in &needs {
            for &privilege in privileges_needed {
                all.insert(privilege);
                match privileges.on(privilege, &self.address.database, table) {
                    Answer::Granted => {}
                    Answer::Unknown => {
                        unknown.insert(privilege);
                    }
                    Answer::Missing if privilege == "ALTER" => {
                        extends.insert(table.as_str());
                    }
                    Answer::Missing => {
                        missing.insert(privilege);
                    }
                }
            }
        }
        let list = |privileges: BTreeSet<&str>| privileges.into_iter().collect::<Vec<_>>().join(", ");
        if !missing.is_empty() || !extends.is_empty() {
            let (database, account) = (quoted(&self.address.database), self.account());
            let mut lacks: Vec<String> = Vec::new();
            let mut grants: Vec<String> = Vec::new();
            if !missing.is_empty() {
                let missing = list(missing);
                grants.push(format!("GRANT {missing} ON {database}.* TO {account}"));
                lacks.push(format!("{missing} for missing tables"));
            }
            for table in extends {
                grants.push(format!("GRANT ALTER ON {database}.{} TO {account}", quoted(table)));
                lacks.push(format!("ALTER for table {table}, which lacks columns"));
            }
            return Err(StoreError::Denied {
                place: self.address.place.clone(),
                reason: format!("{account} lacks {}", lacks.join(", and ")),
                advice: format!("run {}", grants.join("; ")),
            });
        }
        Ok(match unknown.is_empty() {
            true => format!("{} granted", list(all)),
            false => format!("{} may come from a role; the next run reports missing ones", list(unknown)),
        })
    }

    /// The changes that `table` needs, or why it cannot be used.
    pub(super) fn plan(&mut self, table: &Table) -> Result<TablePlan, StoreError> {
        let Some(found) = self.found(&table.name)? else {
            let statements = vec![schema::create(table, self.collation())];
            let plan = Plan { is_new: true, statements, ..Plan::default() };
            return Ok(TablePlan { plan, loads: true, takes_ahead: may_take_ahead(table) });
        };
        let name = quoted(&table.name);
        let unusable = |reason: String, advice: String| {
            Err(StoreError::Table { table: table.name.clone(), reason, advice })
        };
        let is_versioned = match schema::kind(&found.kind) {
            Kind::Table => false,
            Kind::Versioned => true,
            Kind::Other(what) => {
                let other = quoted(&format!("{}_old", table.name));
                return unusable(
                    format!("it is {what}, not a table"),
                    format!("run RENAME TABLE {name} TO {other}"),
                );
            }
        };
        if !found.transactional {
            return unusable(
                format!("its engine {} does not support transactions", found.engine),
                format!("run ALTER TABLE {name} ENGINE=InnoDB"),
            );
        }
        let flaws = schema::flaws(table, &found.columns, self.collation());
        if !flaws.is_empty() {
            let reasons: Vec<&str> = flaws.iter().map(|flaw| &*flaw.reason).collect();
            let clauses: Vec<&str> = flaws.iter().map(|flaw| &*flaw.clause).collect();
            return unusable(reasons.join(", "), format!("run ALTER TABLE {name} {}", clauses.join(", ")));
        }
        let missing = schema::missing(&table.columns, found.columns.iter().map(|column| &*column.name));
        let rounding = found.columns.iter().filter(|there| {
            table.columns.iter().any(|ours| {
                ours.name.eq_ignore_ascii_case(&there.name)
                    && schema::rounds(ours.column_type, &there.data_type)
            })
        });
        let rounding: Vec<String> =
            rounding.map(|column| format!("{} ({})", column.name, column.full_type)).collect();
        let loads = found.columns.iter().all(|there| {
            table
                .columns
                .iter()
                .filter(|ours| ours.name.eq_ignore_ascii_case(&there.name))
                .all(|ours| schema::loads(ours.column_type, &there.data_type))
        });
        let with_key = schema::lacks_key(table, found.columns.iter().map(|column| &*column.name));
        let padded = schema::padded_keys(table, &found.columns);
        let mut plan = Plan::default();
        if with_key || !missing.is_empty() {
            let key = with_key.then(|| ROW_KEY.to_owned());
            plan.added = missing.iter().map(|column| column.name.to_string()).chain(key).collect();
            let sql = schema::extend(&table.name, &missing, with_key, self.collation());
            // Keeps the history, in which the new columns are NULL.
            let keeping = "SET STATEMENT system_versioning_alter_history = KEEP FOR ";
            plan.statements = vec![format!("{}{sql}", if is_versioned { keeping } else { "" })];
        }
        if !rounding.is_empty() {
            plan.notes.push(format!("values are rounded in {}", rounding.join(", ")));
        }
        if !padded.is_empty() {
            let padded = padded.join(", ");
            plan.notes.push(format!("keys that differ only in trailing spaces are equal in {padded}"));
        }
        let takes_ahead = may_take_ahead(table)
            && !is_versioned
            && !found.has_unique_key
            && self.attached(&found.name)?.is_none();
        Ok(TablePlan { plan, loads, takes_ahead })
    }

    /// A trigger or foreign key of a table, if it has one. Triggers are visible with the privilege for them only.
    pub(super) fn attached(&mut self, table: &str) -> Result<Option<String>, StoreError> {
        let queries = [
            (
                "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
                 WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = ?",
                "a trigger",
            ),
            (
                "SELECT REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() \
                 AND TABLE_NAME = ? AND REFERENCED_TABLE_NAME IS NOT NULL",
                "a foreign key with",
            ),
            (
                "SELECT TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE \
                 WHERE REFERENCED_TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME = ?",
                "a foreign key with",
            ),
        ];
        for (sql, what) in queries {
            let names = self.fetch(&Statement::new(sql, [table.into()]))?;
            if let Some(name) = names.first().map(|row| row.text(0)) {
                return Ok(Some(format!("{what} `{name}`")));
            }
        }
        Ok(None)
    }

    /// The table `name`, if it exists.
    pub(super) fn found(&mut self, name: &str) -> Result<Option<FoundTable>, StoreError> {
        let folds = self.link.as_ref().is_some_and(|link| link.folds_names);
        let is_it = |row: &Row| {
            let there = row.text(0);
            there == name || (folds && there.eq_ignore_ascii_case(name))
        };
        let mut of_table = |sql: &'static str| self.fetch(&Statement::new(sql, [name.into()]));
        let tables = of_table(
            "SELECT t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t \
             LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = ? \
             AND t.TABLE_TYPE NOT LIKE 'TEMPORARY%'",
        )?;
        let Some(table) = tables.iter().find(|row| is_it(row)) else { return Ok(None) };
        let columns = of_table(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, \
             COLUMN_KEY, COLLATION_NAME, GENERATION_EXPRESSION FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
        )?;
        // In a system-versioned table, the end of a row's period is part of each key.
        let is_end = |name: &str| {
            columns.iter().any(|row| is_it(row) && row.text(1) == name && row.text(9) == "ROW END")
        };
        let parts = of_table(
            "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART \
             FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
        )?;
        let mut keys: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for part in parts.iter().filter(|part| is_it(part) && !is_end(&part.text(3))) {
            keys.entry(part.text(1)).or_default().push(part);
        }
        let in_key = |name: &str| parts.iter().any(|part| is_it(part) && part.text(3) == name);
        let is_unique = |name: &str| {
            keys.values().any(|parts| match parts.as_slice() {
                [part] => part.text(2) == "0" && part.text(3) == name && part.is_null(4),
                _ => false,
            })
        };
        let column = |row: &Row| {
            let extra = row.text(6).to_ascii_lowercase();
            FoundColumn {
                name: row.text(1),
                data_type: row.text(2).to_ascii_lowercase(),
                full_type: row.text(3),
                optional: row.text(4) == "YES" || !row.is_null(5) || extra.contains("auto_increment"),
                // `DEFAULT_GENERATED` is a default that is an expression.
                generated: extra.contains("virtual generated") || extra.contains("stored generated"),
                primary: row.text(7) == "PRI",
                unique: is_unique(&row.text(1)),
                in_key: in_key(&row.text(1)),
                collation: row.text(8),
            }
        };
        let counts = |row: &&Row| row.text(6).to_ascii_lowercase().contains("auto_increment");
        let id = columns.iter().filter(|row| is_it(row)).find(counts).map(|row| row.text(1));
        let is_of_id = |parts: &[&Row]| matches!(parts, [part] if Some(part.text(3)) == id);
        let has_unique_key =
            keys.values().any(|parts| parts.iter().any(|part| part.text(2) == "0") && !is_of_id(parts));
        Ok(Some(FoundTable {
            name: table.text(0),
            kind: table.text(1),
            engine: table.text(2),
            transactional: table.text(3) == "YES",
            columns: columns.iter().filter(|row| is_it(row)).map(column).collect(),
            has_unique_key,
        }))
    }

    /// Creates or alters a table of the job.
    pub(super) fn define(&mut self, table: &Table, sql: &str) -> Result<(), StoreError> {
        let defined = self.try_run(sql, TABLE_LIMIT).map(drop);
        defined.map_err(|fault| match self.explain(fault) {
            StoreError::Failed { reason, .. } => StoreError::Table {
                table: table.name.clone(),
                reason,
                advice: "create or alter it by hand, or exclude its view with tables.views".into(),
            },
            other => other,
        })
    }
}

/// Whether rows of a new table may be appended before the epoch before theirs is committed.
fn may_take_ahead(table: &Table) -> bool {
    !table.keyed && !table.in_order
}

/// The columns that we write.
pub(super) fn written(table: &Table) -> Vec<&str> {
    names(table).into_iter().chain(table.keyed.then_some(ROW_KEY)).collect()
}

/// The privileges to write them.
pub(super) fn needed(table: &Table) -> &'static [&'static str] {
    if table.keyed { &["INSERT", "UPDATE", "DELETE"] } else { &["INSERT"] }
}

/// The names of the columns.
pub(super) fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| &*column.name).collect()
}
