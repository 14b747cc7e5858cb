//! The same results by another path, to test against: recomputed from scratch with big rationals,
//! without timely, differential dataflow or the sums of [`crate::accumulation`].

use std::cmp::Ordering;
use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use crate::batch::{Measure, NANO, Record, Truck, Value};
use crate::views::Axis;

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

/// The double nearest to a rational: of two that are as near, the even one. Found by halving intervals of
/// doubles.
pub fn nearest(value: &BigRational) -> f64 {
    let magnitude = value.abs();
    let exact = |bits: u64| BigRational::from_float(f64::from_bits(bits)).unwrap_or_else(BigRational::zero);
    // Doubles that are not negative are ordered as their bits are.
    let (mut low, mut high) = (0u64, f64::MAX.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if exact(middle) <= magnitude { low = middle } else { high = middle }
    }
    let (below, above) = (&magnitude - exact(low), exact(high) - &magnitude);
    let nearer_above = match below.cmp(&above) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => low % 2 == 1,
    };
    let nearest = f64::from_bits(if nearer_above { high } else { low });
    if value.is_negative() { -nearest } else { nearest }
}

/// What a correlation view holds of one truck at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationRow {
    /// Records.
    pub samples: i64,
    /// The earliest event time, in microseconds.
    pub earliest: i64,
    /// The latest event time, and then the second and the first value: of equal times the greatest. The
    /// first is 0 where it is time.
    pub latest: (i64, i64, i64),
    /// The exact correlation, where defined.
    pub correlation: Option<Correlation>,
}

/// The value of an axis in a record; none where the record has none.
pub fn value(record: &Record, axis: Axis) -> Option<i64> {
    match axis {
        Axis::Time => Some(record.time),
        Axis::Measure(measure) => Some(record.measures[measure as usize]),
        Axis::Extra(place) => match record.extras.get(place) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        },
    }
}

/// The correlation of `x` and `y`, per truck, of the records that have both.
pub fn correlations(records: &[Record], x: Axis, y: Axis) -> BTreeMap<Truck, CorrelationRow> {
    let mut points: BTreeMap<Truck, Vec<(i64, i64, i64)>> = BTreeMap::new();
    for record in records {
        if let (Some(first), Some(second)) = (value(record, x), value(record, y)) {
            points.entry(record.truck.clone()).or_default().push((record.time, second, first));
        }
    }
    points
        .into_iter()
        .filter_map(|(truck, mut points)| {
            points.sort_unstable();
            let (earliest, latest) = (points.first()?.0, *points.last()?);
            let row = CorrelationRow {
                samples: points.len() as i64,
                earliest,
                latest: if x == Axis::Time { (latest.0, latest.1, 0) } else { latest },
                correlation: Correlation::of(points.into_iter().map(|(_, second, first)| (first, second))),
            };
            Some((truck, row))
        })
        .collect()
}

/// What a window holds at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Records.
    pub samples: i64,
    /// The exact averages, in units, indexed by [`Measure`].
    pub averages: [BigRational; 3],
    /// The exact correlations of distance and of engine speed with time, where defined.
    pub correlations: [Option<Correlation>; 2],
}

/// The windows of `length` microseconds: of each truck, by their start.
pub fn windows(records: &[Record], length: i64) -> BTreeMap<(Truck, i64), WindowRow> {
    let mut held: BTreeMap<(Truck, i64), Vec<&Record>> = BTreeMap::new();
    for record in records {
        let start = record.time - record.time.rem_euclid(length);
        held.entry((record.truck.clone(), start)).or_default().push(record);
    }
    let row = |records: Vec<&Record>| {
        let n = BigInt::from(records.len());
        let average = |measure: Measure| {
            let sum: BigInt =
                records.iter().map(|record| BigInt::from(record.measures[measure as usize])).sum();
            BigRational::new(sum, &n * BigInt::from(NANO))
        };
        let correlation = |measure: Measure| {
            Correlation::of(records.iter().map(|record| (record.time, record.measures[measure as usize])))
        };
        WindowRow {
            samples: records.len() as i64,
            averages: Measure::ALL.map(average),
            correlations: [Measure::DistanceCovered, Measure::EngineSpeed].map(correlation),
        }
    };
    held.into_iter().map(|(window, records)| (window, row(records))).collect()
}

/// The records whose engine speed is above `threshold`, each with every record of its truck and time:
/// time, the distance of the one, the speed of the other, truck; sorted.
pub fn joined(records: &[Record], threshold: i64) -> Vec<(i64, i64, i64, Truck)> {
    let mut at: BTreeMap<(&Truck, i64), Vec<&Record>> = BTreeMap::new();
    for record in records {
        at.entry((&record.truck, record.time)).or_default().push(record);
    }
    let speed = |record: &Record| record.measures[Measure::EngineSpeed as usize];
    let mut joined = Vec::new();
    for above in records.iter().filter(|record| speed(record) > threshold) {
        for other in &at[&(&above.truck, above.time)] {
            let distance = above.measures[Measure::DistanceCovered as usize];
            joined.push((above.time, distance, speed(other), above.truck.clone()));
        }
    }
    joined.sort_unstable();
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::ratio;

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

    #[test]
    fn the_nearest_double_is_what_division_gives() {
        for (n, d) in
            [(1i64, 3i64), (-2, 3), (0, 5), (9_200_000_000_000_000_001, 1_000_000_000), (1, 1 << 60)]
        {
            assert_eq!(nearest(&BigRational::new(n.into(), d.into())), ratio(n.into(), d.into()).unwrap());
        }
    }
}
