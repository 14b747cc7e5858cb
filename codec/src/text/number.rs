//! Decimals, parsed digit by digit into nano-units: an intermediate `f64` would change them.

use dataflows::batch::NANO_SCALE;

/// Measures stay below this many nano-units, so that they and their sums do not overflow.
const LIMIT: u64 = 9_200_000_000_000_000_000;

/// The powers of ten from 1 on.
pub(crate) const POWERS: [u64; 10] = {
    let mut powers = [1; 10];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The length of the JSON number at the start of `bytes`; none if there is no number.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let start = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(start..)?.first_chunk().and_then(length_within) {
        Some(length) => Some(start + length),
        None => any_length(bytes, start),
    }
}

/// The length of the number without sign and exponent at the start of these bytes; none if it may go on behind them,
/// or is no such number.
#[inline]
fn length_within(bytes: &[u8; 8]) -> Option<usize> {
    let others = marks_of_others(u64::from_le_bytes(*bytes));
    let integer = others.trailing_zeros() as usize / 8;
    if !(1..8).contains(&integer) || bytes[0] == b'0' && integer > 1 {
        return None;
    }
    let length = match bytes[integer] {
        b'.' => (others & (others - 1)).trailing_zeros() as usize / 8,
        _ => integer,
    };
    let is_number = length < 8 && length != integer + 1 && bytes[length] | 0x20 != b'e';
    is_number.then_some(length)
}

/// Like [`length`], of any number, whose digits begin at `start`.
#[inline(never)]
fn any_length(bytes: &[u8], start: usize) -> Option<usize> {
    let integer = digits(bytes.get(start..)?);
    let mut at = match integer {
        0 => return None,
        // JSON and Python write no leading zeros; the caller rejects whatever follows the zero.
        _ if bytes[start] == b'0' => start + 1,
        _ => start + integer,
    };
    if let Some([b'.', rest @ ..]) = bytes.get(at..) {
        let fraction = digits(rest);
        at += if fraction == 0 { 0 } else { 1 + fraction };
    }
    if let Some([b'e' | b'E', rest @ ..]) = bytes.get(at..) {
        let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
        let exponent = digits(&rest[sign..]);
        at += if exponent == 0 { 0 } else { 1 + sign + exponent };
    }
    Some(at)
}

/// A number as a text says it, in JSON's syntax apart from outer blanks, a `+` and leading zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    /// The number without blanks and `+`. It may still have leading zeros, which [`nano`] and the like read.
    Number(&'a str),
    /// NaN or an infinity.
    NotFinite,
    /// Not a number.
    Other,
}

/// The number that a text says.
#[inline]
pub(crate) fn written(text: &str) -> Written<'_> {
    if length(text.as_bytes()) == Some(text.len()) {
        return Written::Number(text);
    }
    written_loosely(text)
}

/// Like [`written`], of a text that is not exactly a number.
fn written_loosely(text: &str) -> Written<'_> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let zeros = unsigned.bytes().take_while(|byte| *byte == b'0').count();
    let all = unsigned.as_bytes();
    // One zero stays if no digit follows it: it is the whole integer part.
    let leading =
        if all.get(zeros).is_some_and(u8::is_ascii_digit) { zeros } else { zeros.saturating_sub(1) };
    let number = &all[leading..];
    // `length` takes a `-`, which may not follow a sign.
    if !number.starts_with(b"-") && length(number) == Some(number.len()) {
        return Written::Number(text.strip_prefix('+').unwrap_or(text));
    }
    if ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return Written::NotFinite;
    }
    Written::Other
}

/// The value of a JSON number in nano-units, rounded half to even, and whether digits were lost; none if it
/// is not below the limit. Takes time linear in the text, whatever the exponent.
#[inline]
pub(crate) fn nano(number: &[u8]) -> Option<(i64, bool)> {
    scaled(number, i64::from(NANO_SCALE)).filter(|(value, _)| value.unsigned_abs() < LIMIT)
}

