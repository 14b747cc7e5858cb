//! A time as a text says it, before it is an instant.

use super::span::SHOWN;
use super::zone::Zone;

/// A time as a text says it: what a clock shows, and perhaps how far that clock is ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wall {
    /// The whole second that the clock shows, in microseconds since it showed 1970-01-01 00:00.
    pub(super) second: i64,
    /// Microseconds after that second, up to a whole second.
    pub(super) fraction: i64,
    /// Whether the fraction was rounded.
    pub(super) rounded: bool,
    /// Microseconds by which the clock is ahead of UTC, if the text says it.
    pub(super) offset: Option<i64>,
}

impl Wall {
    /// Microseconds since 1970, UTC, and whether digits were lost. An offset in the text beats the zone; without
    /// either the clock shows UTC. None if the zone skips this time, or if it is outside the years 1 to 9999.
    #[inline]
    pub(super) fn instant(self, zone: Option<&Zone>) -> Option<(i64, bool)> {
        let offset = match (self.offset, zone) {
            (Some(offset), _) => offset,
            (None, None) => 0,
            // The second as it is written decides: rounding may carry it into a gap.
            (None, Some(zone)) => zone.offset(self.second)?,
        };
        let time = self.second - offset + self.fraction;
        SHOWN.contains(&time).then_some((time, self.rounded))
    }
}
