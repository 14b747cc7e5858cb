//! Decodes orientation readings of a phone into readings of the batch, or into dead letters.
//!
//! ```text
//!   message, an object: object -> fields -+
//!                                         |-> checks -> batch
//!   message, a record of `Orientation.csv`: columns by the header's names
//! ```
//!
//! A producer that reads the file as dicts of strings sends numbers as strings, which are accepted as well.

use std::borrow::Cow;
use std::sync::Arc;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;
use dataflows::orientation::{FIELDS, Orientation, OrientationBuilder};
use dataflows::rows::NULL;

use super::future::{Future, FutureCheck};
use super::message::{Decode, Message, Rejection};
use super::object::{self, Value};
use crate::text::csv;
use crate::text::number::{self, NoInteger};

/// Some programs write this at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Every field of a reading, in the order in which they are checked.
pub const NAMES: [&str; 9] = {
    let mut names = ["time"; 9];
    let mut at = 0;
    while at < FIELDS.len() {
        names[at + 1] = FIELDS[at];
        at += 1;
    }
    names
};

/// The positions of the fields in a file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Columns {
    places: [usize; 9],
    count: usize,
}

impl Columns {
    /// Parses a header: the fields in any order, among others; of duplicate names the last wins. Fails with the name
    /// of a missing field.
    fn of(header: &[u8]) -> Result<Self, &'static str> {
        let header = header.strip_prefix(BYTE_ORDER_MARK).unwrap_or(header);
        let names: Vec<_> = csv::fields(csv::without_end(header)).collect();
        let mut places = [0; 9];
        for (place, name) in places.iter_mut().zip(NAMES) {
            let found = names.iter().rposition(|found| found.trim_ascii() == name.as_bytes());
            *place = found.ok_or(name)?;
        }
        Ok(Self { places, count: names.len() })
    }
}

/// Checks that a header has every column. Fails with the name of a missing one.
pub fn check_header(header: &[u8]) -> Result<(), &'static str> {
    Columns::of(header).map(drop)
}

/// Decodes messages of one topic or file into readings and dead letters.
///
/// ```
/// use dataflows::item::Item;
/// use codec::decode::orientation::OrientationDecoder;
/// use codec::decode::{Decode, Message};
///
/// let mut decoder = OrientationDecoder::new("Mobile-Device-Data".into(), 1 << 20);
/// let payload = b"{'time': '1681088547123456789', 'seconds_elapsed': '0.1', 'qz': 0.5, 'qy': 0.5, 'qx': 0.5, \
///                  'qw': np.float64(0.5), 'roll': 1, 'pitch': -1e-3, 'yaw': 0}";
/// decoder.decode(&Message { partition: 0, offset: 7, timestamp: None, key: None, payload: Some(payload) });
///
/// let mut items = Vec::new();
/// decoder.take(&mut items);
/// let [Item::Orientation(readings)] = items.as_slice() else { panic!("{items:?}") };
/// assert_eq!(*readings.time, [1_681_088_547_123_456_789]);
/// assert_eq!(*readings.values[0], [0.1]);
/// ```
#[derive(Debug)]
pub struct OrientationDecoder {
    topic: Arc<str>,
    max_bytes: usize,
    /// Set for a CSV file.
    columns: Option<Columns>,
    readings: OrientationBuilder,
    dead_letters: Vec<DeadLetter>,
    future: FutureCheck,
}

impl OrientationDecoder {
    /// A decoder for messages of `topic`; the name appears in dead letters. Messages longer than `max_bytes` are
    /// rejected.
    pub fn new(topic: Arc<str>, max_bytes: usize) -> Self {
        Self {
            topic,
            max_bytes,
            columns: None,
            readings: OrientationBuilder::default(),
            dead_letters: Vec::new(),
            future: FutureCheck::new(Future::Never),
        }
    }

    /// Rejects readings that are in the future.
    pub fn with_future(mut self, future: Future) -> Self {
        self.future = FutureCheck::new(future);
        self
    }

