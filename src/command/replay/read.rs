//! Reads the messages that a replay would send, without a broker; for fuzzing and tests.

use std::io::Read;
use std::path::Path;

use memchr::memmem::Finder;

use super::dead_letters::DeadLetters;
use super::error::ReplayError;
use super::input::{Input, Message, Next};
use super::key::KeyField;
use super::lines::{Key, Lines};
use crate::source::file::TextLines;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The topic; empty if the input does not name one.
    pub topic: String,
    /// The partition that the message came from, if known.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; None is a tombstone.
    pub payload: Option<Vec<u8>>,
}

/// The messages of lines, keyed by the field `key` or by the text before `separator`.
pub fn lines_of(
    input: impl Read + Send + 'static,
    key: Option<&str>,
    separator: Option<&str>,
) -> Result<Vec<Sent>, ReplayError> {
    let key = match (key, separator) {
        (Some(field), _) => Key::Field(Box::new(KeyField::new(field))),
        (None, Some(separator)) => Key::Before(Box::new(Finder::new(separator).into_owned())),
        (None, None) => Key::None,
    };
    let path = Path::new("-");
    let lines = TextLines::new(Box::new(input), false, separator);
    let lines = lines.map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
    all(&mut Lines::new(lines, path, key))
}

/// The messages of a CSV file of dead letters; None for any other file.
pub fn dead_letters_of(input: impl Read + 'static) -> Result<Option<Vec<Sent>>, ReplayError> {
    let letters = DeadLetters::read_from(Box::new(input), Path::new("-"))?;
    letters.map(|mut letters| all(&mut letters)).transpose()
}

fn all(input: &mut dyn Input) -> Result<Vec<Sent>, ReplayError> {
    let mut message = Message::default();
    let mut sent = Vec::new();
    loop {
        match input.read(&mut message)? {
            Next::End => return Ok(sent),
            Next::LeftOut(_) => {}
            // It is sent in an envelope, which needs the topic.
            Next::Message if message.part.is_some() => {}
            Next::Message => sent.push(Sent {
                topic: message.topic.clone(),
                partition: message.partition,
                key: message.has_key.then(|| message.key.clone()),
                payload: message.has_payload.then(|| message.payload.clone()),
            }),
        }
    }
}
