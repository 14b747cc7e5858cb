//! The messages of an input in blocks, shared by the workers.
//!
//! ```text
//! input -> start: byte order mark, encoding -> framing -> blocks of whole messages, numbered from 0
//!   ^                                                       '-> trace: the bytes before the next number
//!   '- the next file with the name: its number is the partition
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::item::Mark;
use memchr::memmem::Finder;

use super::compression::Format;
use super::encoding::{self, Start};
use super::framing::{Framing, is_blank};
use super::input::Got;
use super::part::{Again, Input, Part};
use super::path::folder;
use crate::source::{OnDataLoss, SourceError};

/// Longer lines end the job; readings are far shorter.
pub(crate) const LINE_LIMIT: usize = 64 << 20;

/// How an input is read.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether to read lines that are appended later; otherwise the input ends at its current end.
    pub follow: bool,
    /// The kind of messages.
    pub framing: Framing,
    /// Separates key and value of a line.
    pub separator: Option<&'a str>,
    /// What to do if the file that was read is gone.
    pub on_data_loss: OnDataLoss,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { follow: false, framing: Framing::Lines, separator: None, on_data_loss: OnDataLoss::Stop }
    }
}

/// A last line without line end, which was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The input.
    pub path: String,
    /// The number of the line, from 1.
    pub line: i64,
    /// Its number of bytes so far.
    pub bytes: u64,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, bytes } = self;
        write!(f, "line {line} of {path} has no line end yet; its {bytes} bytes were left for a later run")
    }
}

/// A file or standard input, shared by the workers.
#[derive(Debug)]
pub struct Lines {
    pub(super) path: Arc<str>,
    pub(super) follow: bool,
    pub(super) framing: Framing,
    pub(super) separator: Option<Finder<'static>>,
    pub(super) on_data_loss: OnDataLoss,
    pub(super) part: Part,
    /// The marks of the files before it.
    pub(super) finished: Vec<Mark>,
    /// The files to read next, if the input is read again.
    pub(super) later: VecDeque<Again>,
    /// The files that are read again.
    pub(super) files: Vec<PathBuf>,
}

impl Lines {
    pub(super) fn new(path: &str, options: Options<'_>, part: Part) -> Self {
        Self {
            path: path.into(),
            follow: options.follow,
            framing: options.framing,
            separator: options.separator.map(|separator| Finder::new(separator).into_owned()),
            on_data_loss: options.on_data_loss,
            part,
            finished: Vec::new(),
            later: VecDeque::new(),
            files: Vec::new(),
        }
    }

    pub(super) fn cannot(&self, source: io::Error) -> SourceError {
        SourceError::File { path: self.path.to_string(), source }
    }

    pub(super) fn folder(&self) -> String {
        folder(Path::new(&*self.path)).display().to_string()
    }

    pub(super) fn continues_on_loss(&self) -> bool {
        self.on_data_loss == OnDataLoss::Earliest
    }

