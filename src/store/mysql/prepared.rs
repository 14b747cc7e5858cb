//! The statements of a table.

use super::errors::Fault;
use super::load::Load;
use super::server::Server;
use super::tables::names;
use crate::store::chunk::Operation;
use crate::store::error::StoreError;
use crate::store::schema::quoted;
use crate::store::table::{ROW_KEY, Table};

/// A prepared table: what stands around the rows of a statement.
pub(super) struct Prepared {
    pub(super) table: String,
    /// The columns that rows have values for.
    pub(super) columns: Vec<String>,
    pub(super) append: Frame,
    pub(super) insert: Frame,
    pub(super) update: Frame,
    pub(super) delete: Frame,
    /// Whether `id` is the database's.
    pub(super) counted: bool,
    /// How rows are loaded, if that keeps the same values as inserting them.
    pub(super) load: Option<Load>,
}

/// What came of a statement.
pub(super) enum Put {
    Done,
    /// Done, except that some rows to be updated are not there.
    Missing,
    /// The server does not take the rows, for their content or their size: nothing was done.
    Refused(String),
}

/// What stands before the values of a statement, and behind them.
pub(super) struct Frame {
    pub(super) before: String,
    pub(super) behind: String,
}

impl Prepared {
    pub(super) fn new(table: &Table, loads: bool) -> Self {
        let name = quoted(&table.name);
        let names = names(table);
        let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let key = quoted(ROW_KEY);
        let insert = |columns: &[String]| format!("INSERT INTO {name} ({}) VALUES ", columns.join(","));
        // The names that the values have in an update: columns first, as they are rendered.
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
            append: Frame { before: insert(&columns), behind: String::new() },
            insert: Frame {
                before: insert(&with_key),
                // Another unique key may find another row, which must stay as it is: 17 bytes fit no
                // key, so the row is refused.
                behind: format!(
                    " ON DUPLICATE KEY UPDATE {key}=IF({key}<=>VALUES({key}),{key},REPEAT('x',17)),{}",
                    list(&|column, _| format!("{column}=VALUES({column})"))
                ),
            },
            // It touches no row that is not there, so no `id` is counted up. The values are read
            // first, and each finds its row by the unique key.
            update: Frame {
                before: format!(
                    "UPDATE (SELECT {},NULL AS k FROM DUAL WHERE FALSE UNION ALL VALUES ",
                    list(&|_, value| format!("NULL AS {value}"))
                ),
                behind: format!(
                    ") AS n STRAIGHT_JOIN {name} AS t ON t.{key}=n.k SET {}",
                    list(&|column, value| format!("t.{column}=n.{value}"))
                ),
            },
            delete: Frame { before: format!("DELETE FROM {name} WHERE {key} IN ("), behind: ")".into() },
            counted: !names.iter().any(|name| name.eq_ignore_ascii_case("id")),
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

    /// What a fault of a statement on this table means.
    pub(super) fn explain(&self, server: &Server, fault: Fault) -> StoreError {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        server.scene().explain_on(&self.table, &columns, fault)
    }
}
