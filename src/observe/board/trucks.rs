//! The trucks: the latest of each, and a bounded past.
//!
//! All pasts together have a bounded number of points; with more trucks each has fewer. A full one drops
//! every second point and then takes in half as many, so that it always reaches back to its beginning.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dataflows::rows::{Column, NULL, Rows};
use serde::{Deserialize, Serialize};

use super::changes::TruckChange;
use super::shown::Latest;

/// Trucks that are kept; of a job with more, those that come later are only counted by the tables.
pub(super) const TRUCKS: usize = 250_000;
/// Points of all trucks' pasts.
const POINTS: usize = 2_000_000;
/// Windows of all trucks.
const WINDOWS: usize = 400_000;
/// Nano-units in a unit.
const NANO: f64 = 1e9;

/// The places of trucks in their list, by name.
pub type Places = HashMap<Arc<str>, u32>;

/// How many windows are kept of each of so many trucks.
pub(super) fn windows_of_each(trucks: usize) -> usize {
    (WINDOWS / trucks.max(1)).clamp(2, 24)
}

/// Which of the two correlations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correlated {
    /// Distance with time.
    Distance,
    /// Engine speed with time.
    Speed,
}

/// A truck, as it is known.
#[derive(Debug)]
pub struct Truck {
    name: Arc<str>,
    /// The latest reading. Of its measures, those are [`NULL`] that nothing has said yet.
    latest: Latest,
    /// The event time that `latest.fuel` belongs to.
    fuel_time: i64,
    distance_r: f64,
    speed_r: f64,
    samples: i64,
    /// The version of the board in which it changed last.
    changed: u64,
    past: Past,
    windows: VecDeque<Window>,
}

/// A truck's row, as the page has it. What is not known, or not defined, is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name.
    pub name: Arc<str>,
    /// The event time of the latest reading, in microseconds since 1970.
    pub time: Option<i64>,
    /// Kilometres.
    pub distance: Option<f64>,
    /// The engine's speed.
    pub speed: Option<f64>,
    /// Litres.
    pub fuel: Option<f64>,
    /// The correlation of distance with time.
    pub distance_r: Option<f64>,
    /// The correlation of engine speed with time.
    pub speed_r: Option<f64>,
    /// Readings that the correlations are of.
    pub samples: i64,
}

/// A window of event time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    start: i64,
    end: i64,
    samples: i64,
    distance: Option<f64>,
    speed: Option<f64>,
    fuel: Option<f64>,
    distance_r: Option<f64>,
    speed_r: Option<f64>,
}

impl Window {
    /// The window in a row of `window_averages`.
    pub(super) fn of(rows: &Rows, row: usize) -> Option<Self> {
        let [
            _,
            Column::Timestamp(start),
            Column::Timestamp(end),
            Column::Integer(samples),
            Column::Real(distance),
            Column::Real(speed),
            Column::Real(fuel),
            Column::Real(distance_r),
            Column::Real(speed_r),
        ] = &rows.columns[..]
        else {
            return None;
        };
        Some(Self {
            start: start[row],
            end: end[row],
            samples: samples[row],
            distance: defined(distance[row]),
            speed: defined(speed[row]),
            fuel: defined(fuel[row]),
            distance_r: defined(distance_r[row]),
            speed_r: defined(speed_r[row]),
        })
    }

    /// Where it starts, in microseconds since 1970.
    pub(super) fn start(&self) -> i64 {
        self.start
    }
}

/// The correlations after a reading: its event time in microseconds, then distance and speed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point(i64, f32, f32);

/// How the correlations came to be what they are.
#[derive(Debug, Default)]
struct Past {
    points: Vec<Point>,
    /// One point of so many is kept, less one.
    skip: u32,
    skipped: u32,
}

