//! Rows as bytes: lines of CSV, values of an SQL statement, and lines that MySQL loads.
//!
//! Columns are typed, so a row is rendered without going through floats or strings: decimals from
//! their integers, times from their microseconds.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflows::rows::{Column, ColumnSpec, NULL, RowKey, Rows, Type, column};

use crate::text::csv::write_field;
use crate::text::number::zero_padded;
use crate::text::time::TimeWriter;

/// The prefix of a bytes value that is written in base64.
const BASE64: &[u8] = b"base64:";

/// The last column of CSV files that record changes.
pub const CHANGE: ColumnSpec = column("change", Type::Integer);

/// Appends the header line.
pub fn csv_header(columns: &[ColumnSpec], out: &mut Vec<u8>) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_field(column.name.as_bytes(), out);
    }
    out.push(b'\n');
}

/// Appends a line for each row: RFC 4180 with line feeds. NULL is an empty field. Bytes are written as
/// text if they are UTF-8 that does not start with `base64:`, and otherwise as `base64:` and base64. With
/// `change`, a last field is 1 for inserted and -1 for retracted values.
pub fn csv(rows: &Rows, change: bool, out: &mut Vec<u8>) {
    let mut writers = writers(rows);
    let is_single = rows.columns.len() == 1 && !change;
    out.reserve(rows.len() * rows.columns.len() * 12);
    for row in 0..rows.len() {
        let start = out.len();
        for (index, (column, clock)) in rows.columns.iter().zip(&mut writers).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match column {
                Column::Timestamp(values) | Column::Decimal { values, .. } | Column::Integer(values)
                    if values[row] == NULL => {}
                Column::Timestamp(values) => clock.write(values[row], out),
                Column::Decimal { scale, values } => decimal(values[row], *scale, out),
                Column::Wide { scale, values } => {
                    if let Some(units) = values[row] {
                        out.extend_from_slice(units.decimal(*scale).as_bytes());
                    }
                }
                Column::Real(values) if values[row].is_nan() => {}
                Column::Real(values) => real(values[row], out),
                Column::Integer(values) => integer(values[row], out),
                Column::Name { names, index } => write_field(names[index[row] as usize].as_bytes(), out),
                Column::Text(values) => {
                    write_field(values[row].as_deref().unwrap_or_default().as_bytes(), out)
                }
                Column::Bytes(values) => match values[row].as_deref() {
                    None => {}
                    Some(bytes) if std::str::from_utf8(bytes).is_ok() && !bytes.starts_with(BASE64) => {
                        write_field(bytes, out);
                    }
                    Some(bytes) => {
                        out.extend_from_slice(BASE64);
                        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                    }
                },
            }
        }
        if change {
            let sign = rows.changes.as_ref().map_or(1, |changes| changes.kinds[row].sign());
            out.push(b',');
            integer(sign.into(), out);
        }
        if is_single && out.len() == start {
            // Readers of CSV pass over empty lines.
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
    }
}

/// A value as in a CSV file, without quotes; None is NULL.
pub fn value(column: &Column, row: usize) -> Option<Cow<'_, str>> {
    let mut out = Vec::new();
    match column {
        Column::Timestamp(values) | Column::Decimal { values, .. } | Column::Integer(values)
            if values[row] == NULL =>
        {
            return None;
        }
        Column::Timestamp(values) => TimeWriter::default().write(values[row], &mut out),
        Column::Decimal { scale, values } => decimal(values[row], *scale, &mut out),
        Column::Wide { scale, values } => return values[row].map(|units| units.decimal(*scale).into()),
        Column::Real(values) if values[row].is_nan() => return None,
        Column::Real(values) => real(values[row], &mut out),
        Column::Integer(values) => integer(values[row], &mut out),
        Column::Name { names, index } => return Some((*names[index[row] as usize]).into()),
        Column::Text(values) => return values[row].as_deref().map(Cow::Borrowed),
        Column::Bytes(values) => {
            let bytes = values[row].as_deref()?;
            let text = std::str::from_utf8(bytes).ok().filter(|_| !bytes.starts_with(BASE64));
            return Some(
                text.map_or_else(|| format!("base64:{}", STANDARD.encode(bytes)).into(), Cow::Borrowed),
            );
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned().into())
}

