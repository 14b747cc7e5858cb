//! The changes of one or more commits, merged: for each truck only the result.
//!
//! The board takes every commit in this form. If it falls behind, the waiting commits are merged into one, so that
//! their memory is bounded by the number of changed trucks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dataflows::rows::{Change, Column, NULL, Rows};

use super::commit_point::CommitPoint;
use super::letters::{LETTERS, Letter};
use super::limits::{COMMITS, Places, TRUCKS, windows_of_each};
use super::shown::{Latest, Shown};
use super::truck_change::{Correlated, TruckChange};
use super::views::ViewChanges;
use super::window::Window;

/// A commit for the board. The data committed before the start come without a commit.
#[derive(Debug)]
pub struct Update {
    /// The commit.
    pub commit: Option<CommitPoint>,
    /// The changes of trucks, and dead letters.
    pub shown: Vec<Shown>,
    /// The changes of views.
    pub views: ViewChanges,
}

/// The changes of one or more commits.
#[derive(Debug, Default)]
pub struct Changes {
    /// The changed trucks, by name.
    pub trucks: HashMap<Arc<str>, TruckChange>,
    /// The number of dead letters.
    pub letters: u64,
    /// The last dead letters, with the times of their commits in milliseconds since 1970.
    pub last_letters: VecDeque<(u64, Letter)>,
    /// The last commits, oldest first.
    pub commits: VecDeque<CommitPoint>,
    /// The changes of views.
    pub views: ViewChanges,
}

