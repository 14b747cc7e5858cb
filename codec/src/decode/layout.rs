//! Layouts of messages: what stays the same between the values of one producer's messages.
//!
//! Producers write the same keys in the same order, with the same blanks. A layout is learned from a message that the
//! general pass has read: its bytes without the values. A message that has these bytes needs no search for keys. Any
//! other one is read by the general pass, which gives the same result.

use super::lexer::Lexer;
use super::plan::{Node, Plan, Slot};
use super::scalar::Scalar;

/// How many layouts are kept: producers leave out keys that have no value, and a topic may have several producers.
const KEPT: usize = 8;
/// The longest pause between two attempts to learn, in messages.
const LONGEST_PAUSE: u32 = 1024;

/// The layouts of the messages of a topic.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// The one that was met last is the first.
    layouts: Vec<Layout>,
    /// How many messages to read before another one is learned from.
    wait: u32,
    /// How many were waited for before: it doubles while what is learned is of no use.
    pause: u32,
}

/// The layout of a message with one reading.
#[derive(Debug)]
struct Layout {
    pieces: Vec<Piece>,
    /// The fields that no piece has.
    others: Vec<usize>,
    /// What follows the last value.
    end: Box<[u8]>,
}

/// A value, and what is before it.
#[derive(Debug)]
struct Piece {
    before: Literal,
    /// The fields that need the value.
    fields: Box<[usize]>,
}

/// Takes the values of the fields of a reading.
pub(super) trait Fill<'a> {
    /// Forgets what was taken.
    fn begin(&mut self);

    /// Takes the value that was found for a field, if any.
    fn field(&mut self, index: usize, value: Option<&Scalar<'a>>);
}

/// Bytes that every message has.
#[derive(Debug)]
struct Literal {
    bytes: Box<[u8]>,
    /// The first eight of them, filled up with zeros, and which of their bits count.
    first: (u64, u64),
}

impl Layouts {
    /// Whether no layout is known.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.layouts.is_empty()
    }

    /// Finds all fields of the one reading of a message, if its layout is known.
    #[inline]
    pub fn read<'a>(&mut self, text: &'a str, out: &mut impl Fill<'a>) -> bool {
        for place in 0..self.layouts.len() {
            if self.layouts[place].read(text, out).is_some() {
                if place > 0 {
                    self.layouts[..=place].rotate_right(1);
                }
                self.pause = 0;
                return true;
            }
        }
        false
    }

    /// Learns the layout of a message that the general pass has read.
    pub fn learn(&mut self, plan: &Plan, text: &str) {
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        self.pause = (2 * self.pause + 1).min(LONGEST_PAUSE);
        self.wait = self.pause - 1;
        if let Some(layout) = Learner::learn(plan, text) {
            self.layouts.insert(0, layout);
            self.layouts.truncate(KEPT);
        }
    }
}

impl Literal {
    fn new(bytes: &[u8]) -> Self {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        let counts = u64::MAX.checked_shr(64 - 8 * length as u32).unwrap_or(0);
        Self { bytes: bytes.into(), first: (u64::from_le_bytes(first), counts) }
    }

    /// Whether a text begins with these bytes. They are too few for a call of a function that compares memory.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        let bytes = &*self.bytes;
        let Some(last) = bytes.last_chunk::<8>() else {
            let (first, counts) = self.first;
            return match text.first_chunk() {
                Some(eight) => (u64::from_le_bytes(*eight) ^ first) & counts == 0,
                None => text.starts_with(bytes),
            };
        };
        let Some(text) = text.get(..bytes.len()) else { return false };
        let (eights, of_text) = (bytes.as_chunks::<8>().0, text.as_chunks::<8>().0);
        // The last eight overlap with those before.
        eights.iter().zip(of_text).all(|(eight, of_text)| eight == of_text) && text.last_chunk() == Some(last)
    }
}

impl Layout {
    #[inline]
    fn read<'a>(&self, text: &'a str, out: &mut impl Fill<'a>) -> Option<()> {
        let mut lexer = Lexer::new(text);
        out.begin();
        for Piece { before, fields } in &self.pieces {
            if !before.begins(text.as_bytes().get(lexer.at..)?) {
                return None;
            }
            lexer.at += before.bytes.len();
            if fields.is_empty() {
                lexer.skip_scalar()?;
            } else {
                let value = lexer.scalar()?;
                fields.iter().for_each(|field| out.field(*field, Some(&value)));
            }
        }
        if text.as_bytes()[lexer.at..] != *self.end {
            return None;
        }
        self.others.iter().for_each(|field| out.field(*field, None));
        Some(())
    }
}

