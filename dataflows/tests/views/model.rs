//! A recomputation of correlations and windows, from the readings alone.

use std::collections::BTreeMap;

use dataflows::batch::{Entity, NANO, Record};
use dataflows::oracle::Correlation;
use dataflows::rows::NULL;
use num_bigint::BigInt;
use num_rational::BigRational;

/// An axis of a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Event time, in microseconds.
    Time,
    /// A column of units.
    Number(usize),
}

/// The final row of a truck in a correlation view.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationRow {
    /// Records.
    pub samples: i64,
    /// The earliest event time, in microseconds.
    pub earliest: i64,
    /// The latest event time with its second and first value; of equal times the greatest values. The first value is
    /// 0 if that axis is time.
    pub latest: (i64, i64, i64),
    /// The exact correlation, if defined.
    pub correlation: Option<Correlation>,
}

/// The value of an axis in a record, if the record has one.
pub fn value(record: &Record, axis: Axis) -> Option<i64> {
    match axis {
        Axis::Time => Some(record.time),
        Axis::Number(column) => record.units.get(column).copied().filter(|units| *units != NULL),
    }
}

/// The correlation of `x` and `y` per truck, over the records that have both.
pub fn correlations<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    x: Axis,
    y: Axis,
) -> BTreeMap<Entity, CorrelationRow> {
    let mut points: BTreeMap<Entity, Vec<(i64, i64, i64)>> = BTreeMap::new();
    for record in records {
        if let (Some(first), Some(second)) = (value(record, x), value(record, y)) {
            points.entry(record.entity.clone()).or_default().push((record.time, second, first));
        }
    }
    points
        .into_iter()
        .filter_map(|(truck, mut points)| {
            points.sort_unstable();
            let (earliest, latest) = (points.first()?.0, *points.last()?);
            // Each of the latest values is the greatest at that time.
            let first = points.iter().filter(|point| point.0 == latest.0).map(|point| point.2).max()?;
            let row = CorrelationRow {
                samples: points.len() as i64,
                earliest,
                latest: (latest.0, latest.1, if x == Axis::Time { 0 } else { first }),
                correlation: Correlation::of(points.into_iter().map(|(_, second, first)| (first, second))),
            };
            Some((truck, row))
        })
        .collect()
}

/// The final row of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Records.
    pub samples: i64,
    /// The exact averages of distance covered, engine speed and fuel consumed, of the records that have them.
    pub averages: [Option<BigRational>; 3],
    /// The exact correlations of distance and of engine speed with time, if defined.
    pub correlations: [Option<Correlation>; 2],
}

/// The columns of distance covered, engine speed and fuel consumed.
#[derive(Clone, Copy, Debug)]
pub struct Measures {
    pub distance: usize,
    pub speed: usize,
    pub fuel: usize,
}

/// The windows of `length` microseconds, by truck and start.
pub fn windows<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    measures: Measures,
    length: i64,
) -> BTreeMap<(Entity, i64), WindowRow> {
    let mut held: BTreeMap<(Entity, i64), Vec<&Record>> = BTreeMap::new();
    for record in records {
        let start = record.time - record.time.rem_euclid(length);
        held.entry((record.entity.clone(), start)).or_default().push(record);
    }
    let row = |records: Vec<&Record>| {
        let pairs = |column: usize| -> Vec<(i64, i64)> {
            let pairs = records.iter().map(|record| (record.time, record.units[column]));
            pairs.filter(|(_, units)| *units != NULL).collect()
        };
        let average = |column: usize| {
            let pairs = pairs(column);
            let sum: BigInt = pairs.iter().map(|(_, units)| BigInt::from(*units)).sum();
            (!pairs.is_empty()).then(|| BigRational::new(sum, BigInt::from(pairs.len()) * BigInt::from(NANO)))
        };
        WindowRow {
            samples: records.len() as i64,
            averages: [measures.distance, measures.speed, measures.fuel].map(average),
            correlations: [measures.distance, measures.speed].map(|column| Correlation::of(pairs(column))),
        }
    };
    held.into_iter().map(|(window, records)| (window, row(records))).collect()
}
