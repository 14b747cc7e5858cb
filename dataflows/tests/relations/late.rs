//! Random readings over hours with a short grace, compared with a simple model of what is late, closed and discarded.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::batch::{Entity, NANO, Record};
use dataflows::relation::{Bound, Call, Function, Join, Patience, Relation, WindowKind};
use dataflows::views::Mode;
use proptest::prelude::*;

use crate::small::{appended, at, column, field, job, lines, readings, run, shown, table, view, windows};
use crate::stream::{DAY, MINUTE, cases};

/// Times of groups and of the topic.
struct Clock {
    patience: Patience,
    latest: BTreeMap<Entity, i64>,
}

impl Clock {
    /// The time of a group, and up to when it forgets.
    fn of(&self, truck: &Entity) -> (i64, i64) {
        let Some(&latest) = self.latest.get(truck) else { return (i64::MIN, i64::MIN) };
        let topic = self.latest.values().max().copied().unwrap_or(i64::MIN);
        let time = latest.max(topic - self.patience.idle);
        (time, (time - self.patience.grace).min(latest))
    }

    fn pass(&mut self, epoch: &[Record]) {
        for record in epoch {
            let latest = self.latest.entry(record.entity.clone()).or_insert(i64::MIN);
            *latest = record.time.max(*latest);
        }
    }
}

/// Truck, start, end: the engine speeds.
type Windows = BTreeMap<(Entity, i64, i64), Vec<i64>>;

/// The windows of accepted readings: each with the start of its window or, for sessions, its time.
fn windows_of(kind: WindowKind, accepted: &[(Record, i64)]) -> Windows {
    let mut windows = Windows::new();
    match kind {
        WindowKind::Hop { size, .. } => {
            for (record, start) in accepted {
                let window = (record.entity.clone(), *start, start + size);
                windows.entry(window).or_default().push(record.units[1]);
            }
        }
        WindowKind::Session { gap } => {
            let mut sorted: Vec<&Record> = accepted.iter().map(|(record, _)| record).collect();
            sorted.sort();
            let together = |a: &&Record, b: &&Record| a.entity == b.entity && b.time - a.time < gap;
            for session in sorted.chunk_by(together) {
                let (first, last) = (session[0], session[session.len() - 1]);
                let window = (first.entity.clone(), first.time, last.time + gap);
                windows.insert(window, session.iter().map(|record| record.units[1]).collect());
            }
        }
    }
    windows
}

/// What the model expects.
#[derive(Default, PartialEq, Debug)]
struct Expected {
    rows: Vec<String>,
    lines: Vec<String>,
    late: BTreeSet<String>,
    entries: i64,
}

fn of_windows(kind: WindowKind, patience: Patience, epochs: &[Vec<Record>]) -> Expected {
    let mut clock = Clock { patience, latest: BTreeMap::new() };
    let mut expected = Expected::default();
    let (mut accepted, mut before, mut offset) = (Vec::new(), Windows::new(), 0);
    let row = |((truck, start, end), speeds): (&(Entity, i64, i64), &Vec<i64>)| {
        format!("{truck} {} {} {}", (start - DAY) / MINUTE, (end - DAY) / MINUTE, speeds.len())
    };
    for (number, epoch) in (1..).zip(epochs) {
        for record in epoch {
            let (_, horizon) = clock.of(&record.entity);
            let starts: Vec<(i64, i64)> = match kind {
                WindowKind::Hop { slide, size } => {
                    let last = record.time.div_euclid(slide) * slide;
                    let starts = (0..).map(|back| last - back * slide);
                    starts
                        .take_while(|start| start + size > record.time)
                        .map(|start| (start, start + size))
                        .collect()
                }
                WindowKind::Session { gap } => vec![(record.time, record.time + gap)],
            };
            for (start, end) in starts {
                match end <= horizon {
                    true => drop(expected.late.insert(offset.to_string())),
                    false => accepted.push((record.clone(), start)),
                }
            }
            offset += 1;
        }
        let closed_before: BTreeMap<Entity, i64> =
            clock.latest.keys().map(|truck| (truck.clone(), clock.of(truck).0)).collect();
        clock.pass(epoch);
        let after = windows_of(kind, &accepted);
        let in_file = |window: &(Entity, i64, i64)| {
            closed_before.get(&window.0).is_some_and(|closed| window.2 <= *closed)
        };
        for (window, speeds) in &after {
            let is_new = before.get(window) != Some(speeds);
            let closes = !in_file(window) && window.2 <= clock.of(&window.0).0;
            if closes || (is_new && in_file(window)) {
                expected.lines.push(format!("{number} +{}", row((window, speeds))));
            }
        }
        for (window, speeds) in &before {
            let is_old = after.get(window) != Some(speeds);
            if is_old && in_file(window) && matches!(kind, WindowKind::Session { .. }) {
                expected.lines.push(format!("{number} -{}", row((window, speeds))));
            }
        }
        before = after;
    }
    let gap = if let WindowKind::Session { gap } = kind { gap } else { 0 };
    for (window, speeds) in &before {
        if window.2 > clock.of(&window.0).1 - gap {
            // A tally, and the numbers of its values.
            expected.entries += 1 + speeds.iter().collect::<BTreeSet<_>>().len() as i64;
        }
    }
    // The times of each truck and of the topic.
    expected.entries += clock.latest.len() as i64 + 1;
    expected.rows = before.iter().map(row).collect();
    expected.rows.sort();
    expected.lines.sort();
    expected
}

