//! Jobs of a few readings, with their rows written out.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::Epoch;
use dataflows::batch::{NANO, Record};
use dataflows::dead_letter::Reason;
use dataflows::item::{Item, Upsert};
use dataflows::rows::NULL;
use dataflows::views::{Mode, Recovery, Settings};

use crate::expected::table_after;
use crate::job::{Gave, Job, Row, folded, of, run, views, whole};
use crate::records::{MINUTE, append_job, settings, upsert_job};

/// 2023-04-10 00:00:00.
const DAY: i64 = 1_681_084_800_000_000;

fn at(truck: &str, time: i64) -> Record {
    Record { entity: truck.into(), time, units: vec![NANO, 81 * NANO, NANO, NULL], texts: vec![None] }
}

/// One batch per epoch.
fn job_of(epochs: &[&[Record]]) -> Job {
    append_job(&epochs.iter().map(|records| vec![records.to_vec()]).collect::<Vec<_>>(), false)
}

/// The windows in a file, in order: the epoch, the truck, the start in minutes, the samples.
fn closed(gave: &Gave) -> Vec<(Epoch, String, i64, String)> {
    let row = |(epoch, _, _, cells): &Row| {
        let start: i64 = cells[1].parse().expect("a time");
        (*epoch, cells[0].clone(), (start - DAY) / MINUTE, cells[3].clone())
    };
    let mut closed: Vec<_> = gave.file.iter().map(row).collect();
    closed.sort();
    closed
}

#[test]
fn a_window_closes_when_its_truck_has_passed_it_and_again_when_it_is_corrected() {
    let job = job_of(&[
        &[at("a", DAY), at("a", DAY + 4 * MINUTE)],
        &[at("a", DAY + 5 * MINUTE)],
        &[at("a", DAY + MINUTE)],
    ]);
    for workers in [1, 2, 3] {
        let gave = of(&whole(&job, workers), "window_averages");
        assert_eq!(closed(&gave), [(2, "a".into(), 0, "2".into()), (3, "a".into(), 0, "3".into())]);
    }
}

#[test]
fn the_window_of_an_idle_truck_closes_by_the_time_of_the_topic() {
    let job = job_of(&[
        &[at("idle", DAY)],
        &[at("a", DAY + 9 * MINUTE)],
        // A window of five minutes, and five minutes until the truck is idle.
        &[at("a", DAY + 10 * MINUTE)],
        // The truck returns with buffered readings, and none of them is late.
        &[at("a", DAY + 3 * 24 * 60 * MINUTE)],
        &[at("idle", DAY + MINUTE), at("idle", DAY + 5 * MINUTE)],
    ]);
    let gave = whole(&job, 2);
    let windows = of(&gave, "window_averages");
    let of_idle: Vec<_> = closed(&windows).into_iter().filter(|(_, truck, _, _)| truck == "idle").collect();
    assert_eq!(of_idle[0], (3, "idle".into(), 0, "1".into()));
    assert_eq!(of_idle[1..], [(5, "idle".into(), 0, "2".into()), (5, "idle".into(), 5, "1".into())]);
    assert!(windows.letters.is_empty());
}

#[test]
fn a_reading_in_the_future_closes_no_window_of_another_truck_early() {
    let mut job = job_of(&[
        &[at("idle", DAY), at("a", DAY + 4 * MINUTE)],
        &[at("ahead", DAY + 20 * 60 * MINUTE)],
        &[at("a", DAY + 9 * MINUTE)],
        &[at("a", DAY + 9 * MINUTE)],
    ]);
    job.arrived = DAY + 10 * MINUTE - 1;
    job.epochs[3].push(Item::Arrived(DAY + 10 * MINUTE));
    for workers in [1, 3] {
        let gave = whole(&job, workers);
        let windows = closed(&of(&gave, "window_averages"));
        assert_eq!(windows, [(3, "a".into(), 0, "1".into()), (4, "idle".into(), 0, "1".into())]);
        assert!(gave.values().all(|gave| gave.letters.is_empty()));
    }
}