/// Learns a layout.
struct Learner<'p, 'a> {
    plan: &'p Plan,
    lexer: Lexer<'a>,
    pieces: Vec<Piece>,
    /// Where the last value ended.
    from: usize,
    /// Whether the reading was met.
    met: bool,
}

/// The nodes of a place, in the keys of the message and of the reading.
type At<'p> = (Option<&'p Node>, Option<&'p Node>);

impl<'p, 'a> Learner<'p, 'a> {
    /// The layout of a message with one object and one reading. None if it has a form that layouts do not have: lists
    /// on the way to values, values with parts where values are looked for, equal keys, or a root within a text.
    fn learn(plan: &'p Plan, text: &'a str) -> Option<Layout> {
        if !plan.texts.is_empty() {
            return None;
        }
        let mut learner = Self { plan, lexer: Lexer::new(text), pieces: Vec::new(), from: 0, met: false };
        learner.lexer.blanks();
        if learner.lexer.peek()? != b'{' {
            return None;
        }
        learner.value(0, (Some(&plan.message.nodes[0]), None))?;
        learner.lexer.blanks();
        if !learner.lexer.is_done() || !learner.met || learner.pieces.is_empty() {
            return None;
        }
        let end = text.as_bytes()[learner.from..].into();
        let pieces = learner.pieces;
        let is_other = |field: &usize| pieces.iter().all(|piece| !piece.fields.contains(field));
        let others = (0..plan.places.len()).filter(is_other).collect();
        Some(Layout { pieces, others, end })
    }

    fn value(&mut self, depth: usize, (message, mut reading): At<'p>) -> Option<()> {
        if reading.is_none() && message.is_some_and(|node| node.is_root) {
            self.met = true;
            reading = Some(&self.plan.reading.nodes[0]);
            if self.lexer.peek()? != b'{' {
                return None;
            }
        }
        let slots = (message.and_then(|node| node.slot), reading.and_then(|node| node.slot));
        match self.lexer.peek()? {
            b'{' if slots == (None, None) => self.object(depth + 1, (message, reading)),
            // A list that nothing is looked for in has the same elements, as far as layouts go.
            b'[' | b'(' if (message.is_none() && reading.is_none()) => self.list(depth + 1),
            b'{' | b'[' | b'(' => None,
            _ => {
                let before = Literal::new(&self.lexer.text.as_bytes()[self.from..self.lexer.at]);
                self.lexer.scalar()?;
                self.from = self.lexer.at;
                let is_here = |place: &Slot| match *place {
                    Slot::Message(slot) => slots.0 == Some(slot),
                    Slot::Reading(slot) => slots.1 == Some(slot),
                    Slot::Nowhere => false,
                };
                let places = self.plan.places.iter().enumerate();
                let fields = places.filter(|(_, place)| is_here(place)).map(|(field, _)| field).collect();
                self.pieces.push(Piece { before, fields });
                Some(())
            }
        }
    }

