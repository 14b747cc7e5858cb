//! Parses the payloads of known producers in one pass, and rejects all others.
//!
//! ```text
//! {"timestamp": "…", "distance_covered": n, "engine_speed": n, "fuel_consumed": n[, "truck_id": t]}
//! ```
//!
//! with either kind of quote, each number plain or in `np.float64()`, and optional blanks after `:` and `,`. A
//! rejection only means "not this shape": the general decoder has to parse the payload.

use super::message::MAX_ENTITY_BYTES;
use super::text::bytes_before_end;
use crate::text::number::POWERS;
use crate::text::time::read as timestamp;

/// A reading of a truck of the default form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scanned<'a> {
    /// The truck's name; none if the payload does not have it.
    pub truck: Option<&'a str>,
    /// Event time in microseconds since 1970, UTC.
    pub time: i64,
    /// In nano-units: distance covered, engine speed, fuel consumed.
    pub measures: [i64; 3],
    /// Which of time and measures were rounded.
    pub rounded: [bool; 4],
}

/// The scanner. It caches the last minute: neighbouring messages mostly share it, and its date is the expensive
/// part of a timestamp.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// `YYYY-MM-DD HH:MM`; initially zero bytes, which no message has.
    text: [u8; 16],
    /// The minute in microseconds since 1970.
    minute: i64,
}

impl Scanner {
    /// The reading, if the payload has the known shape.
    #[inline]
    pub(super) fn scan<'a>(&mut self, payload: &'a [u8]) -> Option<Scanned<'a>> {
        let [b'{', quote @ (b'"' | b'\''), ..] = *payload else { return None };
        let mut line = Line { rest: &payload[1..], quote };
        line.key(b"timestamp")?;
        let time = self.time(&mut line)?;
        line.comma()?;
        line.key(b"distance_covered")?;
        let (distance, distance_rounded) = line.measure()?;
        line.comma()?;
        line.key(b"engine_speed")?;
        let (speed, speed_rounded) = line.measure()?;
        line.comma()?;
        line.key(b"fuel_consumed")?;
        let (fuel, fuel_rounded) = line.measure()?;
        let truck = if line.comma().is_some() {
            line.key(b"truck_id")?;
            Some(line.name()?)
        } else {
            None
        };
        if line.rest != b"}" {
            return None;
        }
        Some(Scanned {
            truck,
            time,
            measures: [distance, speed, fuel],
            rounded: [false, distance_rounded, speed_rounded, fuel_rounded],
        })
    }

    /// `"YYYY-MM-DD HH:MM:SS.ffffff"`, or without the fraction.
    #[inline]
    fn time(&mut self, line: &mut Line<'_>) -> Option<i64> {
        line.pass(line.quote)?;
        let (text, rest) = line.rest.split_first_chunk::<16>()?;
        let (second, rest) = rest.split_first_chunk::<3>()?;
        if *text != self.text {
            self.minute = timestamp::minute(text)?;
            self.text = *text;
        }
        let time = self.minute + timestamp::second(second)?;
        line.rest = rest;
        let Some(()) = line.pass(b'.') else {
            line.pass(line.quote)?;
            return Some(time);
        };
        let (micros, 6) = line.digits() else { return None };
        line.pass(line.quote)?;
        Some(time + micros as i64)
    }
}

struct Line<'a> {
    rest: &'a [u8],
    quote: u8,
}

impl<'a> Line<'a> {
    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    #[inline]
    fn blank(&mut self) {
        if let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline]
    fn comma(&mut self) -> Option<()> {
        self.pass(b',')?;
        self.blank();
        Some(())
    }