fn of_join(bound: (i64, i64), patience: Patience, epochs: &[Vec<Record>]) -> Expected {
    let mut clock = Clock { patience, latest: BTreeMap::new() };
    let mut expected = Expected::default();
    let (mut accepted, mut offset): (Vec<(Record, usize)>, usize) = (Vec::new(), 0);
    for (number, epoch) in epochs.iter().enumerate() {
        for record in epoch {
            match record.time < clock.of(&record.entity).1 {
                true => drop(expected.late.insert(offset.to_string())),
                false => accepted.push((record.clone(), number)),
            }
            offset += 1;
        }
        clock.pass(epoch);
    }
    let pairs = accepted.iter().flat_map(|(left, _)| accepted.iter().map(move |(right, _)| (left, right)));
    for (left, right) in pairs {
        if left.entity == right.entity && (bound.0..=bound.1).contains(&(right.time - left.time)) {
            let minute = |record: &Record| (record.time - DAY) / MINUTE;
            let (truck, left, right) = (&left.entity, minute(left), minute(right));
            expected.rows.push(format!("{truck} {left} {truck} {right}"));
        }
    }
    expected.rows.sort();
    for wait in [bound.1, -bound.0] {
        // Each minute is in a stretch of its own, with an entry for each epoch.
        let kept =
            accepted.iter().filter(|(record, _)| record.time + wait.max(0) >= clock.of(&record.entity).1);
        let kept: BTreeSet<_> =
            kept.map(|(record, epoch)| (record.entity.clone(), record.time, *epoch)).collect();
        expected.entries += kept.len() as i64;
    }
    expected.entries += clock.latest.len() as i64 + 1;
    expected
}

fn epochs() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let record = (0usize..3, prop_oneof![0i64..8, 0i64..60], 0i64..3);
    let epoch = (0i64..90, prop::collection::vec(record, 0..8));
    let epoch = epoch.prop_map(|(start, records)| {
        let of = |(truck, minute, speed): (usize, i64, i64)| {
            let mut record = at(["a", "b", "c"][truck], start + minute);
            record.units[1] = speed * NANO;
            record
        };
        records.into_iter().map(of).collect()
    });
    prop::collection::vec(epoch, 1..9)
}

fn patience() -> impl Strategy<Value = Patience> {
    let minutes = || prop::sample::select(vec![0i64, 1, 5, 20, 200]);
    (minutes(), minutes()).prop_map(|(grace, idle)| Patience { grace: grace * MINUTE, idle: idle * MINUTE })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn windows_with_a_short_grace(
        epochs in epochs(), patience in patience(), workers in 1usize..=3, cut in 0usize..9,
        kind in prop::sample::select(vec![(5, 5), (5, 15), (3, 5), (7, 4), (6, 0), (1, 0)]),
    ) {
        let kind = match kind {
            (gap, 0) => WindowKind::Session { gap: gap * MINUTE },
            (slide, size) => WindowKind::Hop { slide: slide * MINUTE, size: size * MINUTE },
        };
        let Relation::Aggregate(mut aggregate) = windows(kind, 0) else { unreachable!() };
        aggregate.window.as_mut().unwrap().patience = patience;
        aggregate.calls[1] = Call::new(Function::Median, vec![field("engine_speed")], false, None).unwrap();
        let job = job(view(Relation::Aggregate(aggregate)), Mode::Append);
        let all = appended(&epochs.iter().map(|epoch| &epoch[..]).collect::<Vec<_>>());
        let written = run(&job, workers, &all, cut.min(all.len()));
        // Without the median.
        let counts = |lines: Vec<String>| -> Vec<String> {
            let mut lines: Vec<_> = lines.iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
            lines.sort();
            lines
        };
        let found = Expected {
            rows: counts(table(&written)),
            lines: counts(lines(&written)),
            late: written.letters.iter().map(|letter| letter.offset.to_string()).collect(),
            entries: written.entries,
        };
        prop_assert_eq!(found.late.len(), written.letters.len());
        prop_assert_eq!(found, of_windows(kind, patience, &epochs));
    }

    #[test]
    fn joins_with_a_short_grace(
        epochs in epochs(), patience in patience(), workers in 1usize..=3, cut in 0usize..9,
        bound in prop::sample::select(vec![(0, 0), (-5, 5), (0, 7), (-9, -3), (2, 4)]),
    ) {
        let (from, to) = (bound.0 * MINUTE, bound.1 * MINUTE);
        let side = || Relation::Select { source: readings(), columns: vec![field("truck_id"), field("timestamp")] };
        let [left, right] = [column(&side(), 1), column(&side(), 1)];
        let join = Join {
            left: side(),
            right: side(),
            keys: vec![(column(&side(), 0), column(&side(), 0))],
            bound: Some(Bound { left, right, from, to, patience }),
            limit: None,
        };
        let job = job(view(Relation::Join(Box::new(join))), Mode::Append);
        let all = appended(&epochs.iter().map(|epoch| &epoch[..]).collect::<Vec<_>>());
        let written = run(&job, workers, &all, cut.min(all.len()));
        let mut rows: Vec<_> = written.rows().iter().map(shown).collect();
        rows.sort();
        let found = Expected {
            rows,
            lines: Vec::new(),
            late: written.letters.iter().map(|letter| letter.offset.to_string()).collect(),
            entries: written.entries,
        };
        prop_assert_eq!(found.late.len(), written.letters.len());
        prop_assert_eq!(found, of_join((from, to), patience, &epochs));
    }
}
