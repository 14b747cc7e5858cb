//! Any file or standard input, each line a message as it is.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use super::key::KeyField;
use super::{Input, Message, Next, ReplayError};
use crate::source::file;

const BUFFER: usize = 256 * 1024;

/// What a line's key is.
pub(super) enum Key {
    None,
    /// The text of a field.
    Field(Box<KeyField>),
    /// What stands before the separator.
    Before(Box<Finder<'static>>),
}

pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    path: PathBuf,
    key: Key,
    position: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn Read>, path: &Path, key: Key) -> Lines {
        Lines { reader: BufReader::with_capacity(BUFFER, reader), path: path.to_owned(), key, position: 0 }
    }
}

impl Input for Lines {
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError> {
        let Message { key, payload, .. } = message;
        payload.clear();
        let read = self.reader.read_until(b'\n', payload);
        let read = read.map_err(|source| ReplayError::Read { path: self.path.clone(), source })?;
        self.position += read as u64;
        if payload.pop_if(|last| *last == b'\n').is_some() {
            payload.pop_if(|last| *last == b'\r');
        }
        (message.has_key, message.has_payload) = match &self.key {
            Key::None => (false, true),
            Key::Field(field) => (field.find(payload, key), true),
            Key::Before(separator) => split(payload, key, separator),
        };
        Ok(if read > 0 { Next::Message } else { Next::End })
    }

    fn position(&self) -> u64 {
        self.position
    }
}

/// Moves the key from a line into `key`, and leaves the value; says whether each is there.
fn split(line: &mut Vec<u8>, key: &mut Vec<u8>, separator: &Finder<'_>) -> (bool, bool) {
    key.clear();
    let (found, value) = file::message(line, Some(separator));
    let has = (found.is_some(), value.is_some());
    if let Some(found) = found {
        key.extend_from_slice(found);
        line.drain(..key.len() + separator.needle().len());
    }
    has
}
