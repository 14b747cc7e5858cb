//! Handles an input whose file was renamed, rewritten or truncated.
//!
//! ```text
//! file at the path         other files in folder    next
//! has the bytes read       -                        continue
//! differs                  has them, or is a copy   read that one to its end, then the new file as the next partition
//! is a prefix of them      none has them            wait until it is longer or differs
//! differs                  none has them            `on_data_loss` decides
//! ```
//!
//! A followed file that is renamed is still open, and is read to its end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::compression;
use super::identity::{self, Likeness};
use super::input::Change;
use super::lines::Lines;
use super::part::Input;
use crate::source::SourceError;

impl Lines {
    pub(super) fn warn_of_loss(&self, lines: i64) {
        tracing::warn!(
            input = &*self.path,
            lines,
            "the file that was read is gone; continuing with the first line of the file that has its name now"
        );
    }

    pub(super) fn replaced(&self, lines: i64, bytes: u64) -> SourceError {
        SourceError::Replaced { path: self.path.to_string(), folder: self.folder(), lines, bytes }
    }

    /// Decides how to continue after a change of the file; `block` has the incomplete last line. False if it must be
    /// decided later.
    pub(super) fn change(&mut self, change: Change, block: &mut Vec<u8>) -> Result<bool, SourceError> {
        let path = PathBuf::from(&*self.path);
        let likeness = if self.part.found.is_some() { Likeness::None } else { self.compare(&path)? };
        if likeness == Likeness::Whole {
            // The same bytes mean the same file.
            self.read_on(&path, block)?;
            return Ok(true);
        }
        if change == Change::Renamed && likeness == Likeness::None {
            // It was read completely.
            self.finish_renamed(&path);
            return Ok(true);
        }
        let copy = identity::find_copy(&path, &self.part.trace).map_err(|source| self.cannot(source))?;
        match (copy, likeness) {
            (Some(copy), _) if copy.is_whole && change == Change::Rewritten => {
                let file = copy.path.display();
                tracing::info!(input = &*self.path, %file, "the file was rewritten; finishing its copy first");
                self.read_on(&copy.path, block)?;
                self.part.is_final |= !self.follow;
                (self.part.is_replaced, self.part.found) = (true, Some(copy.path));
            }
            (Some(copy), _) => {
                self.part.finish();
                self.part.found = Some(copy.path);
            }
            // Another process may be rewriting it from its beginning, with nothing new so far.
            (None, Likeness::Part(_)) if self.follow => return Ok(false),
            (None, Likeness::Part(_)) => self.part.input = Input::Ended,
            _ if self.continues_on_loss() => {
                self.warn_of_loss(self.part.line);
                self.part.finish();
            }
            _ => return Err(self.replaced(self.part.line, self.part.trace.bytes())),
        }
        Ok(true)
    }

    /// Finishes a file that was renamed or deleted.
    fn finish_renamed(&mut self, path: &Path) {
        if let Input::Growing(growing) = &self.part.input {
            let name = growing.id().ok().and_then(|id| identity::name_of(path, id));
            self.part.found = self.part.found.take().or(name);
        }
        self.part.finish();
    }

    /// Continues in another file that has the bytes read so far; `block` is read again.
    fn read_on(&mut self, path: &Path, block: &mut Vec<u8>) -> Result<(), SourceError> {
        let file = File::open(path).map_err(|source| self.cannot(source))?;
        let (_, format) = compression::text(Box::new(file)).map_err(|source| self.cannot(source))?;
        let input = self.input(path, format, self.part.trace.bytes(), None)?;
        let part = &mut self.part;
        part.is_final |= matches!(input, Input::Stream(_));
        part.input = input;
        part.checked = 0;
        block.clear();
        Ok(())
    }

    /// Compares the file at the path with what was read. A file that has not changed since the last comparison is not
    /// compared again.
    fn compare(&mut self, path: &Path) -> Result<Likeness, SourceError> {
        let file = match File::open(path) {
            Ok(file) => file,
            // Another process may be replacing it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Likeness::Part(0)),
            Err(source) => return Err(self.cannot(source)),
        };
        let now = file.metadata().and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
        let now = now.map_err(|source| self.cannot(source))?;
        if let Some((last, likeness)) = self.part.compared
            && last == now
        {
            return Ok(likeness);
        }
        let (mut text, _) = compression::text(Box::new(file)).map_err(|source| self.cannot(source))?;
        let likeness = self.part.trace.compare(&mut *text).map_err(|source| self.cannot(source))?;
        if matches!(likeness, Likeness::Part(_)) && self.follow && self.part.compared.is_none() {
            tracing::warn!(
                input = &*self.path,
                "the file is shorter than what was read from it but begins with the same bytes; waiting for more"
            );
        }
        self.part.compared = Some((now, likeness));
        Ok(likeness)
    }

    /// Continues with the next file; false if there is none.
    pub(super) fn next_part(&mut self) -> Result<bool, SourceError> {
        if let Some(again) = self.later.pop_front() {
            self.part = self.open_again(&again)?;
            self.learn();
            return Ok(true);
        }
        if !self.part.is_replaced {
            return Ok(false);
        }
        let path = Path::new(&*self.path);
        let partition = self.part.partition + 1;
        let between = match &self.part.found {
            Some(finished) => identity::after(path, finished, &self.part.trace, &self.finished),
            None => Vec::new(),
        };
        self.finished.push(self.part.trace.mark());
        self.part = match &*between {
            [] => self.open_new(partition)?,
            [next, later @ ..] => self.open_between(next, partition, later.is_empty())?,
        };
        let file = between.first().map_or(path, |next| next).display();
        tracing::info!(input = &*self.path, partition, %file, "reading the next file from its first line");
        Ok(true)
    }
}
