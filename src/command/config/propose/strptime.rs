//! The formats of `strptime` in which programs commonly print times, found by the pattern of a text.
//!
//! A pattern has `9` for digits, and a letter for names of months and days and for what says the distance from UTC:
//! `10/Apr/2023:13:55:36 -0700` has the pattern `9/b/9:9:9:9 z`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use crate::text::time::TimeForm;

/// Dates. Of those with one pattern the more common come first.
const DATES: [&str; 43] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d%m%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%y/%m/%d",
    "%y-%m-%d",
    "%y%m%d",
    "%d%m%y",
    "%Y-%j",
    "%Y%j",
    "%Y-%b-%d",
    "%Y %b %d",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d/%b/%Y",
    "%d %b %Y",
    "%d %b %y",
    "%d %b, %Y",
    "%d. %b %Y",
    "%d%b%Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%b-%d-%Y",
    "%d %B %Y",
    "%d-%B-%Y",
    "%B %d, %Y",
    "%B %d %Y",
    "%a, %d %b %Y",
    "%a, %d-%b-%y",
    "%a %d %b %Y",
    "%a %b %d %Y",
    "%A, %B %d, %Y",
];
/// Times of the day.
const TIMES: [&str; 17] = [
    "%H:%M:%S",
    "%H:%M:%S.%f",
    "%H:%M:%S,%f",
    "%H:%M:%S:%f",
    "%H:%M",
    "%I:%M:%S %p",
    "%I:%M:%S.%f %p",
    "%I:%M %p",
    "%I:%M:%S%p",
    "%I:%M%p",
    "%H%M%S",
    "%H%M%S.%f",
    "%H%M%S%f",
    "%H%M",
    "%H.%M.%S",
    "%H-%M-%S",
    "%Hh%M",
];
/// What stands between them.
const JOINTS: [&str; 9] = [" ", "T", ", ", "", "_", "-", " - ", ":", " at "];
/// What stands behind them.
const ZONES: [&str; 9] = ["", " %z", "%z", "Z", " UTC", " GMT", " %z %Z", " GMT%z", "Z[UTC]"];
/// Those in which the year comes last.
const WHOLE: [&str; 5] = [
    "%a %b %d %H:%M:%S %Y",
    "%b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S UTC %Y",
    "%a %b %d %H:%M:%S GMT %Y",
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Microseconds since 1970 of the years 1990 to 2060: a format that leads elsewhere is the wrong one.
const PLAUSIBLE: Range<i64> = 631_152_000_000_000..2_840_140_800_000_000;

/// The formats by their patterns.
static FORMATS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut formats: HashMap<String, Vec<String>> = HashMap::new();
    let mut add = |format: String| formats.entry(pattern_of_format(&format)).or_default().push(format);
    for date in DATES {
        add(date.into());
        for joint in JOINTS {
            for time in TIMES {
                for zone in ZONES {
                    add(format!("{date}{joint}{time}{zone}"));
                }
            }
        }
    }
    for format in WHOLE {
        add(format.into());
    }
    formats
});

/// Reads texts in a format.
pub(super) struct Reader(TimeForm);

impl Reader {
    /// A reader of a format.
    pub(super) fn new(format: &str) -> Option<Self> {
        TimeForm::text(None, Some(format)).ok().map(Self)
    }

    /// Microseconds since 1970, UTC, if a text has the format and is of our time.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        self.0.read(text).map(|(micros, _)| micros).filter(|micros| PLAUSIBLE.contains(micros))
    }
}

/// The common formats that read a text, perhaps with blanks around it.
pub(super) fn formats_of(text: &str) -> Vec<String> {
    let blank = |is: bool| if is { " " } else { "" };
    let (before, behind) = (blank(text.starts_with(' ')), blank(text.ends_with(' ')));
    let known = FORMATS.get(&pattern(text.trim_matches(' '))).map_or(&[][..], |formats| formats);
    let formats = known.iter().map(|format| format!("{before}{format}{behind}"));
    let reads = |format: &String| Reader::new(format).is_some_and(|reader| reader.read(text).is_some());
    formats.filter(reads).collect()
}

/// Orders formats that read the same texts: the less, the more common.
pub(super) fn preference(format: &str) -> (bool, usize) {
    // Where the day has 12 hours, the month stands first.
    let american = format.contains("%p");
    let format = format.trim_start_matches(' ');
    let unusual = if american { format.starts_with("%d/%m") } else { format.starts_with("%m/%d") };
    let place = DATES.iter().position(|date| format.starts_with(date)).unwrap_or(DATES.len());
    (unusual, place)
}

/// Whether a text may be a date and time.
pub(super) fn may_be_time(text: &str) -> bool {
    (6..=48).contains(&text.len())
        && text.is_ascii()
        && text.bytes().filter(u8::is_ascii_digit).count() >= 5
        && (!text.bytes().all(|byte| byte.is_ascii_digit()) || matches!(text.len(), 8 | 12 | 14 | 17))
}

