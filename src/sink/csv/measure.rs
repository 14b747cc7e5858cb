//! How long a file is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The maximum length of a header in an error.
pub(super) const MOST_SHOWN: u64 = 400;

/// The length of a file; 0 if it does not exist.
pub(super) fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata?.len()),
    }
}

/// Whether a line ends at `length`, as at every committed length.
pub(super) fn reaches(path: &Path, length: u64) -> io::Result<bool> {
    if length == 0 || self::length(path)? < length {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
