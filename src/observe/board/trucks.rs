//! All trucks, with search and sorting.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use dataflows::rows::NULL;

use super::limits::{POINTS, Places, TRUCKS, windows_of_each};
use super::order::by_numbers;
use super::truck::{ReadingsOnly, Truck};
use super::truck_change::TruckChange;

/// Sort fields.
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
    /// The names that [`By::named`] accepts.
    pub const NAMES: [&str; 8] =
        ["name", "distance", "speed", "fuel", "distance_r", "speed_r", "samples", "time"];

    /// The sort field called `name`, a field of [`Row`](super::truck::Row).
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

/// A query for trucks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruckQuery {
    /// Text that their names contain, case-insensitive.
    pub search: String,
    /// The sort field.
    pub by: By,
    /// Whether the order is descending; unknown values are always last.
    pub descending: bool,
    /// How many to skip.
    pub offset: usize,
    /// How many to return.
    pub limit: usize,
}

/// All trucks.
#[derive(Debug, Default)]
pub struct Trucks {
    places: Arc<Places>,
    list: Vec<Truck>,
}

impl Trucks {
    /// The number of trucks.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether the maximum number of trucks is reached.
    pub fn is_full(&self) -> bool {
        self.list.len() >= TRUCKS
    }

    /// The trucks that are kept, if the maximum is reached.
    pub fn all(&self) -> Option<Arc<Places>> {
        self.is_full().then(|| self.places.clone())
    }

    /// The truck called `name`.
    pub fn get(&self, name: &str) -> Option<&Truck> {
        self.places.get(name).map(|&place| &self.list[place as usize])
    }

    /// The truck at an index returned by [`find`](Self::find).
    pub fn at(&self, place: u32) -> &Truck {
        &self.list[place as usize]
    }

    fn truck(&mut self, name: &Arc<str>) -> Option<&mut Truck> {
        let place = match self.places.get(name) {
            Some(&place) => place,
            None if self.is_full() => return None,
            None => {
                let place = self.list.len() as u32;
                // It is shared only after the maximum is reached.
                Arc::make_mut(&mut self.places).insert(name.clone(), place);
                self.list.push(Truck::new(name.clone()));
                place
            }
        };
        Some(&mut self.list[place as usize])
    }

    /// Applies changes of trucks. For the measures in `readings_only`, the job has no correlation view.
    pub fn take(
        &mut self,
        changes: HashMap<Arc<str>, TruckChange>,
        readings_only: ReadingsOnly,
        version: u64,
    ) {
        let mut taken = Vec::with_capacity(changes.len());
        for (name, change) in changes {
            taken.extend(self.truck(&name).is_some().then_some((name, change)));
        }
        let (points, windows) =
            ((POINTS / self.list.len().max(1)).clamp(8, 512), windows_of_each(self.list.len()));
        for (name, change) in taken {
            let Some(truck) = self.truck(&name) else { continue };
            truck.changed = version;
            truck.take(change, readings_only, windows);
            truck.remember(points);
        }
    }

