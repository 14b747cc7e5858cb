//! Opens an input at its committed offset, or again from the beginning.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dataflows::item::{Mark, NextOffset};

use super::compression::{self, Format};
use super::identity::{self, Found, Trace};
use super::input::{Growing, Stream};
use super::lines::{LINE_LIMIT, Lines, Options};
use super::part::{Again, Input, Part};
use super::path::full_path;
use crate::source::SourceError;

impl Lines {
    /// Opens `path` (`-`: standard input) after the committed `offsets`.
    ///
    /// If the file there is not the one that was read, that one is searched in the folder and finished first. If it is
    /// gone, `on_data_loss` decides.
    pub fn open(
        path: &str,
        offsets: &[NextOffset],
        options: Options<'_>,
    ) -> Result<Arc<Mutex<Self>>, SourceError> {
        let none = Part::new(0, Input::Ended);
        let mut lines = Self::new(path, options, none);
        let mut all = read_of(path, offsets);
        let read = all.pop();
        lines.finished = all.into_iter().filter_map(|at| at.mark).collect();
        let (partition, line, mark) =
            read.map_or_else(Default::default, |at| (at.partition, at.offset, at.mark.unwrap_or_default()));
        lines.part = if is_stream(path).map_err(|source| lines.cannot(source))? {
            lines.open_pipe(partition, line, mark)?
        } else {
            lines.open_file(partition, line, mark)?
        };
        lines.learn();
        lines.peek()?;
        Ok(Arc::new(Mutex::new(lines)))
    }

    /// Checks that an input can be opened and begins like a supported text; reads nothing from a stream.
    pub fn check(path: &str, options: Options<'_>) -> Result<(), SourceError> {
        let is_stream = is_stream(path).map_err(|source| SourceError::File { path: path.into(), source })?;
        if is_stream { Ok(()) } else { Self::open(path, &[], options).map(drop) }
    }

    /// Opens the files that were read under the name `path`, between the offsets `from` and `to`.
    pub fn again(
        path: &str,
        from: &[NextOffset],
        to: &[NextOffset],
        options: Options<'_>,
    ) -> Result<Arc<Mutex<Self>>, SourceError> {
        let options = Options { follow: false, ..options };
        let mut lines = Self::new(path, options, Part::new(0, Input::Ended));
        let from = read_of(path, from);
        for at in read_of(path, to) {
            let of_part = from.iter().find(|from| from.partition == at.partition);
            let (line, from) =
                of_part.map_or((0, Mark::default()), |from| (from.offset, from.mark.unwrap_or_default()));
            let again = Again { partition: at.partition, line, from, to: at.mark.unwrap_or_default() };
            if again.from != again.to {
                lines.later.push_back(again);
            }
        }
        lines.next_part()?;
        lines.peek()?;
        Ok(Arc::new(Mutex::new(lines)))
    }

    /// Opens, at its first line, the file that was read under the name `path` and begins with the bytes of `mark`.
    pub fn open_marked(
        path: &str,
        mark: Mark,
        options: Options<'_>,
    ) -> Result<Arc<Mutex<Self>>, SourceError> {
        let mut lines = Self::new(path, Options { follow: false, ..options }, Part::new(0, Input::Ended));
        let found = lines.find_again(mark)?;
        lines.part = Part::new(0, lines.input(&found.path, found.format, 0, None)?);
        lines.peek()?;
        Ok(Arc::new(Mutex::new(lines)))
    }

    /// Opens a stream, after the bytes of `mark`.
    fn open_pipe(&self, partition: i32, line: i64, mark: Mark) -> Result<Part, SourceError> {
        let input: Box<dyn Read + Send> = match &*self.path {
            "-" => Box::new(io::stdin()),
            path => Box::new(File::open(path).map_err(|source| self.cannot(source))?),
        };
        let mut stream = Stream::of_pipe(input);
        if mark.bytes == 0 {
            return Ok(Part::new(partition, Input::Stream(stream)));
        }
        tracing::info!(input = &*self.path, bytes = mark.bytes, "skipping what was read before");
        let mut trace = Trace::new();
        // Skipped bytes cannot be read again, so they are kept if they may be needed.
        let keeps = self.continues_on_loss() && mark.bytes <= LINE_LIMIT as u64;
        let (mut kept, mut block) = (Vec::new(), Vec::new());
        while trace.bytes() < mark.bytes {
            if block.is_empty() && !stream.wait(&mut block).map_err(|source| self.cannot(source))? {
                break;
            }
            let more = (mark.bytes - trace.bytes()).min(block.len() as u64) as usize;
            trace.add(&block[..more]);
            if keeps {
                kept.extend_from_slice(&block[..more]);
            }
            block.drain(..more);
        }
        if trace.mark() == mark {
            return Ok(Part { rest: block, ..Part::new(partition, Input::Stream(stream)).at(line, trace) });
        }
        if !keeps {
            return Err(SourceError::OtherStream { path: self.path.to_string(), bytes: mark.bytes });
        }
        self.warn_of_loss(line);
        kept.append(&mut block);
        Ok(Part { rest: kept, ..Part::new(partition + 1, Input::Stream(stream)) })
    }

