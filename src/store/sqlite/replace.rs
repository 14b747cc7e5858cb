//! Replaces the table of a view by the one that its new definition has filled.

use rusqlite::Connection;

use super::tables::{look_up, quoted};
use crate::store::error::StoreError;
use crate::store::table::{Replaceable, new_table, not_replaceable, old_table};

/// Checks that the table of a view can be replaced. Changes nothing.
pub(super) fn check(
    connection: &Connection,
    path: &str,
    view: &str,
    recorded: &Replaceable,
) -> Result<(), StoreError> {
    let failure = |error| super::errors::failure(path, &error);
    let table = &*recorded.table;
    for (name, is_own) in [(new_table(table), recorded.is_filling()), (old_table(table), false)] {
        if !is_own && look_up(connection, &name).map_err(failure)?.is_some() {
            return Err(recorded.name_taken(&name));
        }
    }
    let Some(found) = look_up(connection, table).map_err(failure)? else { return Ok(()) };
    let columns = found.columns.iter().map(|column| &*column.name);
    if let Some(reason) = not_replaceable(view, recorded, columns) {
        return Err(recorded.refused(&reason));
    }
    let named = |sql: &str| -> rusqlite::Result<Option<String>> {
        let mut statement = connection.prepare(sql)?;
        let mut names = statement.query_map([table], |row| row.get(0))?;
        names.next().transpose()
    };
    let of_others = [
        (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
            "a trigger",
        ),
        (
            "SELECT \"table\" FROM pragma_foreign_key_list(?1) UNION ALL \
             SELECT m.name FROM sqlite_master m, pragma_foreign_key_list(m.name) f \
             WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE",
            "a foreign key with",
        ),
    ];
    for (sql, what) in of_others {
        if let Some(name) = named(sql).map_err(failure)? {
            return Err(recorded.refused(&format!("it has {what} `{name}`")));
        }
    }
    Ok(())
}

/// Puts the table that was filled in the place of `table`, in the open transaction.
pub(super) fn rename(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let filled = new_table(table);
    // A view of the user's may read the table: it is checked again when it is used.
    connection.execute_batch(&format!(
        "PRAGMA legacy_alter_table = ON; DROP TABLE IF EXISTS {0}; ALTER TABLE {1} RENAME TO {0}; \
         PRAGMA legacy_alter_table = OFF",
        quoted(table),
        quoted(&filled)
    ))?;
    // Indexes keep their names, which the next replacement needs.
    let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL";
    let mut indexes = connection.prepare(sql)?;
    let names: Vec<String> = indexes.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        let Some(rest) = name.strip_prefix(&*filled) else { continue };
        let sql = "SELECT \"unique\", (SELECT group_concat('\"' || replace(name, '\"', '\"\"') || '\"') \
                   FROM pragma_index_info(?2)) FROM pragma_index_list(?1) WHERE name = ?2";
        let (unique, columns): (bool, String) =
            connection.query_row(sql, [table, &name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        connection.execute_batch(&format!(
            "DROP INDEX {}; CREATE {}INDEX {} ON {} ({columns})",
            quoted(&name),
            if unique { "UNIQUE " } else { "" },
            quoted(&format!("{table}{rest}")),
            quoted(table)
        ))?;
    }
    Ok(())
}
