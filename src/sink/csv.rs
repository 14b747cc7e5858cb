//! CSV files: appended to, and truncated to the last commit at a start.
//!
//! ```text
//! csv.max_records absent   <out>/<view>.csv           committed: <view> = bytes
//! csv.max_records = N      <out>/<view>/000001.csv    committed: <view>/file = number of the last file,
//!                          <out>/<view>/000002.csv               <view>/length = its bytes,
//!                          ...                                   <view>/records = its records
//! ```
//!
//! The committed numbers are stored in the transaction that commits the epoch. The order is: write, sync the
//! files, sync their folders, commit. So bytes after the committed length, and files after the committed one,
//! belong to an epoch that never committed.
//!
//! A file is full at N records; the next one is created with the next record, so no file is empty. When N changes,
//! the last file is continued up to the new N. When a job switches between one file and a folder, the committed
//! data stays in the old location and new data goes to the new one; after switching back, it continues at the end
//! of the old location.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::Builder;

use dataflows::rows::ColumnSpec;
use memchr::memchr2_iter;
use thiserror::Error;

use crate::render;
use crate::runtime::fault::{self, Moment};

/// A CSV file that cannot be used.
#[derive(Debug, Error)]
pub enum CsvError {
    /// An I/O operation failed.
    #[error("cannot {verb} {path}: {source}; {advice}")]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
        /// The next step.
        advice: &'static str,
    },
    /// A file that does not have this job's committed content.
    #[error(
        "{path} has {found} bytes, but job `{job}` committed {committed}: the file was changed or belongs to another job; use the --out of this job, or a new --job with a new --out"
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
    /// A file of this job whose view now has other columns.
    #[error(
        "{path} has the columns {found}, but the view now has {columns}; restore the old columns, rename the view, or start a new --job with a new --out"
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// Its header.
        found: String,
        /// The current header of the view.
        columns: String,
    },
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CsvError {
    let path = path.to_owned();
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and start again; the job resumes from its last commit"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "make it writable or choose another --out"
            }
            _ => "fix the folder and start again, or choose another --out",
        };
        CsvError::Io { verb, path, source, advice }
    }
}

/// Creates the output folder if it is missing, and checks that files can be created in it.
pub fn prepare_folder(out: &Path) -> Result<(), CsvError> {
    std::fs::create_dir_all(out).map_err(failed("create", out))?;
    let probe = out.join(".truckflow-probe");
    File::create(&probe).map_err(failed("write in", out))?;
    std::fs::remove_file(&probe).map_err(failed("write in", out))
}

/// The files of a view in order: the one file, or those of the folder.
pub fn files_of(out: &Path, view: &str, rotates: bool) -> io::Result<Vec<PathBuf>> {
    Location::new(out, view, rotates).later(0)
}

/// The numbered files in a folder, in order; none if the folder does not exist.
pub fn numbered(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".csv")?.parse().ok());
        // A file with another spelling of the same number is not ours.
        if let Some(number) = number.filter(|&number| name == *file_name(number)) {
            files.push((number, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(number: u64) -> String {
    format!("{number:06}.csv")
}

/// Makes the entries of a folder durable.
fn sync_folder(folder: &Path) -> Result<(), CsvError> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // The file system cannot sync folders.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced.map_err(failed("sync", folder)),
    }
}

/// The location of a view's lines.
#[derive(Debug)]
struct Location {
    out: PathBuf,
    view: String,
    /// Whether the lines are in numbered files of the folder `<view>`; otherwise in `<view>.csv`, number 1.
    rotates: bool,
}

/// The end of a view's lines.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The last file.
    number: u64,
    /// Its length in bytes; 0 before its header.
    length: u64,
    /// Its records; committed for numbered files only.
    records: u64,
}

impl Location {
    fn new(out: &Path, view: &str, rotates: bool) -> Self {
        Self { out: out.to_owned(), view: view.to_owned(), rotates }
    }

    /// The location to which the name of a committed number belongs.
    fn of_name(out: &Path, name: &str) -> Self {
        match name.split_once('/') {
            Some((view, _)) => Self::new(out, view, true),
            None => Self::new(out, name, false),
        }
    }

    fn folder(&self) -> PathBuf {
        if self.rotates { self.out.join(&self.view) } else { self.out.clone() }
    }