/// Rows as values of an SQL statement: literals that MySQL and MariaDB read back exactly under every
/// `sql_mode`.
#[derive(Clone, Copy)]
pub struct SqlRows<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// The value after the columns of each row; empty if there is none.
    pub keys: &'a [RowKey],
    /// The text before each row: `(`.
    pub opening: &'static str,
}

impl SqlRows<'_> {
    /// The rows of `range` as `(…),(…)` in pieces of about `size` bytes, each with its range of rows.
    pub fn pieces(self, range: Range<usize>, size: usize) -> Vec<(Range<usize>, Vec<u8>)> {
        let rows = self.rows;
        let mut pieces = Vec::new();
        let mut writers = writers(rows);
        let mut start = range.start;
        // An estimate, so that a short piece allocates little more than its bytes.
        let row_bytes = rows.columns.len() * 16 + if self.keys.is_empty() { 0 } else { 40 };
        let room = size.min(range.len() * row_bytes) + 256;
        let mut out = Vec::with_capacity(room);
        for row in range.clone() {
            self.row(row, &mut writers, &mut out);
            if out.len() >= size || row + 1 == range.end {
                pieces.push((start..row + 1, std::mem::take(&mut out)));
                start = row + 1;
                if start < range.end {
                    out.reserve(room);
                }
            } else {
                out.push(b',');
            }
        }
        pieces
    }

    /// Appends the rows of `range` as `(…),(…)`.
    pub fn write(self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut writers = writers(self.rows);
        for row in range.clone() {
            if row > range.start {
                out.push(b',');
            }
            self.row(row, &mut writers, out);
        }
    }

    fn row(self, row: usize, writers: &mut [TimeWriter], out: &mut Vec<u8>) {
        out.extend_from_slice(self.opening.as_bytes());
        sql_values(self.rows, row, writers, out);
        if let Some(key) = self.keys.get(row) {
            out.push(b',');
            sql_bytes(key, out);
        }
        out.push(b')');
    }
}

/// Appends the values of a row.
fn sql_values(rows: &Rows, row: usize, writers: &mut [TimeWriter], out: &mut Vec<u8>) {
    for (index, (column, clock)) in rows.columns.iter().zip(writers).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match column {
            Column::Timestamp(values) | Column::Decimal { values, .. } | Column::Integer(values)
                if values[row] == NULL =>
            {
                out.extend_from_slice(b"NULL");
            }
            Column::Timestamp(values) => {
                out.push(b'\'');
                clock.write(values[row], out);
                out.push(b'\'');
            }
            Column::Decimal { scale, values } => decimal(values[row], *scale, out),
            Column::Wide { scale, values } => match values[row] {
                None => out.extend_from_slice(b"NULL"),
                Some(units) => out.extend_from_slice(units.decimal(*scale).as_bytes()),
            },
            Column::Real(values) if values[row].is_nan() => out.extend_from_slice(b"NULL"),
            Column::Real(values) => {
                let start = out.len();
                real(values[row], out);
                // Without an exponent the server would parse a DECIMAL and truncate it.
                if !out[start..].contains(&b'e') {
                    out.extend_from_slice(b"e0");
                }
            }
            Column::Integer(values) => integer(values[row], out),
            Column::Name { names, index } => sql_text(&names[index[row] as usize], out),
            Column::Text(values) => match &values[row] {
                None => out.extend_from_slice(b"NULL"),
                Some(text) => sql_text(text, out),
            },
            Column::Bytes(values) => match values[row].as_deref() {
                None => out.extend_from_slice(b"NULL"),
                Some(bytes) => sql_bytes(bytes, out),
            },
        }
    }
}