    #[inline]
    fn key<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        self.pass(self.quote)?;
        self.rest = self.rest.strip_prefix(name)?;
        self.pass(self.quote)?;
        self.pass(b':')?;
        self.blank();
        Some(())
    }

    /// The value and the number of the next digits; with more than 19 digits the value has wrapped.
    #[inline]
    fn digits(&mut self) -> (u64, usize) {
        let (mut value, mut count) = (0u64, 0);
        for byte in self.rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        self.rest = &self.rest[count..];
        (value, count)
    }

    /// A decimal without exponent in nano-units, and whether it was rounded.
    #[inline]
    fn measure(&mut self) -> Option<(i64, bool)> {
        let Some(rest) = self.rest.strip_prefix(b"np.float64(") else { return self.decimal() };
        self.rest = rest;
        let value = self.decimal()?;
        self.pass(b')')?;
        Some(value)
    }

    #[inline]
    fn decimal(&mut self) -> Option<(i64, bool)> {
        let negative = self.pass(b'-').is_some();
        let leading_zero = self.rest.first() == Some(&b'0');
        let (integer, count) = self.digits();
        // Nine digits are always below the limit.
        if !(1..=9).contains(&count) || leading_zero && count > 1 {
            return None;
        }
        let (fraction, rounded) = match self.pass(b'.') {
            Some(()) => self.fraction()?,
            None => (0, false),
        };
        let value = (integer * POWERS[9] + fraction) as i64;
        Some((if negative { -value } else { value }, rounded))
    }

    #[inline]
    fn fraction(&mut self) -> Option<(u64, bool)> {
        let (digits, count) = self.digits();
        match count {
            1..=9 => Some((digits * POWERS[9 - count], false)),
            10..=18 => {
                let unit = POWERS[count - 9];
                let (value, lost) = (digits / unit, digits % unit);
                let up = lost * 2 > unit || lost * 2 == unit && value % 2 == 1;
                Some((value + u64::from(up), lost != 0))
            }
            _ => None,
        }
    }

    /// The length of the next text, up to a quote, an escape or a control character; none if it is longer than a
    /// truck's name.
    #[inline]
    fn text_length(&self) -> Option<usize> {
        let text = &self.rest[..self.rest.len().min(MAX_ENTITY_BYTES + 1)];
        let mut length = 0;
        while let Some((eight, _)) = text[length..].split_first_chunk::<8>() {
            let before = bytes_before_end(*eight, self.quote);
            length += before;
            if before < 8 {
                return Some(length);
            }
        }
        let ends = |byte: &u8| *byte == self.quote || *byte == b'\\' || *byte < b' ';
        Some(length + text[length..].iter().position(ends)?)
    }

    /// A truck's name: a string without escapes, or an integer.
    #[inline]
    fn name(&mut self) -> Option<&'a str> {
        let quoted = self.pass(self.quote).is_some();
        let length = if quoted {
            self.text_length()?
        } else {
            let (first, mut rest) = (*self.rest.first()?, Line { ..*self });
            match rest.digits() {
                (_, count @ 1..=19) if count == 1 || first != b'0' => count,
                _ => return None,
            }
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        if quoted {
            self.pass(self.quote)?;
        }
        std::str::from_utf8(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::{Decoder, Mapping, Message};
    use super::*;

    /// The result of the fast path, after checking that the general decoder agrees.
    fn scan(payload: &[u8]) -> Option<Scanned<'_>> {
        let mut scanner = Scanner::default();
        let scanned = scanner.scan(payload)?;
        assert_eq!(scanner.scan(payload).as_ref(), Some(&scanned), "with a cached minute");
        agrees(payload, &scanned);
        Some(scanned)
    }

    #[track_caller]
    fn agrees(payload: &[u8], scanned: &Scanned<'_>) {
        let mut decoder = Decoder::new("topic".into(), Arc::new(Mapping::trucks())).without_scanner();
        decoder.decode(&Message { payload: Some(payload), ..Message::default() });
        assert_eq!(decoder.records(), 1, "{}", payload.escape_ascii());
        let record = decoder.take_batch().record(0);
        let of_record = (&*record.entity, record.time, &record.units[..]);
        let truck = scanned.truck.unwrap_or_default();
        assert_eq!(of_record, (truck, scanned.time, &scanned.measures[..]), "{}", payload.escape_ascii());
    }

    #[test]
    fn the_known_shapes_are_accepted() {
        for payload in [
            r#"{"timestamp": "2023-04-10 01:02:27.123456", "distance_covered": 0.01, "engine_speed": 79.2, "fuel_consumed": 0.0}"#,
            r#"{"timestamp":"2023-04-10T01:02:27","distance_covered":0.01,"engine_speed":79,"fuel_consumed":0}"#,
            "{'timestamp': '2023-04-10 01:02:27.123456', 'distance_covered': 0.01, 'engine_speed': 79.2, 'fuel_consumed': -0.0}",
            "{'timestamp': '2023-04-10 01:02:27', 'distance_covered': np.float64(0.01), 'engine_speed': 79.2, 'fuel_consumed': np.float64(0.0), 'truck_id': 'näher'}",
            r#"{"timestamp": "2023-04-10 01:02:27.123456", "distance_covered": 0.30000000000000004, "engine_speed": 79.2000000005, "fuel_consumed": 0.0, "truck_id": 7}"#,
        ] {
            assert!(scan(payload.as_bytes()).is_some(), "{payload}");
        }
    }

    #[test]
    fn the_cached_minute_is_not_used_for_another() {
        let mut scanner = Scanner::default();
        for minute in ["2023-04-10 01:02", "2023-04-10 01:03", "2023-04-10T01:03", "2023-04-31 01:03"] {
            let payload = format!(
                "{{'timestamp': '{minute}:27', 'distance_covered': 1, 'engine_speed': 1, 'fuel_consumed': 1}}"
            );
            match scanner.scan(payload.as_bytes()) {
                Some(scanned) => agrees(payload.as_bytes(), &scanned),
                None => assert_eq!(minute, "2023-04-31 01:03"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_text_ends_at_the_same_byte_as_in_a_bytewise_search(
            bytes in prop::array::uniform8(prop_oneof![any::<u8>(), changed_byte(), 0..=b'#']),
        ) {
            for quote in *b"'\"" {
                let ends = |byte: &u8| *byte == quote || *byte == b'\\' || *byte < b' ';
                prop_assert_eq!(bytes_before_end(bytes, quote), bytes.iter().position(ends).unwrap_or(8));
            }
        }
    }

    /// Mostly realistic payloads, so that most lines reach the end of the fast path.
    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => r"(0|[1-9][0-9]{0,3})\.[0-9]{1,2}",
            4 => r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,18})?",
            2 => r"0\.[0-9]{8}[4-6](49|50{0,6}1?)",
            1 => r"-?[0-9]{0,11}(\.[0-9]{0,20})?(e[+-]?[0-9]{1,2})?",
        ]
    }

    fn time() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => r"20[0-2][0-9]-(0[1-9]|1[0-2])-([01][1-9]|2[0-8])[ T](1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{6})?",
            1 => r"[012]0[0-2][0-9]-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,8})?(Z|\+02:00)?",
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            2 => Just(String::new()),
            2 => r"[a-z0-9é ]{0,9}".prop_map(|name| format!(", 'truck_id': '{name}'")),
            1 => r"[a-z'\\\x00-\xff]{0,9}".prop_map(|name| format!(", 'truck_id': '{name}'")),
            2 => r"-?[0-9]{1,21}|null|None".prop_map(|name| format!(", 'truck_id': {name}")),
        ]
    }

    /// Lines with the known shapes and similar ones.
    fn line() -> impl Strategy<Value = String> {
        let numbers = (number(), number(), number());
        let form = (prop::bool::ANY, prop::bool::ANY, prop::bool::weighted(0.3));
        (time(), numbers, name(), form).prop_map(|(time, (a, b, c), name, (json, blanks, numpy))| {
            let [a, b, c] = [a, b, c].map(|n| if numpy { format!("np.float64({n})") } else { n });
            let mut line = format!(
                "{{'timestamp': '{time}', 'distance_covered': {a}, 'engine_speed': {b}, 'fuel_consumed': {c}{name}}}"
            );
            if json {
                line = line.replace('\'', "\"");
            }
            if !blanks {
                line = line.replace(": ", ":").replace(", ", ",");
            }
            line
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn the_general_decoder_agrees_with_the_fast_path(line in line()) {
            scan(line.as_bytes());
        }

        #[test]
        fn they_agree_on_a_modified_line(
            line in line(),
            changes in prop::collection::vec((any::<Index>(), 0..3u8, changed_byte()), 1..3),
        ) {
            let mut bytes = line.into_bytes();
            for (place, kind, byte) in changes {
                let place = place.index(bytes.len());
                match kind {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte),
                    _ => _ = bytes.remove(place),
                }
            }
            scan(&bytes);
        }

        #[test]
        fn they_agree_on_any_bytes(bytes in prop::collection::vec(changed_byte(), 0..200)) {
            scan(&bytes);
        }
    }

    fn changed_byte() -> impl Strategy<Value = u8> {
        prop_oneof![any::<u8>(), prop::sample::select(&br#"0123456789 '"\{}()[]:,.-+eETZnp"#[..])]
    }
}
