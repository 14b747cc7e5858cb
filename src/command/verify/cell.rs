//! Expected values, and their form in a file or a table column. Written independently of [`crate::render`], whose
//! output is verified here; the calendar is that of `jiff`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflows::oracle;
use dataflows::rows::Type;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use num_bigint::{BigInt, BigUint, Sign};

use crate::store::reader::{Keeps, Line, shortest};

/// The value of a column in a row.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    /// NULL.
    #[default]
    Null,
    /// Microseconds since 1970, UTC.
    Time(i64),
    /// `units / 10^scale`.
    Decimal(BigInt, u32),
    /// A double.
    Real(f64),
    /// A correlation; the actual value may differ by two units in the last place.
    Correlation(Arc<oracle::Correlation>),
    /// An integer.
    Integer(i64),
    /// A text.
    Text(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
}

impl Cell {
    /// A correlation, or NULL.
    pub fn correlation(value: Option<oracle::Correlation>) -> Self {
        value.map_or(Self::Null, |value| Self::Correlation(Arc::new(value)))
    }

    /// Bytes, or NULL.
    pub fn bytes(value: Option<&[u8]>) -> Self {
        value.map_or(Self::Null, |value| Self::Bytes(value.into()))
    }

    /// Parses a field of a CSV file; None if it is not a value of the type.
    pub fn of_csv(field: &[u8], column_type: Type) -> Option<Self> {
        if field.is_empty() && !matches!(column_type, Type::Text) {
            return Some(Self::Null);
        }
        let text = || std::str::from_utf8(field).ok();
        Some(match column_type {
            Type::Timestamp => Self::Time(micros(text()?.parse().ok()?)),
            Type::Integer => Self::Integer(text()?.parse().ok()?),
            Type::Real => Self::Real(text()?.parse().ok()?),
            Type::Text => Self::Text(text()?.into()),
            Type::Decimal | Type::Exact { .. } => {
                let (whole, fraction) = text()?.split_once('.').unwrap_or((text()?, ""));
                Self::Decimal(format!("{whole}{fraction}").parse().ok()?, fraction.len() as u32)
            }
            Type::Bytes => match field.strip_prefix(b"base64:") {
                Some(encoded) => Self::Bytes(STANDARD.decode(encoded).ok()?.into()),
                None => Self::Bytes(field.into()),
            },
        })
    }
}

/// The place of a row.
#[derive(Clone, Debug)]
pub enum Form {
    /// A CSV file.
    Csv,
    /// A table, with the precision of its columns.
    Table(Vec<Keeps>),
}

impl Form {
    /// Writes the expected form of a row.
    pub fn line(&self, cells: &[Cell], line: &mut Line) {
        line.clear();
        for (at, cell) in cells.iter().enumerate() {
            self.push(at, cell, line);
        }
    }

    fn push(&self, at: usize, cell: &Cell, line: &mut Line) {
        match (self, cell) {
            (Self::Csv, cell) => {
                csv(cell, line.open());
                line.end();
            }
            (Self::Table(_), Cell::Null) => line.push(None),
            (Self::Table(keeps), cell) => line.push(Some(&kept(cell, keeps[at]))),
        }
    }

    /// Whether an actual row matches the expected one.
    pub fn agrees(&self, cells: &[Cell], found: &Line) -> bool {
        let mut line = Line::default();
        cells.len() == found.len()
            && cells.iter().enumerate().all(|(at, cell)| {
                line.clear();
                self.push(at, cell, &mut line);
                line.field(0) == found.field(at)
                    || matches!(cell, Cell::Correlation(exact) if self.is_close(at, exact, found.field(at)))
            })
    }

    /// Whether a field is a correlation within two units in the last place of the exact one.
    fn is_close(&self, at: usize, exact: &oracle::Correlation, field: &[u8]) -> bool {
        let Some(found) = std::str::from_utf8(field).ok().and_then(|text| text.parse::<f64>().ok()) else {
            return false;
        };
        let mut line = Line::default();
        let mut is_so_there = |r: f64| {
            line.clear();
            self.push(at, &Cell::Real(r), &mut line);
            line.field(0) == field
        };
        match self {
            Self::Table(keeps) if keeps[at] != Keeps::Double => {
                // The column has less precision: compare with the stored forms of all close values.
                let least = exact.nearest().next_down().next_down();
                std::iter::successors(Some(least), |r| Some(r.next_up())).take(5).any(is_so_there)
            }
            // Only the shortest text of the value is accepted.
            _ => is_so_there(found) && exact.is_within_ulps(found, 2, 1),
        }
    }
}

