//! Gives the files that a replaced view has filled the names of the view's files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::error::{CsvError, failed};
use super::folder::sync_folder;
use super::location::Location;

/// Renames the files of `filled` to those of `view`, which they replace; `committed` are the numbers of the latter. Can be
/// repeated.
pub fn replace_files(
    out: &Path,
    filled: &str,
    view: &str,
    committed: &BTreeMap<String, u64>,
) -> Result<(), CsvError> {
    let places = [false, true].map(|rotates| Location::new(out, view, rotates));
    let is_committed = |place: &Location| place.committed(committed).is_some();
    // Of a view that is written to no file any more, the file stays.
    if !places.iter().any(is_committed) {
        return Ok(());
    }
    for to in &places {
        let from = Location::new(out, filled, to.rotates);
        let is_filled = has_files(&from)?;
        // The files before may be in the other location.
        if is_filled || !is_committed(to) {
            remove(to)?;
        }
        if !is_filled {
            continue;
        }
        let path = |place: &Location| if place.rotates { place.folder() } else { place.path(1) };
        // A folder only takes the name of one that is gone.
        if to.rotates
            && let Err(error) = fs::remove_dir(path(to)).or_else(missing)
        {
            return Err(failed("replace", &path(to))(error));
        }
        fs::rename(path(&from), path(to)).map_err(failed("rename", &path(&from)))?;
    }
    sync_folder(out)
}

/// Removes the files of a view. Can be repeated.
pub fn remove_files(out: &Path, view: &str) -> Result<(), CsvError> {
    [false, true].into_iter().try_for_each(|rotates| remove(&Location::new(out, view, rotates)))?;
    // Files of others stay.
    let _ = fs::remove_dir(Location::new(out, view, true).folder());
    sync_folder(out)
}

fn has_files(place: &Location) -> Result<bool, CsvError> {
    place.later(0).map(|files| !files.is_empty()).map_err(failed("read", &place.folder()))
}

fn remove(place: &Location) -> Result<(), CsvError> {
    let files = place.later(0).map_err(failed("read", &place.folder()))?;
    files.iter().try_for_each(|path| fs::remove_file(path).map_err(failed("remove", path)))
}

fn missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