impl Past {
    fn push(&mut self, point: Point, room: usize) {
        // A correction of what was, or of what is: the later part is no longer so.
        while self.points.last().is_some_and(|last| last.0 >= point.0) {
            self.points.pop();
        }
        if self.skipped < self.skip && !self.points.is_empty() {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        if self.points.len() >= room {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.points.shrink_to(room);
            self.skip = self.skip * 2 + 1;
        }
        self.points.push(point);
    }
}

fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

fn measure(value: i64) -> Option<f64> {
    (value != NULL).then_some(value as f64 / NANO)
}

impl Truck {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            latest: Latest::NONE,
            fuel_time: NULL,
            distance_r: f64::NAN,
            speed_r: f64::NAN,
            samples: 0,
            changed: 0,
            past: Past::default(),
            windows: VecDeque::new(),
        }
    }

    /// Takes what changed of it. What a correlation says holds before what a reading says.
    fn take(&mut self, change: TruckChange, alone: Alone, windows: usize) {
        if let Some((time, samples)) = change.time_and_samples {
            (self.latest.time, self.samples) = (time, samples);
        }
        if let Some((distance, r)) = change.distance {
            (self.latest.distance, self.distance_r) = (distance, r);
        }
        if let Some((speed, r)) = change.speed {
            (self.latest.speed, self.speed_r) = (speed, r);
        }
        (self.fuel_time, self.latest.fuel) = change.fuel.apply((self.fuel_time, self.latest.fuel));
        let reading = change.reading;
        if reading.time != NULL && reading.time >= self.latest.time {
            if alone.distance {
                self.latest.distance = reading.distance;
            }
            if alone.speed {
                self.latest.speed = reading.speed;
            }
            if alone.distance && alone.speed {
                self.latest.time = reading.time;
            }
        }
        self.windows.retain(|window| window.start >= change.windows_from);
        for (start, window) in change.windows {
            let place = self.windows.partition_point(|other| other.start < start);
            let is_there = self.windows.get(place).is_some_and(|other| other.start == start);
            match (is_there, window) {
                (true, None) => drop(self.windows.remove(place)),
                (true, Some(window)) => self.windows[place] = window,
                (false, None) => {}
                (false, Some(window)) => self.windows.insert(place, window),
            }
        }
        self.windows.drain(..self.windows.len().saturating_sub(windows));
    }

    /// The row.
    pub fn row(&self) -> Row {
        let latest = &self.latest;
        Row {
            name: self.name.clone(),
            time: (latest.time != NULL).then_some(latest.time),
            distance: measure(latest.distance),
            speed: measure(latest.speed),
            fuel: measure(self.fuel()),
            distance_r: defined(self.distance_r),
            speed_r: defined(self.speed_r),
            samples: self.samples,
        }
    }

    /// The fuel of the latest reading, [`NULL`] if only that of another is known.
    fn fuel(&self) -> i64 {
        if self.fuel_time == self.latest.time { self.latest.fuel } else { NULL }
    }

    /// When it changed last.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// The last windows, oldest first.
    pub fn windows(&self) -> &VecDeque<Window> {
        &self.windows
    }

    /// How the correlations came to be what they are: event times, distance's, speed's. The last point is
    /// what holds now.
    pub fn past(&self) -> (Vec<i64>, Vec<Option<f64>>, Vec<Option<f64>>) {
        let mut points = self.past.points.clone();
        if self.latest.time != NULL {
            points.retain(|point| point.0 < self.latest.time);
            points.push(Point(self.latest.time, self.distance_r as f32, self.speed_r as f32));
        }
        // A float is written with the digits that it has, not those of a double.
        let written =
            |value: f32| defined(value.into()).map(|_| value.to_string().parse().unwrap_or_default());
        (
            points.iter().map(|point| point.0).collect(),
            points.iter().map(|point| written(point.1)).collect(),
            points.iter().map(|point| written(point.2)).collect(),
        )
    }
}

/// What trucks are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The name.
    Name,
    /// The latest reading's event time.
    Time,
    /// The latest distance.
    Distance,
    /// The latest engine speed.
    Speed,
    /// The latest fuel.
    Fuel,
    /// The correlation of distance.
    DistanceR,
    /// The correlation of engine speed.
    SpeedR,
    /// The number of readings.
    Samples,
}

