//! Times as text, in the proleptic Gregorian calendar and UTC: the one calendar of truckflow.
//! [`mod@read`] has text to microseconds, [`mod@write`] the way back.

pub(crate) mod read;
mod write;

use std::ops::Range;

pub use write::TimeWriter;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The instants that a SQL DATETIME(6) and a four-digit year can show, in microseconds since 1970: years 1 to 9999.
const SHOWN: Range<i64> = -719_162 * DAY..2_932_897 * DAY;

/// Reads `YYYY-MM-DD HH:MM:SS[.f…][zone]` into microseconds since 1970, UTC, as the field `timestamp`
/// is read.
pub fn parse(text: &str) -> Option<i64> {
    read::micros(text.as_bytes()).map(|(micros, _)| micros)
}
