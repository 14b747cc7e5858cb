//! Views of a few readings, with their rows written out: when windows close, what is late, what state is kept.

use dataflows::batch::NANO;
use dataflows::dead_letter::Reason;
use dataflows::expression::{Comparison, Expression};
use dataflows::item::Item;
use dataflows::relation::{
    Aggregate, Bound, From, Function, Join, Keep, Patience, PlannedView, Relation, Source, Window, WindowKind,
};
use dataflows::rows::Change;
use dataflows::views::{Mode, Recovery};

use crate::job::{Job, Output, Written};
use crate::small::{
    SESSION, TUMBLE, appended, at, call, column, count, each, field, grouped, job, lines, number, readings,
    run, shown, table, upserted, view, windows,
};
use crate::stream::{DAY, MINUTE};

const HOUR: i64 = 60 * MINUTE;

#[test]
fn a_window_has_a_line_when_it_closes_and_at_each_later_correction() {
    let job = job(view(windows(TUMBLE, 24 * HOUR)), Mode::Append);
    let all = appended(&[&[at("a", 0), at("a", 4)], &[at("a", 5)], &[at("a", 1)], &[at("b", 1)]]);
    each(&job, &all, |written| {
        assert_eq!(lines(written), ["2 +a 0 5 2 2", "3 +a 0 5 3 3"]);
        assert_eq!(table(written), ["a 0 5 3 3", "a 5 10 1 1", "b 0 5 1 1"]);
    });
}

#[test]
fn the_window_of_an_idle_group_closes_by_the_time_of_the_topic() {
    let job = job(view(windows(TUMBLE, 24 * HOUR)), Mode::Append);
    let all = appended(&[&[at("idle", 0)], &[at("a", 9)], &[at("a", 10)]]);
    each(&job, &all, |written| {
        assert_eq!(lines(written), ["3 +a 5 10 1 1", "3 +idle 0 5 1 1"]);
    });
}

#[test]
fn sessions_that_merge_take_their_lines_back() {
    let job = job(view(windows(SESSION, 24 * HOUR)), Mode::Append);
    let all = appended(&[
        &[at("a", 0), at("a", 8)],
        &[at("a", 13)],
        // Both are closed, and 4 is less than a gap from each.
        &[at("a", 4)],
        &[at("a", 30)],
    ]);
    each(&job, &all, |written| {
        assert_eq!(
            lines(written),
            [
                "1 +a 0 5 1 1",
                "2 +a 8 13 1 1",
                "3 +a 0 13 3 3",
                "3 -a 0 5 1 1",
                "3 -a 8 13 1 1",
                "4 +a 13 18 1 1"
            ]
        );
        assert_eq!(table(written), ["a 0 13 3 3", "a 13 18 1 1", "a 30 35 1 1"]);
    });
}

#[test]
fn sessions_that_fall_apart_take_their_line_back() {
    let job = job(view(windows(SESSION, 24 * HOUR)), Mode::Upsert);
    let all = upserted(&[
        (1, Some(at("a", 0))),
        (2, Some(at("a", 4))),
        (3, Some(at("a", 8))),
        (4, Some(at("a", 13))),
        (2, None),
        (1, None),
    ]);
    each(&job, &all, |written| {
        assert_eq!(
            lines(written),
            ["4 +a 0 13 3 3", "5 +a 0 5 1 1", "5 +a 8 13 1 1", "5 -a 0 13 3 3", "6 -a 0 5 1 1"]
        );
        assert_eq!(table(written), ["a 13 18 1 1", "a 8 13 1 1"]);
    });
}

#[test]
fn a_history_ends_with_zero_counts_and_a_group_that_having_drops_with_its_key() {
    let sums = || {
        grouped(
            readings(),
            vec![field("truck_id")],
            vec![count(), call(Function::Sum, vec![field("engine_speed")])],
        )
    };
    let filter = Expression::compare(Comparison::Greater, column(&sums(), 1), number(1)).unwrap();
    let having = Relation::Select {
        source: Source { from: From::Relation(Box::new(sums())), filter: Some(filter) },
        columns: Expression::of_columns(&sums().columns()),
    };
    let messages =
        [(1, Some(at("a", 0))), (2, Some(at("a", 1))), (1, None), (2, None), (3, Some(at("b", 0)))];
    let history = |relation: Relation| PlannedView { keep: Keep::History, ..view(relation) };
    let rows = |written: &Written| written.appended.iter().map(shown).collect::<Vec<_>>();
    each(&job(history(sums()), Mode::Upsert), &upserted(&messages), |written| {
        assert_eq!(rows(written), ["a 1 1", "a 2 2", "a 1 1", "a 0 NULL", "b 1 1"]);
    });
    each(&job(history(having), Mode::Upsert), &upserted(&messages), |written| {
        assert_eq!(rows(written), ["a 2 2", "a NULL NULL"]);
        assert_eq!(lines(written), ["2 +a 2 2", "3 +a NULL NULL"]);
    });
}

