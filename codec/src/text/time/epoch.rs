//! Times that are counted since 1970-01-01 00:00 UTC.

use super::span::{DAY, SECOND, SHOWN};
use super::wall::Wall;
use super::zone::Zone;
use crate::text::number::{self, Written};

/// The unit in which a time is counted since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl Unit {
    /// Its length in nanoseconds.
    pub const fn nanos(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }

    /// Reads a number of units since 1970, UTC, into microseconds, rounded half to even, and whether digits were lost.
    /// The number has JSON's syntax, apart from outer blanks, a `+` and leading zeros. None if it is not a number, or
    /// not within the years 1 to 9999. Takes time linear in the text, whatever the exponent.
    pub fn read(self, number: &str) -> Option<(i64, bool)> {
        match number::written(number) {
            Written::Number(number) => self.of_number(number),
            _ => None,
        }
    }

    /// The same for a number of [`Written`].
    #[inline]
    pub(crate) fn of_number(self, number: &str) -> Option<(i64, bool)> {
        number::scaled(number.as_bytes(), self.places()).filter(|(micros, _)| SHOWN.contains(micros))
    }

    /// The same for an integer.
    #[inline]
    pub fn of_integer(self, units: i128) -> Option<(i64, bool)> {
        let (micros, rounded) = match self {
            Self::Nanos => micros_of(units),
            unit => (units.checked_mul(10i128.pow(unit.places() as u32))?, false),
        };
        let micros = i64::try_from(micros).ok()?;
        SHOWN.contains(&micros).then_some((micros, rounded))
    }

    /// A unit is `10^places` microseconds.
    fn places(self) -> i64 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
            Self::Nanos => -3,
        }
    }
}

/// A time that a zone's clock shows, in nanoseconds since it showed 1970-01-01 00:00, as microseconds since 1970, UTC,
/// and whether digits were lost. Without a zone the clock shows UTC.
pub(super) fn shown(nanos: i128, zone: Option<&Zone>) -> Option<(i64, bool)> {
    let second = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?.checked_mul(SECOND)?;
    // An offset is less than two days.
    if !(SHOWN.start - 2 * DAY..SHOWN.end + 2 * DAY).contains(&second) {
        return None;
    }
    let (fraction, rounded) = micros_of(nanos.rem_euclid(1_000_000_000));
    Wall { second, fraction: fraction as i64, rounded, offset: None }.instant(zone)
}

/// Nanoseconds in microseconds, rounded half to even, and whether digits were lost.
fn micros_of(nanos: i128) -> (i128, bool) {
    let (micros, rest) = (nanos.div_euclid(1000), nanos.rem_euclid(1000));
    let up = rest > 500 || rest == 500 && micros % 2 != 0;
    (micros + i128::from(up), rest != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [Unit; 4] = [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];

    #[test]
    fn a_time_is_read_in_any_unit_and_notation() {
        const TIME: i64 = 1_681_088_547_123_456;
        for (unit, number, micros) in [
            (Unit::Seconds, "1681088547", 1_681_088_547_000_000),
            (Unit::Seconds, "1681088547.25", 1_681_088_547_250_000),
            (Unit::Seconds, "1681088547.123000000", 1_681_088_547_123_000),
            (Unit::Seconds, "1.681088547123E9", 1_681_088_547_123_000),
            (Unit::Seconds, "1.681088547123456e+9", TIME),
            (Unit::Millis, "1681088547123", 1_681_088_547_123_000),
            (Unit::Millis, "1.681088547123456E12", TIME),
            (Unit::Millis, "1681088549999.4", 1_681_088_549_999_400),
            (Unit::Micros, "1681088547123456", TIME),
            (Unit::Micros, "1681088547123456000e-3", TIME),
            (Unit::Nanos, "1681088547123456000", TIME),
            (Unit::Seconds, "-1.5", -1_500_000),
            (Unit::Seconds, "-86400", -DAY),
            (Unit::Seconds, "-0", 0),
            (Unit::Seconds, " +0001681088547 ", 1_681_088_547_000_000),
            (Unit::Seconds, "-000.5", -500_000),
        ] {
            assert_eq!(unit.read(number), Some((micros, false)), "{number}");
        }
    }

    #[test]
    fn a_time_is_rounded_half_to_even() {
        for (unit, number, micros) in [
            (Unit::Nanos, "1681088547123456789", 1_681_088_547_123_457),
            (Unit::Nanos, "1681088549999999501", 1_681_088_550_000_000),
            (Unit::Nanos, "1681088549000000499", 1_681_088_549_000_000),
            (Unit::Nanos, "500", 0),
            (Unit::Nanos, "1500", 2),
            (Unit::Nanos, "-500", 0),
            (Unit::Nanos, "-1500", -2),
            (Unit::Nanos, "-2500", -2),
            (Unit::Nanos, "-2501", -3),
            (Unit::Nanos, "500.0000000000000000000000000001", 1),
            (Unit::Seconds, "1681088549.9999996", 1_681_088_550_000_000),
            (Unit::Seconds, "1e-999999999999999999999", 0),
        ] {
            assert_eq!(unit.read(number), Some((micros, true)), "{number}");
            if let Ok(units) = number.parse() {
                assert_eq!(unit.of_integer(units), Some((micros, true)), "{number}");
            }
        }
    }

    #[test]
    fn a_time_outside_the_years_1_to_9999_is_none() {
        for (number, is_time) in [
            ("-62135596800", true),
            ("-62135596800.0000005", true),
            ("-62135596800.0000006", false),
            ("253402300799.999999", true),
            ("253402300799.9999995", false),
            ("253402300800", false),
            ("9223372036854775807", false),
            ("-170141183460469231731687303715884105728", false),
            ("1e999999999999999999999", false),
        ] {
            assert_eq!(Unit::Seconds.read(number).is_some(), is_time, "{number}");
            if let Ok(units) = number.parse() {
                assert_eq!(Unit::Seconds.of_integer(units).is_some(), is_time, "{number}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_no_time() {
        for text in
            ["", " ", "+", "-", "+-1", "--1", "1 2", "0x10", "1.", ".5", "1e", "nan", "-Infinity", "１"]
        {
            for unit in UNITS {
                assert_eq!(unit.read(text), None, "{text}");
            }
        }
    }

    #[test]
    fn a_shown_time_is_read_in_its_zone() {
        let berlin = Zone::new("Europe/Berlin").unwrap();
        let gap = 1_679_796_000_000_000_000; // 2023-03-26 02:00
        assert_eq!(shown(gap, None), Some((1_679_796_000_000_000, false)));
        assert_eq!(shown(gap, Some(&berlin)), None);
        assert_eq!(shown(gap + 3_600_000_000_000, Some(&berlin)), Some((1_679_792_400_000_000, false)));
        // Rounding makes it 02:00, which Berlin's clock does not show; it is that instant all the same.
        assert_eq!(shown(gap - 1, Some(&berlin)), Some((1_679_792_400_000_000, true)));
        assert_eq!(shown(i128::MAX, Some(&berlin)), None);
        assert_eq!(shown(i128::MIN, None), None);
    }

    proptest! {
        #[test]
        fn an_integer_is_read_like_its_text(units: i128, shift in 0u32..127) {
            for unit in UNITS {
                let units = units >> shift;
                prop_assert_eq!(unit.of_integer(units), unit.read(&units.to_string()));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String, near in r"[ +-]{0,2}[0-9]{0,30}\.?[0-9]{0,5}([eE][+-]?[0-9]{0,25})?") {
            for unit in UNITS {
                unit.read(&text);
                unit.read(&near);
            }
        }
    }
}
