//! What a job made: its CSV files, and the same rows in a database.

use std::collections::BTreeMap;
use std::path::Path;

/// A CSV file without its header, each row as its fields, sorted.
pub fn csv_rows(path: &Path) -> Vec<Vec<String>> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.expect("RFC 4180").iter().map(str::to_owned).collect()).collect();
    rows.sort();
    rows
}

/// The last row of each truck in a correlation's CSV file.
pub fn latest(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let truck =
        reader.headers().expect("a header").iter().position(|name| name == "truck_id").expect("truck_id");
    reader
        .records()
        .map(|row| {
            let row: Vec<String> = row.expect("RFC 4180").iter().map(str::to_owned).collect();
            (row[truck].clone(), row)
        })
        .collect()
}