/// Whether a format has nothing but a few digits, as many numbers have.
pub(super) fn is_short(format: &str) -> bool {
    pattern_of_format(format) == "9" && !format.starts_with("%Y%m%d%H%M%S")
}

fn pattern_of_format(format: &str) -> String {
    let mut pattern = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        let sign = match char {
            '%' => match chars.next() {
                Some('b' | 'B') => 'b',
                Some('a' | 'A') => 'a',
                Some('p') => 'p',
                Some('z') => 'z',
                Some('Z') => 'w',
                _ => '9',
            },
            char => char,
        };
        push(&mut pattern, sign);
    }
    pattern
}

/// Appends a sign; digits and blanks are not repeated.
fn push(pattern: &mut String, sign: char) {
    if !(matches!(sign, '9' | ' ') && pattern.ends_with(sign)) {
        pattern.push(sign);
    }
}

fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let zone = zone(rest)
            .filter(|_| pattern.contains("9:9") || pattern.ends_with(['9', ' ']) && pattern.len() > 4);
        let word = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (signs, length): (&str, usize) = match char {
            '0'..='9' => ("9", 1),
            '+' | '-' if zone.is_some() => ("z", zone.unwrap_or(1)),
            _ if word == 0 => (&rest[..char.len_utf8()], char.len_utf8()),
            _ => {
                let letters = &rest[..word];
                let lower = letters.to_ascii_lowercase();
                let is_name = |names: &[&str]| {
                    lower.len() >= 3 && names.iter().any(|name| *name == lower || name[..3] == lower)
                };
                match &*lower {
                    _ if is_name(&MONTHS) => ("b", word),
                    _ if is_name(&DAYS) => ("a", word),
                    "am" | "pm" => ("p", word),
                    // An abbreviation behind the distance from UTC.
                    _ if pattern.ends_with("z ") => ("w", word),
                    _ => (letters, word),
                }
            }
        };
        signs.chars().for_each(|sign| push(&mut pattern, sign));
        rest = &rest[length..];
    }
    pattern
}

/// The length of a distance from UTC at the start of a text, behind which no digit or sign of a date follows.
fn zone(text: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let body = text.get(1..)?;
    let length = match digits(body) {
        4 => 5,
        2 if body[2..].starts_with(':') && digits(&body[3..]) == 2 => 6,
        _ => return None,
    };
    text[length..].chars().next().is_none_or(|next| next == ' ').then_some(length)
}

/// Whether a text in ISO 8601 says its distance from UTC.
pub(super) fn iso_has_zone(text: &str) -> bool {
    text.get(11..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_found_by_the_pattern_of_the_text() {
        for (text, format) in [
            ("10.04.2023 01:02:27", "%d.%m.%Y %H:%M:%S"),
            ("29/04/2023 01:02:27", "%d/%m/%Y %H:%M:%S"),
            ("04/29/2023 01:02", "%m/%d/%Y %H:%M"),
            ("04/29/23 01:02 PM", "%m/%d/%y %I:%M %p"),
            ("Apr 10, 2023 01:02:27 AM", "%b %d, %Y %I:%M:%S %p"),
            ("April 10, 2023 01:02:27 am", "%B %d, %Y %I:%M:%S %p"),
            ("20230429010227", "%Y%m%d%H%M%S"),
            ("05-Oct-2025 14:22:01.100", "%d-%b-%Y %H:%M:%S.%f"),
            ("2023-04-10 03:02:28 +0200", "%Y-%m-%d %H:%M:%S %z"),
            ("2023-04-10 03:02:28 -0330", "%Y-%m-%d %H:%M:%S %z"),
            ("Mon, 10 Apr 2023 01:02:27 +0000", "%a, %d %b %Y %H:%M:%S %z"),
            ("Mon, 10 Apr 2023 01:02:27 GMT", "%a, %d %b %Y %H:%M:%S GMT"),
            ("2023-100T01:02:27", "%Y-%jT%H:%M:%S"),
            ("2023/04/10 10:02:27", "%Y/%m/%d %H:%M:%S"),
            ("10/Apr/2023:13:55:36 -0700", "%d/%b/%Y:%H:%M:%S %z"),
            ("Mon Apr 10 01:02:27 2023", "%a %b %d %H:%M:%S %Y"),
            ("2023-04-10 03:02:28.123 +0200 CEST", "%Y-%m-%d %H:%M:%S.%f %z %Z"),
            ("2023-04-10 01:02:27 UTC", "%Y-%m-%d %H:%M:%S UTC"),
            ("20230429-01:02:27", "%Y%m%d-%H:%M:%S"),
            ("2023-04-10", "%Y-%m-%d"),
        ] {
            let formats = formats_of(text);
            assert!(formats.iter().any(|found| found == format), "{text} ({}): {formats:?}", pattern(text));
            assert!(may_be_time(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_has_no_format() {
        for text in
            ["1.2.3", "12.5", "10.15.07", "192.168.0.1", "860000000000001", "+49 151 123456", "AB-12 345"]
        {
            assert!(!may_be_time(text) || formats_of(text).is_empty(), "{text}: {:?}", formats_of(text));
        }
    }
}