    /// Opens the file that begins with the bytes of `mark`, after them.
    fn open_file(&self, partition: i32, line: i64, mark: Mark) -> Result<Part, SourceError> {
        let path = Path::new(&*self.path);
        if mark.bytes == 0 {
            return self.open_new(partition);
        }
        // A file must exist at the path, whatever its contents.
        File::open(path).map_err(|source| self.cannot(source))?;
        if let Some(found) = identity::match_file(path, mark) {
            return self.open_found(found, partition, line);
        }
        match identity::find(path, mark).map_err(|source| self.cannot(source))? {
            Some(found) => {
                let file = found.path.display().to_string();
                tracing::info!(input = &*self.path, file, "finishing the file that was read before");
                self.open_found(found, partition, line)
            }
            None if self.continues_on_loss() => {
                self.warn_of_loss(line);
                self.open_new(partition + 1)
            }
            None => Err(self.replaced(line, mark.bytes)),
        }
    }

    /// Opens the file that has the name now, at its first line.
    pub(super) fn open_new(&self, partition: i32) -> Result<Part, SourceError> {
        let path = Path::new(&*self.path);
        let file = File::open(path).map_err(|source| self.cannot(source))?;
        let (_, format) = compression::text(Box::new(file)).map_err(|source| self.cannot(source))?;
        match (format, Format::of_name(path)) {
            (None, Some(promised)) => {
                Err(SourceError::NotCompressed { path: self.path.to_string(), format: promised.name() })
            }
            (format, _) => Ok(Part::new(partition, self.input(path, format, 0, None)?)),
        }
    }

    /// Opens a file that was found by its bytes, after them.
    fn open_found(&self, found: Found, partition: i32, line: i64) -> Result<Part, SourceError> {
        let Found { path, trace, format, .. } = found;
        let mut part = Part::new(partition, self.input(&path, format, trace.bytes(), None)?).at(line, trace);
        if path != Path::new(&*self.path) {
            (part.is_replaced, part.found) = (true, Some(path));
            // With `follow`, it ends when the next file has something to read.
            part.is_final |= !self.follow;
        }
        Ok(part)
    }

    /// Opens a file that had the name earlier; the `last` of those may still grow.
    pub(super) fn open_between(&self, path: &Path, partition: i32, last: bool) -> Result<Part, SourceError> {
        let cannot = |source| SourceError::File { path: path.display().to_string(), source };
        let file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        let (_, format) = compression::text(Box::new(file)).map_err(cannot)?;
        let follows = self.follow && last && format.is_none();
        let end = (!follows && format.is_none()).then_some(length);
        let part = Part::new(partition, self.input(path, format, 0, end)?);
        Ok(Part { is_replaced: true, is_final: !follows, found: Some(path.to_owned()), ..part })
    }

    /// Finds the file that was read before.
    pub(super) fn find_again(&self, mark: Mark) -> Result<Found, SourceError> {
        let path = Path::new(&*self.path);
        if let Some(found) = identity::match_file(path, mark) {
            return Ok(found);
        }
        let found = identity::find(path, mark).map_err(|source| self.cannot(source))?;
        found.ok_or_else(|| SourceError::FileGone {
            path: self.path.to_string(),
            folder: self.folder(),
            bytes: mark.bytes,
        })
    }

    /// Opens a file that was read before.
    pub(super) fn open_again(&mut self, again: &Again) -> Result<Part, SourceError> {
        let found = self.find_again(again.to)?;
        let trace = match again.from.bytes {
            0 => Trace::new(),
            // Its beginning was read even before that.
            _ => match identity::match_file(&found.path, again.from) {
                Some(found) => found.trace,
                None => self.find_again(again.from)?.trace,
            },
        };
        let input = self.input(&found.path, found.format, again.from.bytes, Some(again.to.bytes))?;
        self.files.push(found.path);
        let part = Part::new(again.partition, input).at(again.line, trace);
        Ok(Part { is_final: true, ..part })
    }

    /// Opens a file at a position of its text.
    pub(super) fn input(
        &self,
        path: &Path,
        format: Option<Format>,
        position: u64,
        end: Option<u64>,
    ) -> Result<Input, SourceError> {
        let cannot = |source| SourceError::File { path: path.display().to_string(), source };
        if format.is_some() {
            return Ok(Input::Stream(Stream::of_file(path, position, end).map_err(cannot)?));
        }
        let name = Path::new(&*self.path);
        let mut growing = Growing::open(path, name, position, self.follow).map_err(cannot)?;
        if let Some(end) = end {
            growing.end_at(end);
        }
        Ok(Input::Growing(growing))
    }
}

/// The offsets of `path`: one for each file that had this name, in order.
fn read_of<'a>(path: &str, offsets: &'a [NextOffset]) -> Vec<&'a NextOffset> {
    let full = full_path(path);
    let mut read: Vec<_> = offsets.iter().filter(|at| *at.topic == *full).collect();
    read.sort_by_key(|at| at.partition);
    read
}

/// Whether a path can be read only once.
fn is_stream(path: &str) -> io::Result<bool> {
    if path == "-" {
        return Ok(true);
    }
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(!metadata.is_file())
}
