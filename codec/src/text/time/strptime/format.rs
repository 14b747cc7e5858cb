//! A compiled format.

use super::date::Date;
use super::part::{Part, Parts};
use super::step::{self, Step};
use crate::text::time::span::{DAY, MINUTE, SECOND};
use crate::text::time::wall::Wall;

/// A compiled format.
#[derive(Debug)]
pub(in crate::text::time) struct Format {
    pub(super) steps: Vec<Step>,
    pub(super) date: Date,
}

impl Format {
    /// The time that a text says; none if it does not match, or if there is no such time.
    pub(in crate::text::time) fn read(&self, text: &str) -> Option<Wall> {
        let mut parts = Parts::default();
        if !step::match_all(&self.steps, text, &mut parts)?.is_empty() {
            return None;
        }
        let second = parts.get(Part::Second);
        if second >= 60 {
            return None;
        }
        let of_day = (parts.hour() * 60 + parts.get(Part::Minute)) * MINUTE + second * SECOND;
        let (fraction, rounded) = parts.fraction;
        Some(Wall { second: self.date.day(&parts)? * DAY + of_day, fraction, rounded, offset: parts.offset })
    }
}
