//! Reads dead letters from CSV files and restores the original messages.
//!
//! `payload` and `message_key` are text, or base64 with the prefix `base64:` (text that begins with `base64:` is
//! encoded as well). An empty key means no key. An empty payload with the reason `null_value` is a tombstone.
//!
//! The input is one file, or a folder of numbered files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use csv::{ByteRecord, Reader, ReaderBuilder};
use dataflows::dead_letter::Reason;

use super::error::ReplayError;
use super::input::{Input, Message, Next, PartOf};
use super::summary::Why;
use crate::sink::csv::numbered;
use crate::text::time;

const BASE64: &[u8] = b"base64:";
const BUFFER: usize = 256 * 1024;

/// Opens a folder, or a file if it has dead letters.
pub(super) fn open(path: &Path) -> Result<Option<Box<dyn Input>>, ReplayError> {
    if path != Path::new("-") && path.is_dir() {
        return Ok(Some(Box::new(Folder::open(path)?)));
    }
    if path.extension().is_none_or(|extension| extension != "csv") {
        return Ok(None);
    }
    Ok(DeadLetters::open(path)?.map(|letters| Box::new(letters) as Box<dyn Input>))
}

/// The numbered files of a folder, read in order.
struct Folder {
    file: DeadLetters,
    later: IntoIter<PathBuf>,
    /// Bytes of the files before the current one.
    before: u64,
}

impl Folder {
    fn open(path: &Path) -> Result<Folder, ReplayError> {
        let files = numbered(path).map_err(|source| read_error(path, source))?;
        let files: Vec<PathBuf> = files.into_iter().map(|(_, file)| file).collect();
        let mut later = files.into_iter();
        let first = Self::next(&mut later)?;
        let file = first.ok_or_else(|| ReplayError::NoDeadLetters { path: path.to_owned() })?;
        Ok(Folder { file, later, before: 0 })
    }

    /// Opens the next file that is not empty.
    fn next(later: &mut IntoIter<PathBuf>) -> Result<Option<DeadLetters>, ReplayError> {
        for path in later {
            let length = path.metadata().map_err(|source| read_error(&path, source))?.len();
            if length > 0 {
                return DeadLetters::open(&path)?.map(Some).ok_or(ReplayError::NoDeadLetters { path });
            }
        }
        Ok(None)
    }
}

impl Input for Folder {
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError> {
        loop {
            let next = self.file.read(message)?;
            if next != Next::End {
                return Ok(next);
            }
            let Some(file) = Self::next(&mut self.later)? else { return Ok(Next::End) };
            self.before += self.file.position();
            self.file = file;
        }
    }

    fn position(&self) -> u64 {
        self.before + self.file.position()
    }
}

/// One file.
pub(super) struct DeadLetters {
    reader: Reader<Box<dyn Read>>,
    path: PathBuf,
    columns: Columns,
    row: ByteRecord,
}

/// Column indexes; only `payload` is required.
struct Columns {
    topic: Option<usize>,
    partition: Option<usize>,
    offset: Option<usize>,
    timestamp: Option<usize>,
    key: Option<usize>,
    place: Option<usize>,
    reason: Option<usize>,
    field: Option<usize>,
    payload: usize,
}

impl DeadLetters {
    /// Opens a CSV file; `None` if its header has no `payload`, so that it has no dead letters.
    fn open(path: &Path) -> Result<Option<DeadLetters>, ReplayError> {
        let file = File::open(path).map_err(|source| read_error(path, source))?;
        Self::read_from(Box::new(file), path)
    }

    /// Reads a CSV file; `path` is for error messages.
    pub(super) fn read_from(file: Box<dyn Read>, path: &Path) -> Result<Option<DeadLetters>, ReplayError> {
        let mut reader = ReaderBuilder::new().buffer_capacity(BUFFER).from_reader(file);
        let header = reader.byte_headers().map_err(|error| csv_error(path, &error))?;
        let column = |name: &str| header.iter().position(|column| column == name.as_bytes());
        let Some(payload) = column("payload") else { return Ok(None) };
        let columns = Columns {
            topic: column("topic"),
            partition: column("partition"),
            offset: column("offset"),
            timestamp: column("kafka_timestamp"),
            key: column("message_key"),
            place: column("place"),
            reason: column("reason"),
            field: column("field"),
            payload,
        };
        let (path, row) = (path.to_owned(), ByteRecord::new());
        Ok(Some(DeadLetters { reader, path, columns, row }))
    }

