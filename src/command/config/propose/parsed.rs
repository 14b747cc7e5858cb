//! Messages whose bytes became values, and the readings in them.

use std::rc::Rc;

use super::root::Root;
use super::value::{Leaf, Value};
use crate::decode::tree::Tree;
use crate::source::sample::Sampled;

/// A message as values.
#[derive(Clone, Debug)]
pub struct Message {
    /// The objects in it; none if it cannot be read.
    pub(super) values: Vec<Value>,
    /// The key.
    pub(super) key: Option<Value>,
    /// The headers, by their names.
    pub(super) headers: Option<Value>,
    /// Kafka's timestamp in milliseconds since 1970, if there is one.
    pub(super) timestamp: Option<i64>,
    /// Whether it has no value, which deletes its key.
    pub(super) is_tombstone: bool,
}

/// A reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'v> {
    /// The number of its message.
    pub(super) message: usize,
    /// The value that it is in.
    pub(super) whole: &'v Value,
    /// The reading.
    pub(super) value: &'v Value,
}

/// Readings beyond these are not looked at.
const MAX_READINGS: usize = 20_000;

impl Message {
    /// A sampled message with these values.
    pub(super) fn new(sampled: &Sampled, values: Vec<Value>) -> Self {
        let text = |bytes: &[u8]| Some(Value::Leaf(Leaf::Text(std::str::from_utf8(bytes).ok()?.into())));
        let key = sampled.key.as_deref().and_then(|bytes| object(bytes).or_else(|| text(bytes)));
        let headers: Vec<(Rc<str>, Value)> = sampled
            .headers
            .0
            .iter()
            .filter_map(|(name, value)| Some((Rc::from(&**name), text(value.as_deref()?)?)))
            .collect();
        Self {
            values,
            key,
            headers: (!headers.is_empty()).then_some(Value::Object(headers)),
            timestamp: sampled.timestamp,
            is_tombstone: sampled.payload.is_none(),
        }
    }
}

/// The object that a key is.
fn object(bytes: &[u8]) -> Option<Value> {
    let trees = Tree::parse(std::str::from_utf8(bytes).ok()?)?;
    match &*trees {
        [tree @ Tree::Object(_)] => Some(Value::from(tree)),
        _ => None,
    }
}

/// The readings at a root, and how many values there cannot be one.
pub(super) fn readings<'v>(messages: &'v [Message], root: &Root) -> (Vec<Reading<'v>>, usize) {
    let (mut readings, mut others) = (Vec::new(), 0);
    for (message, parsed) in messages.iter().enumerate() {
        for whole in &parsed.values {
            let found = root.find(whole);
            others += usize::from(found.is_none());
            for value in found.unwrap_or_default() {
                match value {
                    Value::Object(_) | Value::List(_) if readings.len() < MAX_READINGS => {
                        readings.push(Reading { message, whole, value });
                    }
                    _ => others += 1,
                }
            }
        }
    }
    (readings, others)
}