    fn path(&self, number: u64) -> PathBuf {
        if self.rotates {
            self.folder().join(file_name(number))
        } else {
            self.out.join(format!("{}.csv", self.view))
        }
    }

    /// The existing files with a higher number.
    fn later(&self, number: u64) -> io::Result<Vec<PathBuf>> {
        if self.rotates {
            let files = numbered(&self.folder())?.into_iter();
            return Ok(files.filter(|(other, _)| *other > number).map(|(_, path)| path).collect());
        }
        let path = self.path(1);
        Ok(if number < 1 && path.try_exists()? { vec![path] } else { Vec::new() })
    }

    /// The committed end; none before the first commit.
    fn committed(&self, numbers: &BTreeMap<String, u64>) -> Option<End> {
        let number = |name: &str| numbers.get(&format!("{}{name}", self.view)).copied();
        if self.rotates {
            Some(End { number: number("/file")?, length: number("/length")?, records: number("/records")? })
        } else {
            Some(End { number: 1, length: number("")?, records: 0 })
        }
    }

    /// The numbers to commit for this end.
    fn names(&self, end: End) -> Vec<(String, u64)> {
        let name = |name: &str, number| (format!("{}{name}", self.view), number);
        if self.rotates {
            vec![name("/file", end.number), name("/length", end.length), name("/records", end.records)]
        } else {
            vec![name("", end.length)]
        }
    }

    /// Fails if the files are not as this job committed them. Changes nothing.
    fn check(&self, job: &str, header: &[u8], committed: Option<End>) -> Result<(), CsvError> {
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
    fn remove_later(&self, end: End) -> Result<bool, CsvError> {
        let later = self.later(end.number).map_err(failed("read", &self.folder()))?;
        for path in &later {
            std::fs::remove_file(path).map_err(failed("remove", path))?;
        }
        Ok(!later.is_empty())
    }

    /// Truncates files that the job no longer writes to: rows of an uncommitted epoch will be written again, to the
    /// current location.
    fn settle(&self, end: End) -> Result<(), CsvError> {
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

/// The maximum length of a header in an error.
const MOST_SHOWN: u64 = 400;

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

/// The length of a file; 0 if it does not exist.
fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata?.len()),
    }
}

