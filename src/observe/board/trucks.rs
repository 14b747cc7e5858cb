//! All trucks, in the orders that a page asks for.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use dataflows::rows::NULL;

use super::limits::{POINTS, Places, TRUCKS, windows_of_each};
use super::truck::{Alone, Truck};
use super::truck_change::TruckChange;

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
            truck.remember(points);
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
    use crate::observe::board::shown::Latest;
    use crate::observe::board::truck_change::Correlated;
    use dataflows::rows::{self, Change, Column, Rows};

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
}
