//! The recomputation of each view.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::batch::{Entity, NANO, Record};
use dataflows::oracle;
use dataflows::rows::{Change, NULL};

use crate::job::{Gave, Row, of};
use crate::model::{self, Axis};
use crate::plans::{IDLE, JOIN_RETENTION, RETENTION, WINDOW};

/// The content of a keyed table after these rows. Checks that each key has at most one row, and that updated and deleted
/// rows exist.
pub fn table_after(rows: &[Row]) -> BTreeMap<Vec<u8>, Vec<String>> {
    let mut table = BTreeMap::new();
    let mut by_epoch: Vec<&Row> = rows.iter().collect();
    // Within an epoch in the order of stores.
    by_epoch.sort_by_key(|(epoch, change, _, _)| (*epoch, matches!(change, Change::Insert)));
    for (_, change, key, cells) in by_epoch {
        match change {
            Change::Insert => assert!(table.insert(key.clone(), cells.clone()).is_none(), "twice: {cells:?}"),
            Change::Update => assert!(table.insert(key.clone(), cells.clone()).is_some(), "new: {cells:?}"),
            Change::Delete => assert_eq!(table.remove(key), Some(cells.clone())),
            Change::Before => {}
        }
    }
    table
}

/// The sum of the changes in a file.
pub fn sum_of(rows: &[Row]) -> BTreeMap<Vec<String>, i64> {
    let mut sum = BTreeMap::new();
    for (_, change, _, cells) in rows {
        *sum.entry(cells.clone()).or_default() += i64::from(change.sign());
    }
    sum.retain(|_, count| *count != 0);
    sum
}

pub fn counted<'a>(rows: impl IntoIterator<Item = &'a Vec<String>>) -> BTreeMap<Vec<String>, i64> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(row.clone()).or_default() += 1;
    }
    counted
}

/// Both NULL (NaN), or within one double of the nearest.
pub fn is_close(bits: &str, truth: &Option<oracle::Correlation>) -> bool {
    let bits = u64::from_str_radix(bits, 16).expect("hexadecimal bits");
    let truth = truth.as_ref().map_or(f64::NAN, oracle::Correlation::nearest);
    if truth.is_nan() { f64::from_bits(bits).is_nan() } else { bits.abs_diff(truth.to_bits()) <= 1 }
}

