//! The language against what Python and jiff read.

use jiff::civil::{DateTime, date};
use proptest::prelude::*;

use super::*;
use crate::text::time::span::SECOND;

/// Microseconds since the clock showed 1970-01-01 00:00, and the offset if there is one, in seconds.
fn read(format: &str, text: &str) -> Option<(i64, Option<i64>)> {
    let wall = Format::new(format).unwrap_or_else(|fault| panic!("{format} {fault}")).read(text)?;
    Some((wall.second + wall.fraction, wall.offset.map(|offset| offset / SECOND)))
}

fn micros(time: &str) -> i64 {
    let time: DateTime = time.parse().unwrap();
    time.duration_since(date(1970, 1, 1).to_datetime(jiff::civil::Time::MIN)).as_micros() as i64
}

#[test]
fn texts_that_programs_print_are_read() {
    for (format, text, time, offset) in [
        ("%d/%m/%Y %H:%M:%S", "10/04/2023 01:02:27", "2023-04-10T01:02:27", None),
        ("%m/%d/%y %I:%M %p", "04/10/23 01:02 PM", "2023-04-10T13:02", None),
        ("%m/%d/%y %I:%M %p", "12/31/99 12:00 AM", "1999-12-31T00:00", None),
        ("%b %d, %Y %I:%M:%S %p", "Apr 10, 2023 01:02:27 AM", "2023-04-10T01:02:27", None),
        ("%b %d, %Y %I:%M:%S %p", "Feb 29, 2024 12:30:00 PM", "2024-02-29T12:30", None),
        // Newer versions of Java put a narrow blank before AM.
        ("%b %d, %Y, %I:%M:%S %p", "Apr 1, 2023, 1:02:27\u{202f}AM", "2023-04-01T01:02:27", None),
        ("%Y%m%d%H%M%S", "20230410010227", "2023-04-10T01:02:27", None),
        ("%d-%b-%Y %H:%M:%S.%f", "10-Apr-2023 01:02:27.100", "2023-04-10T01:02:27.1", None),
        ("%d-%b-%Y %H:%M:%S.%f", "01-Dec-2023 00:00:00.000001", "2023-12-01T00:00:00.000001", None),
        ("%Y-%m-%d %H:%M:%S %z", "2023-04-10 03:02:27 +0200", "2023-04-10T03:02:27", Some(7200)),
        ("%Y-%m-%d %H:%M:%S %z", "2024-02-28 22:30:00 -0330", "2024-02-28T22:30", Some(-12600)),
        (
            "%Y-%m-%d %H:%M:%S.%f %z %Z",
            "2023-04-10 03:02:27.5 +0200 CEST",
            "2023-04-10T03:02:27.5",
            Some(7200),
        ),
        ("%a, %d %b %Y %H:%M:%S %z", "Mon, 10 Apr 2023 01:02:27 +0000", "2023-04-10T01:02:27", Some(0)),
        ("%a, %d %b %Y %H:%M:%S %Z", "Mon, 10 Apr 2023 01:02:27 GMT", "2023-04-10T01:02:27", Some(0)),
        ("%c", "Mon Apr 10 01:02:27 2023", "2023-04-10T01:02:27", None),
        ("%c", "Sat Apr  1 01:02:27 2023", "2023-04-01T01:02:27", None),
        ("%Y-%jT%H:%M:%S", "2023-100T01:02:27", "2023-04-10T01:02:27", None),
        ("%Y-%jT%H:%M:%S", "2024-366T23:59:59", "2024-12-31T23:59:59", None),
        ("%Y-%m-%dT%H:%MZ", "2023-04-10T01:02Z", "2023-04-10T01:02", None),
        ("%A, %B %e, %Y", "MONDAY, april 10, 2023", "2023-04-10T00:00", None),
        ("%D %T", "4/1/23 1:2:3", "2023-04-01T01:02:03", None),
        ("%F%n%R", "2023-04-10 \t 01:02", "2023-04-10T01:02", None),
        ("%x %r", "04/10/23 01:02:27 pm", "2023-04-10T13:02:27", None),
        ("%d.%m.%Y%t%k Uhr", "10.04.2023  1 UHR", "2023-04-10T01:00", None),
        ("100%% %Y é %m %d", "100% 2023 é 4 10", "2023-04-10T00:00", None),
        ("%G-W%V-%u", "2020-W53-7", "2021-01-03T00:00", None),
        ("%G-W%V %A", "2021-W1 Monday", "2021-01-04T00:00", None),
        ("%Y %U %w", "2023 15 1", "2023-04-10T00:00", None),
        ("%Y %W %a", "2023 15 Mon", "2023-04-10T00:00", None),
        ("%Y %W %w", "2023 14 0", "2023-04-09T00:00", None),
        ("%Y %U %u", "2023 15 7", "2023-04-09T00:00", None),
    ] {
        assert_eq!(read(format, text), Some((micros(time), offset)), "{format} {text}");
    }
}

