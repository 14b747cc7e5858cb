//! What a job made: its CSV files, and the same rows in a database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a view's rows are: the folder `<out>/<view>` if there is one, else the file.
pub fn csv_of(out: &Path, view: &str) -> PathBuf {
    let folder = out.join(view);
    if folder.is_dir() { folder } else { out.join(format!("{view}.csv")) }
}

/// The files of a folder, first to last; or the file itself.
pub fn csv_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// A CSV file, or a folder of them, as its header and its rows, in their order.
fn read(path: &Path) -> (csv::StringRecord, Vec<Vec<String>>) {
    let (mut header, mut rows) = (csv::StringRecord::new(), Vec::new());
    for path in csv_files(path) {
        let mut reader =
            csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let its = reader.headers().expect("a header");
        assert!(header.is_empty() || header == *its, "{} has another header", path.display());
        header = its.clone();
        rows.extend(
            reader.records().map(|row| row.expect("RFC 4180").iter().map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    (header, rows)
}

/// A CSV file, or a folder of them, without headers, each row as its fields, sorted.
pub fn csv_rows(path: &Path) -> Vec<Vec<String>> {
    let (_, mut rows) = read(path);
    rows.sort();
    rows
}

/// How many lines a file has, which may still be written to; 0 if there is none.
pub fn lines(path: &Path) -> usize {
    std::fs::read(path).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

/// The last row of each truck in a correlation's CSV file, or folder of them.
pub fn latest(path: &Path) -> BTreeMap<String, Vec<String>> {
    let (header, rows) = read(path);
    let truck = header.iter().position(|name| name == "truck_id").expect("truck_id");
    rows.into_iter().map(|row| (row[truck].clone(), row)).collect()
}

/// Two runs hold the same: every row of views that do not depend on where epochs end, and the last row of
/// each truck of those that do.
#[track_caller]
pub fn assert_same(undisturbed: &Path, disturbed: &Path) {
    for view in
        ["parameter_map", "transformed", "derived_metrics", "above_speed", "filtered_join", "dead_letters"]
    {
        let same = csv_rows(&csv_of(undisturbed, view)) == csv_rows(&csv_of(disturbed, view));
        assert!(same, "{view} differs");
    }
    for view in ["distance_correlation", "engine_speed_correlation"] {
        assert_eq!(latest(&csv_of(undisturbed, view)), latest(&csv_of(disturbed, view)), "{view}");
    }
}
