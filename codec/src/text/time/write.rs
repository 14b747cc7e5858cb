//! Writes times as `YYYY-MM-DD HH:MM:SS.ffffff`, UTC.

use super::calendar;
use super::span::{SECOND, SHOWN};
use crate::text::number::zero_padded;

/// Writes times as `YYYY-MM-DD HH:MM:SS.ffffff`, UTC. Neighbouring rows usually share their second, so its
/// text is cached.
///
/// A time outside the years 1 to 9999 is clamped: it fits neither four digits nor a DATETIME. Event times are
/// never outside, but the bounds of their windows may be, and so may a Kafka timestamp that was not in
/// milliseconds.
#[derive(Clone, Debug)]
pub struct TimeWriter {
    second: i64,
    text: [u8; 20],
}

impl Default for TimeWriter {
    fn default() -> Self {
        let mut writer = Self { second: 0, text: *b"0000-00-00 00:00:00." };
        writer.set(0);
        writer
    }
}

const DAY_SECONDS: i64 = 86_400;
impl TimeWriter {
    /// Appends a time given in microseconds since 1970.
    #[inline]
    pub fn write(&mut self, micros: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text(micros));
    }

    /// The text of a time given in microseconds since 1970.
    #[inline]
    pub fn text(&mut self, micros: i64) -> [u8; 26] {
        let micros = micros.clamp(SHOWN.start, SHOWN.end - 1);
        let second = micros.div_euclid(SECOND);
        if second != self.second {
            self.set(second);
        }
        let mut text = [b'0'; 26];
        text[..20].copy_from_slice(&self.text);
        zero_padded(micros.rem_euclid(SECOND) as u64, &mut text[20..]);
        text
    }

    fn set(&mut self, second: i64) {
        self.second = second;
        let (days, time) = (second.div_euclid(DAY_SECONDS), second.rem_euclid(DAY_SECONDS) as u64);
        let (year, month, day) = calendar::date(days);
        zero_padded(year as u64, &mut self.text[0..4]);
        zero_padded(month, &mut self.text[5..7]);
        zero_padded(day, &mut self.text[8..10]);
        zero_padded(time / 3600, &mut self.text[11..13]);
        zero_padded(time / 60 % 60, &mut self.text[14..16]);
        zero_padded(time % 60, &mut self.text[17..19]);
    }
}