    fn try_decode(&mut self, message: &Message<'_>) -> Result<(), Rejection> {
        let because = |reason| Rejection { reason, field: "" };
        let payload = message.payload.ok_or(because(Reason::NullValue))?;
        if payload.len() > self.max_bytes {
            return Err(because(Reason::TooLarge));
        }
        let values = match &self.columns {
            Some(columns) => of_record(payload, columns),
            None => object::fields(payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload), NAMES),
        };
        let values = values.ok_or(because(Reason::NotAnObject))?;
        let read =
            |at: usize| number_of(&values[at]).map_err(|reason| Rejection { reason, field: NAMES[at] });
        let fail = |at: usize, reason| Rejection { reason, field: NAMES[at] };

        let time = nanoseconds(read(0)?).map_err(|reason| fail(0, reason))?;
        self.future.check(time.div_euclid(1000), message, NAMES[0])?;
        let mut reals = [0.0; 8];
        for (at, real) in (1..).zip(&mut reals) {
            *real = rounded(read(at)?).ok_or(fail(at, Reason::OutOfRange))?;
        }
        self.readings.push(time, reals);
        Ok(())
    }
}

/// The fields of a CSV record; none if their number differs from the header, as they cannot be assigned then.
fn of_record<'a>(record: &'a [u8], columns: &Columns) -> Option<[Value<'a>; 9]> {
    let mut values = [const { Value::Null }; 9];
    let mut count = 0;
    for field in csv::fields(record) {
        for (value, _) in values.iter_mut().zip(columns.places).filter(|(_, place)| *place == count) {
            *value = Value::Text(match &field {
                Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
                Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
            });
        }
        count += 1;
    }
    (count == columns.count).then_some(values)
}

/// A value as a JSON number. An empty string is a missing value.
fn number_of<'v>(value: &'v Value<'_>) -> Result<&'v str, Reason> {
    match value {
        Value::Number(text) => Ok(text),
        Value::NotFinite(_) => Err(Reason::NotFinite),
        Value::Null => Err(Reason::MissingField),
        Value::Bool | Value::Nested => Err(Reason::WrongType),
        Value::Text(text) => {
            let text = text.trim_ascii();
            match text.strip_prefix('-').unwrap_or(text).to_ascii_lowercase().as_str() {
                "" if text.is_empty() => Err(Reason::MissingField),
                "nan" | "inf" | "infinity" => Err(Reason::NotFinite),
                _ if number::length(text.as_bytes()) == Some(text.len()) => Ok(text),
                _ => Err(Reason::WrongType),
            }
        }
    }
}

/// Nanoseconds since 1970, exactly.
fn nanoseconds(number: &str) -> Result<i64, Reason> {
    match number::integer(number.as_bytes()) {
        Ok(NULL) | Err(NoInteger::OutOfRange) => Err(Reason::OutOfRange),
        Ok(time) => Ok(time),
        Err(NoInteger::Fraction) => Err(Reason::WrongType),
    }
}

