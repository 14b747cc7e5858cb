//! The same results by another path, to test against: recomputed from scratch with big rationals,
//! without timely, differential dataflow or the sums of [`crate::accumulation`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use crate::batch::{Measure, Record, Truck};

/// The exact value of a correlation: its square, which is rational, and its sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// r².
    pub square: BigRational,
    /// Whether r is below 0.
    pub negative: bool,
}

impl Correlation {
    /// Pearson's r of pairs, from their deviations from the mean (another formula than the one that
    /// the sums serve); none for fewer than two pairs or a constant measure.
    pub fn of(pairs: impl IntoIterator<Item = (i64, i64)>) -> Option<Self> {
        let pairs: Vec<(BigInt, BigInt)> =
            pairs.into_iter().map(|(x, y)| (BigInt::from(x), BigInt::from(y))).collect();
        let n = BigInt::from(pairs.len());
        let (sum_x, sum_y) =
            pairs.iter().fold((BigInt::zero(), BigInt::zero()), |(x, y), pair| (x + &pair.0, y + &pair.1));
        // n times each deviation, so that all stay integers.
        let (mut xx, mut xy, mut yy) = (BigInt::zero(), BigInt::zero(), BigInt::zero());
        for (x, y) in &pairs {
            let (u, v) = (&n * x - &sum_x, &n * y - &sum_y);
            xx += &u * &u;
            xy += &u * &v;
            yy += &v * &v;
        }
        if pairs.len() < 2 || xx.is_zero() || yy.is_zero() {
            return None;
        }
        let negative = xy.is_negative();
        Some(Self { square: BigRational::new(&xy * &xy, xx * yy), negative })
    }

    /// Whether `r` is within `ulps / per` units in its last place of the true value. Everything is
    /// compared exactly: doubles are rationals, and roots are compared by their squares.
    pub fn is_within_ulps(&self, r: f64, ulps: i64, per: i64) -> bool {
        if self.square.is_zero() || r == 0.0 {
            return self.square.is_zero() && r == 0.0;
        }
        if (r < 0.0) != self.negative {
            return false;
        }
        let magnitude = r.abs();
        let (Some(value), Some(below)) =
            (BigRational::from_float(magnitude), BigRational::from_float(magnitude.next_down()))
        else {
            return false;
        };
        let slack = (&value - below) * BigRational::new(ulps.into(), per.into());
        let (low, high) = (&value - &slack, &value + &slack);
        let low_fits = low.is_negative() || &low * &low <= self.square;
        low_fits && self.square <= &high * &high
    }

    /// The double nearest to r, found by halving intervals of doubles.
    pub fn nearest(&self) -> f64 {
        // Doubles from 0 to 1 are ordered as their bits are.
        let (mut low, mut high) = (0u64, 1f64.to_bits());
        let square = |x: f64| BigRational::from_float(x).map(|x| &x * &x).unwrap_or_else(BigRational::zero);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if square(f64::from_bits(middle)) <= self.square { low = middle } else { high = middle }
        }
        let (below, above) = (f64::from_bits(low), f64::from_bits(high));
        // Nearer to which? Compare with the point between.
        let exact = |x: f64| BigRational::from_float(x).unwrap_or_else(BigRational::zero);
        let between = (exact(below) + exact(above)) / BigRational::from(BigInt::from(2));
        let magnitude = match (&between * &between).cmp(&self.square) {
            Ordering::Less => above,
            Ordering::Greater => below,
            Ordering::Equal if low % 2 == 0 => below,
            Ordering::Equal => above,
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// What a correlation view holds of one truck at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationRow {
    /// Records.
    pub samples: i64,
    /// The earliest event time, in microseconds.
    pub earliest: i64,
    /// The latest event time, and the value then: of equal times the greatest.
    pub latest: (i64, i64),
    /// The exact correlation of the measure, in nano-units, with event time, where defined.
    pub correlation: Option<Correlation>,
}

/// The correlation of `measure` with time, per truck.
pub fn correlations(records: &[Record], measure: Measure) -> BTreeMap<Truck, CorrelationRow> {
    let mut pairs: BTreeMap<Truck, Vec<(i64, i64)>> = BTreeMap::new();
    for record in records {
        pairs.entry(record.truck.clone()).or_default().push((record.time, record.measures[measure as usize]));
    }
    pairs
        .into_iter()
        .filter_map(|(truck, mut pairs)| {
            pairs.sort_unstable();
            let (first, last) = (*pairs.first()?, *pairs.last()?);
            let row = CorrelationRow {
                samples: pairs.len() as i64,
                earliest: first.0,
                latest: last,
                correlation: Correlation::of(pairs),
            };
            Some((truck, row))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_knows_a_correlation_done_by_hand() {
        // x: 1 2 3, y: 2 4 5: r² = 27/28.
        let correlation = Correlation::of([(1, 2), (2, 4), (3, 5)]).unwrap();
        assert_eq!(correlation.square, BigRational::new(27.into(), 28.into()));
        let r = correlation.nearest();
        assert_eq!(r, (27f64 / 28.0).sqrt());
        assert!(correlation.is_within_ulps(r, 1, 2));
        assert!(!correlation.is_within_ulps(r.next_up().next_up(), 1, 1));
        assert!(!correlation.is_within_ulps(-r, 2, 1));
    }
}
