//! The text of a number, as a record accepts it: JSON's syntax with outer blanks, a plus and leading zeros.

/// Numbers of a record are below this.
const LIMIT: f64 = 9.2e9;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// About how much. Only for statistics: the record gets all digits.
    pub(super) value: f64,
    /// Whether it has no fraction.
    pub(super) is_integer: bool,
    /// Whether it begins with a plus, or with a zero before another digit.
    pub(super) is_padded: bool,
    /// How many digits stand before the point.
    pub(super) digits: usize,
}

impl Number {
    /// The number in a text; none if it is not exactly that.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let (plus, unsigned) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('-').unwrap_or(text)),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let integer = digits(unsigned);
        let mut at = integer;
        if at == 0 {
            return None;
        }
        if unsigned[at..].starts_with('.') {
            let fraction = digits(&unsigned[at + 1..]);
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
        if unsigned[at..].starts_with(['e', 'E']) {
            let exponent = &unsigned[at + 1..];
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let power = digits(&exponent[sign..]);
            if power == 0 {
                return None;
            }
            at += 1 + sign + power;
        }
        if at != unsigned.len() {
            return None;
        }
        let value: f64 = text.parse().ok()?;
        Some(Self {
            value,
            is_integer: at == integer || value.fract() == 0.0,
            is_padded: plus || integer > 1 && unsigned.starts_with('0'),
            digits: integer,
        })
    }

    /// Whether a number of a record can have this value.
    pub(super) fn is_in_range(self) -> bool {
        self.value.abs() < LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_jsons_syntax_with_outer_blanks_a_plus_and_leading_zeros() {
        for (text, value, is_integer, is_padded) in [
            ("12.5", 12.5, false, false),
            (" -0.5 ", -0.5, false, false),
            ("+5", 5.0, true, true),
            ("0725", 725.0, true, true),
            ("0", 0.0, true, false),
            ("5.0", 5.0, true, false),
            ("1e3", 1000.0, true, false),
            ("1E-3", 0.001, false, false),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(
                (number.value, number.is_integer, number.is_padded),
                (value, is_integer, is_padded),
                "{text}"
            );
        }
        for text in ["", "-", ".5", "1.", "1e", "0x10", "1,5", "NaN", "inf", "12e5.5", "1 2"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