#[test]
fn a_number_takes_the_digits_that_let_the_rest_match() {
    // As Python's strptime does.
    for (format, text, time) in [
        ("%d%m%Y", "1112023", "2023-01-11T00:00"),
        ("%Y%m%d", "2023110", "2023-01-10T00:00"),
        ("%Y%m%d", "2023131", "2023-01-31T00:00"),
        ("%Y%m%d", "202341", "2023-04-01T00:00"),
        ("%Y%j", "2023101", "2023-04-11T00:00"),
        ("%Y%j%H", "2023101", "2023-01-10T01:00"),
        ("%Y%j%H", "20234001", "2023-02-09T01:00"),
    ] {
        assert_eq!(read(format, text), Some((micros(time), None)), "{format} {text}");
    }
}

#[test]
fn what_does_not_match_whole_or_does_not_exist_is_none() {
    for (format, texts) in [
        (
            "%d/%m/%Y %H:%M:%S",
            &[
                "",
                "31/04/2023 01:02:27",
                "29/02/2023 01:02:27",
                "00/04/2023 01:02:27",
                "10/13/2023 01:02:27",
                "10/04/0000 01:02:27",
                "10/04/23 01:02:27",
                "10/04/2023 24:00:00",
                "10/04/2023 01:60:00",
                "10/04/2023 01:02:60",
                "10/04/2023 01:02:61",
                "10/04/2023 01:02",
                "10/04/2023  01:02:27 ",
                " 10/04/2023 01:02:27",
                "10/04/202301:02:27",
                "10/04/2023 01:02:27 UTC",
                "10/04/2023 01:02:27.5",
                "2023-04-10T01:02:27Z",
                "1０/04/2023 01:02:27",
            ][..],
        ),
        (
            "%m/%d/%y %I:%M %p",
            &["13/45/23 99:99 XM", "04/10/23 00:02 PM", "04/10/23 13:02 PM", "04/10/23 01:02"],
        ),
        ("%d %b %Y", &["10 April 2023", "10 Abr 2023", "10 Ap 2023", "10 é 2023"]),
        ("%d %B %Y", &["10 Apr 2023"]),
        ("%a %F", &["Monday 2023-04-10", "Xxx 2023-04-10"]),
        ("%Y-%j", &["2023-366", "2024-367", "2023-000", "2023-0"]),
        ("%G-%V-%u", &["2021-53-1", "2021-00-1", "2021-54-1", "2021-10-8", "0000-10-1"]),
        ("%Y %U %w", &["2023 54 0", "2023 53 1", "2023 00 0"]),
        ("%F %S.%f", &["2023-04-10 01.", "2023-04-10 01", "2023-04-10 01.x", "2023-04-10 01.5x"]),
        (
            "%F %z",
            &[
                "2023-04-10 +02",
                "2023-04-10 +2:00",
                "2023-04-10 02:00",
                "2023-04-10 +24:00",
                "2023-04-10 +01:60",
                "2023-04-10 z",
                "2023-04-10 UTC",
                "2023-04-10 +02:0030",
                "2023-04-10 +0200:30",
            ],
        ),
        ("%F %Z", &["2023-04-10 CEST", "2023-04-10 Z", "2023-04-10 "]),
        ("%F %z %Z", &["2023-04-10 +0200 ", "2023-04-10 +0200 é"]),
    ] {
        for text in texts {
            assert_eq!(read(format, text), None, "{format} {text}");
        }
    }
}

#[test]
fn an_offset_may_have_a_colon_and_seconds() {
    for (text, seconds) in [
        ("Z", 0),
        ("+0000", 0),
        ("-00:00", 0),
        ("+02:00", 7200),
        ("-0330", -12_600),
        ("+2359", 86_340),
        ("+00:53:28", 3208),
        ("-005328", -3208),
    ] {
        let expected = Some((micros("2023-04-10T00:00"), Some(seconds)));
        assert_eq!(read("%F %z", &format!("2023-04-10 {text}")), expected, "{text}");
    }
    // Its seconds are given back to what follows.
    let expected = Some((micros("2023-04-10T00:00"), Some(7200)));
    assert_eq!(read("%z:%Y-%m-%d", "+02:00:2023-04-10"), expected);
}

#[test]
fn a_fraction_may_have_any_number_of_digits() {
    let format = Format::new("%F %T,%f").unwrap();
    let zeros = "0".repeat(1000);
    for (digits, fraction, rounded) in [
        ("5", 500_000, false),
        ("000001", 1, false),
        ("1234567890", 123_457, true),
        ("0000005", 0, true),
        ("0000015", 2, true),
        (&*format!("0000005{zeros}1"), 1, true),
        ("9999999", SECOND, true),
    ] {
        let wall = format.read(&format!("2023-04-10 01:02:27,{digits}")).unwrap();
        assert_eq!((wall.fraction, wall.rounded), (fraction, rounded), "{digits}");
    }
    assert!(Format::new("%Y%m%d%H%M%S%f").is_ok());
}