#[test]
fn times_in_the_future_are_reset_at_a_start() {
    let (ten_years, day) = (3653 * 24 * 60 * MINUTE, 24 * 60 * MINUTE);
    let poisoned = job_of(&[
        &[at("a", DAY), at("b", DAY)],
        &[at("a", DAY + ten_years)],
        &[at("a", DAY + MINUTE), at("b", DAY + 2 * MINUTE)],
    ]);
    let before = whole(&poisoned, 2);
    let late = |gave: &BTreeMap<String, Gave>, view| of(gave, view).letters.len();
    assert_eq!((late(&before, "window_averages"), late(&before, "filtered_join")), (1, 1));
    let mut restored: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let recovery = Recovery::at(DAY + 7 * MINUTE, day, 5 * MINUTE);
    for view in views(&poisoned) {
        let gave = of(&before, &view.name);
        let mut parts = folded(gave.state, 1);
        if view.keeps_times {
            let (_, set_back) = recovery.apply(&mut parts);
            let trucks: Vec<_> = set_back.iter().map(|set_back| set_back.truck.as_deref()).collect();
            let b = (view.name == "window_averages").then_some(Some("b"));
            assert_eq!(trucks, [None, Some("a")].into_iter().chain(b).collect::<Vec<_>>(), "{}", view.name);
        }
        restored.insert(view.name.to_string(), parts);
    }
    // The clock is at 7 minutes: windows before the end of its window stay closed, and are late for `a`.
    let mut after = append_job(
        &[
            vec![vec![at("a", DAY + 9 * MINUTE), at("a", DAY + 11 * MINUTE), at("b", DAY + 11 * MINUTE)]],
            vec![vec![at("a", DAY + 14 * MINUTE), at("b", DAY + 14 * MINUTE)]],
            vec![vec![at("a", DAY + 16 * MINUTE), at("b", DAY + 16 * MINUTE)]],
        ],
        false,
    );
    after.arrived = DAY + 16 * MINUTE;
    for workers in [1, 2] {
        let gave = run(&after, workers, 3, &restored, &after.epochs);
        let windows = of(&gave, "window_averages");
        assert_eq!(closed(&windows), [(6, "a".into(), 10, "2".into()), (6, "b".into(), 10, "2".into())]);
        for view in ["window_averages", "filtered_join"] {
            let letters: Vec<_> = of(&gave, view).letters.into_iter().map(|(offset, ..)| offset).collect();
            assert_eq!(letters, [0], "{view}");
        }
        assert_eq!(of(&gave, "filtered_join").table.len(), 6);
    }
}

#[test]
fn times_of_an_upsert_job_are_reset_although_it_keeps_the_reading() {
    let (ten_years, day) = (3653 * 24 * 60 * MINUTE, 24 * 60 * MINUTE);
    let epochs = |all: &[&[(u8, Record)]]| {
        let message = |(key, record): &(u8, Record)| (*key, Some(record.clone()));
        let epoch = |messages: &&[(u8, Record)]| vec![messages.iter().map(message).collect()];
        upsert_job(&all.iter().map(epoch).collect::<Vec<_>>(), false)
    };
    let mut job = epochs(&[
        &[(1, at("a", DAY)), (2, at("b", DAY))],
        &[(3, at("a", DAY + ten_years))],
        &[(4, at("a", DAY + 11 * MINUTE)), (5, at("b", DAY + 11 * MINUTE))],
        &[(6, at("a", DAY + 16 * MINUTE)), (7, at("b", DAY + 16 * MINUTE))],
    ]);
    let before = run(&job, 2, 0, &BTreeMap::new(), &job.epochs[..2]);
    let mut restored: BTreeMap<String, Vec<Vec<u8>>> =
        before.iter().map(|(view, gave)| (view.clone(), folded(gave.state.clone(), 1 << 20))).collect();
    let recovery = Recovery::at(DAY + 7 * MINUTE, day, 5 * MINUTE);
    recovery.apply(restored.get_mut("window_averages").unwrap());
    job.arrived = DAY + 16 * MINUTE;
    for workers in [1, 3] {
        let gave = run(&job, workers, 2, &restored, &job.epochs[2..]);
        let windows = closed(&of(&gave, "window_averages"));
        assert_eq!(windows, [(4, "a".into(), 10, "1".into()), (4, "b".into(), 10, "1".into())]);
    }
}

#[test]
fn a_key_from_another_partition_is_rejected_wherever_epochs_end() {
    let message = |(key, partition, offset): (u8, i32, i64)| Upsert {
        key: Arc::from([key]),
        partition,
        offset,
        record: Some(at("a", DAY + offset * MINUTE)),
    };
    let job = |epochs: &[&[(u8, i32, i64)]], one_after_another| {
        let items = |messages: &&[(u8, i32, i64)]| {
            messages.iter().map(|id| Item::Upserts(vec![message(*id)])).collect::<Vec<_>>()
        };
        let settings = Settings { one_after_another, ..settings(Mode::Upsert) };
        Job {
            settings,
            epochs: epochs.iter().map(items).collect(),
            arrived: i64::MAX,
            latest: false,
            join_limit: None,
        }
    };
    let moved = |gave: BTreeMap<String, Gave>| of(&gave, "readings").moved.into_iter().collect::<Vec<_>>();
    for workers in [1, 3] {
        // In one epoch, in either order, or in several; the key 2 stays where it is.
        let other = (2, 1, 5);
        let at_once = moved(whole(&job(&[&[(1, 0, 7), (1, 1, 2), other]], false), workers));
        assert_eq!(at_once, [(1, vec![1], (0, 1))]);
        let at_once = moved(whole(&job(&[&[(1, 1, 2), (1, 0, 7), other]], false), workers));
        assert_eq!(at_once, [(1, vec![1], (0, 1))]);
        let later = moved(whole(&job(&[&[(1, 1, 2), other], &[other], &[(1, 0, 7)]], false), workers));
        assert_eq!(later, [(3, vec![1], (1, 0))]);
        // After a restart, too.
        let job_later = job(&[&[(1, 1, 2), other], &[(1, 0, 7), (2, 1, 6)]], false);
        let before = run(&job_later, workers, 0, &BTreeMap::new(), &job_later.epochs[..1]);
        let restored = before.iter().map(|(view, gave)| (view.clone(), folded(gave.state.clone(), 1 << 20)));
        let after = run(&job_later, workers, 1, &restored.collect(), &job_later.epochs[1..]);
        assert_eq!(moved(after), [(2, vec![1], (1, 0))]);
        // The parts of a file are read one after another.
        let gave = whole(&job(&[&[(1, 0, 7)], &[(1, 1, 2)]], true), workers);
        let rows = table_after(&of(&gave, "parameter_map").table);
        assert_eq!(
            rows.into_values().map(|cells| cells[0].clone()).collect::<Vec<_>>(),
            [(DAY + 2 * MINUTE).to_string()]
        );
        assert!(moved(gave).is_empty());
    }
}

