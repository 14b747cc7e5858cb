//! `LIKE`: case-sensitive matching of a text with a pattern, by characters.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    /// This character.
    One(char),
    /// `_`
    AnyOne,
    /// `%`
    Any,
}

/// A pattern of `LIKE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern(Vec<Piece>);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::One(char) => write!(f, "{char}"),
            Piece::AnyOne => f.write_str("_"),
            Piece::Any => f.write_str("%"),
        })
    }
}

impl Pattern {
    /// None if it ends with its escape character.
    pub(super) fn new(text: &str, escape: Option<char>) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            pieces.push(match char {
                _ if Some(char) == escape => Piece::One(chars.next()?),
                '%' => Piece::Any,
                '_' => Piece::AnyOne,
                _ => Piece::One(char),
            });
        }
        Some(Self(pieces))
    }

    /// Whether the whole text matches. On a mismatch the last `%` takes one more character; earlier ones need no
    /// backtracking.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut rest, mut at) = (text, 0);
        let mut last_any: Option<(usize, &str)> = None;
        loop {
            let mut chars = rest.chars();
            let next = chars.next();
            match (self.0.get(at), next) {
                (Some(Piece::Any), _) => {
                    at += 1;
                    last_any = Some((at, rest));
                    continue;
                }
                (Some(Piece::AnyOne), Some(_)) => {
                    (at, rest) = (at + 1, chars.as_str());
                    continue;
                }
                (Some(Piece::One(wanted)), Some(char)) if *wanted == char => {
                    (at, rest) = (at + 1, chars.as_str());
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((behind, start)) = last_any else { return false };
            let mut chars = start.chars();
            if chars.next().is_none() {
                return false;
            }
            last_any = Some((behind, chars.as_str()));
            (at, rest) = (behind, chars.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A naive implementation of the definition.
    fn naive(pieces: &[Piece], text: &[char]) -> bool {
        match (pieces, text) {
            ([], rest) => rest.is_empty(),
            ([Piece::Any, pieces @ ..], text) => (0..=text.len()).any(|skip| naive(pieces, &text[skip..])),
            ([Piece::AnyOne, pieces @ ..], [_, text @ ..]) => naive(pieces, text),
            ([Piece::One(wanted), pieces @ ..], [char, text @ ..]) => wanted == char && naive(pieces, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_equals_the_definition(pattern in "[ab%_é]{0,8}", text in "[abé]{0,10}") {
            let pattern = Pattern::new(&pattern, None).unwrap();
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(pattern.matches(&text), naive(&pattern.0, &chars));
        }
    }

    #[test]
    fn an_escaped_wildcard_matches_itself() {
        let pattern = Pattern::new("100!%!_!!", Some('!')).unwrap();
        assert!(pattern.matches("100%_!") && !pattern.matches("100%a!"));
        assert_eq!(Pattern::new("a!", Some('!')), None);
    }
}
