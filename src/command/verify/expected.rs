//! The expected rows of each view, recomputed from the readings by [`dataflows::oracle`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use dataflows::batch::{Entity, NANO_SCALE, Record};
use dataflows::dead_letter::DeadLetter;
use dataflows::oracle::value::nano;
use dataflows::oracle::{self, CorrelationRow, Measures, WindowRow};
use dataflows::relation::Relation;
use dataflows::rows::{ColumnSpec, NULL};
use dataflows::schema::{Place as At, Schema};
use dataflows::views::{Axis, ORIENTATION, Settings};

use super::cell::Cell;
use super::compare::Rows;
use super::input::Input;
use super::reading::{Place, Reading};
use super::shown::shown;

/// The records that a view has dropped.
pub type GivenUp = HashSet<Place>;

fn measure(record: &Record, column: usize) -> Cell {
    match record.units[column] {
        NULL => Cell::Null,
        units => Cell::Decimal(units.into(), NANO_SCALE.into()),
    }
}

fn reading(record: &Record, measures: Measures) -> Vec<Cell> {
    let columns = [measures.distance, measures.speed, measures.fuel];
    [Cell::Time(record.time)].into_iter().chain(columns.map(|column| measure(record, column))).collect()
}

fn truck(record: &Record) -> Cell {
    Cell::Text(record.entity.clone())
}

/// Passes the rows of one reading.
type OfReading = Box<dyn Fn(&Reading, &mut dyn FnMut(&[u8], &[Cell]))>;

/// The rows of a view whose rows each come from one reading; None for other views.
pub fn of_readings<'a>(view: &str, input: &'a Input, settings: &Settings) -> Option<Box<Rows<'a>>> {
    if view == ORIENTATION {
        return orientation(input, &settings.schema);
    }
    let measures = Measures::of(&settings.schema);
    let factor = oracle::decimal(&settings.speed_factor.to_string())?;
    let derived = move |record: &Record| {
        let (distance, speed) = (record.units[measures.distance], record.units[measures.speed]);
        let scaled = (speed != NULL).then(|| oracle::product(speed, &factor));
        let ratio = (distance != NULL && speed != NULL).then(|| oracle::quotient(distance, speed)).flatten();
        [scaled, ratio].map(Cell::real)
    };
    let threshold = settings.above_speed;
    let each = |row: OfReading| -> Option<Box<Rows<'a>>> {
        Some(Box::new(move |give| input.readings.iter().for_each(|reading| row(reading, give))))
    };
    match view {
        "parameter_map" => each(Box::new(move |read, give| {
            let mut cells = reading(&read.record, measures);
            cells.push(truck(&read.record));
            give(&read.key, &cells);
        })),
        "transformed" => each(Box::new(move |read, give| {
            let mut cells = reading(&read.record, measures);
            cells.extend(derived(&read.record));
            cells.push(truck(&read.record));
            give(&read.key, &cells);
        })),
        "derived_metrics" => each(Box::new(move |read, give| {
            let names = ["engine_speed_scaled", "distance_engine_ratio"];
            for (name, value) in names.into_iter().zip(derived(&read.record)) {
                let cells =
                    [Cell::Time(read.record.time), Cell::Text(name.into()), value, truck(&read.record)];
                give(&[&read.key, name.as_bytes()].concat(), &cells);
            }
        })),
        "above_speed" => each(Box::new(move |read, give| {
            let record = &read.record;
            let speed = record.units[measures.speed];
            if speed != NULL && speed > threshold {
                let cells = [
                    Cell::Time(record.time),
                    measure(record, measures.distance),
                    measure(record, measures.speed),
                    truck(record),
                ];
                give(&read.key, &cells);
            }
        })),
        _ => None,
    }
}

/// The rows of `filtered_join`.
pub fn joined<'a>(
    input: &'a Input,
    settings: &Settings,
    measures: Measures,
    given_up: &'a GivenUp,
) -> Box<Rows<'a>> {
    let (threshold, upserts) = (settings.above_speed, settings.upserts());
    // In an upsert job, the readings beyond the limit are determined by their keys.
    let limit = if upserts { settings.join_limit } else { usize::MAX };
    Box::new(move |give| {
        let mut all: Vec<&Reading> =
            input.readings.iter().filter(|reading| !given_up.contains(&reading.place)).collect();
        if upserts {
            let order = |read: &&Reading| (read.key.clone(), read.record.units.clone());
            all.sort_by_key(order);
        }
        oracle::each_pair(
            all,
            |read| &read.record,
            measures,
            threshold,
            limit,
            |above, other| {
                let cells = [
                    Cell::Time(above.record.time),
                    measure(&above.record, measures.distance),
                    measure(&other.record, measures.speed),
                    truck(&above.record),
                ];
                let key = [&(above.key.len() as u32).to_be_bytes()[..], &above.key, &other.key].concat();
                give(&key, &cells);
            },
        );
    })
}

/// The rows of a view that the job defines, which are made of one reading each.
pub fn own<'a>(input: &'a Input, relation: Relation, columns: &'a [ColumnSpec]) -> Box<Rows<'a>> {
    Box::new(move |give| {
        for reading in &input.readings {
            for row in oracle::relation::rows(&relation, [&reading.record]) {
                let cells = row.into_iter().zip(columns);
                let cells: Vec<Cell> =
                    cells.map(|(cell, column)| shown(cell.datum(), column.column_type)).collect();
                give(&reading.key, &cells);
            }
        }
    })
}

