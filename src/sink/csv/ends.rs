//! Where the files of each view end, as the last commit says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{CsvError, failed};
use super::location::Location;
use super::measure::{length, reaches};

/// The committed end of a view's lines, compared with the file.
#[derive(Debug)]
pub struct CommittedEnd {
    /// The file.
    pub path: PathBuf,
    /// The committed length.
    pub committed: u64,
    /// The actual length.
    pub found: u64,
    /// Whether the file contains everything that was committed.
    pub is_there: bool,
}

/// Compares the committed numbers with the files in `out`. Changes nothing.
pub fn committed_ends(out: &Path, files: &[(String, u64)]) -> Result<Vec<CommittedEnd>, CsvError> {
    let numbers: BTreeMap<String, u64> = files.iter().cloned().collect();
    let mut ends = BTreeMap::new();
    for name in numbers.keys() {
        let place = Location::of_name(out, name);
        let Some(end) = place.committed(&numbers) else { continue };
        let path = place.path(end.number);
        let found = length(&path).map_err(failed("open", &path))?;
        let is_there = end.length == 0 || reaches(&path, end.length).map_err(failed("open", &path))?;
        ends.insert(path.clone(), CommittedEnd { path, committed: end.length, found, is_there });
    }
    Ok(ends.into_values().collect())
}

/// The files of a view in order: the one file, or those of the folder.
pub fn files_of(out: &Path, view: &str, rotates: bool) -> io::Result<Vec<PathBuf>> {
    Location::new(out, view, rotates).later(0)
}
