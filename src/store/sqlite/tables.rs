//! The tables of views: existing columns and missing ones.

use dataflows::rows::{ColumnSpec, Type, column};
use rusqlite::{Connection, OptionalExtension};

use crate::store::error::StoreError;
use crate::store::plan::Plan;
use crate::store::schema;
use crate::store::table::{ROW_KEY, Table, id_column};

/// The affinity of a declared type: <https://sqlite.org/datatype3.html#determination_of_column_affinity>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    pub(super) fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) || (strict && declared == "ANY") {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether a column stores values of a type unchanged. BLOB (no affinity) stores everything unchanged, and every
    /// affinity stores bytes unchanged; NUMERIC, which includes DATETIME, stores a text that is not a number. A strict
    /// table accepts only the declared type.
    pub(super) fn keeps(self, value: Type, strict: bool) -> bool {
        match value {
            Type::Bytes => !strict || self == Self::Blob,
            _ if self == Self::Blob => true,
            Type::Text => self == Self::Text,
            Type::Timestamp => matches!(self, Self::Text | Self::Numeric),
            Type::Integer => self != Self::Text,
            Type::Decimal | Type::Exact { .. } | Type::Real => {
                self == Self::Real || (self != Self::Text && !strict)
            }
        }
    }
}

/// An existing table or view.
pub(super) struct Existing {
    /// `table`, `view`, `virtual` or `shadow`.
    pub(super) kind: String,
    pub(super) strict: bool,
    pub(super) columns: Vec<ExistingColumn>,
    /// Whether the column of row keys is unique.
    pub(super) keyed: bool,
}

/// A column of an existing table or view.
pub(super) struct ExistingColumn {
    pub(super) name: String,
    pub(super) declared: String,
    /// Whether an INSERT must give it a value.
    pub(super) demanded: bool,
    pub(super) generated: bool,
    /// Whether it is the primary key or part of it.
    pub(super) primary: bool,
}

/// The type that a column is created with.
pub(super) fn declared(column_type: Type) -> &'static str {
    match column_type {
        Type::Timestamp | Type::Text => "TEXT",
        Type::Decimal | Type::Exact { .. } | Type::Real => "REAL",
        Type::Integer => "INTEGER",
        Type::Bytes => "BLOB",
    }
}

/// Reads the definition of a table or view; `None` if it does not exist.
pub(super) fn look_up(connection: &Connection, table: &str) -> rusqlite::Result<Option<Existing>> {
    let sql = r#"SELECT type, wr, "strict" FROM pragma_table_list
                 WHERE schema = 'main' AND name = ? COLLATE NOCASE"#;
    let found = connection
        .query_row(sql, [table], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?, row.get(2)?)))
        .optional()?;
    let Some((kind, without_rowid, strict)) = found else {
        return Ok(None);
    };
    let sql = r#"SELECT name, type, "notnull" AND dflt_value IS NULL, pk, hidden FROM pragma_table_xinfo(?)"#;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map([table], |row| {
        let (declared, key): (String, bool) = (row.get(1)?, row.get::<_, i64>(3)? > 0);
        // SQLite assigns such a key itself.
        let is_automatic = key && !without_rowid && declared.eq_ignore_ascii_case("INTEGER");
        let generated = row.get::<_, i64>(4)? != 0;
        let demanded = row.get(2)? && !is_automatic && !generated;
        Ok(ExistingColumn { name: row.get(0)?, declared, demanded, generated, primary: key })
    })?;
    let columns = columns.collect::<rusqlite::Result<_>>()?;
    let sql = r#"SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) AS list WHERE list."unique" AND NOT list.partial
                 AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = ?2 COLLATE NOCASE)"#;
    let keyed = connection.query_row(sql, [table, ROW_KEY], |row| row.get(0))?;
    Ok(Some(Existing { kind, strict, columns, keyed }))
}

/// The changes that a table needs, or why it cannot be used.
pub(super) fn plan(table: &Table, found: Option<&Existing>) -> Result<Plan, StoreError> {
    let name = quoted(&table.name);
    let definition =
        |column: &ColumnSpec| format!("{} {}", quoted(&column.name), declared(column.column_type));
    let key_column = column(ROW_KEY, Type::Bytes);
    let key = table.keyed.then_some(&key_column);
    let index_name = format!("{}_{ROW_KEY}", table.name);
    let index = format!("CREATE UNIQUE INDEX {} ON {name} ({})", quoted(&index_name), quoted(ROW_KEY));
    let Some(found) = found else {
        let columns: Vec<_> = table.columns.iter().chain(key).map(definition).collect();
        let id = id_column(&table.columns);
        let create = format!("CREATE TABLE {name} ({id} INTEGER PRIMARY KEY, {})", columns.join(", "));
        let own = (!table.index.is_empty()).then(|| {
            let columns: Vec<String> = table.index.iter().map(|column| quoted(column)).collect();
            let own_name = quoted(&format!("{}_{}", table.name, table.index.join("_")));
            format!("CREATE INDEX {own_name} ON {name} ({})", columns.join(", "))
        });
        let statements = [create].into_iter().chain(table.keyed.then_some(index)).chain(own).collect();
        return Ok(Plan { is_new: true, statements, ..Plan::default() });
    };
    if let Some((reason, advice)) = flaw(table, key, found) {
        return Err(StoreError::Table { table: table.name.clone(), reason, advice });
    }
    let there = found.columns.iter().map(|column| &*column.name);
    let lacks_key = schema::lacks_key(table, there.clone());
    let missing = schema::missing(&table.columns, there);
    let mut plan = Plan::default();
    for column in missing.iter().chain(lacks_key.then_some(&key_column)) {
        plan.added.push(column.name.to_string());
        plan.statements.push(format!("ALTER TABLE {name} ADD COLUMN {}", definition(column)));
    }
    if table.keyed && !found.keyed {
        plan.added.push(format!("the index {index_name}"));
        plan.statements.push(index);
    }
    Ok(plan)
}

/// Why an existing table cannot be used, and the next step. SQLite cannot change the type of a column.
fn flaw(table: &Table, key: Option<&ColumnSpec>, found: &Existing) -> Option<(String, String)> {
    let name = quoted(&table.name);
    if found.kind == "view" {
        return Some(("it is a view, not a table".into(), format!("run DROP VIEW {name}")));
    }
    let old = quoted(&format!("{}_old", table.name));
    let rename = format!("run ALTER TABLE {name} RENAME TO {old} and start again to create a new table");
    if found.kind != "table" {
        return Some((format!("it is a {} table", found.kind), rename));
    }
    let reason = found.columns.iter().find_map(|there| {
        let ours = table.columns.iter().chain(key).find(|ours| ours.name.eq_ignore_ascii_case(&there.name));
        let Some(ours) = ours else {
            return there
                .demanded
                .then(|| format!("its column {} is NOT NULL and has no default", there.name));
        };
        if there.generated {
            return Some(format!("its column {} is generated", there.name));
        }
        let keeps = Affinity::of(&there.declared, found.strict).keeps(ours.column_type, found.strict);
        let wanted = declared(ours.column_type);
        (!keeps).then(|| {
            format!("its column {} is {} and must be {wanted} or compatible", there.name, there.declared)
        })
    });
    reason.map(|reason| (reason, rename))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