/// Whether a line ends at `length`, as at every committed length.
fn reaches(path: &Path, length: u64) -> io::Result<bool> {
    if length == 0 || self::length(path)? < length {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The length of the first `count` records in bytes. A line feed inside quotes does not end a record.
fn records_length(lines: &[u8], count: u64) -> usize {
    let (mut left, mut quoted) = (count, false);
    for at in memchr2_iter(b'\n', b'"', lines) {
        if lines[at] == b'"' {
            // An escaped quote (`""`) toggles twice.
            quoted = !quoted;
        } else if !quoted {
            left -= 1;
            if left == 0 {
                return at + 1;
            }
        }
    }
    lines.len()
}

/// The CSV files of a job.
#[derive(Debug)]
pub struct CsvFiles {
    files: Vec<Option<CsvFile>>,
}

/// The current file of a view.
#[derive(Debug)]
struct CsvFile {
    place: Location,
    header: Vec<u8>,
    max_records: Option<u64>,
    path: PathBuf,
    file: File,
    end: End,
    /// Whether there are bytes to sync.
    dirty: bool,
    /// Whether folder entries must be synced.
    named: bool,
}

/// A view's location, its header, and its committed end.
type Found = (Location, Vec<u8>, Option<End>);

/// Checks the existing files of each view that has files, and fails if they are not the job's.
fn look(
    out: &Path,
    job: &str,
    views: &[(&str, Option<&[ColumnSpec]>)],
    committed: &BTreeMap<String, u64>,
    max_records: Option<NonZeroU64>,
) -> Result<Vec<Option<Found>>, CsvError> {
    let look = |&(view, columns): &(&str, Option<&[ColumnSpec]>)| {
        let Some(columns) = columns else { return Ok(None) };
        let place = Location::new(out, view, max_records.is_some());
        let end = place.committed(committed);
        let mut header = Vec::new();
        render::csv_header(columns, &mut header);
        place.check(job, &header, end)?;
        Ok(Some((place, header, end)))
    };
    views.iter().map(look).collect()
}

impl CsvFiles {
    /// Opens the file or folder of each view and truncates it to the `committed` end. A view without columns (`None`)
    /// has no file. With `max_records` each view has a folder whose files have at most that many records. If it
    /// fails, nothing is changed.
    pub fn open(
        out: &Path,
        job: &str,
        views: &[(&str, Option<&[ColumnSpec]>)],
        committed: &BTreeMap<String, u64>,
        max_records: Option<NonZeroU64>,
    ) -> Result<Self, CsvError> {
        let found = look(out, job, views, committed, max_records)?;
        for name in committed.keys() {
            let place = Location::of_name(out, name);
            let open = |(other, ..): &Found| other.view == place.view && other.rotates == place.rotates;
            if let Some(end) = place.committed(committed)
                && !found.iter().flatten().any(open)
            {
                place.settle(end)?;
            }
        }
        let open = |(place, header, end)| CsvFile::open(place, header, end, max_records);
        let files = found.into_iter().map(|found| found.map(open).transpose());
        Ok(Self { files: files.collect::<Result<_, _>>()? })
    }

    /// Fails where [`open`](Self::open) would fail. Changes nothing.
    pub fn check(
        out: &Path,
        job: &str,
        views: &[(&str, Option<&[ColumnSpec]>)],
        committed: &BTreeMap<String, u64>,
        max_records: Option<NonZeroU64>,
    ) -> Result<(), CsvError> {
        look(out, job, views, committed, max_records).map(drop)
    }

    /// Appends lines with this many complete records to a view's file, if it has one.
    pub fn write(&mut self, view: usize, lines: &[u8], records: u64) -> Result<(), CsvError> {
        match &mut self.files[view] {
            Some(file) => file.write(lines, records),
            None => Ok(()),
        }
    }

    /// The current end of a view's lines, if it has a file.
    pub fn end(&self, view: usize) -> Option<End> {
        self.files[view].as_ref().map(|file| file.end)
    }

    /// Removes the lines after `end` from a view's file.
    pub fn cut_back(&mut self, view: usize, end: End) -> Result<(), CsvError> {
        match &mut self.files[view] {
            Some(file) => file.cut_back(end),
            None => Ok(()),
        }
    }

    /// Makes all writes durable, and returns the numbers to commit for changed files. The files are synced
    /// concurrently, as file systems batch concurrent syncs.
    pub fn sync(&mut self) -> Result<Vec<(String, u64)>, CsvError> {
        let mut dirty = self.files.iter_mut().flatten().filter(|file| file.dirty);
        let Some(first) = dirty.next() else { return Ok(Vec::new()) };
        let synced = std::thread::scope(|scope| {
            let mut others = Vec::new();
            for file in dirty {
                let path = file.path.clone();
                others
                    .push(Builder::new().spawn_scoped(scope, || file.sync()).map_err(failed("sync", &path)));
            }
            let mut all = vec![first.sync()];
            // Propagate panics: data that may not be durable must not be committed.
            all.extend(
                others.into_iter().map(|other| other?.join().unwrap_or_else(|panic| resume_unwind(panic))),
            );
            all
        });
        synced.into_iter().try_fold(Vec::new(), |mut names, synced| {
            names.extend(synced?);
            Ok(names)
        })
    }
}

impl CsvFile {
    fn open(
        place: Location,
        header: Vec<u8>,
        committed: Option<End>,
        max_records: Option<NonZeroU64>,
    ) -> Result<Self, CsvError> {
        let folder = place.folder();
        std::fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let end = committed.unwrap_or(End { number: 1, length: 0, records: 0 });
        let removed = place.remove_later(end)?;
        let path = place.path(end.number);
        let mut file = OpenOptions::new()
            .write(true)
            .create(committed.is_none())
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        file.set_len(end.length).map_err(failed("truncate", &path))?;
        file.seek(SeekFrom::Start(end.length)).map_err(failed("open", &path))?;
        let mut csv = Self {
            place,
            header,
            max_records: max_records.map(NonZeroU64::get),
            path,
            file,
            end,
            dirty: false,
            named: removed || committed.is_none(),
        };
        if committed.is_none() {
            csv.begin()?;
        }
        Ok(csv)
    }

    fn write(&mut self, mut lines: &[u8], mut records: u64) -> Result<(), CsvError> {
        while let Some(most) = self.max_records
            && self.end.records + records > most
            && !lines.is_empty()
        {
            // The last file may already have more records, if `max_records` was higher before.
            let room = most.saturating_sub(self.end.records);
            if room > 0 {
                let (fitting, rest) = lines.split_at(records_length(lines, room));
                self.append(fitting, room)?;
                (lines, records) = (rest, records - room);
            }
            self.rotate()?;
        }
        self.append(lines, records)
    }

    fn append(&mut self, lines: &[u8], records: u64) -> Result<(), CsvError> {
        fault::at(Moment::CsvWrite);
        self.file.write_all(lines).map_err(failed("write to", &self.path))?;
        fault::at(Moment::CsvWritten);
        self.end.length += lines.len() as u64;
        self.end.records += records;
        self.dirty = true;
        Ok(())
    }

    /// Writes the header of an empty file.
    fn begin(&mut self) -> Result<(), CsvError> {
        let header = std::mem::take(&mut self.header);
        let written = self.append(&header, 0);
        self.header = header;
        written
    }

    /// Switches to the next file.
    fn rotate(&mut self) -> Result<(), CsvError> {
        // Sync now, so that only one file per view stays open, however many an epoch fills.
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        fault::at(Moment::Rotation);
        self.end = End { number: self.end.number + 1, length: 0, records: 0 };
        self.path = self.place.path(self.end.number);
        // Cannot exist: the start has removed later files.
        self.file = File::create_new(&self.path).map_err(failed("create", &self.path))?;
        self.named = true;
        self.begin()?;
        fault::at(Moment::Rotated);
        Ok(())
    }

    /// Removes everything after `end`.
    fn cut_back(&mut self, end: End) -> Result<(), CsvError> {
        if self.end.number != end.number {
            self.named |= self.place.remove_later(end)?;
            self.path = self.place.path(end.number);
            let file = OpenOptions::new().write(true).open(&self.path);
            self.file = file.map_err(failed("open", &self.path))?;
        }
        self.file.set_len(end.length).map_err(failed("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(end.length)).map_err(failed("truncate", &self.path))?;
        self.end = end;
        self.dirty = true;
        Ok(())
    }

    /// Makes all writes durable, and returns the numbers to commit.
    fn sync(&mut self) -> Result<Vec<(String, u64)>, CsvError> {
        self.file.sync_data().map_err(failed("sync", &self.path))?;
        self.dirty = false;
        if self.named {
            sync_folder(&self.place.folder())?;
            if self.place.rotates {
                // The folder may be new.
                sync_folder(&self.place.out)?;
            }
            self.named = false;
        }
        Ok(self.place.names(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::{Type, column};
    use proptest::prelude::*;

    const COLUMNS: &[ColumnSpec] = &[column("a", Type::Integer)];
    const OTHERS: &[ColumnSpec] = &[column("a", Type::Integer), column("b,c", Type::Text)];

    /// The committed numbers, as in the store.
    type Numbers = BTreeMap<String, u64>;

    fn single(length: u64) -> Numbers {
        Numbers::from([("v".to_owned(), length)])
    }

    fn rotated(file: u64, length: u64, records: u64) -> Numbers {
        [("v/file", file), ("v/length", length), ("v/records", records)]
            .map(|(name, number)| (name.to_owned(), number))
            .into()
    }

    fn open(out: &Path, committed: &Numbers, max_records: u64) -> Result<CsvFiles, CsvError> {
        let views = [("v", Some(COLUMNS)), ("off", None)];
        CsvFiles::open(out, "job", &views, committed, NonZeroU64::new(max_records))
    }

    fn commit(files: &mut CsvFiles, committed: &mut Numbers) {
        committed.extend(files.sync().unwrap());
    }

    fn put(out: &Path, name: &str, text: &str) {
        let path = out.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The numbered files, as text.
    fn texts(out: &Path) -> Vec<String> {
        let files = files_of(out, "v", true).unwrap();
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn a_start_truncates_uncommitted_lines() {
        let out = tempfile::tempdir().unwrap();
        let mut files = open(out.path(), &Numbers::new(), 0).unwrap();
        files.write(0, b"1\n", 1).unwrap();
        files.write(1, b"9\n", 1).unwrap();
        assert_eq!(files.sync().unwrap(), [("v".to_owned(), 4)]);
        assert_eq!(files.sync().unwrap(), []);
        files.write(0, b"2\n", 1).unwrap();
        drop(files);
        let mut files = open(out.path(), &single(4), 0).unwrap();
        files.write(0, b"3\n", 1).unwrap();
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n3\n");
        assert!(!out.path().join("off.csv").exists());
    }

    #[test]
    fn lines_of_a_failed_attempt_are_removed_and_written_again() {
        for max_records in [0, 2] {
            let out = tempfile::tempdir().unwrap();
            let mut committed = Numbers::new();
            let mut files = open(out.path(), &committed, max_records).unwrap();
            files.write(0, b"1\n", 1).unwrap();
            commit(&mut files, &mut committed);
            let end = files.end(0).unwrap();
            // Longer than its replacement, and across several files.
            files.write(0, b"2\n3\n4\n5\n6\n", 5).unwrap();
            files.sync().unwrap();
            files.cut_back(0, end).unwrap();
            files.write(0, b"7\n", 1).unwrap();
            commit(&mut files, &mut committed);
            // Again, without a replacement.
            let end = files.end(0).unwrap();
            files.write(0, b"8\n9\n", 2).unwrap();
            files.cut_back(0, end).unwrap();
            commit(&mut files, &mut committed);
            drop(files);
            let files = files_of(out.path(), "v", max_records > 0).unwrap();
            let texts: Vec<String> =
                files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
            assert_eq!(texts, ["a\n1\n7\n"]);
            open(out.path(), &committed, max_records).unwrap();
        }
    }

    #[test]
    fn a_file_left_by_a_kill_before_the_first_commit_is_reused() {
        for left in ["", "a", "a\n"] {
            for (name, max_records) in [("v.csv", 0), ("v/000001.csv", 5)] {
                let out = tempfile::tempdir().unwrap();
                put(out.path(), name, left);
                open(out.path(), &Numbers::new(), max_records).unwrap();
                assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"a\n");
            }
        }
    }

    #[test]
    fn rows_of_another_job_with_the_same_header_are_not_truncated() {
        for (name, max_records) in [("v.csv", 0), ("v/000001.csv", 5), ("v/000007.csv", 5)] {
            let out = tempfile::tempdir().unwrap();
            put(out.path(), name, "a\n1\n");
            let refused = open(out.path(), &Numbers::new(), max_records);
            assert!(matches!(refused, Err(CsvError::Foreign { .. })), "{name}: {refused:?}");
            assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"a\n1\n");
        }
    }

    #[test]
    fn the_file_of_another_job_is_refused() {
        let out = tempfile::tempdir().unwrap();
        put(out.path(), "v.csv", "x,y\n1,2\n");
        put(out.path(), "v/000002.csv", "x,y\n1,2\n");
        for committed in [Numbers::new(), single(100), single(5)] {
            assert!(matches!(open(out.path(), &committed, 0), Err(CsvError::Foreign { .. })));
        }
        for committed in [Numbers::new(), rotated(2, 100, 9), rotated(2, 5, 1), rotated(1, 4, 1)] {
            assert!(matches!(open(out.path(), &committed, 5), Err(CsvError::Foreign { .. })));
        }
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"x,y\n1,2\n");
        assert_eq!(texts(out.path()), ["x,y\n1,2\n"]);
    }

    #[test]
    fn a_file_whose_view_has_changed_columns_is_refused() {
        let out = tempfile::tempdir().unwrap();
        put(out.path(), "v.csv", "a,\"b,c\"\n1,2\n");
        put(out.path(), "v/000002.csv", "a,\"b,c\"\n1,2\nnot committed");
        put(out.path(), "v/000003.csv", "a");
        for (committed, max_records, name) in [(single(12), 0, "v.csv"), (rotated(2, 12, 1), 5, "000002.csv")]
        {
            let error = open(out.path(), &committed, max_records).unwrap_err();
            assert!(matches!(error, CsvError::Columns { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains(name) && said.contains("a,\"b,c\"") && !said.contains('\n'), "{said}");
        }
        assert_eq!(texts(out.path()), ["a,\"b,c\"\n1,2\nnot committed", "a"]);
        // And the reverse, where the new header starts with the old one.
        put(out.path(), "w.csv", "a\n1\n");
        let committed = Numbers::from([("w".to_owned(), 4)]);
        let refused = CsvFiles::open(out.path(), "job", &[("w", Some(OTHERS))], &committed, None);
        assert!(matches!(refused, Err(CsvError::Columns { .. })));
    }

    #[test]
    fn a_file_is_full_at_max_records() {
        let out = tempfile::tempdir().unwrap();
        let mut committed = Numbers::new();
        let mut files = open(out.path(), &committed, 2).unwrap();
        // Line feeds and quotes inside quotes, across the end of a file and at it.
        files.write(0, b"1\n\"\n\"\"\n\"\n3\n", 3).unwrap();
        files.write(0, b"\"4\n\"\n", 1).unwrap();
        assert_eq!(texts(out.path()), ["a\n1\n\"\n\"\"\n\"\n", "a\n3\n\"4\n\"\n"]);
        commit(&mut files, &mut committed);
        assert_eq!(committed, rotated(2, 9, 2));
        drop(files);
        // After a full file, the next one is created only with its first row.
        let mut files = open(out.path(), &committed, 2).unwrap();
        assert_eq!(texts(out.path()).len(), 2);
        files.write(0, b"5\n6\n7\n8\n9\n", 5).unwrap();
        assert_eq!(texts(out.path())[2..], ["a\n5\n6\n", "a\n7\n8\n", "a\n9\n"]);
        commit(&mut files, &mut committed);
        assert_eq!(committed, rotated(5, 4, 1));
    }

    #[test]
    fn a_new_max_records_applies_from_the_last_file_on() {
        let out = tempfile::tempdir().unwrap();
        let mut committed = Numbers::new();
        for (max_records, lines, records) in [(3, "1\n2\n", 2), (4, "3\n4\n5\n6\n7\n", 5), (1, "8\n9\n", 2)] {
            let mut files = open(out.path(), &committed, max_records).unwrap();
            files.write(0, lines.as_bytes(), records).unwrap();
            commit(&mut files, &mut committed);
        }
        assert_eq!(texts(out.path()), ["a\n1\n2\n3\n4\n", "a\n5\n6\n7\n", "a\n8\n", "a\n9\n"]);
    }

    #[test]
    fn a_switch_between_file_and_folder_continues_in_the_other_location() {
        let out = tempfile::tempdir().unwrap();
        let mut committed = Numbers::new();
        for (max_records, row) in [(0, "1\n"), (1, "2\n"), (1, "3\n"), (0, "4\n"), (1, "5\n")] {
            let mut files = open(out.path(), &committed, max_records).unwrap();
            files.write(0, row.as_bytes(), 1).unwrap();
            commit(&mut files, &mut committed);
            // Killed in the next epoch, whose row is written again in the other location.
            files.write(0, b"x\n", 1).unwrap();
        }
        open(out.path(), &committed, 0).unwrap();
        assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n4\n");
        assert_eq!(texts(out.path()), ["a\n2\n", "a\n3\n", "a\n5\n"]);
    }

    #[test]
    fn other_files_in_the_folder_are_left_alone() {
        let out = tempfile::tempdir().unwrap();
        let others = ["v/notes.csv", "v/0000002.csv", "v/000000.csv", "v/12.csv", "v/000003.csv.gz"];
        for name in others {
            put(out.path(), name, "other");
        }
        let mut files = open(out.path(), &Numbers::new(), 1).unwrap();
        files.write(0, b"1\n2\n", 2).unwrap();
        drop(files);
        open(out.path(), &rotated(1, 4, 1), 1).unwrap();
        assert_eq!(texts(out.path()), ["a\n1\n"]);
        for name in others {
            assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"other", "{name}");
        }
    }

    #[test]
    fn files_past_the_millionth_are_in_order() {
        let out = tempfile::tempdir().unwrap();
        put(out.path(), "v/999999.csv", "a\n1\n");
        let mut files = open(out.path(), &rotated(999_999, 4, 1), 1).unwrap();
        files.write(0, b"2\n3\n", 2).unwrap();
        assert_eq!(texts(out.path()), ["a\n1\n", "a\n2\n", "a\n3\n"]);
        assert!(out.path().join("v/1000001.csv").exists());
    }

    /// How much of the uncommitted writes survives a kill or a power failure.
    #[derive(Clone, Debug)]
    enum Left {
        /// Everything.
        All,
        /// Everything, and the bytes of one more write.
        More(String),
        /// Everything, and the next files with this content.
        Next(Vec<String>),
        /// A part of the uncommitted bytes of the last file.
        Part(prop::sample::Index),
        /// Only the committed files.
        NoNew,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(Vec<String>),
        Commit,
        Kill { left: Left, max_records: u64, commits_after: bool },
    }

    fn record() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{1,4}\n", "\"([a\n,]|\"\"){0,6}\"\n"]
    }

    fn left() -> impl Strategy<Value = Left> {
        let next = prop_oneof![Just(String::new()), Just("a".into()), Just("a\n".into()), "a\n(1\n){1,3}\"?"];
        prop_oneof![
            Just(Left::All),
            "[0-9\"\n]{1,9}".prop_map(Left::More),
            prop::collection::vec(next, 1..4).prop_map(Left::Next),
            any::<prop::sample::Index>().prop_map(Left::Part),
            Just(Left::NoNew),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop::collection::vec(record(), 0..9).prop_map(Step::Write),
            2 => Just(Step::Commit),
            // 0 means one file.
            2 => (left(), prop_oneof![3 => Just(3u64), 2 => 0u64..5], any::<bool>())
                .prop_map(|(left, max_records, commits_after)| Step::Kill { left, max_records, commits_after }),
        ]
    }

    fn damage(place: &Location, committed: &Numbers, left: &Left) {
        let Some(end) = place.committed(committed) else { return };
        let files = place.later(0).unwrap();
        let last = files.last().unwrap();
        let uncommitted = files.len() as u64 > end.number;
        match left {
            Left::All => {}
            Left::More(bytes) => {
                let mut file = OpenOptions::new().append(true).open(last).unwrap();
                file.write_all(bytes.as_bytes()).unwrap();
            }
            Left::Next(texts) if place.rotates => {
                for (text, number) in texts.iter().zip(files.len() as u64 + 1..) {
                    std::fs::write(place.path(number), text).unwrap();
                }
            }
            Left::Part(part) => {
                let kept = if uncommitted { 0 } else { end.length };
                let written = length(last).unwrap() - kept;
                let file = OpenOptions::new().write(true).open(last).unwrap();
                file.set_len(kept + part.index(written as usize + 1) as u64).unwrap();
            }
            Left::NoNew => {
                place.remove_later(end).unwrap();
            }
            Left::Next(_) => {}
        }
    }

    /// The lines at a location without the header of each file.
    fn lines_of(place: &Location, most: u64) -> String {
        let mut lines = String::new();
        for path in place.later(0).unwrap() {
            let text = std::fs::read_to_string(&path).unwrap();
            lines += text.strip_prefix("a\n").expect("a header");
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text.as_bytes()[2..]);
            let records = reader.records().map(Result::unwrap).count();
            assert!(!place.rotates || records as u64 <= most, "{records} records in {path:?}");
        }
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn kills_preserve_the_committed_records_and_file_sizes(
            steps in prop::collection::vec(step(), 1..40),
        ) {
            let out = tempfile::tempdir().unwrap();
            let places = [false, true].map(|rotates| Location::new(out.path(), "v", rotates));
            let mut committed = Numbers::new();
            let (mut kept, mut pending) = ([String::new(), String::new()], String::new());
            let (mut max_records, mut most) = (3, 3);
            let mut files = open(out.path(), &committed, max_records).unwrap();
            // Like the committer, before the first row.
            commit(&mut files, &mut committed);
            for step in steps.into_iter().chain([Step::Kill { left: Left::All, max_records: 3, commits_after: true }]) {
                match step {
                    Step::Write(records) => {
                        files.write(0, records.concat().as_bytes(), records.len() as u64).unwrap();
                        pending += &records.concat();
                    }
                    Step::Commit => {
                        commit(&mut files, &mut committed);
                        kept[usize::from(max_records > 0)] += &std::mem::take(&mut pending);
                    }
                    Step::Kill { left, max_records: next, commits_after } => {
                        drop(files);
                        damage(&places[usize::from(max_records > 0)], &committed, &left);
                        pending.clear();
                        max_records = next;
                        most = most.max(next);
                        files = open(out.path(), &committed, max_records).unwrap();
                        if !commits_after {
                            // Killed again immediately, before the headers of new files are committed.
                            drop(files);
                            files = open(out.path(), &committed, max_records).unwrap();
                        }
                        commit(&mut files, &mut committed);
                        for (place, kept) in places.iter().zip(&kept) {
                            prop_assert_eq!(&lines_of(place, most), kept);
                        }
                        prop_assert!(committed.len() <= 4, "{:?}", committed);
                    }
                }
            }
        }
    }
}
