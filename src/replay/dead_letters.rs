//! Dead letters that truckflow kept in a CSV file, as the messages that they were.
//!
//! `payload` and `message_key` are text, or `base64:` and base64 for other bytes (so that a text which
//! begins with `base64:` is written in base64 too). An empty key is none; an empty payload with the
//! reason `null_value` is a message without a value, a tombstone.

use std::fs::File;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{Input, Message, ReplayError};

const BASE64: &[u8] = b"base64:";
const NULL_VALUE: &[u8] = b"null_value";
const BUFFER: usize = 256 * 1024;

pub(super) struct DeadLetters {
    reader: Reader<File>,
    path: PathBuf,
    columns: Columns,
    row: ByteRecord,
}

/// Where the columns are; only `payload` has to be there.
struct Columns {
    topic: Option<usize>,
    partition: Option<usize>,
    key: Option<usize>,
    reason: Option<usize>,
    payload: usize,
}

impl DeadLetters {
    /// Opens a CSV file; `None` if its header has no `payload`, and so is not one of dead letters.
    pub(super) fn open(path: &Path) -> Result<Option<DeadLetters>, ReplayError> {
        let file = File::open(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
        let mut reader = ReaderBuilder::new().buffer_capacity(BUFFER).from_reader(file);
        let header = reader.byte_headers().map_err(|error| mistake(path, &error))?;
        let column = |name: &str| header.iter().position(|column| column == name.as_bytes());
        let Some(payload) = column("payload") else { return Ok(None) };
        let columns = Columns {
            topic: column("topic"),
            partition: column("partition"),
            key: column("message_key"),
            reason: column("reason"),
            payload,
        };
        Ok(Some(DeadLetters { reader, path: path.to_owned(), columns, row: ByteRecord::new() }))
    }

    fn broken(&self, reason: &str) -> ReplayError {
        let line = self.row.position().map_or(0, csv::Position::line);
        ReplayError::DeadLetter { path: self.path.clone(), line, reason: reason.to_owned() }
    }
}

impl Input for DeadLetters {
    fn read(&mut self, message: &mut Message) -> Result<bool, ReplayError> {
        if !self.reader.read_byte_record(&mut self.row).map_err(|error| mistake(&self.path, &error))? {
            return Ok(false);
        }
        let field = |column: Option<usize>| column.and_then(|n| self.row.get(n)).unwrap_or_default();

        message.topic.clear();
        match std::str::from_utf8(field(self.columns.topic)) {
            Ok(topic) => message.topic.push_str(topic),
            Err(_) => return Err(self.broken("its topic is no text")),
        }
        let partition = field(self.columns.partition);
        message.partition = match std::str::from_utf8(partition).ok().and_then(|text| text.parse().ok()) {
            None if !partition.is_empty() => return Err(self.broken("its partition is no number")),
            partition => partition,
        };
        let key = field(self.columns.key);
        message.has_key = !key.is_empty();
        if !decode(key, &mut message.key) {
            return Err(self.broken("its message_key is no base64"));
        }
        let payload = field(Some(self.columns.payload));
        message.has_payload = !payload.is_empty() || field(self.columns.reason) != NULL_VALUE;
        if !decode(payload, &mut message.payload) {
            return Err(self.broken("its payload is no base64"));
        }
        Ok(true)
    }

    fn position(&self) -> u64 {
        self.reader.position().byte()
    }
}

/// Writes the bytes that a field stands for into `out`; `false` if it is not what it says.
fn decode(field: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    match field.strip_prefix(BASE64) {
        Some(encoded) => BASE64_STANDARD.decode_vec(encoded, out).is_ok(),
        None => {
            out.extend_from_slice(field);
            true
        }
    }
}

fn mistake(path: &Path, error: &csv::Error) -> ReplayError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields instead of {expected_len}")
        }
        _ => error.to_string(),
    };
    ReplayError::DeadLetter { path: path.to_owned(), line, reason }
}