    /// Whether the reading would count twice if it were sent again, or the letter is not a message.
    fn is_left_out(&self, reason: Reason, field: &[u8]) -> bool {
        match reason {
            Reason::Late | Reason::RefusedByDatabase => true,
            // A reading that one view drops is in the others: its letter has the view's name. What the message itself has too
            // large is named by these.
            Reason::TooLarge => ![&b""[..], b"key", b"truck_id"].contains(&field),
            _ => false,
        }
    }

    /// Where the letter in the row was in its message, if it is a part of one.
    fn part(&self) -> Result<Option<PartOf>, ReplayError> {
        let field = |column: Option<usize>| column.and_then(|n| self.row.get(n)).unwrap_or_default();
        let text = |column| std::str::from_utf8(field(column)).unwrap_or_default();
        let place = text(self.columns.place);
        if place.is_empty() {
            return Ok(None);
        }
        let place = place.parse().map_err(|_| self.broken("its place is not a number"))?;
        let offset = text(self.columns.offset).parse();
        let offset = offset.map_err(|_| self.broken("its offset is not a number"))?;
        let timestamp = time::parse(text(self.columns.timestamp));
        Ok(Some(PartOf { offset, timestamp, place, line: self.line() }))
    }

    /// The line of the row, from 1.
    fn line(&self) -> u64 {
        self.row.position().map_or(0, csv::Position::line)
    }

    fn broken(&self, reason: &str) -> ReplayError {
        let line = self.line();
        ReplayError::DeadLetter { path: self.path.clone(), line, reason: reason.to_owned() }
    }
}

impl Input for DeadLetters {
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError> {
        if !self.reader.read_byte_record(&mut self.row).map_err(|error| csv_error(&self.path, &error))? {
            return Ok(Next::End);
        }
        let field = |column: Option<usize>| column.and_then(|n| self.row.get(n)).unwrap_or_default();
        let reason = field(self.columns.reason);
        let reason = Reason::ALL.into_iter().find(|known| known.name().as_bytes() == reason);
        if let Some(reason) = reason.filter(|reason| self.is_left_out(*reason, field(self.columns.field))) {
            return Ok(Next::LeftOut(Why::Reason(reason)));
        }

        message.topic.clear();
        match std::str::from_utf8(field(self.columns.topic)) {
            Ok(topic) => message.topic.push_str(topic),
            Err(_) => return Err(self.broken("its topic is not UTF-8")),
        }
        let partition = field(self.columns.partition);
        message.partition = match std::str::from_utf8(partition).ok().and_then(|text| text.parse().ok()) {
            None if !partition.is_empty() => return Err(self.broken("its partition is not a number")),
            partition => partition,
        };
        let key = field(self.columns.key);
        message.has_key = !key.is_empty();
        if !decode(key, &mut message.key) {
            return Err(self.broken("its message_key is not valid base64"));
        }
        let payload = field(Some(self.columns.payload));
        message.has_payload = !payload.is_empty() || reason != Some(Reason::NullValue);
        if !decode(payload, &mut message.payload) {
            return Err(self.broken("its payload is not valid base64"));
        }
        message.headers.clear();
        message.part = self.part()?;
        Ok(Next::Message)
    }

    fn position(&self) -> u64 {
        self.reader.position().byte()
    }
}

/// Decodes a field into `out`; `false` if it is not valid base64.
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

fn read_error(path: &Path, source: io::Error) -> ReplayError {
    ReplayError::Read { path: path.to_owned(), source }
}

fn csv_error(path: &Path, error: &csv::Error) -> ReplayError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields instead of {expected_len}")
        }
        _ => error.to_string(),
    };
    ReplayError::DeadLetter { path: path.to_owned(), line, reason }
}
