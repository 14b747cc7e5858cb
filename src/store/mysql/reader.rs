//! Reads MySQL and MariaDB without claiming a job, and streams the rows of tables.

use dataflows::Epoch;
use dataflows::item::{MessageId, NextOffset};
use dataflows::rows::ColumnSpec;
use mysql_async::prelude::Queryable;

use super::address::Address;
use super::books::COMPLETE;
use super::server::{Server, TABLE_LIMIT, TextRow};
use super::sql::{literal, lock_name};
use crate::state::StoredView;
use crate::state::export::TableSize;
use crate::store::commit::LastCommit;
use crate::store::error::StoreError;
use crate::store::offset;
use crate::store::reader::{Found, Keeps, Line, StoreReader, TableRow, shortest};
use crate::store::schema::{FoundColumn, quoted};
use crate::store::table::ROW_KEY;
use dataflows::item::TopicId;

impl StoreReader for Server {
    fn is_running(&mut self, job: &str) -> Result<bool, StoreError> {
        self.connect()?;
        let name = lock_name(&self.address.database, job);
        let holder = self.fetch(format!("SELECT IS_USED_LOCK({name})"))?;
        Ok(holder.first().is_some_and(|row| !row.is_null(0)))
    }

    fn last_commit(&mut self, job: &str) -> Result<Option<LastCommit>, StoreError> {
        self.connect()?;
        if !self.books()?.contains("truckflow_jobs") {
            return Ok(None);
        }
        self.read_last(&literal(job))
    }