impl Changes {
    /// Adds a later update. With `known`, the trucks that are kept, changes of other trucks are dropped. `views` is the
    /// number of views.
    pub fn add(&mut self, update: Update, known: Option<&Places>, views: usize) {
        let Update { commit, shown, views: changes } = update;
        self.views.extend(changes, commit.map(|commit| commit.at), views);
        for shown in shown {
            match shown {
                Shown::Distance(rows) => self.correlation(Correlated::Distance, &rows, known),
                Shown::Speed(rows) => self.correlation(Correlated::Speed, &rows, known),
                Shown::Windows(rows) => self.windows(&rows, known),
                Shown::Readings { names, latest, taken } => self.readings(&names, &latest, &taken, known),
                Shown::DeadLetters { count, last } => {
                    self.letters += count;
                    let committed = commit.map_or(0, |commit| commit.at);
                    self.last_letters.extend(last.into_iter().map(|letter| (committed, letter)));
                    self.last_letters.drain(..self.last_letters.len().saturating_sub(LETTERS));
                }
            }
        }
        self.commits.extend(commit);
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS));
    }

    /// The change of a truck; None if the truck is not kept.
    fn of(&mut self, name: &Arc<str>, known: Option<&Places>) -> Option<&mut TruckChange> {
        let is_kept = match known {
            Some(known) => known.contains_key(name),
            None => self.trucks.len() < TRUCKS || self.trucks.contains_key(name),
        };
        is_kept.then(|| self.trucks.entry(name.clone()).or_default())
    }

    /// Rows of a correlation, which determine the latest reading, also after corrections.
    pub(super) fn correlation(&mut self, which: Correlated, rows: &Rows, known: Option<&Places>) {
        let [
            Column::Decimal { values: measures, .. },
            _,
            Column::Real(r),
            Column::Name { names, index },
            Column::Integer(samples),
            Column::Timestamp(time),
        ] = &rows.columns[..]
        else {
            return;
        };
        for (row, &name) in index.iter().enumerate() {
            let gone = match rows.changes.as_ref().map(|changes| changes.kinds[row]) {
                Some(Change::Before) => continue,
                Some(Change::Delete) => true,
                _ => samples[row] == 0,
            };
            let Some(truck) = self.of(&names[name as usize], known) else { continue };
            truck.time_and_samples = Some(if gone { (NULL, 0) } else { (time[row], samples[row]) });
            let measure = Some(if gone { (NULL, f64::NAN) } else { (measures[row], r[row]) });
            match which {
                Correlated::Distance => truck.distance = measure,
                Correlated::Speed => truck.speed = measure,
            }
        }
    }

    /// The latest readings of trucks, and retracted readings.
    pub(super) fn readings(
        &mut self,
        names: &[Arc<str>],
        latest: &[Latest],
        taken: &[(u32, Latest)],
        known: Option<&Places>,
    ) {
        for &(name, reading) in taken {
            let Some(truck) = self.of(&names[name as usize], known) else { continue };
            truck.fuel.retract((reading.time, reading.fuel));
        }
        for (name, &reading) in names.iter().zip(latest).filter(|(_, reading)| reading.time != NULL) {
            let Some(truck) = self.of(name, known) else { continue };
            if !taken.is_empty() {
                // The previous latest reading may be the corrected one.
                truck.fuel.forget();
            }
            truck.fuel.latest = truck.fuel.latest.max((reading.time, reading.fuel));
            if reading.time >= truck.reading.time {
                truck.reading = reading;
            }
        }
    }

    /// Rows of windows.
    pub(super) fn windows(&mut self, rows: &Rows, known: Option<&Places>) {
        let [Column::Name { names, index }, ..] = &rows.columns[..] else { return };
        for (row, &name) in index.iter().enumerate() {
            let change = rows.changes.as_ref().map(|changes| changes.kinds[row]);
            if change == Some(Change::Before) {
                continue;
            }
            let Some(window) = Window::of(rows, row) else { return };
            let most = windows_of_each(self.trucks.len());
            let Some(truck) = self.of(&names[name as usize], known) else { continue };
            truck.windows.insert(window.start(), (change != Some(Change::Delete)).then_some(window));
            while truck.windows.len() > most {
                truck.windows.pop_first();
                truck.windows_from = truck.windows.first_key_value().map_or(NULL, |(start, _)| *start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::truck_change::TAKEN;
    use super::*;
    use crate::observe::board::State;
    use crate::observe::board::truck::Row;
    use dataflows::rows;
    use proptest::prelude::*;

    const TRUCKS: [&str; 3] = ["a", "b", "c"];

    fn name(truck: usize) -> Column {
        Column::Name { names: Arc::new(vec![TRUCKS[truck].into()]), index: Arc::new(vec![0]) }
    }

    fn rows(columns: Vec<Column>, kind: Change) -> Rows {
        let changes = rows::Changes { kinds: Arc::new(vec![kind]), keys: Arc::new(vec![b"k"[..].into()]) };
        Rows { columns, changes: Some(changes) }
    }

    fn correlation(truck: usize, value: i64, kind: Change) -> Rows {
        let columns = vec![
            Column::Decimal { scale: 9, values: Arc::new(vec![value]) },
            Column::Decimal { scale: 6, values: Arc::new(vec![0]) },
            Column::Real(Arc::new(vec![0.5])),
            name(truck),
            Column::Integer(Arc::new(vec![value])),
            Column::Timestamp(Arc::new(vec![value])),
        ];
        rows(columns, kind)
    }

    fn window(truck: usize, start: i64, kind: Change) -> Rows {
        let real = || Column::Real(Arc::new(vec![0.5]));
        let times = [start, start + 1].map(|time| Column::Timestamp(Arc::new(vec![time])));
        let samples = Column::Integer(Arc::new(vec![start]));
        let columns = [name(truck)].into_iter().chain(times).chain([samples]);
        rows(columns.chain((0..5).map(|_| real())).collect(), kind)
    }

    fn readings(truck: usize, time: i64, taken: Option<i64>) -> Shown {
        let reading = |time| Latest { time, distance: time, speed: time, fuel: time };
        Shown::Readings {
            names: Arc::new(vec![TRUCKS[truck].into()]),
            latest: vec![reading(time)],
            taken: taken.map(|time| (0, reading(time))).into_iter().collect(),
        }
    }

    fn shown() -> impl Strategy<Value = Shown> {
        let kind = prop_oneof![
            4 => Just(Change::Insert),
            4 => Just(Change::Update),
            1 => Just(Change::Before),
            1 => Just(Change::Delete),
        ];
        let taken = prop::option::weighted(0.2, 1..9i64);
        (0..5, 0..TRUCKS.len(), 1..9i64, kind, taken).prop_map(|(what, truck, value, kind, taken)| match what
        {
            0 => Shown::Distance(correlation(truck, value, kind)),
            1 => Shown::Speed(correlation(truck, value, kind)),
            2 => Shown::Windows(window(truck, value, kind)),
            3 => readings(truck, value, taken),
            _ => Shown::DeadLetters { count: value as u64, last: VecDeque::new() },
        })
    }

    /// The board after commits, some of them merged.
    fn board(commits: &[Vec<Shown>], merged: impl Fn(usize) -> bool) -> State {
        let (mut state, mut changes) = (State::default(), Changes::default());
        for (place, shown) in commits.iter().enumerate() {
            let at = place as u64;
            let commit = Some(CommitPoint { epoch: at, at, seconds: 0.0, messages: 0 });
            let views = ViewChanges::default();
            changes.add(Update { commit, shown: shown.clone(), views }, None, 0);
            if !merged(place) {
                state.take(std::mem::take(&mut changes));
            }
        }
        state.take(changes);
        state
    }

    proptest! {
        #[test]
        fn merged_commits_show_the_same_as_separate_ones(
            commits in prop::collection::vec(prop::collection::vec(shown(), 0..6), 1..12),
            merged in prop::collection::vec(any::<bool>(), 12),
        ) {
            let (one, other) = (board(&commits, |_| false), board(&commits, |place| merged[place]));
            prop_assert_eq!(one.letters.count(), other.letters.count());
            prop_assert_eq!(one.commits.len(), other.commits.len());
            for name in TRUCKS {
                let (one, other) = (one.trucks.get(name), other.trucks.get(name));
                prop_assert_eq!(one.is_some(), other.is_some());
                let (Some(one), Some(other)) = (one, other) else { continue };
                prop_assert_eq!(one.windows(), other.windows());
                let (one, other) = (one.row(), other.row());
                // The fuel may be unknown after a retraction, but it is never wrong.
                prop_assert!(one.fuel == other.fuel || one.fuel.is_none() || other.fuel.is_none());
                let fuel = None;
                prop_assert_eq!(Row { fuel, ..one }, Row { fuel, ..other });
            }
        }
    }

    #[test]
    fn changes_of_a_truck_are_bounded() {
        let mut changes = Changes::default();
        for time in 0..1000 {
            let shown = vec![
                Shown::Windows(window(0, time, Change::Insert)),
                Shown::Distance(correlation(0, time, Change::Update)),
                readings(0, time, None),
                Shown::Readings { names: Arc::default(), latest: Vec::new(), taken: Vec::new() },
            ];
            changes.add(Update { commit: None, shown, views: ViewChanges::default() }, None, 0);
            let truck = changes.trucks.get_mut("a").unwrap();
            truck.fuel.retract((time - 500, 0));
            assert!(truck.windows.len() <= windows_of_each(1) && truck.fuel.taken.len() <= TAKEN);
        }
        let truck = &changes.trucks["a"];
        assert_eq!(truck.windows_from, *truck.windows.first_key_value().unwrap().0);
    }

    #[test]
    fn changes_of_unknown_trucks_are_dropped() {
        let known: Places = [("a".into(), 0)].into();
        let mut changes = Changes::default();
        let shown = (0..TRUCKS.len()).map(|truck| Shown::Speed(correlation(truck, 1, Change::Insert)));
        let update = Update { commit: None, shown: shown.collect(), views: ViewChanges::default() };
        changes.add(update, Some(&known), 0);
        assert_eq!(changes.trucks.into_keys().collect::<Vec<_>>(), ["a".into()]);
    }
}
