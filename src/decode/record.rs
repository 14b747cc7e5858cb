//! CSV records and fields according to RFC 4180. Lines may end in CR LF or LF.
//!
//! Malformed input is parsed deterministically: a quote inside an unquoted field is an ordinary character, and so is
//! a quote that is never closed.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// A quote that is not closed within this many bytes of its record counts as never closed.
const QUOTED: usize = 1 << 20;

/// The position of a byte in a field.
#[derive(Clone, Copy)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first half of an escaped quote.
    Closed,
}

/// The length of the record at the start of `bytes`, including its line end; none if `bytes` contain only a part of
/// it. With `last`, nothing follows `bytes`.
pub(crate) fn length(bytes: &[u8], last: bool) -> Option<usize> {
    let all = last.then_some(bytes.len());
    let first_line = || memchr(b'\n', bytes).map(|at| at + 1).or(all);
    if memchr2(b'"', b'\n', bytes).is_none_or(|at| bytes[at] == b'\n') {
        return first_line();
    }
    let mut at = At::Start;
    for (place, byte) in bytes.iter().take(QUOTED).enumerate() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) | (At::Start | At::Closed, b'"') => At::Quoted,
            (_, b'\n') => return Some(place + 1),
            (_, b',') => At::Start,
            _ => At::Plain,
        };
    }
    match at {
        _ if bytes.len() < QUOTED && !last => None,
        At::Quoted => first_line(),
        _ => memchr(b'\n', bytes.get(QUOTED..).unwrap_or_default()).map(|at| QUOTED + at + 1).or(all),
    }
}

/// A record without its line end.
pub(crate) fn without_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// The fields of a record without its line end.
pub(crate) fn fields(record: &[u8]) -> Fields<'_> {
    Fields { rest: Some(record) }
}

/// See [`fields`].
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest.take()?;
        let (quoted, plain) = match quoted(bytes) {
            Some((text, length)) => (Some(text), &bytes[length..]),
            None => (None, bytes),
        };
        let end = memchr(b',', plain).unwrap_or(plain.len());
        self.rest = plain.get(end + 1..);
        let plain = &plain[..end];
        Some(match quoted {
            Some(text) if plain.is_empty() => text,
            Some(text) => Cow::Owned([&*text, plain].concat()),
            None => Cow::Borrowed(plain),
        })
    }
}

/// The quoted text at the start of `bytes`, and its length including the quotes.
fn quoted(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, usize)> {
    bytes.strip_prefix(b"\"")?;
    let mut unescaped = Vec::new();
    let mut from = 1;
    loop {
        let to = from + memchr(b'"', bytes.get(from..)?)?;
        if bytes.get(to + 1) != Some(&b'"') {
            let text = if from == 1 {
                Cow::Borrowed(&bytes[from..to])
            } else {
                Cow::Owned([&*unescaped, &bytes[from..to]].concat())
            };
            return Some((text, to + 1));
        }
        unescaped.extend_from_slice(&bytes[from..=to]);
        from = to + 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(record: &str) -> Vec<String> {
        fields(record.as_bytes()).map(|field| String::from_utf8(field.into_owned()).unwrap()).collect()
    }

    #[test]
    fn a_record_ends_at_the_first_line_end_outside_quotes() {
        for (bytes, expected) in [
            ("a,b\nc", Some(4)),
            ("a,b\r\nc", Some(5)),
            ("a,\"b\n\"\"c\"\nd", Some(10)),
            ("a,b\"\nc\"", Some(5)),
            ("a,\"b\"c\"\nd", Some(8)),
            ("a,b", None),
            ("a,\"b\n", None),
            ("\n", Some(1)),
        ] {
            assert_eq!(length(bytes.as_bytes(), false), expected, "{bytes:?}");
        }
        assert_eq!(length(b"a,b", true), Some(3));
        assert_eq!(length(b"a,\"b\nc\n", true), Some(5), "a quote that is never closed");
    }

    #[test]
    fn an_unclosed_quote_affects_one_record() {
        let mut bytes = b"1,\"2\n3,4\n".to_vec();
        bytes.resize(QUOTED - 1, b'x');
        assert_eq!(length(&bytes, false), None, "it may still be closed");
        bytes.push(b'x');
        assert_eq!(length(&bytes, false), Some(5));
        // Also if fewer bytes remain.
        assert_eq!(length(&bytes[..9], true), Some(5));
        // A long line after a closed quote ends at its line end.
        let mut bytes = b"\"\n\"".to_vec();
        bytes.resize(QUOTED + 7, b'x');
        bytes.push(b'\n');
        assert_eq!(length(&bytes, false), Some(QUOTED + 8));
    }

    #[test]
    fn fields_are_unquoted() {
        assert_eq!(split("a,,c"), ["a", "", "c"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("a,"), ["a", ""]);
        assert_eq!(split("\"a,\"\"b\"\"\n\",\"\",c"), ["a,\"b\"\n", "", "c"]);
        assert_eq!(split("\"a\"b,c\"d"), ["ab", "c\"d"]);
        assert_eq!(split("\"a,b"), ["\"a", "b"]);
    }

    proptest! {
        #[test]
        fn output_of_the_csv_crate_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n ]{0,6}", 2..4), 1..6),
            crlf in any::<bool>(),
        ) {
            let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer =
                csv::WriterBuilder::new().flexible(true).terminator(end).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let (mut rest, mut read) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                let record = length(rest, false).expect("whole records");
                read.push(split(std::str::from_utf8(without_end(&rest[..record])).unwrap()));
                rest = &rest[record..];
            }
            prop_assert_eq!(read, rows);
        }
    }
}