    /// The path, as it was given.
    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The separator of key and value.
    pub(super) fn separator(&self) -> Option<&Finder<'static>> {
        self.separator.as_ref()
    }

    /// The kind of messages.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The header record, if messages are records and it was read.
    pub fn header(&self) -> Option<&Arc<[u8]>> {
        self.part.header.as_ref()
    }

    /// The number of the current file among those that have had the name.
    pub fn partition(&self) -> i32 {
        self.part.partition
    }

    /// The numbers of the first message of the last block and of the first one after it.
    pub fn span(&self) -> (i64, i64) {
        (self.part.first, self.part.line)
    }

    /// The mark of the bytes before the next message.
    pub fn mark(&self) -> Mark {
        self.part.trace.mark()
    }

    /// The files that are read again.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The number of bytes left of a file that is not followed.
    pub fn left(&self) -> Option<u64> {
        match &self.part.input {
            Input::Growing(growing) => growing.left(),
            Input::Stream(stream) => stream.left(),
            Input::Ended => Some(0),
        }
    }

    /// The last line, if it was left because it has no line end.
    pub fn unfinished(&self) -> Option<Unfinished> {
        let part = &self.part;
        let is_left = !self.follow && self.left() == Some(0) && !is_blank(&part.rest, None);
        is_left.then(|| Unfinished {
            path: self.path.to_string(),
            line: part.line + 1,
            bytes: part.rest.len() as u64,
        })
    }

    /// Detects encoding and header from what is available.
    pub(super) fn peek(&mut self) -> Result<(), SourceError> {
        let mut block = std::mem::take(&mut self.part.rest);
        if block.is_empty() {
            let is_file = matches!(&self.part.input, Input::Stream(stream) if stream.is_of_file());
            match &mut self.part.input {
                Input::Stream(stream) if is_file => stream.wait(&mut block).map(drop),
                Input::Stream(stream) => stream.read(&mut block).map(drop),
                Input::Growing(growing) => growing.read(&mut block).map(drop),
                Input::Ended => Ok(()),
            }
            .map_err(|source| self.cannot(source))?;
        }
        self.begin(&mut block, false)?;
        self.whole(&block, false);
        self.part.rest = block;
        Ok(())
    }

    /// Restores the header from what was read before.
    pub(super) fn learn(&mut self) {
        let head = self.part.trace.head();
        let skipped = match encoding::start(head, true) {
            Start::Text(skipped) if !head.is_empty() => skipped,
            _ => return,
        };
        let text = &head[skipped..];
        if self.framing.has_header() {
            self.part.header = self.framing.length(text, true).map(|length| text[..length].into());
        }
    }

    /// Puts the next whole messages into `block`.
    pub(super) fn next_block(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        loop {
            match self.next_of_part(block)? {
                Got::End if self.next_part()? => {}
                got => return Ok(got),
            }
        }
    }

    fn next_of_part(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        block.clear();
        std::mem::swap(block, &mut self.part.rest);
        let mut last = false;
        loop {
            self.begin(block, last)?;
            let (end, messages) = self.whole(block, last);
            if messages > 0 {
                self.part.emit(block, end, messages);
                return Ok(Got::Bytes);
            }
            if last {
                return Ok(Got::End);
            }
            if block.len() > LINE_LIMIT {
                let (path, line) = (self.path.to_string(), self.part.line + 1);
                return Err(SourceError::LongLine { path, line, limit: LINE_LIMIT });
            }
            match self.fill(block)? {
                Got::Bytes => {}
                Got::Changed(change) => {
                    if !self.change(change, block)? {
                        std::mem::swap(block, &mut self.part.rest);
                        return Ok(Got::Nothing);
                    }
                }
                Got::End if block.is_empty() => return Ok(Got::End),
                Got::End if self.part.is_final => last = true,
                got => {
                    if self.is_complete(block) {
                        let end = block.len();
                        self.part.emit(block, end, 1);
                        return Ok(Got::Bytes);
                    }
                    std::mem::swap(block, &mut self.part.rest);
                    return Ok(got);
                }
            }
        }
    }

    /// Whether a line without line end is a complete message.
    fn is_complete(&mut self, line: &[u8]) -> bool {
        let part = &mut self.part;
        if part.checked == line.len() || part.is_open {
            return false;
        }
        part.checked = line.len();
        self.framing.is_complete(line, self.separator.as_ref())
    }

    /// Skips what is before the first line, and the line end of a message that was complete without it.
    fn begin(&mut self, block: &mut Vec<u8>, last: bool) -> Result<(), SourceError> {
        let part = &mut self.part;
        if !part.is_begun {
            let path = || self.path.to_string();
            if let (Input::Growing(_), Some(format)) = (&part.input, Format::of(block)) {
                return Err(SourceError::CompressedLater { path: path(), format: format.name() });
            }
            match encoding::start(block, last) {
                Start::Unknown => return Ok(()),
                Start::Other(encoding) => return Err(SourceError::Encoding { path: path(), encoding }),
                Start::Text(skipped) => {
                    part.is_begun = true;
                    part.skip(block, skipped);
                }
            }
        }
        if part.is_open {
            let end = memchr::memchr(b'\n', block).map(|at| at + 1);
            let blank = is_blank(&block[..end.unwrap_or(block.len())], None);
            if blank && (end.is_some() || last) {
                part.skip(block, end.unwrap_or(block.len()));
            }
            part.is_open = blank && end.is_none();
        }
        Ok(())
    }

    /// The total length and the number of whole messages in `block`.
    fn whole(&mut self, block: &[u8], last: bool) -> (usize, i64) {
        let part = &mut self.part;
        if !part.is_begun || (part.is_open && !last) {
            return (0, 0);
        }
        if self.framing.has_header() && part.line == 0 && part.header.is_none() {
            part.header = self.framing.length(block, last).map(|length| block[..length].into());
        }
        self.framing.whole(block, last)
    }

    /// Appends the available bytes of the input to `block`.
    fn fill(&mut self, block: &mut Vec<u8>) -> Result<Got, SourceError> {
        match &mut self.part.input {
            Input::Growing(growing) => growing.read(block),
            Input::Stream(stream) => stream.read(block),
            Input::Ended => Ok(Got::End),
        }
        .map_err(|source| self.cannot(source))
    }
}