impl By {
    /// What [`By::named`] takes.
    pub const NAMES: [&str; 8] =
        ["name", "distance", "speed", "fuel", "distance_r", "speed_r", "samples", "time"];

    /// The order that `name` names: a field of [`Row`].
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "time" => Self::Time,
            "distance" => Self::Distance,
            "speed" => Self::Speed,
            "fuel" => Self::Fuel,
            "distance_r" => Self::DistanceR,
            "speed_r" => Self::SpeedR,
            "samples" => Self::Samples,
            _ => return None,
        })
    }
}

/// Which trucks are asked for, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What their names contain, in capitals or not.
    pub search: String,
    /// The order.
    pub by: By,
    /// From the last to the first; what is not known stays behind.
    pub descending: bool,
    /// How many to leave out.
    pub offset: usize,
    /// How many to give.
    pub limit: usize,
}

/// All trucks.
#[derive(Debug, Default)]
pub struct Trucks {
    places: Arc<Places>,
    list: Vec<Truck>,
}

impl Trucks {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether there are more than are kept.
    pub fn is_full(&self) -> bool {
        self.list.len() >= TRUCKS
    }

    /// Those that are kept, if there will be no others.
    pub fn all(&self) -> Option<Arc<Places>> {
        self.is_full().then(|| self.places.clone())
    }

    /// The truck of a name.
    pub fn get(&self, name: &str) -> Option<&Truck> {
        self.places.get(name).map(|&place| &self.list[place as usize])
    }

    /// The truck at a place that [`ask`](Self::ask) gave.
    pub fn at(&self, place: u32) -> &Truck {
        &self.list[place as usize]
    }

    fn truck(&mut self, name: &Arc<str>) -> Option<&mut Truck> {
        let place = match self.places.get(name) {
            Some(&place) => place,
            None if self.is_full() => return None,
            None => {
                let place = self.list.len() as u32;
                // It is shared only when there are as many as are kept.
                Arc::make_mut(&mut self.places).insert(name.clone(), place);
                self.list.push(Truck::new(name.clone()));
                place
            }
        };
        Some(&mut self.list[place as usize])
    }

    /// Takes what changed of trucks; `alone` says which correlations do not exist in the job, so that the
    /// readings are all that there is.
    pub fn take(&mut self, changes: HashMap<Arc<str>, TruckChange>, alone: Alone, version: u64) {
        let mut taken = Vec::with_capacity(changes.len());
        for (name, change) in changes {
            taken.extend(self.truck(&name).is_some().then_some((name, change)));
        }
        let (points, windows) =
            ((POINTS / self.list.len().max(1)).clamp(8, 512), windows_of_each(self.list.len()));
        for (name, change) in taken {
            let Some(truck) = self.truck(&name) else { continue };
            truck.changed = version;
            truck.take(change, alone, windows);
            if truck.latest.time != NULL {
                let point = Point(truck.latest.time, truck.distance_r as f32, truck.speed_r as f32);
                truck.past.push(point, points);
            }
        }
    }

    /// The places of the trucks that are asked for, and how many match.
    pub fn ask(&self, question: &Question) -> (Vec<u32>, usize) {
        let search = question.search.to_lowercase();
        let matches = |truck: &Truck| search.is_empty() || truck.name.to_lowercase().contains(&search);
        let mut places: Vec<u32> =
            (0u32..).zip(&self.list).filter(|(_, truck)| matches(truck)).map(|(place, _)| place).collect();
        let matching = places.len();
        let order = |a: &u32, b: &u32| {
            let (a, b) = (self.at(*a), self.at(*b));
            compare(a, b, question.by, question.descending).then_with(|| by_numbers(&a.name, &b.name))
        };
        let end = question.offset.saturating_add(question.limit);
        if end < places.len() {
            places.select_nth_unstable_by(end, order);
            places.truncate(end);
        }
        places.sort_unstable_by(order);
        places.drain(..question.offset.min(places.len()));
        (places, matching)
    }
}

/// Which views a job lacks, so that only readings tell a measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alone {
    /// `distance_correlation`.
    pub distance: bool,
    /// `engine_speed_correlation`.
    pub speed: bool,
}

