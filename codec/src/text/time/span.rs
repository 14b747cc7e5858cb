//! The units of times, and the range of times that can be written.

use std::ops::Range;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const DAY: i64 = 24 * 60 * MINUTE;

/// The instants that fit a SQL DATETIME(6) and a four-digit year, in microseconds since 1970: years 1 to 9999.
pub(super) const SHOWN: Range<i64> = -719_162 * DAY..2_932_897 * DAY;