#[test]
fn a_late_reading_is_one_dead_letter_and_counts_in_its_other_windows() {
    let kind = WindowKind::Hop { slide: 5 * MINUTE, size: 15 * MINUTE };
    let job = job(view(windows(kind, HOUR)), Mode::Append);
    let all = appended(&[
        &[at("a", 0)],
        &[at("a", 80)],
        // Windows that end up to 20 are discarded: 12 is late for two of its windows, and counts in the third.
        &[at("a", 12), at("a", 81), at("a", 3), at("a", 12)],
    ]);
    each(&job, &all, |written| {
        let letters = written.letters.iter().map(|letter| {
            assert_eq!((letter.reason, &*letter.field), (Reason::Late, "v"));
            String::from_utf8(letter.payload.clone().unwrap()).unwrap()
        });
        let mut letters: Vec<_> = letters.collect();
        letters.sort();
        assert_eq!(letters, ["2", "4", "5"]);
        let of_first: Vec<_> = table(written)
            .into_iter()
            .filter(|row| !["70", "75", "80"].iter().any(|start| row.contains(start)))
            .collect();
        assert_eq!(of_first, ["a -10 5 1 1", "a -5 10 1 1", "a 0 15 1 1", "a 10 25 2 2"]);
    });
}

#[test]
fn the_state_of_discarded_windows_ends_and_their_rows_stay() {
    let median = |kind: WindowKind| {
        let Relation::Aggregate(mut aggregate) = windows(kind, HOUR) else { unreachable!() };
        aggregate.calls.push(call(Function::Median, vec![field("engine_speed")]));
        Relation::Aggregate(aggregate)
    };
    for kind in [TUMBLE, SESSION] {
        let job = job(view(median(kind)), Mode::Append);
        let all = appended(&[&[at("a", 0), at("b", 0)], &[at("a", 70)], &[at("a", 75)], &[at("a", 81)]]);
        each(&job, &all, |written| {
            // Of `a` the windows at 70, 75 and 80 with a value each, of `b` its only one; the times of both, and of
            // the topic.
            assert_eq!(written.entries, 3 * 2 + 2 + 2 + 1, "{kind:?}");
            assert_eq!(table(written).len(), 5);
            assert!(written.letters.is_empty());
        });
    }
}

#[test]
fn a_view_over_windows_keeps_its_counts_when_windows_are_discarded() {
    let inner = windows(TUMBLE, HOUR);
    let total = vec![count(), call(Function::Sum, vec![column(&inner, 3)])];
    let outer = grouped(Source::of(inner.clone()), vec![column(&inner, 0)], total);
    let job = job(view(outer), Mode::Append);
    let all =
        appended(&[&[at("a", 0), at("a", 1)], &[at("a", 70)], &[at("a", 71), at("a", 2)], &[at("a", 75)]]);
    each(&job, &all, |written| {
        assert_eq!(table(written), ["a 3 5"]);
        assert_eq!(written.letters.len(), 1);
    });
}

#[test]
fn a_late_row_of_a_join_is_a_dead_letter_and_its_state_ends() {
    let side =
        || Relation::Select { source: readings(), columns: vec![field("truck_id"), field("timestamp")] };
    let bound = Bound {
        left: column(&side(), 1),
        right: column(&side(), 1),
        from: -5 * MINUTE,
        to: 5 * MINUTE,
        patience: Patience { grace: 10 * MINUTE, idle: 5 * MINUTE },
    };
    let join = Join {
        left: side(),
        right: side(),
        keys: vec![(column(&side(), 0), column(&side(), 0))],
        bound: Some(bound),
        limit: None,
    };
    let job = job(view(Relation::Join(Box::new(join))), Mode::Append);
    let all = appended(&[
        &[at("a", 0), at("a", 4)],
        &[at("a", 12)],
        // The horizon is at 2, so that 3 matches both of the first epoch, and 1 is late for both sides.
        &[at("a", 3), at("a", 1)],
        &[at("a", 30)],
    ]);
    each(&job, &all, |written| {
        let rows =
            ["a 0 a 0", "a 0 a 3", "a 0 a 4", "a 12 a 12", "a 3 a 0", "a 3 a 3", "a 3 a 4", "a 30 a 30"];
        let rest = ["a 4 a 0", "a 4 a 3", "a 4 a 4"];
        assert_eq!(table(written), [&rows[..], &rest].concat());
        let letters: Vec<_> = written.letters.iter().map(|letter| letter.payload.clone().unwrap()).collect();
        assert_eq!(letters, [b"4"], "one for both sides");
        // The row of each side at 30, the times of the key and of the topic.
        assert_eq!(written.entries, 2 + 1 + 1);
    });
}