/// The value of a JSON number times `10^places`, rounded half to even, and whether digits were lost; none if it is
/// not within `i64`. Takes time linear in the text, whatever the exponent.
#[inline]
pub(crate) fn scaled(number: &[u8], places: i64) -> Option<(i64, bool)> {
    let negative = number.first() == Some(&b'-');
    let number = &number[usize::from(negative)..];
    if let Some((value, fraction)) = short(number)
        && let Some(unit) =
            usize::try_from(places).ok().and_then(|places| POWERS.get(places.checked_sub(fraction)?))
    {
        let value = i64::try_from(value.checked_mul(*unit)?).ok()?;
        return Some((if negative { -value } else { value }, false));
    }
    let (integer, rest) = number.split_at(digits(number));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits(rest)),
        _ => (&b""[..], rest),
    };

    let mut zeros = 0i64;
    let mut significant = integer.iter().chain(fraction).map(|byte| byte - b'0');
    let first = loop {
        match significant.next() {
            None => return Some((0, false)),
            Some(0) => zeros += 1,
            Some(digit) => break digit,
        }
    };
    let mut significant = std::iter::once(first).chain(significant);

    // How many significant digits are at or before the last decimal place that is kept.
    let kept = (integer.len() as i64 - zeros + places).saturating_add(exponent(rest.get(1..)));
    if kept < 0 {
        return Some((0, true));
    }
    if kept > 19 {
        return None;
    }
    let mut value = 0u64;
    for _ in 0..kept {
        value = value * 10 + u64::from(significant.next().unwrap_or(0));
    }
    let next = significant.next().unwrap_or(0);
    let beyond = significant.any(|digit| digit != 0);
    value += u64::from(rounds_up(next, beyond, value));
    let value = i64::try_from(value).ok()?;
    Some((if negative { -value } else { value }, next != 0 || beyond))
}

/// The digits of a number without exponent as an integer, and how many of them are decimals; none if it is longer
/// than 19 characters.
#[inline]
fn short(number: &[u8]) -> Option<(u64, usize)> {
    match number.len() {
        4..=8 => within_eight(number),
        length @ (..=3 | 9..=19) => {
            let (mut value, mut rest) = (0, number);
            if let Some((eight, behind)) = number.split_first_chunk()
                && let eight = u64::from_le_bytes(*eight)
                && marks_of_others(eight) == 0
            {
                (value, rest) = (eight_digits(eight), behind);
            }
            let mut point = None;
            for (at, byte) in rest.iter().enumerate() {
                match byte.wrapping_sub(b'0') {
                    digit @ 0..=9 => value = value * 10 + u64::from(digit),
                    _ if *byte == b'.' && point.is_none() => point = Some(length - rest.len() + at),
                    _ => return None,
                }
            }
            Some((value, point.map_or(0, |point| length - 1 - point)))
        }
        _ => None,
    }
}

/// Like [`short`], of four to eight characters.
#[inline]
fn within_eight(number: &[u8]) -> Option<(u64, usize)> {
    let (first, last) = (number.first_chunk::<4>()?, number.last_chunk::<4>()?);
    let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
    let unused = 8 * (8 - number.len());
    // The first character is the lowest byte. Where the two overlap they are equal.
    let text = u64::from(first) | u64::from(last) << (32 - unused);
    // Zeros come before it.
    let text = text << unused | u64::from_ne_bytes([b'0'; 8]) & !(u64::MAX << unused);
    let others = marks_of_others(text);
    if others == 0 {
        return Some((eight_digits(text), 0));
    }
    let point = others.trailing_zeros() & !7;
    if others & (others - 1) != 0 || (text >> point) as u8 != b'.' {
        return None;
    }
    // What is before the point moves to its place.
    let integer = text & !(u64::MAX << point);
    let fraction = text & (u64::MAX << point << 8);
    Some((eight_digits(fraction | integer << 8 | u64::from(b'0')), (56 - point as usize) / 8))
}

