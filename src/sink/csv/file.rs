//! The open file of a view.

use super::error::{CsvError, failed};
use super::folder::sync_folder;
use super::location::{End, Location};
use crate::runtime::fault::{self, Moment};
use crate::text::csv::records_length;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// The current file of a view.
#[derive(Debug)]
pub(super) struct CsvFile {
    pub(super) place: Location,
    pub(super) header: Vec<u8>,
    pub(super) max_records: Option<u64>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) end: End,
    /// Whether there are bytes to sync.
    pub(super) dirty: bool,
    /// Whether folder entries must be synced.
    pub(super) named: bool,
}

impl CsvFile {
    pub(super) fn open(
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

    pub(super) fn write(&mut self, mut lines: &[u8], mut records: u64) -> Result<(), CsvError> {
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

    pub(super) fn append(&mut self, lines: &[u8], records: u64) -> Result<(), CsvError> {
        fault::at(Moment::CsvWrite);
        self.file.write_all(lines).map_err(failed("write to", &self.path))?;
        fault::at(Moment::CsvWritten);
        self.end.length += lines.len() as u64;
        self.end.records += records;
        self.dirty = true;
        Ok(())
    }

    /// Writes the header of an empty file.
    pub(super) fn begin(&mut self) -> Result<(), CsvError> {
        let header = std::mem::take(&mut self.header);
        let written = self.append(&header, 0);
        self.header = header;
        written
    }

    /// Switches to the next file.
    pub(super) fn rotate(&mut self) -> Result<(), CsvError> {
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
    pub(super) fn cut_back(&mut self, end: End) -> Result<(), CsvError> {
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
    pub(super) fn sync(&mut self) -> Result<Vec<(String, u64)>, CsvError> {
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
