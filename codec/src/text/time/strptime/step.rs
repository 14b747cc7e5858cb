//! A format as steps, each of which matches a piece of the text.

use super::part::{Part, Parts};
use crate::text::number;
use crate::text::time::read;
use crate::text::time::span::{MINUTE, SECOND};

/// What matches a piece of the text.
#[derive(Debug)]
pub(super) enum Step {
    /// This text, in upper or lower case.
    Literal(String),
    /// One or more blanks.
    Blanks,
    /// A number.
    Number(Number),
    /// One of these names, in upper or lower case; the number is the name's place plus `first`.
    Name { part: Part, names: &'static [&'static str], first: i64, is_short: bool },
    /// Digits after the point.
    Fraction,
    /// `Z`, `+HHMM[SS]` or `+HH:MM[:SS]`.
    Offset,
    /// The abbreviation of a zone: `UTC` or `GMT` unless an offset says what it means.
    ZoneName { has_offset: bool },
}

/// A number of several digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) part: Part,
    /// The fewest and the most digits.
    pub(super) digits: (usize, usize),
    /// The least and the greatest number.
    pub(super) range: (i64, i64),
    /// Whether a blank may stand for the first of two digits.
    pub(super) is_padded: bool,
    /// Whether the next step may begin with a digit, so that it may need one that this number could take.
    pub(super) gives_back: bool,
}

impl Step {
    /// Whether a text that matches may begin with a digit.
    pub(super) fn takes_digits(&self) -> bool {
        match self {
            Self::Literal(text) => text.starts_with(|char: char| char.is_ascii_digit()),
            Self::Number(_) | Self::Fraction | Self::ZoneName { .. } => true,
            Self::Blanks | Self::Name { .. } | Self::Offset => false,
        }
    }
}

/// The length of the short names.
const SHORT: usize = 3;

/// Matches all steps, and returns what follows them in the text; none if they do not match. Like a regular expression
/// it takes what is longest first, and something shorter if the following steps do not match then.
pub(super) fn match_all<'a>(mut steps: &[Step], mut text: &'a str, parts: &mut Parts) -> Option<&'a str> {
    while let Some((step, following)) = steps.split_first() {
        steps = following;
        text = match step {
            Step::Literal(literal) => without(text, literal)?,
            Step::Blanks => shorter(text, text.trim_start())?,
            Step::Number(number) if number.gives_back => return number.match_any(steps, text, parts),
            Step::Number(number) => number.match_longest(text, parts)?,
            Step::Name { part, names, first, is_short } => {
                let cut = |name: &&'static str| if *is_short { &name[..SHORT] } else { name };
                let mut matching = names.iter().map(cut).zip(*first..);
                let (rest, value) = matching.find_map(|(name, value)| Some((without(text, name)?, value)))?;
                parts.set(*part, value);
                rest
            }
            Step::Fraction => {
                let (digits, rest) = text.split_at(number::digits(text.as_bytes()));
                parts.fraction = read::fraction_micros(digits.as_bytes())?;
                rest
            }
            Step::Offset => return match_offset(steps, text, parts),
            Step::ZoneName { has_offset: true } => {
                shorter(text, text.trim_start_matches(is_of_abbreviation))?
            }
            Step::ZoneName { has_offset: false } => {
                parts.offset = Some(0);
                without(text, "UTC").or_else(|| without(text, "GMT"))?
            }
        };
    }
    Some(text)
}

impl Number {
    /// Takes as many digits as possible, and returns what follows them.
    #[inline]
    fn match_longest<'a>(&self, text: &'a str, parts: &mut Parts) -> Option<&'a str> {
        let (least, most) = self.digits;
        let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits >= least { self.take(digits, text, parts) } else { self.match_padded(text, parts) }
    }

    /// Takes as many digits as possible if the following steps match then, otherwise fewer.
    fn match_any<'a>(&self, steps: &[Step], text: &'a str, parts: &mut Parts) -> Option<&'a str> {
        let (least, most) = self.digits;
        let matched =
            (least..=most).rev().find_map(|digits| match_all(steps, self.take(digits, text, parts)?, parts));
        matched.or_else(|| match_all(steps, self.match_padded(text, parts)?, parts))
    }

    /// Takes a blank and a digit.
    fn match_padded<'a>(&self, text: &'a str, parts: &mut Parts) -> Option<&'a str> {
        if self.is_padded { self.take(1, text.strip_prefix(' ')?, parts) } else { None }
    }

    /// Takes so many digits, and returns what follows them; none if the number is out of range.
    #[inline]
    fn take<'a>(&self, digits: usize, text: &'a str, parts: &mut Parts) -> Option<&'a str> {
        let mut value = 0;
        for digit in text.as_bytes().get(..digits)? {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        if !(self.range.0..=self.range.1).contains(&value) {
            return None;
        }
        parts.set(self.part, value);
        text.get(digits..)
    }
}

/// Matches an offset and the following steps.
fn match_offset<'a>(steps: &[Step], text: &'a str, parts: &mut Parts) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix('Z') {
        parts.offset = Some(0);
        return match_all(steps, rest, parts);
    }
    let is_ahead = text.starts_with('+');
    let unsigned = text.strip_prefix(['+', '-'])?;
    [true, false].into_iter().find_map(|has_seconds| {
        let (offset, rest) = offset(unsigned, has_seconds)?;
        parts.offset = Some(if is_ahead { offset } else { -offset });
        match_all(steps, rest, parts)
    })
}

fn is_of_abbreviation(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '+' || char == '-'
}

/// What is left of a text, if it is less.
fn shorter<'a>(text: &str, rest: &'a str) -> Option<&'a str> {
    (rest.len() < text.len()).then_some(rest)
}

/// The text after `prefix`, in upper or lower case.
#[inline]
fn without<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The microseconds of `HHMM`, `HH:MM`, `HHMMSS` or `HH:MM:SS`, and what follows.
fn offset(text: &str, has_seconds: bool) -> Option<(i64, &str)> {
    let has_colons = text.as_bytes().get(2) == Some(&b':');
    let mut rest = text;
    let mut take = |below: i64, is_first: bool| {
        if has_colons && !is_first {
            rest = rest.strip_prefix(':')?;
        }
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] = *rest.as_bytes() else { return None };
        rest = &rest[2..];
        let number = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
        (number < below).then_some(number)
    };
    let minutes = take(24, true)? * 60 + take(60, false)?;
    let seconds = if has_seconds { take(60, false)? } else { 0 };
    Some((minutes * MINUTE + seconds * SECOND, rest))
}