    /// The indexes of the requested trucks, and the number of matches.
    pub fn find(&self, query: &TruckQuery) -> (Vec<u32>, usize) {
        let search = query.search.to_lowercase();
        let matches = |truck: &Truck| search.is_empty() || truck.name.to_lowercase().contains(&search);
        let mut places: Vec<u32> =
            (0u32..).zip(&self.list).filter(|(_, truck)| matches(truck)).map(|(place, _)| place).collect();
        let matching = places.len();
        let order = |a: &u32, b: &u32| {
            let (a, b) = (self.at(*a), self.at(*b));
            compare(a, b, query.by, query.descending).then_with(|| by_numbers(&a.name, &b.name))
        };
        let end = query.offset.saturating_add(query.limit);
        if end < places.len() {
            places.select_nth_unstable_by(end, order);
            places.truncate(end);
        }
        places.sort_unstable_by(order);
        places.drain(..query.offset.min(places.len()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::board::changes::Changes;
    use crate::observe::board::shown::Latest;
    use crate::observe::board::truck_change::Correlated;
    use dataflows::rows::{self, Change, Column, Rows};

    /// Applies the changes made by `add`, as one commit.
    fn take(trucks: &mut Trucks, readings_only: ReadingsOnly, add: impl FnOnce(&mut Changes)) {
        let mut changes = Changes::default();
        add(&mut changes);
        trucks.take(changes.trucks, readings_only, 1);
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

    fn query(by: By, descending: bool) -> TruckQuery {
        TruckQuery { search: String::new(), by, descending, offset: 0, limit: 10 }
    }

    fn names(trucks: &Trucks, query: &TruckQuery) -> Vec<String> {
        trucks.find(query).0.into_iter().map(|place| trucks.at(place).name.to_string()).collect()
    }

    #[test]
    fn fuel_is_shown_only_with_its_own_reading() {
        let mut trucks = Trucks::default();
        let truck: [Arc<str>; 1] = ["a".into()];
        take(&mut trucks, ReadingsOnly::default(), |changes| {
            changes.correlation(Correlated::Distance, &rows(&[("a", 5_000_000_000, 0.5, 2, 10)], None), None);
        });
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.distance, row.fuel, row.speed, row.distance_r), (Some(5.0), None, None, Some(0.5)));
        take(&mut trucks, ReadingsOnly::default(), |changes| {
            changes.readings(&truck, &[reading(10, 3_000_000_000)], &[], None);
        });
        assert_eq!(trucks.get("a").unwrap().row().fuel, Some(3.0));
        assert_eq!(trucks.get("a").unwrap().row().distance, Some(5.0), "from the correlation");
        // The reading is retracted, and the one before it is the latest again.
        take(&mut trucks, ReadingsOnly::default(), |changes| {
            changes.readings(&truck, &[Latest::NONE], &[(0, reading(10, 3_000_000_000))], None);
            changes.correlation(Correlated::Distance, &rows(&[("a", 4, f64::NAN, 1, 9)], None), None);
        });
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.fuel, row.distance_r, row.time), (None, None, Some(9)));
    }

    #[test]
    fn without_correlations_all_measures_come_from_readings() {
        let mut trucks = Trucks::default();
        let readings_only = ReadingsOnly { distance: true, speed: true };
        for latest in [reading(10, 3), reading(9, 2)] {
            take(&mut trucks, readings_only, |changes| changes.readings(&["a".into()], &[latest], &[], None));
        }
        assert_eq!(trucks.get("a").unwrap().latest, reading(10, 3));
    }

    #[test]
    fn a_truck_without_readings_has_no_values() {
        let mut trucks = Trucks::default();
        for change in [Change::Insert, Change::Delete] {
            take(&mut trucks, ReadingsOnly::default(), |changes| {
                changes.correlation(Correlated::Speed, &rows(&[("a", 5, 0.5, 2, 10)], Some(&[change])), None);
            });
        }
        let row = trucks.get("a").unwrap().row();
        assert_eq!((row.speed, row.speed_r, row.time, row.samples), (None, None, None, 0));
    }

    #[test]
    fn trucks_are_searched_sorted_and_paged_with_unknown_values_last() {
        let mut trucks = Trucks::default();
        let all =
            [("Bär", 3, 0.1, 1, 5), ("a", 2, f64::NAN, 1, 6), ("c", 1, -0.5, 1, 7), ("d", 9, 0.9, 1, 1)];
        take(&mut trucks, ReadingsOnly::default(), |changes| {
            changes.correlation(Correlated::Distance, &rows(&all, None), None);
        });
        assert_eq!(names(&trucks, &query(By::Name, false)), ["Bär", "a", "c", "d"]);
        assert_eq!(names(&trucks, &query(By::DistanceR, false)), ["c", "Bär", "d", "a"]);
        assert_eq!(names(&trucks, &query(By::DistanceR, true)), ["d", "Bär", "c", "a"]);
        let page = TruckQuery { offset: 1, limit: 2, ..query(By::Distance, true) };
        assert_eq!((names(&trucks, &page), trucks.find(&page).1), (vec!["Bär".into(), "a".into()], 4));
        let found = TruckQuery { search: "BÄ".into(), ..query(By::Name, false) };
        assert_eq!(names(&trucks, &found), ["Bär"]);
        assert!(names(&trucks, &TruckQuery { offset: 9, ..query(By::Name, false) }).is_empty());
    }
}