#[test]
fn a_year_of_two_digits_is_between_1969_and_2068() {
    for (text, year) in [("00", 2000), ("68", 2068), ("69", 1969), ("99", 1999)] {
        assert_eq!(
            read("%y-%m-%d", &format!("{text}-01-01")),
            Some((micros(&format!("{year}-01-01T00:00")), None)),
            "{text}"
        );
    }
}

#[test]
fn days_of_the_week_and_repeated_dates_are_not_checked() {
    let expected = Some((micros("2023-04-10T13:00"), None));
    assert_eq!(read("%A %F %H", "Friday 2023-04-10 13"), expected);
    assert_eq!(read("%F (%j) %H", "2023-04-10 (1) 13"), expected);
    assert_eq!(read("%F %H %p", "2023-04-10 13 AM"), expected);
}

#[test]
fn a_format_that_cannot_be_read_is_refused_with_what_to_write() {
    for (format, fault) in [
        ("", "does not determine a date; give year, month and day, as in `%Y-%m-%d`"),
        ("%H:%M:%S", "does not determine a date; give year, month and day, as in `%Y-%m-%d`"),
        ("%Y-%m", "does not determine a date; give year, month and day, as in `%Y-%m-%d`"),
        ("%d %b %H:%M", "does not determine a date; give year, month and day, as in `%Y-%m-%d`"),
        ("%Y %V %u", "does not determine a date; give year, month and day, as in `%Y-%m-%d`"),
        ("%F %I:%M", "has `%I` without `%p`; add `%p`, or write `%H` for hours from 0 to 23"),
        ("%F %T%", "ends with a single `%`; write `%%` for a percent sign"),
        ("%Y-%y", "has the year twice, again as `%y`; give each part once"),
        ("%F %m", "has the month twice, again as `%m`; give each part once"),
        ("%F %H %I %p", "has the hour twice, again as `%I`; give each part once"),
        ("%F %f%H", "has a number right after `%f`, which takes all digits; put a separator in between"),
        ("%F %f0", "has a number right after `%f`, which takes all digits; put a separator in between"),
        ("%-d/%m/%Y", "has a flag in `%-`; leave it out: a number may have fewer digits and a leading zero"),
        ("%s", "has `%s`; for seconds since 1970 write unit = \"s\" instead of a format"),
        (
            "%F %Q",
            "has the unknown directive `%Q`; expected one of %Y %y %m %d %j %B %b %A %a %H %I %p %M %S %f %z %Z \
             %G %V %U %W %u %w %D %F %R %T %r %c %x %X %h %e %k %l %n %t %%",
        ),
        ("% Y", "has the unknown directive `% `; expected one of "),
    ] {
        let found = Format::new(format).expect_err(format).to_string();
        assert!(found.starts_with(fault), "{format} {found}");
    }
}

#[test]
fn every_directive_that_an_error_lists_is_known() {
    let error = Format::new("%Q").unwrap_err().to_string();
    let (_, listed) = error.split_once("one of ").unwrap();
    for directive in listed.split(' ') {
        let fault = Format::new(directive).err();
        assert!(!matches!(fault, Some(FormatFault::Unknown { .. })), "{directive} {fault:?}");
    }
}

proptest! {
    #[test]
    fn what_jiff_writes_is_read_back(
        day in -719_162i64..2_932_897,
        second in 0i64..86_400,
        (date_format, clock_format) in (
            prop::sample::select(&[
                "%Y-%m-%d", "%d.%m.%Y", "%e/%m/%Y", "%d %b %Y", "%B %d, %Y", "%Y%j", "%A, %d %B %Y", "%G-W%V-%u",
                "%Y %U %w", "%Y %W %a",
            ][..]),
            prop::sample::select(&["%H:%M:%S", "%I:%M:%S %p", "%H%M%S", "%k.%M.%S", "%l-%M-%S %p", "%T", "%r"][..]),
        ),
        is_clock_first: bool,
    ) {
        let time = date(1970, 1, 1).at(0, 0, 0, 0)
            + jiff::SignedDuration::from_hours(24 * day)
            + jiff::SignedDuration::from_secs(second);
        let format = if is_clock_first {
            format!("{clock_format} {date_format}")
        } else {
            format!("{date_format} {clock_format}")
        };
        let text = time.strftime(&format).to_string();
        // The first days of year 1 are in a week of year 0, and the last of 9999 may be in one of 10000.
        prop_assume!(!text.contains("0000-W") && !text.contains("10000") );
        prop_assert_eq!(read(&format, &text), Some(((day * 86_400 + second) * SECOND, None)), "{} {}", format, text);
    }

    #[test]
    fn any_format_and_text_is_read_without_a_panic(
        format in "(%[a-zA-Z%]|[0-9:/. é]){0,12}",
        text: String,
        near in "[0-9:/. +Zé-]{0,40}",
    ) {
        for format in [format.clone(), format!("%Y-%m-%d {format}"), format!("%j%H%y{format}"), text.clone()] {
            if let Ok(format) = Format::new(&format) {
                for text in [&text, &near, &format!("2023-04-10 {near}")] {
                    format.read(text);
                }
            }
        }
    }
}