#[test]
fn the_group_of_everything_stays_when_all_readings_are_deleted() {
    let whole = grouped(readings(), Vec::new(), vec![count()]);
    let over = grouped(Source::of(whole.clone()), vec![column(&whole, 0)], vec![count()]);
    let messages = [(1, Some(at("a", 0))), (1, None), (2, Some(at("a", 0))), (2, None), (9, None)];
    for (relation, row) in [(whole, "0"), (over, "0 1")] {
        each(&job(view(relation), Mode::Upsert), &upserted(&messages), |written| {
            assert_eq!(table(written), [row]);
        });
    }
}

#[test]
fn a_view_without_rows_has_a_group_of_everything() {
    let filter = Expression::compare(Comparison::Greater, field("engine_speed"), number(1)).unwrap();
    let source = Source { from: From::Readings, filter: Some(filter) };
    let whole = grouped(source, Vec::new(), vec![count(), call(Function::Sum, vec![field("engine_speed")])]);
    for mode in [Mode::Append, Mode::Upsert] {
        let all = if mode == Mode::Upsert {
            upserted(&[(1, Some(at("a", 0)))])
        } else {
            appended(&[&[at("a", 0)]])
        };
        each(&job(view(whole.clone()), mode), &all, |written| {
            assert_eq!(table(written), ["0 NULL"]);
            assert!(written.lines.iter().all(|(_, change, ..)| *change == Change::Insert));
        });
    }
}

#[test]
fn rows_beyond_the_limit_of_a_join_count_when_others_are_deleted() {
    let side =
        || Relation::Select { source: readings(), columns: vec![field("truck_id"), field("engine_speed")] };
    let join = Join {
        left: side(),
        right: side(),
        keys: vec![(column(&side(), 0), column(&side(), 0))],
        bound: None,
        limit: Some(2),
    };
    let speed = |speed: i64| {
        let mut record = at("a", 0);
        record.units[1] = speed * NANO;
        Some(record)
    };
    let job = job(view(Relation::Join(Box::new(join))), Mode::Upsert);
    // The least two count.
    let messages =
        [(1, speed(1)), (2, speed(3)), (3, speed(2)), (4, speed(4)), (2, speed(5)), (1, None), (4, None)];
    for (number, pairs) in [(2, [1, 3]), (4, [1, 2]), (5, [1, 2]), (6, [2, 4]), (7, [2, 5])] {
        each(&job, &upserted(&messages[..number]), |written| {
            let all = pairs.map(|left| pairs.map(|right| format!("a {left} a {right}")));
            assert_eq!(table(written), all.concat());
        });
    }
    let written = run(&job, 2, &upserted(&messages), 5);
    let reasons: Vec<_> = written.letters.iter().map(|letter| letter.reason).collect();
    // 3, 4 and 5 were one too many, for either side.
    assert_eq!(reasons, [Reason::TooLarge; 6]);
}

#[test]
fn a_reading_beyond_the_limit_of_a_join_is_a_dead_letter() {
    let side =
        || Relation::Select { source: readings(), columns: vec![field("truck_id"), field("timestamp")] };
    let join = Join {
        left: side(),
        right: side(),
        keys: vec![(column(&side(), 0), column(&side(), 0))],
        bound: None,
        limit: Some(2),
    };
    let job = job(view(Relation::Join(Box::new(join))), Mode::Append);
    assert!(job.views[0].clone().view(&job.settings).drops_readings);
    let all = appended(&[&[at("a", 1)], &[at("a", 5)], &[at("a", 3), at("b", 3)]]);
    each(&job, &all, |written| {
        assert_eq!(table(written), ["a 1 a 1", "a 1 a 5", "a 5 a 1", "a 5 a 5", "b 3 b 3"]);
        let letters: Vec<_> = written.letters.iter().map(|letter| (letter.reason, letter.offset)).collect();
        assert_eq!(letters, [(Reason::TooLarge, 2)]);
    });
}

#[test]
fn windows_of_rows_that_can_be_taken_back_are_not_discarded() {
    let latest =
        grouped(readings(), vec![field("truck_id")], vec![call(Function::Max, vec![field("timestamp")])]);
    let patience = Patience { grace: HOUR, idle: 5 * MINUTE };
    let window = Window { time: column(&latest, 1), kind: TUMBLE, patience };
    let aggregate = Aggregate {
        source: Source::of(latest),
        keys: Vec::new(),
        is_whole: false,
        window: Some(window),
        calls: vec![count()],
        time: None,
    };
    let job = job(view(Relation::Aggregate(Box::new(aggregate))), Mode::Append);
    let all = appended(&[&[at("a", 0), at("b", 1)], &[at("a", 70)], &[at("a", 75)], &[at("b", 76)]]);
    each(&job, &all, |written| {
        // `b` leaves the window at 0 long after its grace.
        assert_eq!(table(written), ["75 80 2"]);
        assert!(written.letters.is_empty());
    });
}