#[test]
fn readings_older_than_the_retention_are_dead_letters_and_their_state_is_discarded() {
    let day = 24 * 60 * MINUTE;
    let job = job_of(&[
        &[at("a", DAY), at("a", DAY + 11 * MINUTE)],
        // Late for the join, but a correction for the windows. Exactly on the join's horizon is not late.
        &[at("a", DAY + MINUTE - 1), at("a", DAY + MINUTE)],
        &[at("a", DAY + day + 11 * MINUTE)],
        &[at("a", DAY + 4 * MINUTE), at("a", DAY + 10 * MINUTE), at("b", DAY)],
    ]);
    for workers in [1, 3] {
        let gave = whole(&job, workers);
        let letters = |view: &str| {
            of(&gave, view)
                .letters
                .into_iter()
                .map(|(offset, field, reason)| {
                    assert_eq!((field.as_str(), reason), (view, Reason::Late.name()));
                    offset
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(letters("filtered_join"), [2, 5, 6]);
        // The window from 0 to 5 minutes ends before the horizon, that from 10 to 15 does not.
        assert_eq!(letters("window_averages"), [5]);
        // Two windows of one truck and one of another, the times of both, and the topic's time.
        let kept = |view: &str| of(&gave, view).entries;
        assert_eq!(kept("window_averages"), 2 + 1 + 2 + 1);
        // Each side of the join has its own rows.
        assert_eq!(kept("filtered_join"), 2 * (1 + 1) + 2 + 1);
        // The four that were not late are joined with themselves.
        assert_eq!(of(&gave, "filtered_join").table.len(), 8 - 3);
        // The other views include the late ones.
        assert_eq!(of(&gave, "parameter_map").table.len(), 8);
    }
}

#[test]
fn a_partition_that_is_behind_holds_the_horizon_back() {
    let mut job = job_of(&[&[at("a", DAY)], &[at("a", DAY + 60 * MINUTE)], &[at("a", DAY)], &[]]);
    job.epochs[1].push(Item::Behind(DAY));
    job.epochs[3].push(Item::Behind(i64::MAX));
    let gave = whole(&job, 1);
    assert!(gave.values().all(|gave| gave.letters.is_empty()));
    // When the partition has caught up, the window closes, although the truck has no input.
    assert_eq!(closed(&of(&gave, "window_averages")), [(4, "a".into(), 0, "2".into())]);
}

#[test]
fn readings_that_would_explode_the_join_are_dead_letters() {
    let mut job = job_of(&[&[at("a", DAY), at("a", DAY)], &[at("a", DAY), at("a", DAY), at("b", DAY)]]);
    job.join_limit = Some(3);
    for workers in [1, 2] {
        let gave = of(&whole(&job, workers), "filtered_join");
        assert_eq!(gave.table.len(), 9 + 1);
        let letters: Vec<_> = gave.letters.iter().map(|(offset, _, reason)| (*offset, *reason)).collect();
        assert_eq!(letters, [(3, Reason::TooLarge.name())]);
    }
}

#[test]
fn a_correction_moves_a_reading_to_another_truck_window_and_below_the_threshold() {
    let mut slow = at("b", DAY + 7 * MINUTE);
    slow.units[1] = 80 * NANO;
    let messages = |records: Vec<(u8, Option<Record>)>| vec![records];
    let job = upsert_job(
        &[
            messages(vec![(1, Some(at("a", DAY))), (2, Some(at("a", DAY)))]),
            messages(vec![(1, Some(slow)), (9, None)]),
            messages(vec![(2, None)]),
        ],
        true,
    );
    let gave = whole(&job, 2);
    assert_eq!(table_after(&of(&gave, "filtered_join").table).len(), 0);
    assert_eq!(table_after(&of(&gave, "above_speed").table).len(), 0);
    assert_eq!(table_after(&of(&gave, "parameter_map").table).len(), 1);
    let windows = table_after(&of(&gave, "window_averages").table);
    assert_eq!(windows.into_values().map(|cells| cells[0].clone()).collect::<Vec<_>>(), ["b"]);
    let trucks = table_after(&of(&gave, "distance_correlation").table);
    assert_eq!(trucks.into_values().map(|cells| cells[3].clone()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(of(&gave, "readings").entries, 1);
}