/// A line for each row in the default format of `LOAD DATA`: tabs between values, `\N` for NULL, a
/// backslash before special characters. Bytes are written in hexadecimal digits.
pub fn lines(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * rows.columns.len() * 14);
    let mut writers = writers(rows);
    for row in 0..rows.len() {
        for (index, (column, clock)) in rows.columns.iter().zip(&mut writers).enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            match column {
                Column::Timestamp(values) | Column::Decimal { values, .. } | Column::Integer(values)
                    if values[row] == NULL =>
                {
                    out.extend_from_slice(b"\\N");
                }
                Column::Timestamp(values) => clock.write(values[row], &mut out),
                Column::Decimal { scale, values } => decimal(values[row], *scale, &mut out),
                Column::Wide { scale, values } => match values[row] {
                    None => out.extend_from_slice(b"\\N"),
                    Some(units) => out.extend_from_slice(units.decimal(*scale).as_bytes()),
                },
                Column::Real(values) if values[row].is_nan() => out.extend_from_slice(b"\\N"),
                Column::Real(values) => real(values[row], &mut out),
                Column::Integer(values) => integer(values[row], &mut out),
                Column::Name { names, index } => line_text(&names[index[row] as usize], &mut out),
                Column::Text(values) => match &values[row] {
                    None => out.extend_from_slice(b"\\N"),
                    Some(text) => line_text(text, &mut out),
                },
                Column::Bytes(values) => match values[row].as_deref() {
                    None => out.extend_from_slice(b"\\N"),
                    Some(bytes) => hexadecimal(bytes, &mut out),
                },
            }
        }
        out.push(b'\n');
    }
    out
}

/// A text value in a line for `LOAD DATA`.
fn line_text(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0 => out.extend_from_slice(b"\\0"),
            _ => out.push(byte),
        }
    }
}

/// A text literal. Whether a backslash escapes depends on the `sql_mode`, so a text with special characters
/// is written as its UTF-8 bytes.
fn sql_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte == b'\\' || byte == b'\'' || byte < b' ') {
        out.extend_from_slice(b"_utf8mb4 ");
        sql_bytes(text.as_bytes(), out);
    } else {
        out.push(b'\'');
        out.extend_from_slice(text.as_bytes());
        out.push(b'\'');
    }
}

/// A binary literal.
pub fn sql_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"X'");
    hexadecimal(bytes, out);
    out.push(b'\'');
}

fn hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// `value / 10^scale` without trailing zeros: `0.01`, `80`, `-3.5`.
pub fn decimal(value: i64, scale: u8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    // Constant divisors compile to multiplications.
    let (whole, fraction) = match scale {
        9 => (magnitude / 1_000_000_000, magnitude % 1_000_000_000),
        6 => (magnitude / 1_000_000, magnitude % 1_000_000),
        _ => (magnitude / 10u64.pow(scale.into()), magnitude % 10u64.pow(scale.into())),
    };
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if fraction == 0 {
        return;
    }
    // Most measures use two of their nine decimals.
    if scale == 9 && fraction.is_multiple_of(10_000_000) {
        let hundredths = (fraction / 10_000_000) as u8;
        let text = [b'.', b'0' + hundredths / 10, b'0' + hundredths % 10];
        out.extend_from_slice(if text[2] == b'0' { &text[..2] } else { &text });
        return;
    }
    let places = usize::from(scale);
    let mut text = [b'.'; 20];
    zero_padded(fraction, &mut text[1..=places]);
    let superfluous = text[1..=places].iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&text[..=places - superfluous]);
}