/// The integer that eight digits say; the first is the lowest byte. Neighbours are added up: two digits, four, eight.
#[inline]
fn eight_digits(text: u64) -> u64 {
    let pairs = (text & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32
}

/// Whether a value in nano-units is below the limit of measures.
pub(crate) fn is_measure(value: i64) -> bool {
    value.unsigned_abs() < LIMIT
}

/// A value in nano-units as the shortest decimal.
pub(crate) fn decimal_text(value: i64) -> String {
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Why a number is not an `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInteger {
    /// It has a fraction.
    Fraction,
    /// It is too large.
    OutOfRange,
}

/// The value of a JSON number that is exactly an integer, such as `1e3` or `1.0`. The smallest `i64` is out of
/// range, as it represents NULL. Takes time linear in the text, whatever the exponent.
pub(crate) fn integer(number: &[u8]) -> Result<i64, NoInteger> {
    let negative = number.first() == Some(&b'-');
    let number = &number[usize::from(negative)..];
    let (integer, rest) = number.split_at(digits(number));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits(rest)),
        _ => (&b""[..], rest),
    };
    // The value is the digits times 10^power.
    let power = exponent(rest.get(1..)).saturating_sub(fraction.len() as i64);
    let all = || integer.iter().chain(fraction).map(|byte| byte - b'0');
    let Some(zeros) = all().rev().position(|digit| digit != 0) else { return Ok(0) };
    let significant = integer.len() + fraction.len() - zeros;
    let power = power.saturating_add(zeros as i64);
    if power < 0 {
        return Err(NoInteger::Fraction);
    }
    let mut value = 0i128;
    for digit in all().take(significant).chain(std::iter::repeat_n(0, power.min(20) as usize)) {
        value = value * 10 + i128::from(digit);
        if value > i128::from(i64::MAX) {
            return Err(NoInteger::OutOfRange);
        }
    }
    Ok((if negative { -value } else { value }) as i64)
}

/// Whether half-to-even rounds `value` up: `next` is the first digit that is cut off, and `beyond` says whether
/// any later digit is not zero.
#[inline]
pub(crate) fn rounds_up(next: u8, beyond: bool, value: u64) -> bool {
    next > 5 || next == 5 && (beyond || value % 2 == 1)
}

/// The number of digits at the start of `bytes`.
#[inline]
pub(crate) fn digits(bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((eight, _)) = bytes[count..].split_first_chunk::<8>() {
        let before = digits_of_eight(*eight);
        count += before;
        if before < 8 {
            return count;
        }
    }
    count + bytes[count..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - count)
}

/// How many of eight bytes precede the first one that is no digit; 8 if there is none.
#[inline]
fn digits_of_eight(bytes: [u8; 8]) -> usize {
    marks_of_others(u64::from_le_bytes(bytes)).trailing_zeros() as usize / 8
}

/// The highest bit of each of eight bytes that is no digit.
#[inline]
fn marks_of_others(bytes: u64) -> u64 {
    // The digits become 0 to 9.
    let values = bytes ^ u64::from_ne_bytes([b'0'; 8]);
    let low = values & u64::from_ne_bytes([0x7f; 8]);
    ((low + u64::from_ne_bytes([0x80 - 10; 8])) | values) & u64::from_ne_bytes([0x80; 8])
}

/// The exponent after the `e`, clamped to the range of `i64`.
fn exponent(text: Option<&[u8]>) -> i64 {
    let (negative, text) = match text {
        None => return 0,
        Some([b'-', text @ ..]) => (true, text),
        Some([b'+', text @ ..]) => (false, text),
        Some(text) => (false, text),
    };
    let size =
        text.iter().fold(0i64, |size, byte| size.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    if negative { -size } else { size }
}

/// Fills `out` with the last decimal digits of a number, padded with zeros on the left.
#[inline]
pub(crate) fn zero_padded(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(i64, bool)> {
        assert_eq!(length(text.as_bytes()), Some(text.len()), "{text}");
        nano(text.as_bytes())
    }

    #[test]
    fn a_text_may_have_blanks_a_plus_and_leading_zeros_around_its_number() {
        for (text, number) in [
            ("1", "1"),
            (" +1.5e3\t", "1.5e3"),
            ("-007", "-007"),
            ("+000.5", "000.5"),
            ("0", "0"),
            ("-00", "-00"),
            ("00e1", "00e1"),
            ("\u{a0}7\u{a0}", "7"),
        ] {
            assert_eq!(written(text), Written::Number(number), "{text}");
        }
        assert_eq!(nano(b"-007.5"), Some((-7_500_000_000, false)));
        assert_eq!(integer(b"-007"), Ok(-7));
        for text in ["nan", "NaN", "-nan", "+inf", "-Infinity", " INF "] {
            assert_eq!(written(text), Written::NotFinite, "{text}");
        }
        for text in [
            "", " ", "+", "-", "+-1", "-+1", "--1", "- 1", "1 2", "1.", ".5", "-.5", "1e", "0x1", "1_0",
            "１", "∞",
        ] {
            assert_eq!(written(text), Written::Other, "{text}");
        }
    }

    #[test]
    fn an_integer_is_parsed_exactly_in_any_notation() {
        use NoInteger::{Fraction, OutOfRange};
        for (text, expected) in [
            ("1681088547123456789", Ok(1_681_088_547_123_456_789)),
            ("1681088547123456789.000", Ok(1_681_088_547_123_456_789)),
            ("1.681088547123456789e18", Ok(1_681_088_547_123_456_789)),
            ("1681088547123456789000E-3", Ok(1_681_088_547_123_456_789)),
            ("-9223372036854775807", Ok(-i64::MAX)),
            ("-9223372036854775808", Err(OutOfRange)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775808", Err(OutOfRange)),
            ("-0", Ok(0)),
            ("0e999999999999999999999", Ok(0)),
            ("1e18", Ok(1_000_000_000_000_000_000)),
            ("1e19", Err(OutOfRange)),
            ("1e999999999999999999999", Err(OutOfRange)),
            ("0.5", Err(Fraction)),
            ("1e-999999999999999999999", Err(Fraction)),
            ("1681088547123456789.5", Err(Fraction)),
        ] {
            assert_eq!(length(text.as_bytes()), Some(text.len()), "{text}");
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
    }

    /// The same by big-integer arithmetic.
    fn oracle(text: &str) -> Option<(i64, bool)> {
        let lower = text.to_lowercase();
        let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let scale = exponent.parse::<i64>().unwrap() - fraction.len() as i64 + 9;
        let digits: BigInt = format!("{integer}{fraction}").parse().unwrap();
        let power = BigInt::from(10).pow(scale.unsigned_abs() as u32);
        let (value, lost) = if scale >= 0 {
            (digits * power, false)
        } else {
            let (quotient, remainder) = (&digits / &power, &digits % &power);
            let twice = BigInt::from(remainder.magnitude() * 2u8);
            let up = twice > power || twice == power && &quotient % 2 != BigInt::ZERO;
            let away = if text.starts_with('-') { -1 } else { 1 };
            (quotient + if up { away } else { 0 }, remainder != BigInt::ZERO)
        };
        let value = i64::try_from(value).ok()?;
        (value.unsigned_abs() < LIMIT).then_some((value, lost))
    }

    #[test]
    fn a_number_ends_where_json_says() {
        for (text, expected) in [
            ("0", Some(1)),
            ("-12.50,", Some(6)),
            ("1e5}", Some(3)),
            ("1E+05 ", Some(5)),
            ("007", Some(1)),
            ("1.", Some(1)),
            ("1.e5", Some(1)),
            ("1e", Some(1)),
            ("1e-", Some(1)),
            (".5", None),
            ("-", None),
            ("-inf", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(length(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn digits_end_at_the_same_byte_as_in_a_bytewise_search(
            bytes in prop::collection::vec(prop_oneof![4 => b'0'..=b'9', 1 => any::<u8>()], 0..30),
        ) {
            let expected = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
            prop_assert_eq!(digits(&bytes), expected);
        }
    }

    #[test]
    fn nine_decimals_are_exact() {
        assert_eq!(read("0.1"), Some((100_000_000, false)));
        assert_eq!(read("-79.200000001"), Some((-79_200_000_001, false)));
        assert_eq!(read("12e-3"), Some((12_000_000, false)));
        assert_eq!(read("0.000012E+6"), Some((12_000_000_000, false)));
        assert_eq!(read("0.1000000000000"), Some((100_000_000, false)));
    }

    #[test]
    fn minus_zero_is_zero() {
        for text in ["-0", "-0.0", "-0e5", "0e99999999999999999999999"] {
            assert_eq!(read(text), Some((0, false)), "{text}");
        }
    }

    #[test]
    fn halves_round_to_even_and_any_later_digit_breaks_the_tie() {
        let zeros = "0".repeat(100_000);
        assert_eq!(read("0.0000000005"), Some((0, true)));
        assert_eq!(read("0.0000000015"), Some((2, true)));
        assert_eq!(read("-0.0000000015"), Some((-2, true)));
        assert_eq!(read("0.0000000025"), Some((2, true)));
        assert_eq!(read(&format!("0.0000000005{zeros}")), Some((0, true)));
        assert_eq!(read(&format!("0.0000000005{zeros}1")), Some((1, true)));
        assert_eq!(read("0.9999999999"), Some((1_000_000_000, true)));
    }

    #[test]
    fn the_limit_holds_after_rounding() {
        assert_eq!(read("9199999999.999999999"), Some((9_199_999_999_999_999_999, false)));
        assert_eq!(read("-9199999999.9999999994"), Some((-9_199_999_999_999_999_999, true)));
        for text in ["9200000000", "-9.2e9", "9199999999.9999999999", "99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_exponent_of_any_size_is_parsed_quickly() {
        assert_eq!(read("1e999999999999"), None);
        assert_eq!(read("-1e9999999999999999999999999999"), None);
        assert_eq!(read("1e-400"), Some((0, true)));
        assert_eq!(read("123456e-99999999999999999999999999"), Some((0, true)));
        let zeros = "0".repeat(1000);
        assert_eq!(read(&format!("0.{zeros}5e1001")), Some((5_000_000_000, false)));
        assert_eq!(read(&format!("5{zeros}e-1000")), Some((5_000_000_000, false)));
    }

    proptest! {
        #[test]
        fn a_short_number_is_its_digits(integer in "[0-9]{1,10}", fraction in prop::option::of("[0-9]{1,9}")) {
            let digits = format!("{integer}{}", fraction.as_deref().unwrap_or_default());
            let (text, decimals) = match &fraction {
                Some(fraction) => (format!("{integer}.{fraction}"), fraction.len()),
                None => (integer, 0),
            };
            let expected = (text.len() <= 19).then(|| (digits.parse().unwrap(), decimals));
            prop_assert_eq!(short(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn what_has_an_exponent_is_not_short(text in r"[0-9]{1,4}(\.[0-9]{1,4})?[eE][+-]?[0-9]{1,3}") {
            prop_assert_eq!(short(text.as_bytes()), None, "{}", text);
        }

        #[test]
        fn any_number_agrees_with_big_integers(
            text in r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?",
        ) {
            prop_assert_eq!(read(&text), oracle(&text));
        }

        #[test]
        fn any_tie_agrees_with_big_integers(
            text in r"-?(0|[1-9]{1,3})\.[0-9]{8}[4-6](49|5)0{0,12}[01]?",
            exponent in -2i32..=2,
        ) {
            let text = format!("{text}e{exponent}");
            prop_assert_eq!(read(&text), oracle(&text));
        }
    }
}
