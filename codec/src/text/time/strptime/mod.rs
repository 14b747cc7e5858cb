//! Formats in the language of strptime, as Python reads it, with English names.
//!
//! | directives | text |
//! |---|---|
//! | `%Y` `%y` | a year of four digits; of two digits, from 1969 to 2068 |
//! | `%m` `%d` `%j` | month, day of the month, day of the year: up to two or three digits |
//! | `%B` `%b` `%A` `%a` | names of months and days of the week, and their first three letters |
//! | `%H` `%I` `%p` | the hour from 0 to 23, or from 1 to 12 with AM or PM |
//! | `%M` `%S` `%f` | minute, second, and any number of digits after the point |
//! | `%z` | `Z`, `+HHMM`, `+HH:MM`, each perhaps with seconds |
//! | `%Z` | `UTC` or `GMT`; in a format with `%z` any abbreviation, as `%z` says the offset |
//! | `%G` `%V`, `%U` `%W`, `%u` `%w` | ISO 8601's year and week; weeks from Sunday or Monday on; numbers of days of the week |
//! | `%D` `%F` `%R` `%T` `%r` `%c` `%x` `%X` | short for several directives |
//! | `%h` `%e` `%k` `%l`, `%n` `%t`, `%%` | like `%b` `%d` `%H` `%I`; like a blank; a percent sign |
//!
//! The text has to match whole. Letters of ASCII match in upper and lower case, blanks match one or more blanks, and
//! digits are those of ASCII. A number takes as many digits as it can, unless what follows then does not match. Hours,
//! minutes and seconds that a format lacks are zero. If it says the date more than once, month and day win, then the day
//! of the year; the others, and days of the week, are read and not checked.
//!
//! Unlike in Python a format must say the date, each part once, and `%p` with `%I`. `%f` may have more than six digits,
//! and no number may follow it directly. A day or week that the year lacks, such as the 366th day of 2023, is no time.

mod compile;
mod date;
mod fault;
mod format;
mod part;
mod step;

pub use fault::FormatFault;
pub(super) use format::Format;

#[cfg(test)]
mod tests;
