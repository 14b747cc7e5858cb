//! Reads MySQL and MariaDB without claiming a job, and streams the rows of tables.

use dataflows::rows::ColumnSpec;

use super::address::Address;
use super::server::{Catalog, TABLE_LIMIT};
use super::sql::{FIRST, lock_name};
use crate::state::export::TableSize;
use crate::store::bookkeeping::session::Session;
use crate::store::bookkeeping::statement::{Row, Statement};
use crate::store::error::StoreError;
use crate::store::reader::{Found, Keeps, Line, StoreReader, TableRow, shortest};
use crate::store::schema::{FoundColumn, quoted};
use crate::store::table::{ROW_KEY, found_id, id_column};

impl StoreReader for Catalog {
    fn session(&mut self) -> Result<&mut dyn Session, StoreError> {
        self.connect()?;
        Ok(self)
    }

    fn place(&self) -> String {
        self.address.place.clone()
    }

    fn is_running(&mut self, job: &str) -> Result<bool, StoreError> {
        self.connect()?;
        Ok(self.lock_holder(&lock_name(&self.address.database, job, FIRST))?.is_some())
    }

    fn size(&mut self, table: &str) -> Result<TableSize, StoreError> {
        self.connect()?;
        let none = TableSize { table: table.to_owned(), rows: 0, last_id: None };
        let Some(found) = self.found(table)? else { return Ok(none) };
        let is_integer = |column: &FoundColumn| keeps(column) == Keeps::Integer;
        let columns = found.columns.iter();
        let id = found_id(columns.map(|column| (&*column.name, is_integer(column), column.primary)));
        let id = id.map_or_else(|| "NULL".into(), |id| format!("MAX({})", quoted(id)));
        let sql = format!("SELECT COUNT(*), {id} FROM {}", quoted(&found.name));
        let rows = self.try_query(&sql, TABLE_LIMIT).map_err(|fault| self.explain(fault))?;
        let number = |index| rows.first().and_then(|row| row.number(index));
        Ok(TableSize { rows: number(0).unwrap_or_default() as u64, last_id: number(1), ..none })
    }

    fn columns(&mut self, table: &str, columns: &[ColumnSpec]) -> Result<Option<Found>, StoreError> {
        self.connect()?;
        let Some(found) = self.found(table)? else { return Ok(None) };
        let find = |name: &str| found.columns.iter().find(|there| there.name.eq_ignore_ascii_case(name));
        let column = |asked: &ColumnSpec| match find(&asked.name) {
            Some(there) => Ok((there.name.clone(), keeps(there))),
            None => Err(asked.name.to_string()),
        };
        Ok(Some(Found {
            columns: columns.iter().map(column).collect(),
            id: find(id_column(columns)).map(|column| column.name.clone()),
            has_key: find(ROW_KEY).is_some(),
            table: found.name,
        }))
    }

    fn rows(&mut self, found: &Found, each: &mut dyn FnMut(TableRow<'_>)) -> Result<(), StoreError> {
        let columns: Vec<&(String, Keeps)> = found.columns.iter().flatten().collect();
        let value = |(name, keeps): &&(String, Keeps)| match keeps {
            // A FLOAT is printed with six digits.
            Keeps::Single(_) => format!("{}+0e0", quoted(name)),
            _ => quoted(name),
        };
        let list: Vec<String> = columns.iter().map(value).collect();
        let id = found.id.as_deref().map(quoted);
        let sql = format!(
            "SELECT {},{},{} FROM {}{}",
            id.as_deref().unwrap_or("NULL"),
            if found.has_key { quoted(ROW_KEY) } else { "NULL".into() },
            list.join(","),
            quoted(&found.table),
            id.as_ref().map(|id| format!(" ORDER BY {id}")).unwrap_or_default()
        );
        let keeps: Vec<Keeps> = columns.iter().map(|(_, keeps)| *keeps).collect();
        let mut line = Line::default();
        let read = self.try_each(&Statement::new(sql, []), TABLE_LIMIT, &mut |row| {
            give(&row, &keeps, &mut line, each);
        });
        read.map_err(|fault| self.explain(fault))
    }
}

fn give(row: &Row, keeps: &[Keeps], line: &mut Line, each: &mut dyn FnMut(TableRow<'_>)) {
    let bytes = |at: usize| row.0.get(at).and_then(Option::as_deref);
    line.clear();
    for (at, keeps) in keeps.iter().enumerate() {
        match (bytes(at + 2), keeps) {
            (Some(text), Keeps::Double | Keeps::Single(_) | Keeps::Fixed(_)) => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                match number.map(shortest) {
                    Some(shortest) => line.push(Some(shortest.as_bytes())),
                    None => line.push(Some(text)),
                }
            }
            (value, _) => line.push(value),
        }
    }
    let key = bytes(1).and_then(|key| key.try_into().ok());
    each(TableRow { id: row.number(0), key, values: line });
}

/// How a column stores values.
fn keeps(column: &FoundColumn) -> Keeps {
    // The numbers in parentheses: `float(5,2)`.
    let numbers: Vec<u32> = column
        .full_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(inside, _)| inside.split(',').filter_map(|number| number.trim().parse().ok()).collect())
        .unwrap_or_default();
    let number = |at: usize| numbers.get(at).copied();
    match &*column.data_type {
        "float" => Keeps::Single(number(1)),
        "double" => number(1).map_or(Keeps::Double, Keeps::Fixed),
        "decimal" => Keeps::Decimal(number(1).unwrap_or(0)),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Keeps::Integer,
        "datetime" | "timestamp" => Keeps::Time(number(0).unwrap_or(0)),
        "binary" => Keeps::Bytes(number(0).unwrap_or(1) as usize),
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Keeps::Bytes(0),
        other => Keeps::Text { trimmed: other == "char" },
    }
}

/// Opens the database at an address for reading only.
pub(crate) fn open(address: Address) -> Result<Box<dyn StoreReader>, StoreError> {
    Ok(Box::new(Catalog::new(address)?))
}