    fn object(&mut self, depth: usize, (message, reading): At<'p>) -> Option<()> {
        if message.is_some_and(|node| node.each.is_some()) {
            return None;
        }
        let mut seen: Vec<std::borrow::Cow<'a, str>> = Vec::new();
        let mut ends = self.lexer.enters(depth, b'}')?;
        while !ends {
            let key = self.lexer.key(depth)?;
            let child = (
                message.and_then(|node| node.child(&key)).map(|node| &self.plan.message.nodes[node]),
                reading.and_then(|node| node.child(&key)).map(|node| &self.plan.reading.nodes[node]),
            );
            if seen.contains(&key) {
                return None;
            }
            seen.push(key);
            self.value(depth, child)?;
            ends = self.lexer.ends(b'}')?;
        }
        Some(())
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        let end = if self.lexer.peek()? == b'[' { b']' } else { b')' };
        let mut ends = self.lexer.enters(depth, end)?;
        while !ends {
            self.value(depth, (None, None))?;
            ends = self.lexer.ends(end)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataflows::schema::{FieldType, Schema};
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::mapping::{FieldMapping, Mapping, Source};
    use super::super::path::{Path, Pointer};
    use super::super::{Decode, Decoder, Message};

    /// A field of the message, two of the reading, one of them nested, and the root two levels down.
    fn mapping() -> Arc<Mapping> {
        let schema = Schema::new("at").with("speed", FieldType::Number).with("name", FieldType::Text);
        let field = |name: &str, path: &str, of_message: bool| {
            let declared = schema.field(name).unwrap();
            let mut field = FieldMapping::named(name, declared.field_type, declared.place);
            let first = Pointer::parse(path).unwrap();
            field.source = Source::Value { path: Path { first, then: Vec::new() }, of_message };
            field
        };
        let fields = vec![
            field("at", "/at", false),
            field("speed", "/gps/speed", false),
            field("name", "/unit", true),
        ];
        let root = vec![Pointer::parse("/data/fix").unwrap()];
        Arc::new(Mapping { fields, root, schema, key: None, ..Mapping::trucks() })
    }

    fn decode(decoder: &mut Decoder, message: &[u8]) -> String {
        decoder.decode(&Message { payload: Some(message), ..Message::default() });
        let mut items = Vec::new();
        Decode::take(decoder, &mut items);
        format!("{items:?}")
    }

    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            r"-?[0-9]{1,4}(\.[0-9]{1,3})?(e[+-]?[0-9])?",
            r#""[a-zé \\"0-9]{0,12}""#,
            r#""2024-0[1-9]-1[0-9]T0[0-9]:00:00(\.[0-9]{1,7})?Z""#,
            "null|None|true|False|nan|np.float64\\(1.5\\)|nullx|-inf",
        ]
    }

    fn message() -> impl Strategy<Value = String> {
        let time = r#""2024-0[1-9]-1[0-9]T0[0-9]:00:00Z""#;
        (time, prop::array::uniform5(scalar()), prop::bool::ANY, prop::bool::ANY).prop_map(
            |(time, [speed, unit, other, more, last], blanks, listed)| {
                let other = if listed { format!("[{other},{{\"at\":{more}}}]") } else { other };
                let text = format!(
                    r#"{{"unit":{unit},"data":{{"seq":{other},"fix":{{"at":{time},"gps":{{"sats":{more},"speed":{speed}}}}}}},"end":{last}}}"#
                );
                if blanks { text.replace("\":", "\" : ") } else { text }
            },
        )
    }

    #[test]
    fn a_message_of_a_known_layout_needs_no_search() {
        let mut decoder = Decoder::new("topic".into(), mapping());
        for (message, expected) in [
            (r#"{"data":{"fix":{"at":"2024-01-01T00:00:00Z","gps":{"speed":1}}},"unit":"a"}"#, 1),
            (r#"{"data":{"fix":{"at":"2024-01-01T00:00:01Z","gps":{"speed":-2.5}}},"unit":"\u00e9"}"#, 0),
        ] {
            decode(&mut decoder, message.as_bytes());
            assert_eq!(decoder.layouts.layouts.len(), 1, "{message}");
            assert_eq!(decoder.layouts.pause, expected, "{message}");
        }
    }

    #[test]
    fn learning_pauses_while_it_is_of_no_use() {
        let mut decoder = Decoder::new("topic".into(), mapping());
        for message in 0..5000 {
            decode(&mut decoder, format!(r#"{{"k{message}":1,"data":{{"fix":{{}}}}}}"#).as_bytes());
        }
        assert!(decoder.layouts.pause > 100);
        assert_eq!(decoder.layouts.layouts.len(), super::KEPT);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn layouts_change_no_result(
            messages in prop::collection::vec(message(), 1..6),
            changes in prop::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 0..3),
        ) {
            let mut messages: Vec<Vec<u8>> = messages.into_iter().map(String::into_bytes).collect();
            for (message, at, byte) in changes {
                let message = &mut messages[message.index(1)..][0];
                let at = at.index(message.len());
                message[at] = byte;
            }
            // Twice, so that every layout is known in the end.
            let mut decoder = Decoder::new("topic".into(), mapping());
            for message in messages.iter().chain(messages.iter().rev()) {
                decoder.layouts.wait = 0;
                let expected = decode(&mut Decoder::new("topic".into(), mapping()), message);
                prop_assert_eq!(decode(&mut decoder, message), expected, "{}", message.escape_ascii());
            }
        }
    }
}
