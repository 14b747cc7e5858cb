//! CSV according to RFC 4180: where records end, their fields, and how a field is written. Lines may end in CR LF or
//! LF.
//!
//! Malformed input is parsed deterministically: a quote inside an unquoted field is an ordinary character, and so is
//! a quote that is never closed.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2_iter};

/// A quote that is not closed within this many bytes of its record counts as never closed.
const QUOTED: usize = 1 << 20;

/// The length of the record at the start of `bytes`, including its line end; none if `bytes` contain only a part of
/// it. With `last`, nothing follows `bytes`.
pub fn record_length(bytes: &[u8], separator: u8, last: bool) -> Option<usize> {
    let line_end_from = |from: usize| memchr(b'\n', &bytes[from..]).map(|at| from + at + 1);
    let start = &bytes[..bytes.len().min(QUOTED)];
    match scan(start, separator) {
        Scan::End(length) => Some(length),
        _ if bytes.len() < QUOTED && !last => None,
        Scan::Quoted => line_end_from(0).or(last.then_some(bytes.len())),
        Scan::Unquoted => line_end_from(start.len()).or(last.then_some(bytes.len())),
    }
}

/// The length of the first `count` records of well-formed `bytes`, in which every quote is closed, however long the
/// text in it is; all `bytes` if there are fewer.
pub fn records_length(bytes: &[u8], count: u64) -> usize {
    let mut length = 0;
    for _ in 0..count {
        match scan(&bytes[length..], b',') {
            Scan::End(record) => length += record,
            _ => return bytes.len(),
        }
    }
    length
}

/// What is known of a record after some of its bytes.
enum Scan {
    /// It has this length, including its line end.
    End(usize),
    /// It does not end in these bytes, and they end inside quotes.
    Quoted,
    /// It does not end in these bytes, and they end outside quotes.
    Unquoted,
}

/// Finds the first line end outside quotes. A quote opens a text at the start of a field, and opens it again directly
/// after the quote that closed it: that is an escaped quote.
fn scan(bytes: &[u8], separator: u8) -> Scan {
    let (mut quoted, mut closed) = (false, None);
    for at in memchr2_iter(b'"', b'\n', bytes) {
        if bytes[at] == b'\n' {
            if !quoted {
                return Scan::End(at + 1);
            }
        } else if quoted {
            (quoted, closed) = (false, Some(at));
        } else {
            let before = at.checked_sub(1);
            quoted = before.is_none_or(|before| bytes[before] == separator) || before == closed;
        }
    }
    if quoted { Scan::Quoted } else { Scan::Unquoted }
}

/// A record without its line end.
pub fn without_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// Calls `field` with the place of each field of a record without its line end. None if the record has a quote or a line
/// end, which [`fields`] and [`record_length`] are for, or if `field` returns none.
#[inline]
pub fn plain_fields(
    record: &[u8],
    separator: u8,
    mut field: impl FnMut(Range<usize>) -> Option<()>,
) -> Option<()> {
    let (eights, rest) = record.as_chunks::<8>();
    let mut start = 0;
    for (place, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        if marks(eight, b'"') | marks(eight, b'\n') != 0 {
            return None;
        }
        let mut separators = marks(eight, separator);
        while separators != 0 {
            let end = 8 * place + separators.trailing_zeros() as usize / 8;
            field(start..end)?;
            start = end + 1;
            separators &= separators - 1;
        }
    }
    for (end, &byte) in (record.len() - rest.len()..).zip(rest) {
        if matches!(byte, b'"' | b'\n') {
            return None;
        }
        if byte == separator {
            field(start..end)?;
            start = end + 1;
        }
    }
    field(start..record.len())
}

/// The highest bit of each of eight bytes that equals `byte`.
#[inline]
fn marks(bytes: u64, byte: u8) -> u64 {
    let others = bytes ^ u64::from_ne_bytes([byte; 8]);
    let low = u64::from_ne_bytes([0x7f; 8]);
    // No carry leaves a byte, so every mark is exact.
    !(((others & low) + low) | others | low)
}

/// The fields of a record without its line end.
pub fn fields(record: &[u8], separator: u8) -> Fields<'_> {
    Fields { rest: Some(record), separator }
}

/// See [`fields`].
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest.take()?;
        let (quoted, plain) = match quoted(bytes) {
            Some((text, length)) => (Some(text), &bytes[length..]),
            None => (None, bytes),
        };
        let end = memchr(self.separator, plain).unwrap_or(plain.len());
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

