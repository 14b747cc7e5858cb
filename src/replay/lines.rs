//! Any file or standard input, each line a message as it is.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::key::KeyField;
use super::{Input, Message, ReplayError};

const BUFFER: usize = 256 * 1024;

pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    path: PathBuf,
    key: Option<KeyField>,
    position: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn Read>, path: &Path, key: Option<KeyField>) -> Lines {
        Lines { reader: BufReader::with_capacity(BUFFER, reader), path: path.to_owned(), key, position: 0 }
    }
}

impl Input for Lines {
    fn read(&mut self, message: &mut Message) -> Result<bool, ReplayError> {
        let Message { key, payload, .. } = message;
        payload.clear();
        let read = self.reader.read_until(b'\n', payload);
        let read = read.map_err(|source| ReplayError::Read { path: self.path.clone(), source })?;
        self.position += read as u64;
        if payload.pop_if(|last| *last == b'\n').is_some() {
            payload.pop_if(|last| *last == b'\r');
        }
        message.has_payload = true;
        message.has_key = self.key.as_ref().is_some_and(|field| field.find(payload, key));
        Ok(read > 0)
    }

    fn position(&self) -> u64 {
        self.position
    }
}
