//! The numbers of a run, and their median.

use serde::Serialize;

use crate::text::printable::count;

/// One run over the input.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Run {
    /// Offsets of a topic, or lines of a file.
    pub(super) records: u64,
    /// The messages among them, if counted.
    pub(super) messages: u64,
    pub(super) seconds: f64,
    pub(super) records_per_second: f64,
}

impl Run {
    pub(super) fn of(records: u64, seconds: f64) -> Self {
        Self { records, messages: records, seconds, records_per_second: records as f64 / seconds.max(1e-9) }
    }
}

/// The median; for an even count, the mean of the middle two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (count, half) if count % 2 == 1 => values[half],
        (_, half) => (values[half - 1] + values[half]) / 2.0,
    }
}

/// Formats as a whole number with thousands separators.
pub(super) fn rate(value: f64) -> String {
    count(format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_shown() {
        assert_eq!([0.4, 12.0, 1234.0, 1234567.0].map(rate), ["0", "12", "1,234", "1,234,567"]);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
