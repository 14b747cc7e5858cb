//! Event times as text: what Python's `str(datetime)` prints, without a zone.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Why a text is no event time.
#[derive(Debug, thiserror::Error)]
#[error("a time is YYYY-MM-DD HH:MM:SS with up to six digits after a point")]
pub struct NotAnEventTime;

/// Reads `YYYY-MM-DD HH:MM:SS[.ffffff]` into microseconds since 1970, UTC.
pub fn parse_event_time(text: &str) -> Result<i64, NotAnEventTime> {
    parse(text.as_bytes()).ok_or(NotAnEventTime)
}

fn parse(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let shape = head.iter().zip(b"0000-00-00 00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        separator => byte == separator,
    });
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| digits(&head[from..to]);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 || year == 0 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let micros = match tail {
        [] => 0,
        [b'.', fraction @ ..]
            if matches!(fraction.len(), 1..=6) && fraction.iter().all(u8::is_ascii_digit) =>
        {
            digits(fraction) * 10_i64.pow(6 - fraction.len() as u32)
        }
        _ => return None,
    };
    Some((days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + micros)
}

fn digits(text: &[u8]) -> i64 {
    text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Appends `YYYY-MM-DD HH:MM:SS`, and six digits after a point unless they are all zero.
pub(super) fn write_event_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let mut text = *b"0000-00-00 00:00:00.000000";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, of_day / 3600),
        (14, 2, of_day / 60 % 60),
        (17, 2, of_day % 60),
        (20, 6, fraction),
    ];
    for (at, width, mut number) in fields {
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    out.extend_from_slice(if fraction == 0 { &text[..19] } else { &text });
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; Howard Hinnant's `days_from_civil`,
/// <https://howardhinnant.github.io/date_algorithms.html>.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`]; from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(micros: i64) -> String {
        let mut out = Vec::new();
        write_event_time(&mut out, micros);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants() {
        assert_eq!(written(0), "1970-01-01 00:00:00");
        assert_eq!(written(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(written(1_681_088_547_000_000), "2023-04-10 01:02:27");
        assert_eq!(written(951_868_799_000_001), "2000-02-29 23:59:59.000001");
        assert_eq!(parse_event_time("2023-04-10 01:02:27.5").unwrap(), 1_681_088_547_500_000);
    }

    #[test]
    fn no_such_instant() {
        for wrong in [
            "",
            "2023-04-10",
            "2023-04-10T01:02:27",
            "2023-02-29 00:00:00",
            "2023-00-10 00:00:00",
            "2023-13-10 00:00:00",
            "2023-04-10 24:00:00",
            "2023-04-10 00:00:60",
            "2023-04-10 01:02:27.",
            "2023-04-10 01:02:27.1234567",
            "2023-04-10 01:02:27Z",
            "0000-04-10 01:02:27",
        ] {
            assert!(parse_event_time(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn writing_and_reading_are_inverse(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse_event_time(&written(micros)).unwrap(), micros);
        }
    }
}
