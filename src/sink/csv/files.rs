//! The files of all views of a job.

use super::error::{CsvError, failed};
use super::file::CsvFile;
use super::location::{End, Location};
use crate::render;
use dataflows::rows::ColumnSpec;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::Builder;

/// The CSV files of a job.
#[derive(Debug)]
pub struct CsvFiles {
    pub(super) files: Vec<Option<CsvFile>>,
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
