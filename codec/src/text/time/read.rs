//! Parses `YYYY-MM-DD HH:MM:SS[.f…][zone]`, the format of Python and ISO 8601.

use super::span::{DAY, MINUTE, SECOND, SHOWN};
use crate::text::number;

/// Parses `YYYY-MM-DD HH:MM:SS[.f…][zone]` into microseconds since 1970, UTC, like the field `timestamp`.
pub fn parse(text: &str) -> Option<i64> {
    micros(text.as_bytes()).map(|(micros, _)| micros)
}

/// Microseconds since 1970, UTC, rounded half to even, and whether digits were lost. Without a zone the time
/// is UTC. None if the text has another format or there is no such instant.
#[inline]
pub(crate) fn micros(text: &[u8]) -> Option<(i64, bool)> {
    let (head, rest) = text.split_first_chunk::<16>()?;
    let (tail, rest) = rest.split_first_chunk::<3>()?;
    let mut time = minute(head)? + second(tail)?;
    let (rest, rounded) = match rest {
        [b'.', rest @ ..] => {
            let (fraction, rest) = rest.split_at(number::digits(rest));
            let (micros, rounded) = fraction_micros(fraction)?;
            time += micros;
            (rest, rounded)
        }
        _ => (rest, false),
    };
    time -= zone(rest)?;
    SHOWN.contains(&time).then_some((time, rounded))
}

/// Microseconds since 1970 at the start of the minute `YYYY-MM-DD HH:MM`.
#[inline]
pub(crate) fn minute(text: &[u8; 16]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T', h1, h2, b':', n1, n2] = *text else {
        return None;
    };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let (hour, minute) = (two(h1, h2)?, two(n1, n2)?);
    let exists = year >= 1
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60;
    exists.then(|| day_number(year, month, day) * DAY + (hour * 60 + minute) * MINUTE)
}

