//! The SQL that writes the rows of a table.

use super::errors::Fault;
use super::load::Load;
use super::server::Committer;
use super::tables::names;
use crate::store::chunk::Operation;
use crate::store::error::StoreError;
use crate::store::schema::quoted;
use crate::store::table::{ROW_KEY, Table};

/// A prepared table, with the SQL around the rows of each kind of statement.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) table: String,
    /// The columns that rows have values for.
    pub(super) columns: Vec<String>,
    pub(super) append: Frame,
    pub(super) insert: Frame,
    pub(super) update: Frame,
    pub(super) delete: Frame,
    /// Whether `id` is AUTO_INCREMENT.
    pub(super) has_auto_id: bool,
    /// Whether rows may be appended before the epoch before theirs is committed.
    pub(super) takes_ahead: bool,
    /// How rows are loaded, if a load stores the same values as an INSERT.
    pub(super) load: Option<Load>,
}

/// The result of a statement.
pub(super) enum Put {
    Done,
    /// Done, except that some rows to update do not exist.
    Missing,
    /// The server refused the rows for their content or size, and changed nothing.
    Refused(String),
}

/// The SQL before and after the rows of a statement.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) prefix: String,
    pub(super) suffix: String,
}

impl Prepared {
    /// Prepares a table; `loads` says whether a load stores the same values as an INSERT.
    pub(super) fn new(table: &Table, loads: bool, takes_ahead: bool) -> Self {
        let name = quoted(&table.name);
        let names = names(table);
        let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let key = quoted(ROW_KEY);
        let insert = |columns: &[String]| format!("INSERT INTO {name} ({}) VALUES ", columns.join(","));
        // The names of the values in an update, in the order in which they are rendered.
        let values: Vec<String> = (0..columns.len()).map(|place| format!("c{place}")).collect();
        let list = |format: &dyn Fn(&str, &str) -> String| {
            let all: Vec<String> =
                columns.iter().zip(&values).map(|(column, value)| format(column, value)).collect();
            all.join(",")
        };
        let with_key: Vec<String> = columns.iter().cloned().chain([key.clone()]).collect();
        Self {
            table: table.name.clone(),
            columns: names.iter().map(|&name| name.to_owned()).collect(),
            append: Frame { prefix: insert(&columns), suffix: String::new() },
            insert: Frame {
                prefix: insert(&with_key),
                // If another unique key matches, the row found must not change: 17 bytes do not fit the key, so that
                // the statement fails and the row is refused.
                suffix: format!(
                    " ON DUPLICATE KEY UPDATE {key}=IF({key}<=>VALUES({key}),{key},REPEAT('x',17)),{}",
                    list(&|column, _| format!("{column}=VALUES({column})"))
                ),
            },
            // An UPDATE uses no new `id` for missing rows. STRAIGHT_JOIN reads the values first and finds each row by
            // the unique key.
            update: Frame {
                prefix: format!(
                    "UPDATE (SELECT {},NULL AS k FROM DUAL WHERE FALSE UNION ALL VALUES ",
                    list(&|_, value| format!("NULL AS {value}"))
                ),
                suffix: format!(
                    ") AS n STRAIGHT_JOIN {name} AS t ON t.{key}=n.k SET {}",
                    list(&|column, value| format!("t.{column}=n.{value}"))
                ),
            },
            delete: Frame { prefix: format!("DELETE FROM {name} WHERE {key} IN ("), suffix: ")".into() },
            has_auto_id: !names.iter().any(|name| name.eq_ignore_ascii_case("id")),
            takes_ahead,
            load: (loads && !table.keyed).then(|| Load::new(table)),
        }
    }

    pub(super) fn frame(&self, operation: Operation) -> &Frame {
        match operation {
            Operation::Append => &self.append,
            Operation::Insert => &self.insert,
            Operation::Update => &self.update,
            Operation::Delete => &self.delete,
        }
    }

    /// The error for a fault of a statement on this table.
    pub(super) fn explain(&self, server: &Committer, fault: Fault) -> StoreError {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        server.error_context().explain_on(&self.table, &columns, fault)
    }
}
