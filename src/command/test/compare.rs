//! The expected contents of tables, and how found ones differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, WriterBuilder};

use super::error::CaseError;
use crate::command::trial::Shown;
use crate::text::printable::{printable, quantity};

/// The expected rows of a table.
pub struct Expected {
    /// The table.
    pub table: String,
    /// The columns that are compared.
    pub columns: StringRecord,
    /// The rows, in any order.
    pub rows: Vec<StringRecord>,
}

impl Expected {
    /// Those of a case.
    pub fn all(folder: &Path) -> Result<Vec<Self>, CaseError> {
        let read = |source| CaseError::Read { path: folder.to_owned(), source };
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let Some(table) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".csv")) else {
                continue;
            };
            let wrong = |source| CaseError::Csv { path: path.clone(), source };
            let mut reader = ReaderBuilder::new().from_path(&path).map_err(wrong)?;
            let columns = reader.headers().map_err(wrong)?.clone();
            let rows = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
            all.push(Self { table: table.to_owned(), columns, rows });
        }
        all.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(all)
    }
}

/// Lines that are shown of each kind.
const MOST: usize = 20;

/// The lines that say how a table differs from what is expected.
pub fn differences(expected: &Expected, shown: &Shown) -> Vec<String> {
    let place = |name: &str| shown.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
    let mut places = Vec::new();
    for name in &expected.columns {
        match place(name) {
            Some(place) => places.push(place),
            None => {
                let columns = shown.columns.join(", ");
                return vec![format!("  {} has no column {name}; its columns are {columns}", shown.table)];
            }
        }
    }
    // Each row with how often it was found more than expected.
    let mut counts: BTreeMap<Vec<&str>, i64> = BTreeMap::new();
    for row in &shown.rows {
        *counts
            .entry(places.iter().map(|&place| row.get(place).unwrap_or_default()).collect())
            .or_default() += 1;
    }
    for row in &expected.rows {
        *counts.entry(row.iter().collect()).or_default() -= 1;
    }
    let of = |sign: char, is_it: fn(i64) -> bool| {
        let rows = counts.iter().filter(|(_, count)| is_it(**count));
        let mut lines: Vec<String> = rows
            .flat_map(|(row, count)| {
                vec![format!("  {sign} {}", printable(&row.join(","))); count.unsigned_abs() as usize]
            })
            .collect();
        let more = lines.len().saturating_sub(MOST);
        lines.truncate(MOST);
        lines.extend((more > 0).then(|| format!("  {sign} … and {more} more")));
        lines
    };
    let (missing, surplus) = (of('-', |count| count < 0), of('+', |count| count > 0));
    if missing.is_empty() && surplus.is_empty() {
        return Vec::new();
    }
    let columns: Vec<&str> = expected.columns.iter().collect();
    let found = quantity(shown.rows.len(), "row");
    let head = format!(
        "  {}: {found}, {} expected; - is missing, + is not expected\n    {}",
        shown.table,
        expected.rows.len(),
        columns.join(",")
    );
    [vec![head], missing, surplus].concat()
}

/// A table as its expected contents.
pub fn text(shown: &Shown) -> Vec<u8> {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(&shown.columns);
    for row in &shown.rows {
        let _ = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(columns: &[&str], rows: &[&[&str]]) -> Expected {
        let record = |fields: &[&str]| StringRecord::from(fields.to_vec());
        Expected {
            table: "T".into(),
            columns: record(columns),
            rows: rows.iter().map(|row| record(row)).collect(),
        }
    }

    #[test]
    fn rows_are_compared_in_any_order_by_the_named_columns() {
        let rows = [["a", "1", "x"], ["b", "2", "y"], ["b", "2", "z"]];
        let shown = Shown {
            view: "t".into(),
            table: "T".into(),
            columns: ["name", "n", "other"].map(str::to_owned).to_vec(),
            rows: rows.map(|row| StringRecord::from(row.to_vec())).to_vec(),
        };
        let same = expected(&["N", "name"], &[&["2", "b"], &["1", "a"], &["2", "b"]]);
        assert!(differences(&same, &shown).is_empty());
        let lines = differences(&expected(&["name", "n"], &[&["b", "2"], &["c", ""]]), &shown);
        assert_eq!(lines[1..], ["  - c,", "  + a,1", "  + b,2"]);
        assert!(lines[0].starts_with("  T: 3 rows, 2 expected"), "{lines:?}");
        let unknown = differences(&expected(&["speed"], &[]), &shown);
        assert_eq!(unknown, ["  T has no column speed; its columns are name, n, other"]);
        assert_eq!(text(&shown), b"name,n,other\na,1,x\nb,2,y\nb,2,z\n");
    }
}