/// The microseconds of `:SS`.
#[inline]
pub(crate) fn second(text: &[u8; 3]) -> Option<i64> {
    let [b':', s1, s2] = *text else { return None };
    two(s1, s2).filter(|second| *second < 60).map(|second| second * SECOND)
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

fn fraction_micros(digits: &[u8]) -> Option<(i64, bool)> {
    if digits.is_empty() {
        return None;
    }
    let mut rest = digits.iter().map(|byte| byte - b'0');
    let mut value = 0u64;
    for _ in 0..6 {
        value = value * 10 + u64::from(rest.next().unwrap_or(0));
    }
    let next = rest.next().unwrap_or(0);
    let beyond = rest.any(|digit| digit != 0);
    // Whole seconds are even, so the fraction alone determines the nearest even value.
    value += u64::from(number::rounds_up(next, beyond, value));
    Some((value as i64, next != 0 || beyond))
}

/// The offset of the zone from UTC, in microseconds.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *text {
        [] | [b'Z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (sign, h1, h2, m1, m2),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours >= 24 || minutes >= 60 {
        return None;
    }
    let ahead = (hours * 60 + minutes) * MINUTE;
    Some(if sign == b'-' { -ahead } else { ahead })
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar: `days_from_civil` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms", for years from 1 on. Its year begins in March.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(i64, bool)> {
        micros(text.as_bytes())
    }

    #[test]
    fn every_day_of_the_calendar_follows_the_one_before() {
        let mut expected = SHOWN.start;
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    let text = format!("{year:04}-{month:02}-{day:02} 00:00:00");
                    if let Some(time) = read(&text) {
                        assert_eq!(time, (expected, false), "{text}");
                        expected += DAY;
                    } else {
                        assert!(day > 28, "{text}");
                    }
                }
            }
        }
        assert_eq!(expected, SHOWN.end);
        assert_eq!(read("1970-01-01 00:00:00"), Some((0, false)));
    }

    #[test]
    fn leap_years_have_a_29th_of_february() {
        for (year, leap) in [(2024, true), (2023, false), (1900, false), (2000, true)] {
            assert_eq!(read(&format!("{year}-02-29 00:00:00")).is_some(), leap, "{year}");
        }
    }

    #[test]
    fn the_fraction_may_have_any_number_of_digits() {
        let at = |fraction: &str| read(&format!("1970-01-01 00:00:00.{fraction}"));
        assert_eq!(at("5"), Some((500_000, false)));
        assert_eq!(at("000001"), Some((1, false)));
        assert_eq!(at("0000010000"), Some((1, false)));
        assert_eq!(at("0000005"), Some((0, true)));
        assert_eq!(at("0000015"), Some((2, true)));
        assert_eq!(at("00000050000000000000000001"), Some((1, true)));
        assert_eq!(at("9999999"), Some((SECOND, true)));
        assert_eq!(at(""), None);
        assert_eq!(at("1x"), None);
        assert_eq!(read("1969-12-31 23:59:59.9999985"), Some((-2, true)));
    }

    #[test]
    fn a_zone_is_converted_to_utc() {
        let noon = 12 * 60 * MINUTE;
        for (zone, time) in [
            ("", noon),
            ("Z", noon),
            ("+00:00", noon),
            ("+02:00", noon - 120 * MINUTE),
            ("+0530", noon - 330 * MINUTE),
            ("-03:30", noon + 210 * MINUTE),
            ("-2359", noon + 1439 * MINUTE),
        ] {
            assert_eq!(read(&format!("1970-01-01T12:00:00{zone}")), Some((time, false)), "{zone}");
            assert_eq!(
                read(&format!("1970-01-01 12:00:00.25{zone}")),
                Some((time + 250_000, false)),
                "{zone}"
            );
        }
        for zone in ["z", "+02", "+2:00", "+24:00", "+01:60", "02:00", " +02:00", "+02:00 ", "+020", "ZZ"] {
            assert_eq!(read(&format!("1970-01-01T12:00:00{zone}")), None, "{zone}");
        }
    }

    #[test]
    fn an_instant_outside_the_years_1_to_9999_is_none() {
        assert_eq!(read("0001-01-01 00:00:00"), Some((SHOWN.start, false)));
        assert_eq!(read("9999-12-31 23:59:59.999999"), Some((SHOWN.end - 1, false)));
        for text in ["0001-01-01 00:00:00+00:01", "9999-12-31 23:59:59.9999999", "0000-12-31 23:59:59"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn another_format_is_none() {
        for text in [
            "",
            "2023-04-10",
            "2023-04-10 01:02",
            "2023-04-10 01:02:",
            "2023-04-10_01:02:27",
            "2023-4-10 01:02:27",
            "2023-13-01 01:02:27",
            "2023-00-01 01:02:27",
            "2023-04-00 01:02:27",
            "2023-04-31 01:02:27",
            "2023-04-10 24:00:00",
            "2023-04-10 23:60:00",
            "2023-04-10 23:59:60",
            "2023-04-10 01:02:27,5",
            " 2023-04-10 01:02:27",
            "2023-04-10 01:02:27 ",
            "1681088547",
            "+023-04-10 01:02:27",
            "２023-04-10 01:02:27",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_is_read_back(
            year in 1970i64..=9998,
            (month, day) in (1i64..=12, 1i64..=28),
            of_day in 0..DAY,
            ahead in -1439i64..=1439,
            (separator, colon) in (prop::bool::ANY, prop::bool::ANY),
        ) {
            let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
            let date = format!("{year:04}-{month:02}-{day:02}");
            let start = read(&format!("{date} 00:00:00")).unwrap().0;
            let text = format!(
                "{date}{}{:02}:{:02}:{:02}.{fraction:06}{}{:02}{}{:02}",
                if separator { 'T' } else { ' ' },
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                if ahead < 0 { '-' } else { '+' },
                ahead.abs() / 60,
                if colon { ":" } else { "" },
                ahead.abs() % 60,
            );
            let expected = start + of_day - ahead * MINUTE;
            prop_assert_eq!(read(&text), Some((expected, false)), "{}", text);
        }
    }
}