pub fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// Checks the rows of a correlation against the recomputation.
pub fn assert_correlation(rows: &BTreeMap<String, Vec<String>>, records: &[Record], (x, y): (Axis, Axis)) {
    let truth = model::correlations(records, x, y);
    assert_eq!(
        rows.keys().collect::<Vec<_>>(),
        truth.keys().map(|k| k.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    for (truck, want) in truth {
        let got = &rows[&*truck];
        let first = if x == Axis::Time { want.latest.0 - want.earliest } else { want.latest.2 };
        let expected = [want.latest.1, first].map(|number| number.to_string());
        assert_eq!(got[..2], expected);
        assert_eq!(got[3..], [truck.to_string(), want.samples.to_string(), want.latest.0.to_string()]);
        assert!(is_close(&got[2], &want.correlation), "{got:?} {want:?}");
    }
}

/// Checks all correlations against the recomputation, for both kinds of tables.
pub fn assert_correlations(gave: &BTreeMap<String, Gave>, records: &[Record], latest: bool) {
    for (name, axes) in CORRELATIONS {
        let rows = of(gave, name).table;
        let rows = match latest {
            true => table_after(&rows).into_values().map(|cells| (cells[3].clone(), cells)).collect(),
            false => latest_of_history(&rows),
        };
        assert_correlation(&rows, records, axes);
    }
}

/// The columns of the measures.
pub const MEASURES: model::Measures = model::Measures { distance: 0, speed: 1, fuel: 2 };

/// The axes of each correlation among the views.
pub const CORRELATIONS: [(&str, (Axis, Axis)); 3] = [
    ("distance_correlation", (Axis::Time, Axis::Number(MEASURES.distance))),
    ("engine_speed_correlation", (Axis::Time, Axis::Number(MEASURES.speed))),
    ("fuel_with_oil", (Axis::Number(3), Axis::Number(MEASURES.fuel))),
];

pub fn assert_windows(rows: &BTreeMap<Vec<u8>, Vec<String>>, records: &[Record], length: i64) {
    let truth = model::windows(records, MEASURES, length);
    assert_eq!(rows.len(), truth.len());
    for got in rows.values() {
        let start: i64 = got[1].parse().expect("a time");
        let want = &truth[&(got[0].as_str().into(), start)];
        assert_eq!(got[2..4], [(start + length).to_string(), want.samples.to_string()]);
        let average = |average: &Option<_>| bits(average.as_ref().map_or(f64::NAN, oracle::nearest));
        let averages: Vec<_> = want.averages.iter().map(average).collect();
        assert_eq!(got[4..7], averages);
        assert!(is_close(&got[7], &want.correlations[0]) && is_close(&got[8], &want.correlations[1]));
    }
}

pub fn stateless_rows(records: &[Record], view: &str) -> Vec<Vec<String>> {
    let number = |value: i64| value.to_string();
    let known = |n: i64, d: i64| n != NULL && d != NULL;
    let ratio = |n: i64, d: i64| {
        let ratio = known(n, d).then(|| dataflows::real::ratio(n.into(), d.into())).flatten();
        bits(ratio.unwrap_or(f64::NAN))
    };
    let scaled = |speed: i64| {
        let scaled = dataflows::real::ratio(i128::from(speed) * 12, 10i128.pow(10)).filter(|_| speed != NULL);
        bits(scaled.unwrap_or(f64::NAN))
    };
    let mut rows = Vec::new();
    for record in records {
        let [distance, speed, fuel, oil] = record.units[..] else { panic!("four numbers") };
        let (time, truck) = (number(record.time), record.entity.to_string());
        let reading = vec![time.clone(), number(distance), number(speed), number(fuel)];
        match view {
            "parameter_map" => rows.push([reading, vec![truck]].concat()),
            "transformed" => {
                rows.push([reading, vec![scaled(speed), ratio(distance, speed), truck]].concat());
            }
            "derived_metrics" => {
                for (name, value) in [
                    ("engine_speed_scaled", scaled(speed)),
                    ("distance_engine_ratio", ratio(distance, speed)),
                ] {
                    rows.push(vec![time.clone(), name.into(), value, truck.clone()]);
                }
            }
            "hot" if known(oil, speed) && i128::from(oil) * 2 > i128::from(speed) => {
                rows.push(vec![time, truck, ratio(distance, speed)]);
            }
            "above_speed" if speed > 80 * NANO => {
                rows.push(vec![time, number(distance), number(speed), truck]);
            }
            _ => {}
        }
    }
    rows
}

pub const STATELESS: [&str; 5] = ["parameter_map", "transformed", "derived_metrics", "above_speed", "hot"];

pub fn joined_rows(records: &[Record]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for fast in records.iter().filter(|record| record.units[MEASURES.speed] > 80 * NANO) {
        let is_alike = |other: &&Record| (&other.entity, other.time) == (&fast.entity, fast.time);
        rows.extend(records.iter().filter(is_alike).map(|other| {
            let numbers = [fast.time, fast.units[MEASURES.distance], other.units[MEASURES.speed]];
            [numbers.map(|number| number.to_string()).to_vec(), vec![fast.entity.to_string()]].concat()
        }));
    }
    rows
}

pub fn all_cells(rows: &[Row]) -> BTreeMap<Vec<String>, i64> {
    counted(rows.iter().map(|(_, _, _, cells)| cells))
}

/// The last row of each truck in a history.
pub fn latest_of_history(rows: &[Row]) -> BTreeMap<String, Vec<String>> {
    let mut latest: BTreeMap<String, Vec<String>> =
        rows.iter().map(|(_, _, _, cells)| (cells[3].clone(), cells.clone())).collect();
    // The last row of a truck without readings.
    latest.retain(|_, cells| cells[4] != "0");
    latest
}

/// A simple model of `lateness`: the expected windows and join of a job with retention.
#[derive(Default)]
pub struct Forgetful {
    pub topic: i64,
    pub latest: BTreeMap<Entity, i64>,
    pub late: [BTreeSet<i64>; 2],
    pub kept: [Vec<Record>; 2],
}

impl Forgetful {
    pub fn of(epochs: &[Vec<Vec<Record>>]) -> Self {
        let mut model = Self { topic: i64::MIN, ..Self::default() };
        let mut offset = 0;
        for epoch in epochs {
            let records: Vec<&Record> = epoch.iter().flatten().collect();
            for record in &records {
                let end = record.time - record.time.rem_euclid(WINDOW) + WINDOW;
                let horizons = model.latest.get(&record.entity).map_or([i64::MIN; 2], |&latest| {
                    let bound = latest.max(model.topic - IDLE);
                    let last = latest - latest.rem_euclid(WINDOW);
                    [(bound - RETENTION).min(last), (bound - JOIN_RETENTION).min(latest)]
                });
                for (view, late) in [end <= horizons[0], record.time < horizons[1]].into_iter().enumerate() {
                    if late {
                        model.late[view].insert(offset);
                    } else {
                        model.kept[view].push((*record).clone());
                    }
                }
                offset += 1;
            }
            for record in records {
                model.topic = model.topic.max(record.time);
                let latest = model.latest.entry(record.entity.clone()).or_insert(record.time);
                *latest = record.time.max(*latest);
            }
        }
        model
    }
}