/// The shortest text that reads back as the same double.
fn real(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn writers(rows: &Rows) -> Vec<TimeWriter> {
    vec![TimeWriter::default(); rows.columns.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn one(column: Column) -> Rows {
        vec![column].into()
    }

    fn csv_of(column: Column) -> String {
        let mut out = Vec::new();
        csv(&one(column), false, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn sql_of(column: Column) -> String {
        let mut out = Vec::new();
        let rows = one(column);
        sql(&rows).write(0..rows.len(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn sql(rows: &Rows) -> SqlRows<'_> {
        SqlRows { rows, keys: &[], opening: "(" }
    }

    #[test]
    fn times_are_written_to_the_microsecond() {
        let times = [0, -1, 1_681_088_547_123_456, 1_709_251_199_999_999, -62_135_596_800_000_000, NULL];
        let column = Column::Timestamp(Arc::new(times.to_vec()));
        assert_eq!(
            csv_of(column.clone()),
            "1970-01-01 00:00:00.000000\n1969-12-31 23:59:59.999999\n2023-04-10 01:02:27.123456\n\
             2024-02-29 23:59:59.999999\n0001-01-01 00:00:00.000000\n\"\"\n"
        );
        assert!(sql_of(column).ends_with("('0001-01-01 00:00:00.000000'),(NULL)"));
    }

    #[test]
    fn a_time_outside_the_calendar_is_clamped() {
        let last = 253_402_300_799_999_999;
        let times =
            [last, last + 1, i64::MAX, -62_135_596_800_000_000, -62_135_596_800_000_001, i64::MIN + 1];
        let column = Column::Timestamp(Arc::new(times.to_vec()));
        let (first, last) = ("0001-01-01 00:00:00.000000\n", "9999-12-31 23:59:59.999999\n");
        assert_eq!(csv_of(column.clone()), [last, last, last, first, first, first].concat());
        assert_eq!(lines(&one(column.clone())), csv_of(column).into_bytes());
    }

    #[test]
    fn decimals_have_no_trailing_zeros() {
        let values = vec![0, 10_000_000, -3_500_000_000, 80_000_000_000, 1, i64::MIN + 1, 100_000];
        let column = Column::Decimal { scale: 9, values: Arc::new(values) };
        assert_eq!(csv_of(column), "0\n0.01\n-3.5\n80\n0.000000001\n-9223372036.854775807\n0.0001\n");
        let seconds = Column::Decimal { scale: 6, values: Arc::new(vec![1_500_000, 40]) };
        assert_eq!(sql_of(seconds), "(1.5),(0.00004)");
    }

    #[test]
    fn reals_reach_the_server_as_doubles() {
        let column = Column::Real(Arc::new(vec![0.1, 1.0, -1e-9, f64::NAN]));
        assert_eq!(sql_of(column.clone()), "(0.1e0),(1.0e0),(-1e-9),(NULL)");
        assert_eq!(csv_of(column), "0.1\n1.0\n-1e-9\n\"\"\n");
    }

    #[test]
    fn a_text_with_special_characters_is_written_as_bytes() {
        let texts = ["a", "it's", "b\\", "é", "\n"].map(|text| Some(text.into())).to_vec();
        assert_eq!(
            sql_of(Column::Text(Arc::new(texts))),
            "('a'),(_utf8mb4 X'69742773'),(_utf8mb4 X'625C'),('é'),(_utf8mb4 X'0A')"
        );
    }

    #[test]
    fn bytes_are_written_as_text_or_base64() {
        let bytes = vec![None, Some(b"a,b".to_vec()), Some(vec![0xff, 0]), Some(b"base64:x".to_vec())];
        let column = Column::Bytes(Arc::new(bytes));
        assert_eq!(csv_of(column.clone()), "\"\"\n\"a,b\"\nbase64:/wA=\nbase64:YmFzZTY0Ong=\n");
        assert_eq!(sql_of(column), "(NULL),(X'612C62'),(X'FF00'),(X'6261736536343A78')");
    }

    #[test]
    fn a_single_value_is_that_of_a_csv_file_without_quotes() {
        for column in [
            Column::Timestamp(Arc::new(vec![1_681_088_547_123_456, NULL])),
            Column::Decimal { scale: 9, values: Arc::new(vec![-3_500_000_000, NULL]) },
            Column::Wide { scale: 3, values: Arc::new(vec![Some(1500_i64.into()), None]) },
            Column::Real(Arc::new(vec![1e-9, f64::NAN])),
            Column::Integer(Arc::new(vec![-7, NULL])),
            Column::Text(Arc::new(vec![Some("a".into()), None])),
            Column::Bytes(Arc::new(vec![Some(vec![0xff, 0]), None])),
        ] {
            let expected = csv_of(column.clone());
            assert_eq!(value(&column, 0).as_deref(), expected.lines().next());
            assert_eq!(value(&column, 1), None);
        }
        let name = Column::Name { names: Arc::new(vec!["a,b".into()]), index: Arc::new(vec![0]) };
        assert_eq!(value(&name, 0).as_deref(), Some("a,b"));
        let bytes = Column::Bytes(Arc::new(vec![Some(b"base64:x".to_vec())]));
        assert_eq!(value(&bytes, 0).as_deref(), Some("base64:YmFzZTY0Ong="));
    }

    #[test]
    fn lines_escape_special_characters() {
        let rows: Rows = vec![
            Column::Timestamp(Arc::new(vec![0, NULL])),
            Column::Decimal { scale: 2, values: Arc::new(vec![150, NULL]) },
            Column::Real(Arc::new(vec![1e-9, f64::NAN])),
            Column::Text(Arc::new(vec![Some("a\tb\nc\\d\0é'".into()), None])),
            Column::Bytes(Arc::new(vec![Some(vec![0xff, 9, 0]), None])),
        ]
        .into();
        let expected = "1970-01-01 00:00:00.000000\t1.5\t1e-9\ta\\tb\\nc\\\\d\\0é'\tFF0900\n\
                        \\N\t\\N\t\\N\t\\N\t\\N\n";
        assert_eq!(String::from_utf8(lines(&rows)).unwrap(), expected);
    }

    #[test]
    fn keys_follow_the_columns() {
        let rows: Rows = vec![Column::Integer(Arc::new(vec![1, NULL]))].into();
        let mut out = Vec::new();
        SqlRows { rows: &rows, keys: &[[0; 16], [0xAB; 16]], opening: "ROW(" }.write(0..2, &mut out);
        let expected = format!("ROW(1,X'{}'),ROW(NULL,X'{}')", "00".repeat(16), "AB".repeat(16));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn pieces_contain_every_row_once() {
        let rows = one(Column::Integer(Arc::new((0..1000).collect())));
        let mut whole = Vec::new();
        sql(&rows).write(0..1000, &mut whole);
        let pieces = sql(&rows).pieces(0..rows.len(), 100);
        assert!(pieces.len() > 10);
        let joined: Vec<_> = pieces.iter().map(|(_, text)| text.as_slice()).collect();
        assert_eq!(joined.join(&b','), whole);
        assert_eq!(
            pieces.iter().flat_map(|(range, _)| range.clone()).collect::<Vec<_>>(),
            (0..1000).collect::<Vec<_>>()
        );
    }

    proptest! {
        #[test]
        fn a_csv_reader_reads_the_texts_back(texts in prop::collection::vec("[a-z,\"\r\n é\\\\']{0,12}", 1..20)) {
            let column = Column::Text(Arc::new(texts.iter().map(|text| Some(text.as_str().into())).collect()));
            let ids = Column::Integer(Arc::new((0..texts.len() as i64).collect()));
            let mut out = Vec::new();
            csv(&vec![ids, column].into(), false, &mut out);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let got: Vec<_> = reader.records().map(|record| record.unwrap()[1].to_owned()).collect();
            prop_assert_eq!(got, texts);
        }

        #[test]
        fn a_decimal_reads_back(value in any::<i64>(), scale in 0u8..=18) {
            let mut out = Vec::new();
            decimal(value, scale, &mut out);
            let text = String::from_utf8(out).unwrap();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(!fraction.ends_with('0'));
            let back: i128 = format!("{whole}{fraction:0<width$}", width = usize::from(scale)).parse().unwrap();
            prop_assert_eq!(back, i128::from(value));
        }
    }
}
