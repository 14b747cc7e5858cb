//! Reads times in ISO 8601, as programs print it.
//!
//! ```text
//! time     = date ( "T" | "t" | " " ) clock [ zone ]
//! extended = YYYY-MM-DD, and HH:MM [ ":" SS [ fraction ] ]
//! basic    = YYYYMMDD, and HHMM [ SS [ fraction ] ]           date and clock are both extended or both basic
//! fraction = ( "." | "," ) digit { digit }
//! zone     = "Z" | "z" | ( "+" | "-" ) HH [ [ ":" ] MM ]      without a zone the time is UTC
//! ```

use super::calendar;
use super::span::{DAY, MINUTE, SECOND};
use super::wall::Wall;
use crate::text::number;

/// Reads a time in ISO 8601 into microseconds since 1970, UTC, like the field `timestamp`.
pub fn parse(text: &str) -> Option<i64> {
    micros(text.as_bytes()).map(|(micros, _)| micros)
}

/// Microseconds since 1970, UTC, rounded half to even, and whether digits were lost. Without a zone the time
/// is UTC. None if the text has another form or there is no such instant.
#[inline]
pub(crate) fn micros(text: &[u8]) -> Option<(i64, bool)> {
    wall(text)?.instant(None)
}

/// The time that a text says.
#[inline]
pub(super) fn wall(text: &[u8]) -> Option<Wall> {
    let is_extended = *text.get(4)? == b'-';
    let (mut time, rest) = if is_extended { extended(text)? } else { basic(text)? };
    let (seconds, rest) = match *rest {
        [b':', s1, s2, ref rest @ ..] if is_extended => (Some([b':', s1, s2]), rest),
        [s1 @ b'0'..=b'9', s2, ref rest @ ..] if !is_extended => (Some([b':', s1, s2]), rest),
        _ => (None, rest),
    };
    let (mut fraction, mut rounded, mut rest) = (0, false, rest);
    if let Some(seconds) = seconds {
        time += second(&seconds)?;
        if let [b'.' | b',', digits @ ..] = rest {
            let (digits, behind) = digits.split_at(number::digits(digits));
            (fraction, rounded) = fraction_micros(digits)?;
            rest = behind;
        }
    }
    let offset = if rest.is_empty() { None } else { Some(zone(rest)?) };
    Some(Wall { second: time, fraction, rounded, offset })
}

/// The microseconds of `YYYY-MM-DD HH:MM`, and what follows it.
#[inline]
fn extended(text: &[u8]) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_first_chunk()?;
    Some((minute(head)?, rest))
}

/// The microseconds of `YYYYMMDD HHMM`, and what follows it.
fn basic(text: &[u8]) -> Option<(i64, &[u8])> {
    let (&[y1, y2, y3, y4, m1, m2, d1, d2, separator, h1, h2, n1, n2], rest) = text.split_first_chunk()?;
    let head = [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, separator, h1, h2, b':', n1, n2];
    Some((minute(&head)?, rest))
}

/// Microseconds since 1970 at the start of the minute `YYYY-MM-DD HH:MM`.
#[inline]
pub(crate) fn minute(text: &[u8; 16]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T' | b't', h1, h2, b':', n1, n2] = *text else {
        return None;
    };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let (hour, minute) = (two(h1, h2)?, two(n1, n2)?);
    let day = calendar::day(year, month, day)?;
    (hour < 24 && minute < 60).then(|| day * DAY + (hour * 60 + minute) * MINUTE)
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

