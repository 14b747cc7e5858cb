//! What is wrong with a format.

/// What is wrong with a format, and what to write instead. The text continues "the format `...`".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatFault {
    /// A directive is not one of strptime's.
    #[error("has the unknown directive `%{directive}`; expected one of {known}")]
    Unknown {
        /// The letter.
        directive: char,
        /// The known directives.
        known: String,
    },
    /// GNU's flags for padding.
    #[error("has a flag in `%{0}`; leave it out: a number may have fewer digits and a leading zero")]
    Flag(char),
    /// `%s`.
    #[error("has `%s`; for seconds since 1970 write unit = \"s\" instead of a format")]
    Epoch,
    /// A `%` is the last character.
    #[error("ends with a single `%`; write `%%` for a percent sign")]
    End,
    /// Two directives say the same part.
    #[error("has the {part} twice, again as `%{directive}`; give each part once")]
    Twice {
        /// The second directive.
        directive: char,
        /// The part.
        part: &'static str,
    },
    /// The date is not complete.
    #[error("does not determine a date; give year, month and day, as in `%Y-%m-%d`")]
    NoDate,
    /// `%I` without `%p`.
    #[error("has `%I` without `%p`; add `%p`, or write `%H` for hours from 0 to 23")]
    NoHalfDay,
    /// More digits after `%f`.
    #[error("has a number right after `%f`, which takes all digits; put a separator in between")]
    AfterFraction,
}