/// A value as a field of a CSV file.
fn csv(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => {}
        Cell::Time(micros) => out.extend_from_slice(time(*micros).as_bytes()),
        Cell::Decimal(units, scale) => out.extend_from_slice(decimal(units, *scale).as_bytes()),
        Cell::Real(value) => out.extend_from_slice(ryu::Buffer::new().format(*value).as_bytes()),
        Cell::Correlation(exact) => out.extend_from_slice(shortest(exact.nearest()).as_bytes()),
        Cell::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() && !bytes.starts_with(b"base64:") => {
            out.extend_from_slice(bytes);
        }
        Cell::Bytes(bytes) => {
            out.extend_from_slice(b"base64:");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        }
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const YEAR_1: DateTime = DateTime::constant(1, 1, 1, 0, 0, 0, 0);

/// `2023-04-10 01:02:27.000000`; times outside the years 1 to 9999 are clamped.
fn time(micros: i64) -> String {
    // Saturates at the end of the year 9999.
    let time = EPOCH.saturating_add(SignedDuration::from_micros(micros)).max(YEAR_1);
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let fraction = time.subsec_nanosecond() / 1000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:06}")
}

/// Microseconds since 1970.
fn micros(time: DateTime) -> i64 {
    let since = time.duration_since(EPOCH);
    // All valid times fit.
    since.as_micros() as i64
}