/// The microseconds of the digits after a decimal mark, rounded half to even, and whether digits were lost.
pub(super) fn fraction_micros(digits: &[u8]) -> Option<(i64, bool)> {
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

/// How far a zone is ahead of UTC, in microseconds.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *text {
        [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (sign, h1, h2, m1, m2),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] => (sign, h1, h2, m1, m2),
        [sign @ (b'+' | b'-'), h1, h2] => (sign, h1, h2, b'0', b'0'),
        _ => return None,
    };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours >= 24 || minutes >= 60 {
        return None;
    }
    let ahead = (hours * 60 + minutes) * MINUTE;
    Some(if sign == b'-' { -ahead } else { ahead })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::time::span::SHOWN;

    /// 2023-04-10 01:02 UTC.
    const TIME: i64 = 1_681_088_520 * SECOND;

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
    fn the_fraction_may_have_any_number_of_digits() {
        let at = |fraction: &str| {
            let read_with = |mark: char| read(&format!("1970-01-01 00:00:00{mark}{fraction}"));
            assert_eq!(read_with('.'), read_with(','), "{fraction}");
            read_with('.')
        };
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
            ("z", noon),
            ("+00:00", noon),
            ("-00:00", noon),
            ("+00", noon),
            ("-03", noon + 180 * MINUTE),
            ("+02:00", noon - 120 * MINUTE),
            ("+0530", noon - 330 * MINUTE),
            ("-03:30", noon + 210 * MINUTE),
            ("-2359", noon + 1439 * MINUTE),
        ] {
            for (text, fraction) in [
                ("1970-01-01T12:00:00", 0),
                ("1970-01-01 12:00:00.25", 250_000),
                ("1970-01-01t12:00", 0),
                ("19700101T120000", 0),
                ("19700101T120000,25", 250_000),
                ("19700101 1200", 0),
            ] {
                assert_eq!(read(&format!("{text}{zone}")), Some((time + fraction, false)), "{text}{zone}");
            }
        }
        for zone in [
            "+2:00",
            "+24:00",
            "+24",
            "+01:60",
            "02:00",
            " +02:00",
            "+02:00 ",
            "+020",
            "+",
            "+2",
            "+02:",
            "+02:0",
            "ZZ",
            " Z",
            " UTC",
            "UTC",
            "Z[UTC]",
            "+02:00[Europe/Berlin]",
            "+02:00:00",
            "\u{2212}03:00",
        ] {
            for text in ["1970-01-01T12:00:00", "1970-01-01T12:00", "19700101T120000", "19700101T1200"] {
                assert_eq!(read(&format!("{text}{zone}")), None, "{text}{zone}");
            }
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
    fn seconds_may_be_absent() {
        for text in [
            "2023-04-10 01:02",
            "2023-04-10T01:02Z",
            "2023-04-10t03:02+0200",
            "20230410T0102",
            "20230409T2202-03",
        ] {
            assert_eq!(read(text), Some((TIME, false)), "{text}");
        }
        for text in ["2023-04-10 01:02.5", "2023-04-10T01:02,5Z", "20230410T0102.5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_basic_form_is_read() {
        for (text, time) in [
            ("20230410T010227Z", TIME + 27 * SECOND),
            ("20230410t010227z", TIME + 27 * SECOND),
            ("20230410 010227", TIME + 27 * SECOND),
            ("20230410T030227.5+0200", TIME + 27 * SECOND + 500_000),
            ("20230410T030227,000001+02:00", TIME + 27 * SECOND + 1),
            ("20230409T220227-03", TIME + 27 * SECOND),
        ] {
            assert_eq!(read(text), Some((time, false)), "{text}");
        }
        for text in [
            "20230410T01:02:27",
            "20230410T01:02",
            "2023-04-10T010227",
            "2023-04-10T0102",
            "20230410T0102:27",
            "2023-04-10T01:0227",
            "20230410010227",
            "20230410T01",
            "20230410T01022",
            "20230410T010227.",
            "20230410",
            "20230431T010227",
            "20230410T240000",
            "20230410T010260",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn another_form_is_none() {
        for text in [
            "",
            "2023-04-10",
            "2023-04-10T",
            "2023-04-10T01",
            "2023-04-10 01:02:",
            "2023-04-10 01:02:2",
            "2023-04-10_01:02:27",
            "2023-4-10 01:02:27",
            "2023-13-01 01:02:27",
            "2023-00-01 01:02:27",
            "2023-04-00 01:02:27",
            "2023-04-31 01:02:27",
            "2023-04-10 24:00:00",
            "2023-04-10 23:60:00",
            "2023-04-10 23:59:60",
            "2023-04-10 01:02:27,",
            "2023-04-10 01:02:27;5",
            "2023-04-10  01:02:27",
            " 2023-04-10 01:02:27",
            "2023-04-10 01:02:27 ",
            "2023-100T01:02:27",
            "2023-W15-1T01:02:27",
            "10/04/2023 01:02:27",
            "Mon, 10 Apr 2023 01:02:27 GMT",
            "yesterday",
            "01:02:27",
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

        #[test]
        fn what_jiff_reads_as_well_is_the_same_instant(
            text in "(2023|1969|0001|9999)-?(0[1-9]|1[0-3])-?([0-2][0-9]|3[01])[T t]([01][0-9]|2[0-4]):?[0-5][0-9](:?[0-5][0-9]([.,][0-9]{1,9})?)?(Z|z|[+-][01][0-9](:?[0-5][0-9])?)",
        ) {
            let ours = read(&text);
            let Ok(theirs) = text.parse::<jiff::Timestamp>() else { return Ok(()) };
            // Jiff reads mixed forms as well.
            let has_dashes = text.as_bytes()[4] == b'-';
            let clock = &text[text.find(['T', 't', ' ']).unwrap()..];
            prop_assume!(has_dashes == (clock.as_bytes()[3] == b':'));
            let nanos = theirs.as_nanosecond();
            let (micros, rest) = (nanos.div_euclid(1000) as i64, nanos.rem_euclid(1000));
            let micros = micros + i64::from(rest > 500 || rest == 500 && micros % 2 != 0);
            prop_assert_eq!(ours, SHOWN.contains(&micros).then_some((micros, rest != 0)), "{}", text);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, near in r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}.?[0-9]{2}:?[0-9]{2}.{0,12}") {
            micros(&bytes);
            micros(near.as_bytes());
        }
    }
}
