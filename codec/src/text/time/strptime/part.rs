//! The parts of a time, and what a text says of them.

/// A part of a time that a directive reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The year.
    Year,
    /// The last two digits of the year.
    ShortYear,
    /// The month, from 1 on.
    Month,
    /// The day of the month.
    Day,
    /// The day of the year, from 1 on.
    DayOfYear,
    /// The year of ISO 8601's weeks.
    IsoYear,
    /// ISO 8601's week, from 1 on.
    IsoWeek,
    /// The week from Sunday on. Week 1 is the first that begins in the year.
    SundayWeek,
    /// The week from Monday on. Week 1 is the first that begins in the year.
    MondayWeek,
    /// The day of the week: 0 and 7 are Sunday.
    DayOfWeek,
    /// The hour from 0 to 23.
    Hour,
    /// The hour from 1 to 12.
    HalfDayHour,
    /// 0 for AM, 1 for PM.
    HalfDay,
    /// The minute.
    Minute,
    /// The second.
    Second,
    /// The digits after the second.
    Fraction,
    /// The offset from UTC.
    Offset,
    /// The abbreviation of a zone.
    ZoneName,
}

impl Part {
    /// What it is part of a time's text, in words; equal for two parts that say the same.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Year | Self::ShortYear => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::DayOfYear => "day of the year",
            Self::IsoYear => "ISO year",
            Self::IsoWeek => "ISO week",
            Self::SundayWeek | Self::MondayWeek => "week",
            Self::DayOfWeek => "day of the week",
            Self::Hour | Self::HalfDayHour => "hour",
            Self::HalfDay => "half of the day",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Fraction => "fraction",
            Self::Offset => "offset",
            Self::ZoneName => "zone",
        }
    }
}

/// What a text says.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// By part; 0 for those that the format lacks.
    numbers: [i64; Part::Second as usize + 1],
    /// Microseconds after the second, and whether digits were lost.
    pub(super) fraction: (i64, bool),
    /// Microseconds ahead of UTC.
    pub(super) offset: Option<i64>,
}

impl Parts {
    /// The number of a part up to [`Part::Second`].
    #[inline]
    pub(super) fn get(&self, part: Part) -> i64 {
        self.numbers[part as usize]
    }

    /// Sets the number of a part up to [`Part::Second`]. A year of two digits becomes one between 1969 and 2068, as in
    /// POSIX.
    #[inline]
    pub(super) fn set(&mut self, part: Part, number: i64) {
        let (part, number) = match part {
            Part::ShortYear if number <= 68 => (Part::Year, 2000 + number),
            Part::ShortYear => (Part::Year, 1900 + number),
            part => (part, number),
        };
        self.numbers[part as usize] = number;
    }

    /// The hour from 0 to 23.
    pub(super) fn hour(&self) -> i64 {
        match self.get(Part::HalfDayHour) {
            0 => self.get(Part::Hour),
            hour => hour % 12 + 12 * self.get(Part::HalfDay),
        }
    }
}