    fn has_other_jobs(&mut self, job: &str) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM truckflow_jobs WHERE job <> {} LIMIT 1", literal(job));
        Ok(!self.fetch(sql)?.is_empty())
    }

    fn unfilled(&mut self, job: &str) -> Result<Vec<String>, StoreError> {
        if !self.books()?.contains("truckflow_views") {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT view_name FROM truckflow_views WHERE job = {} AND state <> '{COMPLETE}'",
            literal(job)
        );
        Ok(self.fetch(sql)?.iter().map(|row| row.text(0)).collect())
    }

    fn place(&self) -> String {
        self.address.place.clone()
    }

    fn views(&mut self, job: &str) -> Result<Vec<StoredView>, StoreError> {
        if !self.books()?.contains("truckflow_views") {
            return Ok(Vec::new());
        }
        self.read_views(job)
    }

    fn in_the_future(&mut self, job: &str) -> Result<Vec<MessageId>, StoreError> {
        self.read_in_the_future(job)
    }

    fn with_state(&mut self, job: &str) -> Result<Vec<String>, StoreError> {
        let job = literal(job);
        let sql =
            format!("SELECT DISTINCT view_name FROM truckflow_state WHERE job = {job} ORDER BY view_name");
        Ok(self.fetch(sql)?.iter().map(|row| row.text(0)).collect())
    }

    fn state(&mut self, job: &str, view: &str, take: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        self.read_state(job, view, take)
    }

    fn size(&mut self, table: &str) -> Result<TableSize, StoreError> {
        let none = TableSize { table: table.to_owned(), rows: 0, last_id: None };
        let Some(found) = self.found(table)? else { return Ok(none) };
        let has_id = found.columns.iter().any(|column| column.name.eq_ignore_ascii_case("id"));
        let id = if has_id { "MAX(`id`)" } else { "NULL" };
        let sql = format!("SELECT COUNT(*), {id} FROM {}", quoted(&found.name));
        let rows = self.try_fetch(sql, TABLE_LIMIT).map_err(|fault| self.explain(fault))?;
        let number = |index| rows.first().and_then(|row| row.number(index));
        Ok(TableSize { rows: number(0).unwrap_or_default() as u64, last_id: number(1), ..none })
    }

    fn columns(&mut self, table: &str, columns: &[ColumnSpec]) -> Result<Option<Found>, StoreError> {
        let Some(found) = self.found(table)? else { return Ok(None) };
        let find = |name: &str| found.columns.iter().find(|there| there.name.eq_ignore_ascii_case(name));
        let column = |asked: &ColumnSpec| match find(&asked.name) {
            Some(there) => Ok((there.name.clone(), keeps(there))),
            None => Err(asked.name.to_string()),
        };
        Ok(Some(Found {
            columns: columns.iter().map(column).collect(),
            has_id: find("id").is_some(),
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
        let sql = format!(
            "SELECT {},{},{} FROM {}{}",
            if found.has_id { "`id`" } else { "NULL" },
            if found.has_key { quoted(ROW_KEY) } else { "NULL".into() },
            list.join(","),
            quoted(&found.table),
            if found.has_id { " ORDER BY `id`" } else { "" }
        );
        let keeps: Vec<Keeps> = columns.iter().map(|(_, keeps)| *keeps).collect();
        let read = self.ask(TABLE_LIMIT, async |connection| {
            let rows = connection.query_iter(sql).await?;
            let mut line = Line::default();
            rows.for_each_and_drop(|row| give(&row.into(), &keeps, &mut line, each)).await
        });
        read.map_err(|fault| self.explain(fault))
    }
}

fn give(row: &TextRow, keeps: &[Keeps], line: &mut Line, each: &mut dyn FnMut(TableRow<'_>)) {
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

impl Server {
    /// The messages of a job whose event time was too far ahead.
    pub(super) fn read_in_the_future(&mut self, job: &str) -> Result<Vec<MessageId>, StoreError> {
        let sql = format!(
            "SELECT COALESCE(long_topic, topic), part, message_offset FROM truckflow_in_the_future \
             WHERE job = {}",
            literal(job)
        );
        let number = |row: &TextRow, index| row.number(index).unwrap_or_default();
        let message = |row: &TextRow| MessageId {
            topic: row.text(0).into(),
            partition: number(row, 1) as i32,
            offset: number(row, 2),
        };
        Ok(self.fetch(sql)?.iter().map(message).collect())
    }

    /// The committed data of a job; `None` if there is no such job. `job` is a literal.
    pub(super) fn read_last(&mut self, job: &str) -> Result<Option<LastCommit>, StoreError> {
        let jobs =
            self.fetch(format!("SELECT generation, epoch, source FROM truckflow_jobs WHERE job = {job}"))?;
        let Some(last) = jobs.first() else { return Ok(None) };
        let offsets = self.fetch(format!(
            "SELECT COALESCE(long_topic, topic), part, next_offset, byte_position, hash, view_name, role \
             FROM truckflow_offsets WHERE job = {job} ORDER BY topic, part, view_name, role"
        ))?;
        let topics = self.fetch(format!("SELECT topic, topic_id FROM truckflow_topics WHERE job = {job}"))?;
        let files = self.fetch(format!("SELECT name, length FROM truckflow_files WHERE job = {job}"))?;
        let number = |row: &TextRow, index| row.number(index).unwrap_or_default();
        let offset = |row: &TextRow| NextOffset {
            topic: row.text(0).into(),
            partition: number(row, 1) as i32,
            offset: number(row, 2),
            mark: offset::mark(row.number(3), Some(&row.text(4))),
        };
        let mut last = LastCommit {
            generation: number(last, 0) as u64,
            epoch: number(last, 1) as Epoch,
            source: last.text(2),
            topics: topics.iter().map(|row| TopicId { topic: row.text(0).into(), id: row.text(1) }).collect(),
            files: files.iter().map(|row| (row.text(0), number(row, 1) as u64)).collect(),
            ..LastCommit::default()
        };
        for row in &offsets {
            last.add_offset(row.text(5), &row.text(6), offset(row));
        }
        Ok(Some(last))
    }
}

/// Opens the database at an address for reading only.
pub(crate) fn open(address: Address) -> Result<Box<dyn StoreReader>, StoreError> {
    Ok(Box::new(Server::new(address)?))
}
