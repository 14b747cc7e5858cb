//! Time zones: from what a clock in a zone shows to UTC.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::span::{DAY, SECOND};

/// A zone of the IANA time zone database. The database is part of the binary, so that all machines and all runs of
/// one version agree.
#[derive(Clone)]
pub(super) struct Zone(Arc<Table>);

struct Table {
    name: String,
    /// What the zone's clock shows, from the earliest time on.
    spans: Vec<Span>,
}

/// Times on a zone's clock, up to the start of the next span.
struct Span {
    /// The first, in microseconds since the clock showed 1970-01-01 00:00.
    from: i64,
    /// Seconds by which the clock is ahead of UTC; none if it skips these times.
    offset: Option<i32>,
}

/// The Gregorian calendar, days of the week included, repeats after so many days, and with it a zone's yearly rule.
const CYCLE: i64 = 146_097 * DAY;

/// 2500-01-01, by which the table has a whole cycle of yearly rules: the database has none that begins after 2100.
const TABLE_END: i64 = 193_579 * DAY;

impl Zone {
    /// The zone with an IANA name, in upper or lower case.
    pub(super) fn new(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self(Arc::new(Table { name, spans: spans(&zone) })))
    }

    /// A zone's name that ends like an unknown one.
    pub(super) fn similar(name: &str) -> Option<String> {
        let place = |name: &str| name.rsplit('/').next().unwrap_or(name).replace(' ', "_").to_lowercase();
        let database = TimeZoneDatabase::bundled();
        database.available().find(|known| place(known.as_str()) == place(name)).map(|known| known.to_string())
    }

    /// Microseconds by which the zone is ahead of UTC when its clock shows a time, in microseconds since it showed
    /// 1970-01-01 00:00. None if the clock skips it; the earlier offset if the clock shows it twice.
    pub(super) fn offset(&self, shown: i64) -> Option<i64> {
        let beyond = shown - TABLE_END;
        let shown = if beyond < 0 { shown } else { beyond.rem_euclid(CYCLE) + TABLE_END - CYCLE };
        let next = self.0.spans.partition_point(|span| span.from <= shown);
        self.0.spans[next - 1].offset.map(|offset| i64::from(offset) * SECOND)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Zone").field(&self.0.name).finish()
    }
}

fn spans(zone: &TimeZone) -> Vec<Span> {
    let mut offset = zone.to_offset(Timestamp::MIN).seconds();
    let mut spans = vec![Span { from: i64::MIN, offset: Some(offset) }];
    // The clock has shown all times before this one that it does not skip.
    let mut shown = i64::MIN;
    for transition in zone.following(Timestamp::MIN) {
        let at = transition.timestamp().as_second();
        // Offsets are less than two days.
        if at * SECOND >= TABLE_END + 2 * DAY {
            break;
        }
        let before = std::mem::replace(&mut offset, transition.offset().seconds());
        shown = shown.max((at + i64::from(before)) * SECOND);
        let goes_on = (at + i64::from(offset)) * SECOND;
        if goes_on > shown {
            spans.push(Span { from: shown, offset: None });
        }
        spans.push(Span { from: shown.max(goes_on), offset: Some(offset) });
    }
    spans
}

#[cfg(test)]
mod tests;
