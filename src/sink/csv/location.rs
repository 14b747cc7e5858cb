//! Where the files of a view are, and what a start keeps of them.

use super::error::{CsvError, failed};
use super::folder::{file_name, numbered, sync_folder};
use super::measure::{MOST_SHOWN, length, reaches};
use crate::text::csv::records_length;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The location of a view's lines.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) out: PathBuf,
    pub(super) view: String,
    /// Whether the lines are in numbered files of the folder `<view>`; otherwise in `<view>.csv`, number 1.
    pub(super) rotates: bool,
}

/// The end of a view's lines.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The last file.
    pub(super) number: u64,
    /// Its length in bytes; 0 before its header.
    pub(super) length: u64,
    /// Its records; committed for numbered files only.
    pub(super) records: u64,
}

impl Location {
    pub(super) fn new(out: &Path, view: &str, rotates: bool) -> Self {
        Self { out: out.to_owned(), view: view.to_owned(), rotates }
    }

    /// The location to which the name of a committed number belongs.
    pub(super) fn of_name(out: &Path, name: &str) -> Self {
        match name.split_once('/') {
            Some((view, _)) => Self::new(out, view, true),
            None => Self::new(out, name, false),
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        if self.rotates { self.out.join(&self.view) } else { self.out.clone() }
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        if self.rotates {
            self.folder().join(file_name(number))
        } else {
            self.out.join(format!("{}.csv", self.view))
        }
    }

    /// The existing files with a higher number.
    pub(super) fn later(&self, number: u64) -> io::Result<Vec<PathBuf>> {
        if self.rotates {
            let files = numbered(&self.folder())?.into_iter();
            return Ok(files.filter(|(other, _)| *other > number).map(|(_, path)| path).collect());
        }
        let path = self.path(1);
        Ok(if number < 1 && path.try_exists()? { vec![path] } else { Vec::new() })
    }

    /// The committed end; none before the first commit.
    pub(super) fn committed(&self, numbers: &BTreeMap<String, u64>) -> Option<End> {
        let number = |name: &str| numbers.get(&format!("{}{name}", self.view)).copied();
        if self.rotates {
            Some(End { number: number("/file")?, length: number("/length")?, records: number("/records")? })
        } else {
            Some(End { number: 1, length: number("")?, records: 0 })
        }
    }

    /// The numbers to commit for this end.
    pub(super) fn names(&self, end: End) -> Vec<(String, u64)> {
        let name = |name: &str, number| (format!("{}{name}", self.view), number);
        if self.rotates {
            vec![name("/file", end.number), name("/length", end.length), name("/records", end.records)]
        } else {
            vec![name("", end.length)]
        }
    }

    /// Fails if the files are not as this job committed them. Changes nothing.
    pub(super) fn check(&self, job: &str, header: &[u8], committed: Option<End>) -> Result<(), CsvError> {
        let foreign =
            |path, found, committed| CsvError::Foreign { path, job: job.to_owned(), found, committed };
        let Some(end) = committed else {
            // Before the first commit a file has at most the header, left by a killed start: `sync` and a commit
            // precede the first row.
            for path in self.later(0).map_err(failed("read", &self.folder()))? {
                let found = length(&path).map_err(failed("open", &path))?;
                let begun = || std::fs::read(&path).is_ok_and(|found| header.starts_with(&found));
                if found > header.len() as u64 || !begun() {
                    return Err(foreign(path, found, 0));
                }
            }
            return Ok(());
        };
        let path = self.path(end.number);
        if !reaches(&path, end.length).map_err(failed("open", &path))? {
            let found = length(&path).map_err(failed("open", &path))?;
            return Err(foreign(path, found, end.length));
        }
        // The header is a record, too.
        let mut found = Vec::new();
        let file = File::open(&path).map_err(failed("open", &path))?;
        let enough = (header.len() as u64).max(MOST_SHOWN);
        file.take(enough.min(end.length)).read_to_end(&mut found).map_err(failed("read", &path))?;
        if !found.starts_with(header) {
            found.truncate(records_length(&found, 1).min(MOST_SHOWN as usize));
            let text = |header: &[u8]| String::from_utf8_lossy(header).trim_end().to_owned();
            return Err(CsvError::Columns { path, found: text(&found), columns: text(header) });
        }
        Ok(())
    }

    /// Removes the files after this end. Returns whether there were any.
    pub(super) fn remove_later(&self, end: End) -> Result<bool, CsvError> {
        let later = self.later(end.number).map_err(failed("read", &self.folder()))?;
        for path in &later {
            std::fs::remove_file(path).map_err(failed("remove", path))?;
        }
        Ok(!later.is_empty())
    }

    /// Truncates files that the job no longer writes to: rows of an uncommitted epoch will be written again, to the
    /// current location.
    pub(super) fn settle(&self, end: End) -> Result<(), CsvError> {
        let path = self.path(end.number);
        // A file that was changed since the commit is left alone.
        if !reaches(&path, end.length).map_err(failed("open", &path))? {
            return Ok(());
        }
        if self.remove_later(end)? {
            sync_folder(&self.folder())?;
        }
        if length(&path).map_err(failed("open", &path))? > end.length {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
            file.set_len(end.length).and_then(|()| file.sync_data()).map_err(failed("truncate", &path))?;
        }
        Ok(())
    }
}
