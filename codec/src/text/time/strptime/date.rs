//! From the parts of a date to its day.

use super::part::{Part, Parts};
use crate::text::time::calendar;

/// Which parts of a format say the date.
#[derive(Clone, Copy, Debug)]
pub(super) enum Date {
    /// Year, month and day.
    Month,
    /// Year and day of the year.
    DayOfYear,
    /// Year, week and day of the week. The week is this part, and begins on this day; Sunday is 0.
    Week(Part, i64),
    /// ISO 8601's year, week and day of the week.
    IsoWeek,
}

impl Date {
    /// Days since 1970-01-01; none if there is no such day.
    pub(super) fn day(self, parts: &Parts) -> Option<i64> {
        let year = parts.get(Part::Year);
        match self {
            Self::Month => calendar::day(year, parts.get(Part::Month), parts.get(Part::Day)),
            Self::DayOfYear => of_year(year, parts.get(Part::DayOfYear)),
            Self::Week(week, begins) => {
                let first = calendar::day(year, 1, 1)?;
                // The first week that begins in the year has the number 1.
                let week_one = first + (begins - day_of_week(first)).rem_euclid(7);
                let day = (parts.get(Part::DayOfWeek) - begins).rem_euclid(7);
                of_year(year, week_one + (parts.get(week) - 1) * 7 + day - first + 1)
            }
            Self::IsoWeek => {
                let year = parts.get(Part::IsoYear);
                // The 4th of January is in the first week, and the 28th of December in the last; they begin on Monday.
                let monday = |day: i64| day - (day_of_week(day) - 1).rem_euclid(7);
                let week = monday(calendar::day(year, 1, 4)?) + (parts.get(Part::IsoWeek) - 1) * 7;
                let exists = week <= monday(calendar::day(year, 12, 28)?);
                exists.then(|| week + (parts.get(Part::DayOfWeek) - 1).rem_euclid(7))
            }
        }
    }
}

/// Days since 1970-01-01 of a day of a year, the first of which is 1.
fn of_year(year: i64, day: i64) -> Option<i64> {
    let first = calendar::day(year, 1, 1)?;
    (1..=365 + i64::from(calendar::is_leap(year))).contains(&day).then_some(first + day - 1)
}

/// The day of the week; Sunday is 0.
fn day_of_week(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 4).rem_euclid(7)
}
