//! CSV files, appended to and cut back to the length of the last commit at a start.
//!
//! A file's committed length lies in the store, in the transaction that commits the epoch. Bytes
//! past it are of an epoch that never committed. The order is: write, sync, commit the length.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use dataflows::rows::ColumnSpec;
use thiserror::Error;

use crate::render;

/// A CSV file that cannot be used.
#[derive(Debug, Error)]
pub enum CsvError {
    /// The operating system said no.
    #[error("cannot {verb} {path}: {source}; {advice}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// The next step.
        advice: &'static str,
    },
    /// A file that this job did not write.
    #[error(
        "{path} holds {found} bytes, but job `{job}` has committed {committed}; it is another job's or was changed: give the --out that this job wrote to, or a new one with a new --job"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The job.
        job: String,
        /// Its length.
        found: u64,
        /// The committed length.
        committed: u64,
    },
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CsvError {
    let path = path.to_owned();
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and start again: the job goes on from its last commit"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "make it writable or choose another --out"
            }
            _ => "choose another --out, or mend the folder and start again",
        };
        CsvError::Io { verb, path, source, advice }
    }
}

/// Creates the output folder if it is missing, and makes sure that files can be made in it.
pub fn prepare_folder(out: &Path) -> Result<(), CsvError> {
    std::fs::create_dir_all(out).map_err(failed("create", out))?;
    let probe = out.join(".truckflow-probe");
    File::create(&probe).map_err(failed("write in", out))?;
    std::fs::remove_file(&probe).map_err(failed("write in", out))
}

/// The CSV files of a job.
#[derive(Debug)]
pub struct CsvFiles {
    files: Vec<Option<CsvFile>>,
}

#[derive(Debug)]
struct CsvFile {
    name: String,
    path: PathBuf,
    file: File,
    length: u64,
    dirty: bool,
}

impl CsvFiles {
    /// Opens one file per view, `<out>/<name>.csv`, and cuts it to its committed length. A view
    /// without columns here (`None`) has no file.
    pub fn open(
        out: &Path,
        job: &str,
        views: &[(&str, Option<&[ColumnSpec]>)],
        committed: &BTreeMap<String, u64>,
    ) -> Result<Self, CsvError> {
        let open = |&(name, columns): &(&str, Option<&[ColumnSpec]>)| {
            let Some(columns) = columns else { return Ok(None) };
            let path = out.join(format!("{name}.csv"));
            let length = committed.get(name).copied().unwrap_or(0);
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed("open", &path))?;
            let found = file.metadata().map_err(failed("open", &path))?.len();
            let foreign =
                || CsvError::Foreign { path: path.clone(), job: job.to_owned(), found, committed: length };
            // Before the first commit a file may hold, at most, the header that a killed start left:
            // `sync` and a commit come before the first row.
            let mut header = Vec::new();
            render::csv_header(columns, &mut header);
            let begun = || found <= header.len() as u64 && is_prefix(&path, &header);
            if found < length || (length == 0 && !begun()) {
                return Err(foreign());
            }
            file.set_len(length).map_err(failed("cut", &path))?;
            file.seek(SeekFrom::Start(length)).map_err(failed("open", &path))?;
            let mut csv = CsvFile { name: name.to_owned(), path: path.clone(), file, length, dirty: false };
            if length == 0 {
                csv.write(&header)?;
            }
            Ok(Some(csv))
        };
        Ok(Self { files: views.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Appends lines to a view's file, if it has one.
    pub fn write(&mut self, view: usize, lines: &[u8]) -> Result<(), CsvError> {
        match &mut self.files[view] {
            Some(file) => file.write(lines),
            None => Ok(()),
        }
    }

    /// Makes everything written durable, and gives the lengths to commit.
    pub fn sync(&mut self) -> Result<Vec<(String, u64)>, CsvError> {
        let mut lengths = Vec::new();
        for file in self.files.iter_mut().flatten().filter(|file| file.dirty) {
            file.file.sync_data().map_err(failed("sync", &file.path))?;
            file.dirty = false;
            lengths.push((file.name.clone(), file.length));
        }
        Ok(lengths)
    }
}

impl CsvFile {
    fn write(&mut self, lines: &[u8]) -> Result<(), CsvError> {
        self.file.write_all(lines).map_err(failed("write to", &self.path))?;
        self.length += lines.len() as u64;
        self.dirty = true;
        Ok(())
    }
}

/// Whether the file is the beginning of `header`: all of it, or what a kill left of it.
fn is_prefix(path: &Path, header: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|found| header.starts_with(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::{Type, column};

    const COLUMNS: &[ColumnSpec] = &[column("a", Type::Integer)];

    fn open(out: &Path, committed: u64) -> Result<CsvFiles, CsvError> {
        let committed = BTreeMap::from([("v".to_owned(), committed)]);
        CsvFiles::open(out, "job", &[("v", Some(COLUMNS)), ("off", None)], &committed)
    }

    #[test]
    fn a_start_cuts_what_was_not_committed() {
        let out = tempfile::tempdir().unwrap();
        let mut files = open(out.path(), 0).unwrap();
        files.write(0, b"1\n").unwrap();
        files.write(1, b"9\n").unwrap();
        assert_eq!(files.sync().unwrap(), [("v".to_owned(), 4)]);
        assert_eq!(files.sync().unwrap(), []);
        files.write(0, b"2\n").unwrap();
        drop(files);
        let mut files = open(out.path(), 4).unwrap();
        files.write(0, b"3\n").unwrap();
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n3\n");
        assert!(!out.path().join("off.csv").exists());
    }

    #[test]
    fn a_kill_before_the_first_commit_leaves_a_file_that_can_be_taken_over() {
        for left in ["", "a", "a\n"] {
            let out = tempfile::tempdir().unwrap();
            std::fs::write(out.path().join("v.csv"), left).unwrap();
            open(out.path(), 0).unwrap();
            assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n");
        }
    }

    #[test]
    fn the_rows_of_another_job_with_the_same_header_are_not_cut() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("v.csv"), "a\n1\n").unwrap();
        assert!(matches!(open(out.path(), 0), Err(CsvError::Foreign { .. })));
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n");
    }

    #[test]
    fn the_file_of_another_job_is_refused() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("v.csv"), "x,y\n1,2\n").unwrap();
        assert!(matches!(open(out.path(), 0), Err(CsvError::Foreign { .. })));
        assert!(matches!(open(out.path(), 100), Err(CsvError::Foreign { .. })));
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"x,y\n1,2\n");
    }
}