fn compare(a: &Truck, b: &Truck, by: By, descending: bool) -> Ordering {
    let turned = |order: Ordering| if descending { order.reverse() } else { order };
    let integers = |a: i64, b: i64| match (a == NULL, b == NULL) {
        (false, false) => turned(a.cmp(&b)),
        (a, b) => a.cmp(&b),
    };
    let reals = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
        (false, false) => turned(a.total_cmp(&b)),
        (a, b) => a.cmp(&b),
    };
    match by {
        By::Name => turned(by_numbers(&a.name, &b.name)),
        By::Time => integers(a.latest.time, b.latest.time),
        By::Distance => integers(a.latest.distance, b.latest.distance),
        By::Speed => integers(a.latest.speed, b.latest.speed),
        By::Fuel => integers(a.fuel(), b.fuel()),
        By::DistanceR => reals(a.distance_r, b.distance_r),
        By::SpeedR => reals(a.speed_r, b.speed_r),
        By::Samples => integers(a.samples, b.samples),
    }
}

/// The order of names as one counts: `truck-2` before `truck-10`.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(first), Some(second)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, other) = (number(&mut left), number(&mut right));
            match one.len().cmp(&other.len()).then_with(|| one.cmp(other)) {
                Ordering::Equal => continue,
                order => return order,
            }
        }
        if first != second {
            return first.cmp(second);
        }
        (left, right) = (&left[1..], &right[1..]);
    }
}