/// The double nearest to a number; none if it exceeds the largest one.
fn rounded(number: &str) -> Option<f64> {
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

impl Decode for OrientationDecoder {
    fn header(&mut self, header: &[u8]) -> Result<(), &'static str> {
        self.columns = Some(Columns::of(header)?);
        Ok(())
    }

    fn set_wall_clock(&mut self, wall: i64) {
        self.future.set_wall_clock(wall);
    }

    fn decode(&mut self, message: &Message<'_>) {
        if let Err(rejection) = self.try_decode(message) {
            self.dead_letters.push(message.dead_letter(&self.topic, rejection.reason, rejection.field));
        }
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        let readings: Orientation = self.readings.take();
        let letters = std::mem::take(&mut self.dead_letters);
        items.extend((!readings.is_empty()).then_some(Item::Orientation(readings)));
        items.extend((!letters.is_empty()).then_some(Item::DeadLetters(letters)));
        self.future.take(items);
    }

    /// Doubles are always rounded, so rounding is not counted.
    fn take_rounded(&mut self, _count: &mut dyn FnMut(&str, u64)) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = r#"{"time": 1681088547123456789, "seconds_elapsed": 0.125, "qz": 0.1, "qy": 0.2, "qx": 0.3, "qw": 0.4, "roll": -1.5, "pitch": 1e-3, "yaw": 3}"#;
    const READING: (i64, [f64; 8]) =
        (1_681_088_547_123_456_789, [0.125, 0.1, 0.2, 0.3, 0.4, -1.5, 0.001, 3.0]);

    type Outcome = Result<(i64, [f64; 8]), (Reason, String)>;

    fn outcome(decoder: &mut OrientationDecoder, payload: Option<&[u8]>) -> Outcome {
        decoder.decode(&Message { partition: 2, offset: 5, timestamp: Some(9), key: Some(b"k"), payload });
        let mut items = Vec::new();
        decoder.take(&mut items);
        match items.as_slice() {
            [Item::Orientation(readings)] if readings.len() == 1 => {
                Ok((readings.time[0], readings.values.each_ref().map(|values| values[0])))
            }
            [Item::DeadLetters(letters)] if letters.len() == 1 => {
                let letter = &letters[0];
                assert_eq!(letter.payload.as_deref(), payload, "the exact bytes");
                assert_eq!((&*letter.topic, letter.partition, letter.offset), ("t", 2, 5));
                Err((letter.reason, letter.field.clone()))
            }
            _ => panic!("one reading or one dead letter, not {items:?}"),
        }
    }

    fn decode(payload: impl AsRef<[u8]>) -> Outcome {
        outcome(&mut OrientationDecoder::new("t".into(), 1000), Some(payload.as_ref()))
    }

    fn because(reason: Reason, field: &str) -> Outcome {
        Err((reason, field.to_owned()))
    }

    #[test]
    fn json_python_numpy_and_strings_are_equivalent() {
        let python = JSON.replace('"', "'");
        let numpy = python.replace("0.1,", "np.float64(0.1),").replace("1681", "np.int64(1681");
        let numpy = numpy.replace("6789,", "6789),");
        // A dict from `csv.DictReader`.
        let texts = "{'time': '1681088547123456789', 'seconds_elapsed': '0.125', 'qz': '0.1', 'qy': ' 0.2 ', \
                     'qx': '0.3', 'qw': '0.4', 'roll': '-1.5', 'pitch': '1e-3', 'yaw': '3', 'more': None}";
        for payload in [JSON, &python, &numpy, texts, &format!("\u{feff}{JSON}")] {
            assert_eq!(decode(payload), Ok(READING), "{payload}");
        }
    }

    #[test]
    fn a_reading_in_the_future_is_a_dead_letter() {
        let time = READING.0 / 1000;
        for (max_ahead, expected) in [(0, because(Reason::InTheFuture, "time")), (1, Ok(READING))] {
            let future = Future::After { max_ahead, topic: "t".into() };
            let mut decoder = OrientationDecoder::new("t".into(), 1000).with_future(future);
            decoder.set_wall_clock(time - 1);
            let payload =
                JSON.replace("\"qz\": 0.1", if max_ahead == 0 { "\"qz\": null" } else { "\"qz\": 0.1" });
            decoder.decode(&Message {
                partition: 2,
                offset: 5,
                timestamp: None,
                key: None,
                payload: Some(payload.as_bytes()),
            });
            let mut items = Vec::new();
            decoder.take(&mut items);
            match &items[0] {
                Item::Orientation(_) => assert!(expected.is_ok() && items.len() == 1),
                Item::DeadLetters(letters) => {
                    assert_eq!(expected, because(letters[0].reason, &letters[0].field));
                    assert!(matches!(&items[1], Item::InTheFuture(found) if found[0].offset == 5));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_time_keeps_all_its_digits_or_is_rejected() {
        let with = |time: &str| decode(JSON.replace("1681088547123456789", time)).map(|reading| reading.0);
        for (text, time) in [
            ("1681088547123456789.0", READING.0),
            ("1.681088547123456789e18", READING.0),
            ("\"1681088547123456789\"", READING.0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775807", -i64::MAX),
        ] {
            assert_eq!(with(text), Ok(time), "{text}");
        }
        for (text, reason) in [
            ("1681088547123456789.5", Reason::WrongType),
            ("9223372036854775808", Reason::OutOfRange),
            // It represents NULL.
            ("-9223372036854775808", Reason::OutOfRange),
            ("1e300", Reason::OutOfRange),
            ("\"2023-04-10 01:02:27\"", Reason::WrongType),
            ("NaN", Reason::NotFinite),
            ("null", Reason::MissingField),
        ] {
            assert_eq!(with(text), Err((reason, "time".into())), "{text}");
        }
    }

    #[test]
    fn invalid_values_are_rejected_with_their_field() {
        for (value, reason) in [
            ("None", Reason::MissingField),
            ("''", Reason::MissingField),
            ("' '", Reason::MissingField),
            ("true", Reason::WrongType),
            ("[0.2]", Reason::WrongType),
            ("'0,2'", Reason::WrongType),
            ("'0.2 0.3'", Reason::WrongType),
            ("'-'", Reason::WrongType),
            ("NaN", Reason::NotFinite),
            ("-Infinity", Reason::NotFinite),
            ("'nan'", Reason::NotFinite),
            ("'-inf'", Reason::NotFinite),
            ("1e999", Reason::OutOfRange),
            ("'-1e999'", Reason::OutOfRange),
        ] {
            assert_eq!(decode(JSON.replace("0.2", value)), because(reason, "qy"), "{value}");
        }
        for name in NAMES {
            let without = JSON.replace(&format!("\"{name}\""), "\"other\"");
            assert_eq!(decode(without), because(Reason::MissingField, name));
        }
        assert_eq!(decode("[]"), because(Reason::NotAnObject, ""));
        assert_eq!(decode(b"\xff"), because(Reason::NotAnObject, ""));
        assert_eq!(decode(format!("{JSON}{}", " ".repeat(1000))), because(Reason::TooLarge, ""));
        let mut decoder = OrientationDecoder::new("t".into(), 1000);
        assert_eq!(outcome(&mut decoder, None), because(Reason::NullValue, ""));
    }

    #[test]
    fn records_are_read_by_the_names_of_their_header() {
        let mut decoder = OrientationDecoder::new("t".into(), 1000);
        decoder
            .header(b"\xef\xbb\xbf\"yaw\",pitch, roll ,note,qw,qx,qy,qz,seconds_elapsed,time\r\n")
            .unwrap();
        let mut read = |record: &str| outcome(&mut decoder, Some(record.as_bytes()));
        let good = "3,1e-3,-1.5,\"a, \"\"b\"\"\n\",\"0.4\",0.3,0.2,0.1,0.125,1681088547123456789";
        assert_eq!(read(good), Ok(READING));
        assert_eq!(read(&good.replace("0.2", "")), because(Reason::MissingField, "qy"));
        assert_eq!(read(&good.replace("0.2", "x")), because(Reason::WrongType, "qy"));
        assert_eq!(read(&good.replace("0.2", "NaN")), because(Reason::NotFinite, "qy"));
        // A decimal comma, an incomplete line: the fields cannot be assigned.
        assert_eq!(read(&good.replace("0.2", "0,2")), because(Reason::NotAnObject, ""));
        assert_eq!(read("3,1e-3"), because(Reason::NotAnObject, ""));
        assert_eq!(check_header(b"time,seconds_elapsed,qz,qy,qx,qw,roll,pitch"), Err("yaw"));
        assert_eq!(check_header(b""), Err("time"));
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_exactly(time in -i64::MAX..i64::MAX, value in prop::num::f64::NORMAL) {
            for (quote, value_text) in [("", format!("{value:?}")), ("'", format!("{value:e}"))] {
                let payload = JSON
                    .replace("1681088547123456789", &format!("{quote}{time}{quote}"))
                    .replace("0.3", &format!("{quote}{value_text}{quote}"));
                let (got_time, got) = decode(payload).unwrap();
                prop_assert_eq!(got_time, time);
                prop_assert_eq!(got[3].to_bits(), value.to_bits());
            }
        }
    }
}