/// Appends a field, quoted if necessary.
// Inlined, because rows are written value by value.
#[inline]
pub fn write_field(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The length of a record, byte by byte.
    fn plain_length(bytes: &[u8]) -> Option<usize> {
        enum At {
            Start,
            Unquoted,
            Quoted,
            /// After a quote inside quotes: the end of the field, or the first half of an escaped quote.
            Closed,
        }
        let mut at = At::Start;
        for (place, byte) in bytes.iter().enumerate() {
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Closed,
                (At::Quoted, _) | (At::Start | At::Closed, b'"') => At::Quoted,
                (_, b'\n') => return Some(place + 1),
                (_, b',') => At::Start,
                _ => At::Unquoted,
            };
        }
        None
    }

    fn split(record: &str) -> Vec<String> {
        fields(record.as_bytes(), b',').map(|field| String::from_utf8(field.into_owned()).unwrap()).collect()
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
            assert_eq!(record_length(bytes.as_bytes(), b',', false), expected, "{bytes:?}");
        }
        assert_eq!(record_length(b"a,b", b',', true), Some(3));
        assert_eq!(record_length(b"a,\"b\nc\n", b',', true), Some(5), "a quote that is never closed");
    }

    #[test]
    fn an_unclosed_quote_affects_one_record() {
        let mut bytes = b"1,\"2\n3,4\n".to_vec();
        bytes.resize(QUOTED - 1, b'x');
        assert_eq!(record_length(&bytes, b',', false), None, "it may still be closed");
        bytes.push(b'x');
        assert_eq!(record_length(&bytes, b',', false), Some(5));
        // Also if fewer bytes remain.
        assert_eq!(record_length(&bytes[..9], b',', true), Some(5));
        // A long line after a closed quote ends at its line end.
        let mut bytes = b"\"\n\"".to_vec();
        bytes.resize(QUOTED + 7, b'x');
        bytes.push(b'\n');
        assert_eq!(record_length(&bytes, b',', false), Some(QUOTED + 8));
    }

    #[test]
    fn a_long_text_does_not_end_a_record_that_is_known_to_be_whole() {
        let mut bytes = b"1,\"2\n".to_vec();
        bytes.resize(QUOTED + 5, b'x');
        bytes.extend_from_slice(b"\"\n3\n");
        assert_eq!(records_length(&bytes, 1), bytes.len() - 2);
        assert_eq!((records_length(&bytes, 2), records_length(&bytes, 3)), (bytes.len(), bytes.len()));
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
                let record = record_length(rest, b',', false).expect("whole records");
                read.push(split(std::str::from_utf8(without_end(&rest[..record])).unwrap()));
                rest = &rest[record..];
            }
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn plain_fields_are_those_of_records_without_quotes(record in "[a,;\"\né]{0,30}", separator in "[,;]") {
            let (separator, mut read) = (separator.as_bytes()[0], Vec::new());
            let is_read = plain_fields(record.as_bytes(), separator, |range| {
                read.push(record.as_bytes()[range].to_vec());
                Some(())
            });
            prop_assert_eq!(is_read.is_some(), !record.contains(['"', '\n']));
            if is_read.is_some() {
                let fields: Vec<_> = fields(record.as_bytes(), separator).map(Cow::into_owned).collect();
                prop_assert_eq!(read, fields);
            }
        }

        #[test]
        fn a_record_has_the_length_that_a_state_machine_finds(bytes in "[a,\"\n]{0,20}") {
            prop_assert_eq!(record_length(bytes.as_bytes(), b',', false), plain_length(bytes.as_bytes()));
        }

        #[test]
        fn written_fields_are_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n ]{0,6}", 2..4), 1..6),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            for row in &rows {
                for (index, field) in row.iter().enumerate() {
                    bytes.extend((index > 0).then_some(b','));
                    write_field(field.as_bytes(), &mut bytes);
                }
                bytes.push(b'\n');
                ends.push(bytes.len());
            }
            for (index, row) in rows.iter().enumerate() {
                let record = &bytes[records_length(&bytes, index as u64)..ends[index]];
                prop_assert_eq!(record_length(record, b',', false), Some(record.len()));
                prop_assert_eq!(&split(std::str::from_utf8(without_end(record)).unwrap()), row);
            }
        }
    }
}