/// Takes the digits that a text begins with, and gives them without the zeros before them.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (taken, rest) = text.split_at(digits);
    *text = rest;
    &taken[taken.iter().take_while(|byte| **byte == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::board::changes::Changes;
    use dataflows::rows::{self, Change};

    /// Takes what `add` adds, as of one commit.
    fn take(trucks: &mut Trucks, alone: Alone, add: impl FnOnce(&mut Changes)) {
        let mut changes = Changes::default();
        add(&mut changes);
        trucks.take(changes.trucks, alone, 1);
    }

    /// Rows of a correlation: truck, measure, r, samples, time.
    fn rows(of: &[(&str, i64, f64, i64, i64)], changes: Option<&[Change]>) -> Rows {
        let columns = vec![
            Column::Decimal { scale: 9, values: Arc::new(of.iter().map(|row| row.1).collect()) },
            Column::Decimal { scale: 6, values: Arc::new(vec![0; of.len()]) },
            Column::Real(Arc::new(of.iter().map(|row| row.2).collect())),
            Column::Name {
                names: Arc::new(of.iter().map(|row| row.0.into()).collect()),
                index: Arc::new((0..of.len() as u32).collect()),
            },
            Column::Integer(Arc::new(of.iter().map(|row| row.3).collect())),
            Column::Timestamp(Arc::new(of.iter().map(|row| row.4).collect())),
        ];
        let changes =
            changes.map(|kinds| rows::Changes { kinds: Arc::new(kinds.to_vec()), keys: Arc::default() });
        Rows { columns, changes }
    }

    fn reading(time: i64, fuel: i64) -> Latest {
        Latest { time, distance: 1, speed: 2, fuel }
    }

    fn question(by: By, descending: bool) -> Question {
        Question { search: String::new(), by, descending, offset: 0, limit: 10 }
    }

    fn names(trucks: &Trucks, question: &Question) -> Vec<String> {
        trucks.ask(question).0.into_iter().map(|place| trucks.at(place).name.to_string()).collect()
    }

    #[test]
    fn fuel_is_shown_only_with_the_reading_that_it_belongs_to() {
        let mut trucks = Trucks::default();
        let truck: [Arc<str>; 1] = ["a".into()];
        take(&mut trucks, Alone::default(), |changes| {
            changes.correlation(Correlated::Distance, &rows(&[("a", 5_000_000_000, 0.5, 2, 10)], None), None);
        });
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.distance, row.fuel, row.speed, row.distance_r), (Some(5.0), None, None, Some(0.5)));
        take(&mut trucks, Alone::default(), |changes| {
            changes.readings(&truck, &[reading(10, 3_000_000_000)], &[], None);
        });
        assert_eq!(trucks.get("a").unwrap().row().fuel, Some(3.0));
        assert_eq!(trucks.get("a").unwrap().row().distance, Some(5.0), "the correlation says it");
        // The reading is taken back, and the one before it is the latest again.
        take(&mut trucks, Alone::default(), |changes| {
            changes.readings(&truck, &[Latest::NONE], &[(0, reading(10, 3_000_000_000))], None);
            changes.correlation(Correlated::Distance, &rows(&[("a", 4, f64::NAN, 1, 9)], None), None);
        });
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.fuel, row.distance_r, row.time), (None, None, Some(9)));
    }

    #[test]
    fn without_correlations_the_readings_tell_all() {
        let mut trucks = Trucks::default();
        let alone = Alone { distance: true, speed: true };
        for latest in [reading(10, 3), reading(9, 2)] {
            take(&mut trucks, alone, |changes| changes.readings(&["a".into()], &[latest], &[], None));
        }
        assert_eq!(trucks.get("a").unwrap().latest, reading(10, 3));
    }

    #[test]
    fn a_truck_without_readings_is_not_known() {
        let mut trucks = Trucks::default();
        for change in [Change::Insert, Change::Delete] {
            take(&mut trucks, Alone::default(), |changes| {
                changes.correlation(Correlated::Speed, &rows(&[("a", 5, 0.5, 2, 10)], Some(&[change])), None);
            });
        }
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.speed, row.speed_r, row.time, row.samples), (None, None, None, 0));
    }

    #[test]
    fn trucks_are_searched_sorted_and_paged_and_the_unknown_comes_last() {
        let mut trucks = Trucks::default();
        let all =
            [("Bär", 3, 0.1, 1, 5), ("a", 2, f64::NAN, 1, 6), ("c", 1, -0.5, 1, 7), ("d", 9, 0.9, 1, 1)];
        take(&mut trucks, Alone::default(), |changes| {
            changes.correlation(Correlated::Distance, &rows(&all, None), None);
        });
        assert_eq!(names(&trucks, &question(By::Name, false)), ["Bär", "a", "c", "d"]);
        assert_eq!(names(&trucks, &question(By::DistanceR, false)), ["c", "Bär", "d", "a"]);
        assert_eq!(names(&trucks, &question(By::DistanceR, true)), ["d", "Bär", "c", "a"]);
        let page = Question { offset: 1, limit: 2, ..question(By::Distance, true) };
        assert_eq!((names(&trucks, &page), trucks.ask(&page).1), (vec!["Bär".into(), "a".into()], 4));
        let found = Question { search: "BÄ".into(), ..question(By::Name, false) };
        assert_eq!(names(&trucks, &found), ["Bär"]);
        assert!(names(&trucks, &Question { offset: 9, ..question(By::Name, false) }).is_empty());
    }

    #[test]
    fn names_are_sorted_as_one_counts() {
        let mut names = ["b1", "a10", "a2", "a02", "a", "a1b", "", "a00000000000000000000000000003"];
        names.sort_by(|a, b| by_numbers(a, b));
        assert_eq!(names, ["", "a", "a1b", "a02", "a2", "a00000000000000000000000000003", "a10", "b1"]);
    }

    #[test]
    fn a_past_reaches_to_its_beginning_in_bounded_room() {
        let mut past = Past::default();
        for time in 0..10_000 {
            past.push(Point(time, 0.0, 0.0), 16);
            assert!(past.points.len() <= 16);
        }
        assert_eq!(past.points[0].0, 0);
        let gaps: Vec<i64> = past.points.windows(2).map(|two| two[1].0 - two[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]) && past.points.len() >= 8, "{gaps:?}");
        // What a correction reaches back to is forgotten.
        past.push(Point(-1, 1.0, 1.0), 16);
        assert_eq!(past.points, [Point(-1, 1.0, 1.0)]);
    }
}
