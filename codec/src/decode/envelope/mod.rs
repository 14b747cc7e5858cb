//! A message with one of the readings of another message, and everything that stands next to it.
//!
//! ```text
//! message   {"truck": "a", "readings": [{"v": 1}, {"v": "x"}, {"v": 3}]}
//! part 1                                          {"v": 2}
//! envelope  {"truck": "a", "readings": [{"v": 2}]}
//! ```
//!
//! All other bytes are those of the message. If the envelope does not mean what the part means in its message, the
//! other readings stay as empty lists, which have no reading: then keys and indices are the same. This is tried by
//! reading both. If they still differ, there is no envelope.
//!
//! | file | contents |
//! |---|---|
//! | `way` | the way from a text to its readings, and the text with one of them replaced |
//! | `lines` | the same for lines of CSV |
//! | `others` | the other readings of a message |

mod lines;
mod others;
mod way;

use std::sync::Arc;

use self::lines::Lines;
use self::others::Others;
use self::way::Way;
use super::confluent;
use super::decoder::Decoder;
use super::explain::ReadingExplained;
use super::mapping::{Format, Mapping};
use super::message::Message;
use super::schema::SchemaFormat;
use super::tree::Tree;

/// Makes envelopes for the messages of a job.
///
/// ```
/// use std::sync::Arc;
/// use codec::decode::mapping::Mapping;
/// use codec::decode::{Envelopes, path::Pointer};
///
/// let mapping = Mapping { root: vec![Pointer::parse("/readings").unwrap()], ..Mapping::trucks() };
/// let message = br#"{"truck": "a", "readings": [{"v": 1}, {"v": "x"}, {"v": 3}]}"#;
/// let envelope = Envelopes::new(Arc::new(mapping)).of_part(message, 1, br#"{"v": 2}"#);
/// assert_eq!(envelope.unwrap(), br#"{"truck": "a", "readings": [{"v": 2}]}"#);
/// ```
#[derive(Debug)]
pub struct Envelopes {
    mapping: Arc<Mapping>,
    decoder: Decoder,
    /// Whether messages begin with the header of a registry.
    has_header: bool,
}

/// Why a part has no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoEnvelope {
    /// The format is binary.
    Binary,
    /// The message has no part at its place.
    NoPart,
    /// The part is not one value of the message's format.
    NotOneValue,
    /// The meaning of the part depends on other readings of the message.
    Dependent,
}

/// A message in which one reading is replaced.
enum Replaced<'t> {
    Text(Way<'t>),
    Csv(Lines<'t>),
}

impl Envelopes {
    /// Envelopes for messages that are read by this mapping.
    pub fn new(mapping: Arc<Mapping>) -> Self {
        let has_header = matches!(mapping.format, Format::Registry(SchemaFormat::Json));
        let mapping = match has_header {
            // Behind the header of a registry, JSON is like any other.
            true => Arc::new(Mapping { format: Format::Text, ..Mapping::clone(&mapping) }),
            false => mapping,
        };
        // The job's limit is for the job: it rejects an envelope that is too large.
        let decoder = Decoder::new("".into(), mapping.clone()).with_max_bytes(usize::MAX);
        Self { mapping, decoder, has_header }
    }

    /// The message with `part` as its only reading, instead of the reading that it has at this place.
    ///
    /// # Errors
    /// There is no such message.
    pub fn of_part(&mut self, message: &[u8], place: u32, part: &[u8]) -> Result<Vec<u8>, NoEnvelope> {
        let body = match self.has_header {
            true => confluent::split(message).map_err(|_| NoEnvelope::NoPart)?.1,
            false => message,
        };
        let envelope = self.of_text(body, place as usize, part)?;
        let header = &message[..message.len() - body.len()];
        Ok([header, envelope.as_bytes()].concat())
    }

    fn of_text(&mut self, message: &[u8], place: usize, part: &[u8]) -> Result<String, NoEnvelope> {
        if matches!(self.mapping.format, Format::Schema(_) | Format::Registry(_)) {
            return Err(NoEnvelope::Binary);
        }
        let text = std::str::from_utf8(message).map_err(|_| NoEnvelope::NoPart)?;
        let part = std::str::from_utf8(part).map_err(|_| NoEnvelope::NotOneValue)?;
        let (count, _) = self.read(text, place);
        let replaced = match &self.mapping.format {
            Format::Csv { separator, columns } => {
                Lines::find(text, *separator, columns.is_none(), place).map(Replaced::Csv)
            }
            _ if Tree::parse(part).is_none_or(|values| values.len() != 1) => {
                return Err(NoEnvelope::NotOneValue);
            }
            _ => Way::find(text, &self.mapping.root, place).map(Replaced::Text),
        };
        let replaced = replaced.filter(|_| place < count).ok_or(NoEnvelope::NoPart)?;
        let write = |others: Others| match &replaced {
            Replaced::Text(way) => way.write(part, others),
            Replaced::Csv(lines) => lines.write(part, others),
        };
        let (found, meant) = self.read(&write(Others::Stay), place);
        let Some(meant) = meant.filter(|_| found == count) else { return Err(NoEnvelope::NotOneValue) };
        for others in [Others::LeftOut, Others::Emptied] {
            let envelope = write(others);
            if let (1, Some(reading)) = self.read(&envelope, 0)
                && reading.means(&meant)
            {
                return Ok(envelope);
            }
        }
        Err(NoEnvelope::Dependent)
    }

    /// How many readings a message has, and how the one at a place is read.
    fn read(&mut self, message: &str, place: usize) -> (usize, Option<ReadingExplained>) {
        let message = Message { payload: Some(message.as_bytes()), ..Message::default() };
        let (mut count, mut reading) = (0, None);
        let result = self.decoder.visit(&message, &mut |decoder, found, (number, one), part| {
            count += 1;
            if number == place {
                reading = Some(decoder.explain_reading(found, (number, one), &message, part));
            }
        });
        // Nothing of a message that cannot be read is passed on.
        (result.map_or(0, |()| count), reading)
    }
}