#[test]
fn rows_beyond_the_limit_of_a_join_are_dropped_one_by_one() {
    let side =
        || Relation::Select { source: readings(), columns: vec![field("truck_id"), field("timestamp")] };
    let [left, right] = [column(&side(), 1), column(&side(), 1)];
    let patience = Patience { grace: HOUR, idle: 5 * MINUTE };
    let join = Join {
        left: side(),
        right: side(),
        keys: vec![(column(&side(), 0), column(&side(), 0))],
        bound: Some(Bound { left, right, from: 0, to: 0, patience }),
        limit: Some(1),
    };
    let job = job(view(Relation::Join(Box::new(join))), Mode::Append);
    // One of two equal rows is too many. Those with other times are no more than the limit.
    let all = appended(&[&[at("a", 0), at("a", 0)], &[at("a", 0), at("a", 0)], &[at("a", 1)], &[at("b", 0)]]);
    each(&job, &all, |written| {
        assert_eq!(table(written), ["a 0 a 0", "a 1 a 1", "b 0 b 0"]);
        let letters = written.letters.iter().map(|letter| (letter.reason, letter.offset));
        assert_eq!(letters.collect::<Vec<_>>(), [1, 2, 3].map(|offset| (Reason::TooLarge, offset)));
        // Rows of both sides, and the times of both trucks and of the topic.
        assert_eq!(written.entries, 2 * 3 + 2 + 1);
    });
}

#[test]
fn what_a_view_reads_twice_is_kept_once() {
    let counts = || grouped(readings(), vec![field("truck_id")], vec![count()]);
    let job_of = |one: Relation| job(view(Relation::Union(vec![one.clone(), one])), Mode::Append);
    let all = appended(&[&[at("a", 0), at("b", 0)], &[at("a", 90)], &[at("a", 0)]]);
    each(&job_of(counts()), &all, |written| {
        assert_eq!(table(written), ["a 3", "a 3", "b 1", "b 1"]);
        assert_eq!(written.entries, 2 + 2, "the counts, and the numbers of equal rows");
    });
    each(&job_of(windows(TUMBLE, HOUR)), &all, |written| {
        let late = written.letters.iter().map(|letter| (letter.reason, letter.offset));
        assert_eq!(late.collect::<Vec<_>>(), [(Reason::Late, 3)]);
    });
}

#[test]
fn a_partition_that_is_behind_holds_the_horizon_back() {
    let job = job(view(windows(TUMBLE, HOUR)), Mode::Append);
    let mut all = appended(&[&[at("a", 0)], &[at("a", 90)], &[at("a", 0)], &[]]);
    all[1].push(Item::Behind(DAY));
    all[3].push(Item::Behind(i64::MAX));
    each(&job, &all, |written| {
        assert!(written.letters.is_empty());
        // When the partition has caught up, the window closes, although the truck has no input.
        assert_eq!(lines(written), ["4 +a 0 5 2 2"]);
        assert_eq!(written.entries, 1 + 1 + 1, "a window, the times of the truck and of the topic");
    });
}

#[test]
fn times_in_the_future_are_reset_at_a_start() {
    let ten_years = 3653 * 24 * 60;
    let job = Job { arrived: DAY + 16 * MINUTE, ..job(view(windows(TUMBLE, HOUR)), Mode::Append) };
    let all = appended(&[
        &[at("a", 0), at("b", 0)],
        &[at("a", ten_years)],
        &[at("a", 1)],
        &[at("a", 9), at("a", 11), at("b", 11)],
        &[at("a", 16), at("b", 16)],
    ]);
    for workers in [1, 2] {
        let mut output = Output::default();
        job.run(workers, &all[..3], &mut output);
        let written = output.views.get_mut("v").unwrap();
        assert_eq!(written.letters.len(), 1);
        let (_, reset) = Recovery::at(DAY + 7 * MINUTE, 24 * HOUR, 5 * MINUTE).apply(&mut written.state);
        assert_eq!(reset.iter().map(|one| one.truck.as_deref()).collect::<Vec<_>>(), [None, Some("a")]);
        job.run(3 - workers, &all[3..], &mut output);
        let written = &output.views["v"];
        // The window of 9 ends at the new time, but was closed and discarded before.
        assert_eq!(written.letters.len(), 2);
        assert_eq!(lines(written), ["2 +a 0 5 1 1", "2 +b 0 5 1 1", "5 +a 10 15 1 1", "5 +b 10 15 1 1"]);
    }
}
