//! Any file or standard input; each line is a message, unchanged.

use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use super::error::ReplayError;
use super::input::{Input, Message, Next};
use super::key::KeyField;
use crate::source::file::{self, TextError, TextLines};

/// The key of a line.
pub(super) enum Key {
    None,
    /// The value of a field.
    Field(Box<KeyField>),
    /// The text before the separator.
    Before(Box<Finder<'static>>),
}

pub(super) struct Lines {
    lines: TextLines,
    path: PathBuf,
    key: Key,
}

impl Lines {
    pub(super) fn new(lines: TextLines, path: &Path, key: Key) -> Lines {
        Lines { lines, path: path.to_owned(), key }
    }
}

impl Input for Lines {
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError> {
        let Message { key, payload, .. } = message;
        let path = || self.path.clone();
        let read = self.lines.next(payload).map_err(|error| match error {
            TextError::Io(source) => ReplayError::Read { path: path(), source },
            error => ReplayError::Text { path: path(), reason: error.to_string() },
        })?;
        (message.has_key, message.has_payload) = match &self.key {
            Key::None => (false, true),
            Key::Field(field) => (field.find(payload, key), true),
            Key::Before(separator) => split(payload, key, separator),
        };
        Ok(if read { Next::Message } else { Next::End })
    }

    fn position(&self) -> u64 {
        self.lines.mark().bytes
    }

    fn unfinished(&self) -> Option<(i64, u64)> {
        self.lines.left()
    }
}

/// Moves the key from a line into `key`, and leaves the value. Returns whether each exists.
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