/// The rows of `orientation`.
fn orientation<'a>(input: &'a Input, schema: &Schema) -> Option<Box<Rows<'a>>> {
    let column = |name: &&str| match schema.field(name)?.place {
        At::Units(column) => Some(column),
        _ => None,
    };
    let names = ["time", "seconds_elapsed", "qz", "qy", "qx", "qw", "roll", "pitch", "yaw"];
    let columns: Vec<usize> = names.iter().map(column).collect::<Option<_>>()?;
    Some(Box::new(move |give| {
        for reading in &input.readings {
            let cell = |(place, &column): (usize, &usize)| match (place, reading.record.units[column]) {
                (_, NULL) => Cell::Null,
                (0, time) => Cell::Integer(time),
                (_, units) => Cell::Real(nano(units).real()),
            };
            give(&reading.key, &columns.iter().enumerate().map(cell).collect::<Vec<_>>());
        }
    }))
}

/// The rows of dead letters.
pub fn letters(letters: &[DeadLetter]) -> Box<Rows<'_>> {
    Box::new(move |give| {
        for letter in letters {
            let time = letter.kafka_timestamp.map_or(Cell::Null, |ms| Cell::Time(ms.saturating_mul(1000)));
            let cells = [
                Cell::Text(letter.topic.clone()),
                Cell::Integer(letter.partition.into()),
                Cell::Integer(letter.offset),
                time,
                Cell::bytes(letter.key.as_deref()),
                Cell::Text(letter.reason.name().into()),
                Cell::Text(letter.field.as_str().into()),
                Cell::bytes(letter.payload.as_deref()),
                letter.place.map_or(Cell::Null, |place| Cell::Integer(place.into())),
            ];
            give(b"", &cells);
        }
    })
}

/// Rows by key, one for each truck or window.
pub type OfThings = BTreeMap<Vec<u8>, Vec<Cell>>;

/// The rows of a correlation, with the trucks' names as keys.
pub fn correlations(input: &Input, (x, y): (Axis, Axis)) -> OfThings {
    let row = |(truck, row): (Entity, CorrelationRow)| {
        let first = match x {
            Axis::Time => Cell::Decimal((row.latest.0 - row.earliest).into(), 6),
            _ => Cell::Decimal(row.latest.2.into(), NANO_SCALE.into()),
        };
        let cells = vec![
            Cell::Decimal(row.latest.1.into(), NANO_SCALE.into()),
            first,
            Cell::correlation(row.correlation),
            Cell::Text(truck.clone()),
            Cell::Integer(row.samples),
            Cell::Time(row.latest.0),
        ];
        (truck.as_bytes().to_vec(), cells)
    };
    let records = input.readings.iter().map(|reading| &reading.record);
    oracle::correlations(records, x, y).into_iter().map(row).collect()
}

/// The history row of a truck without readings.
pub fn gone(truck: &Entity) -> Vec<Cell> {
    let null = Cell::Null;
    vec![null.clone(), null.clone(), null.clone(), Cell::Text(truck.clone()), Cell::Integer(0), null]
}

/// A window: its truck, its end, and its row.
#[derive(Clone, Debug)]
pub struct Window {
    /// The truck.
    pub truck: Entity,
    /// The end.
    pub end: i64,
    /// The row.
    pub cells: Vec<Cell>,
}

/// The windows by key.
pub fn windows(
    input: &Input,
    measures: Measures,
    length: i64,
    given_up: &GivenUp,
) -> BTreeMap<Vec<u8>, Window> {
    let row = |((truck, start), row): ((Entity, i64), WindowRow)| {
        let end = start + length;
        let [distance, speed] = row.correlations;
        let mut cells =
            vec![Cell::Text(truck.clone()), Cell::Time(start), Cell::Time(end), Cell::Integer(row.samples)];
        cells.extend(row.averages.map(|average| Cell::real(average.as_ref().map(oracle::nearest))));
        cells.extend([distance, speed].map(Cell::correlation));
        let key = [&b"w"[..], &start.to_be_bytes(), truck.as_bytes()].concat();
        (key, Window { truck, end, cells })
    };
    let counts = input.readings.iter().filter(|reading| !given_up.contains(&reading.place));
    oracle::windows(counts.map(|reading| &reading.record), measures, length).into_iter().map(row).collect()
}

/// The progress of event time: per truck, and of the topic for idle trucks.
pub struct Times<'a> {
    latest: &'a HashMap<Entity, i64>,
    idle: i64,
}

impl<'a> Times<'a> {
    /// From the latest event of each truck. A truck that is `idle` behind the topic follows the topic.
    pub fn new(latest: &'a HashMap<Entity, i64>, idle: i64) -> Self {
        Self::arrived(latest, idle, i64::MAX)
    }

    /// Like [`new`](Self::new), with the topic's time limited to the arrival of the latest message.
    pub fn arrived(latest: &'a HashMap<Entity, i64>, idle: i64, arrived: i64) -> Self {
        let topic = latest.values().max().copied().unwrap_or(i64::MIN).min(arrived);
        Self { latest, idle: topic.saturating_sub(idle) }
    }

    /// The truck's latest event.
    pub fn latest(&self, truck: &Entity) -> i64 {
        self.latest.get(truck).copied().unwrap_or(i64::MIN)
    }

    /// The time up to which the truck's readings are complete.
    pub fn of(&self, truck: &Entity) -> i64 {
        self.latest(truck).max(self.idle)
    }
}

/// The latest event time of each truck among the current readings.
pub fn latest_left(input: &Input) -> HashMap<Entity, i64> {
    let mut latest: HashMap<Entity, i64> = HashMap::new();
    for reading in &input.readings {
        let time = latest.entry(reading.record.entity.clone()).or_insert(i64::MIN);
        *time = reading.record.time.max(*time);
    }
    latest
}

/// A truck name as an `Arc`.
pub fn name(text: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(text).into()
}