/// Without superfluous digits.
fn decimal(units: &BigInt, scale: u32) -> String {
    let sign = if units.sign() == Sign::Minus { "-" } else { "" };
    let digits = format!("{:0>width$}", units.magnitude().to_string(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// The stored form of a value in a column.
fn kept(cell: &Cell, keeps: Keeps) -> Vec<u8> {
    let number = || match cell {
        Cell::Decimal(units, scale) => decimal(units, *scale).parse().unwrap_or(f64::NAN),
        Cell::Real(value) => *value,
        Cell::Correlation(exact) => exact.nearest(),
        Cell::Integer(value) => *value as f64,
        _ => f64::NAN,
    };
    // A number as digits to truncate; a double by its shortest text, as servers do.
    let digits = || match cell {
        Cell::Decimal(units, scale) => decimal(units, *scale),
        Cell::Integer(value) => value.to_string(),
        _ => format!("{}", number()),
    };
    let text = match (keeps, cell) {
        (Keeps::Double, Cell::Decimal(..) | Cell::Real(_) | Cell::Correlation(_) | Cell::Integer(_)) => {
            shortest(number())
        }
        (Keeps::Single(None), _) => shortest((number() as f32).into()),
        (Keeps::Single(Some(places)), _) => shortest((fixed(number(), places) as f32).into()),
        (Keeps::Fixed(places), _) => shortest(fixed(number(), places)),
        (Keeps::Decimal(places), _) => rounded(&digits(), places),
        (Keeps::Integer, Cell::Real(_) | Cell::Correlation(_)) => format!("{}", number().round_ties_even()),
        (Keeps::Integer, _) => rounded(&digits(), 0),
        (Keeps::Time(digits), Cell::Time(micros)) => {
            let text = time(*micros);
            text[..if digits == 0 { 19 } else { 20 + digits as usize }].to_owned()
        }
        (Keeps::Text { trimmed: true }, Cell::Text(text)) => text.trim_end_matches(' ').to_owned(),
        (Keeps::Bytes(length), Cell::Bytes(bytes)) => {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().max(length), 0);
            return bytes;
        }
        (_, Cell::Bytes(bytes)) => return bytes.to_vec(),
        (_, cell) => {
            let mut out = Vec::new();
            csv(cell, &mut out);
            return out;
        }
    };
    text.into_bytes()
}

/// A double with so many decimals, as servers round in `FLOAT(M,D)` and `DOUBLE(M,D)`.
fn fixed(value: f64, places: u32) -> f64 {
    let power = 10f64.powi(places as i32);
    value.floor() + ((value - value.floor()) * power).round_ties_even() / power
}

/// A decimal number with so many places, half away from zero.
fn rounded(digits: &str, places: u32) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = fraction.len() as u32;
    let Ok(units) = format!("{whole}{fraction}").parse::<BigInt>() else { return digits.to_owned() };
    let magnitude = units.magnitude();
    let ten = BigUint::from(10u32);
    let rounded = if scale > places {
        let unit = ten.pow(scale - places);
        let up = magnitude % &unit * 2u32 >= unit;
        magnitude / &unit + u32::from(up)
    } else {
        magnitude * ten.pow(places - scale)
    };
    let is_negative = units.sign() == Sign::Minus && rounded != BigUint::ZERO;
    let sign = if is_negative { "-" } else { "" };
    let digits = format!("{:0>width$}", rounded.to_string(), width = places as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places as usize);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::{Column, Rows};
    use proptest::prelude::*;

    fn text(cell: Cell) -> String {
        let mut out = Vec::new();
        csv(&cell, &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn a_field_is_written_as_the_job_writes_it(
            time in prop_oneof![-62_135_596_800_000_000i64..253_402_300_800_000_000, any::<i64>()],
            units in any::<i64>(),
            real in any::<f64>(),
        ) {
            prop_assume!(time != i64::MIN && units != i64::MIN && real.is_finite());
            let rows: Rows = vec![
                Column::Timestamp(Arc::new(vec![time])),
                Column::Decimal { scale: 9, values: Arc::new(vec![units]) },
                Column::Real(Arc::new(vec![real])),
            ].into();
            let mut out = Vec::new();
            crate::render::csv(&rows, false, &mut out);
            let cells = [Cell::Time(time), Cell::Decimal(units.into(), 9), Cell::Real(real)].map(text);
            prop_assert_eq!(cells.join(",") + "\n", String::from_utf8(out).unwrap());
            for (field, column_type) in cells.iter().zip([Type::Timestamp, Type::Decimal, Type::Real]) {
                prop_assert_eq!(&text(Cell::of_csv(field.as_bytes(), column_type).unwrap()), field);
            }
        }
    }

    #[test]
    fn a_window_that_ends_with_the_calendar_has_its_last_microsecond() {
        for (micros, expected) in [
            (253_402_300_799_999_999, "9999-12-31 23:59:59.999999"),
            (253_402_300_800_000_000, "9999-12-31 23:59:59.999999"),
            (i64::MAX, "9999-12-31 23:59:59.999999"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00.000000"),
            (-62_135_596_800_000_001, "0001-01-01 00:00:00.000000"),
            (-62_135_683_200_000_001, "0001-01-01 00:00:00.000000"),
            (i64::MIN, "0001-01-01 00:00:00.000000"),
        ] {
            assert_eq!(time(micros), expected);
        }
    }

    #[test]
    fn narrow_columns_lose_precision() {
        let kept = |cell, keeps| String::from_utf8(super::kept(&cell, keeps)).unwrap();
        let number = Cell::Decimal(80_225_000_000i64.into(), 9);
        for (keeps, expected) in [
            (Keeps::Double, "80.225"),
            (Keeps::Single(None), "80.2249984741211"),
            (Keeps::Single(Some(1)), "80.19999694824219"),
            (Keeps::Fixed(2), "80.22"),
            (Keeps::Decimal(2), "80.23"),
            (Keeps::Decimal(4), "80.2250"),
            (Keeps::Integer, "80"),
        ] {
            assert_eq!(kept(number.clone(), keeps), expected, "{keeps:?}");
        }
        assert_eq!(kept(Cell::Decimal((-5).into(), 1), Keeps::Integer), "-1");
        assert_eq!(kept(Cell::Real(2.5), Keeps::Integer), "2");
        let time = Cell::Time(1_681_088_547_987_654);
        assert_eq!(kept(time.clone(), Keeps::Time(0)), "2023-04-10 01:02:27");
        assert_eq!(kept(time, Keeps::Time(3)), "2023-04-10 01:02:27.987");
        assert_eq!(
            kept(Cell::Integer(1_681_088_547_123_456_789), Keeps::Single(None)),
            "1.6810885e18".parse::<f32>().map(|x| shortest(x.into())).unwrap()
        );
        assert_eq!(super::kept(&Cell::bytes(Some(b"a")), Keeps::Bytes(3)), b"a\0\0");
    }

    #[test]
    fn a_correlation_may_be_two_units_away_and_no_more() {
        let exact = oracle::Correlation::of([(1, 2), (2, 4), (3, 5)]).unwrap();
        let r = exact.nearest();
        let cells = [Cell::Correlation(Arc::new(exact))];
        let line = |r: f64| [shortest(r)].into_iter().collect::<Line>();
        for form in [Form::Csv, Form::Table(vec![Keeps::Double])] {
            assert!(form.agrees(&cells, &line(r)) && form.agrees(&cells, &line(r.next_up())));
            let far = r.next_up().next_up().next_up().next_up();
            assert!(!form.agrees(&cells, &line(far)) && !form.agrees(&cells, &line(-r)));
            assert!(!form.agrees(&cells, &[format!("{r}0")].into_iter().collect()));
        }
        let single = Form::Table(vec![Keeps::Single(None)]);
        assert!(single.agrees(&cells, &line((r as f32).into())) && !single.agrees(&cells, &line(r)));
    }
}
