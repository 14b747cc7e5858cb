//! Groups, windows and sessions.

use super::*;
use crate::relation::plan::{Window, WindowKind};

const COUNT: fn() -> Call = || call(Function::Count, Vec::new());

/// The rows per window of a time and the keys.
fn windowed(keys: Vec<Expression>, time: &str, kind: WindowKind) -> Relation {
    let window = Some(Window { time: field(time), kind, patience: PATIENCE });
    Relation::Aggregate(Box::new(Aggregate { window, is_whole: false, ..aggregate(keys, vec![COUNT()]) }))
}

fn hop(slide: i64, size: i64) -> WindowKind {
    WindowKind::Hop { slide: slide * SECOND, size: size * SECOND }
}

/// Windows of `sent` with their counts, all in seconds.
#[track_caller]
fn assert_windows(kind: WindowKind, times: &[i64], expected: &[(i64, i64, i64)]) {
    let mut records: Vec<Record> = times.iter().map(|time| sent("a", Some(*time))).collect();
    records.push(sent("a", None));
    let row = |&(start, end, count): &(i64, i64, i64)| vec![time(start), time(end), exact(count)];
    assert_rows(&windowed(Vec::new(), "sent", kind), &records, expected.iter().map(row).collect());
}

#[test]
fn null_is_a_group_of_its_own() {
    let relation = grouped(vec![field("x"), field("truck_id")], vec![COUNT()]);
    let xs = [(None, "a"), (Some(1), "a"), (None, "a"), (None, "b")];
    let records = xs.map(|(x, truck)| reading(truck, 0, x, None));
    assert_rows(
        &relation,
        &records,
        vec![
            vec![Datum::Null, text("a"), exact(2)],
            vec![exact(1), text("a"), exact(1)],
            vec![Datum::Null, text("b"), exact(1)],
        ],
    );
}

#[test]
fn only_a_whole_has_a_row_without_input() {
    let count = || vec![COUNT()];
    assert_rows(&grouped(Vec::new(), count()), &[], vec![vec![exact(0)]]);
    assert_rows(&grouped(vec![field("truck_id")], count()), &[], Vec::new());
    let filter = Some(compare(Comparison::Greater, field("x"), number(5)));
    let source = Source { from: From::Readings, filter };
    let relation = Relation::Aggregate(Box::new(Aggregate { source, ..aggregate(Vec::new(), count()) }));
    assert_rows(&relation, &[reading("a", 0, Some(5), None)], vec![vec![exact(0)]]);
    assert_rows(&windowed(Vec::new(), "sent", hop(1, 1)), &[sent("a", None)], Vec::new());
}

#[test]
fn groups_of_groups() {
    // The number of trucks by their number of readings.
    let of_trucks = grouped(vec![field("truck_id")], vec![COUNT()]);
    let keys = vec![column(&of_trucks, 1)];
    let source = Source::of(of_trucks);
    let relation = Relation::Aggregate(Box::new(Aggregate { source, ..aggregate(keys, vec![COUNT()]) }));
    let records = ["a", "b", "b", "c"].map(|truck| reading(truck, 0, None, None));
    assert_rows(&relation, &records, vec![vec![exact(1), exact(2)], vec![exact(2), exact(1)]]);
}

#[test]
fn windows_start_at_multiples_before_1970_too() {
    let expected = [(-20, -10, 1), (-10, 0, 2), (0, 10, 2), (10, 20, 1)];
    assert_windows(hop(10, 10), &[-11, -10, -1, 0, 9, 10], &expected);
}

#[test]
fn the_slide_need_not_divide_the_size() {
    let expected = [(-8, 2, 1), (-4, 6, 2), (0, 10, 2), (4, 14, 1)];
    assert_windows(hop(4, 10), &[0, 5], &expected);
}

#[test]
fn rows_between_windows_are_in_none() {
    assert_windows(hop(10, 3), &[-8, -7, -1, 0, 2, 3, 9], &[(-10, -7, 1), (0, 3, 2)]);
}

#[test]
fn a_session_ends_at_a_gap_and_is_of_a_group() {
    assert_windows(WindowKind::Session { gap: 5 * SECOND }, &[9, 0, 4, -2], &[(-2, 9, 3), (9, 14, 1)]);
    let relation = windowed(vec![field("truck_id")], "sent", WindowKind::Session { gap: 5 * SECOND });
    let records = [("a", 0), ("b", 2), ("a", 4)].map(|(truck, time)| sent(truck, Some(time)));
    assert_rows(
        &relation,
        &records,
        vec![vec![text("a"), time(0), time(9), exact(2)], vec![text("b"), time(2), time(7), exact(1)]],
    );
}

#[test]
fn a_bound_that_no_timestamp_has_is_null() {
    let mut record = reading("a", 0, None, None);
    record.time = i64::MAX;
    let relation = windowed(Vec::new(), "timestamp", WindowKind::Session { gap: 1 });
    assert_rows(&relation, &[record], vec![vec![Datum::Time(i64::MAX), Datum::Null, exact(1)]]);
}

#[test]
fn calls_follow_the_window() {
    let mean = call(Function::Avg, vec![field("x")]);
    let last = call(Function::Last, vec![field("x")]);
    let window = Some(Window { time: field("timestamp"), kind: hop(10, 10), patience: PATIENCE });
    let aggregate =
        Aggregate { window, is_whole: false, ..aggregate(vec![field("truck_id")], vec![mean, last]) };
    let records = [(1, 10), (2, 20), (12, 5)].map(|(time, x)| reading("a", time, Some(x), None));
    assert_rows(
        &Relation::Aggregate(Box::new(aggregate)),
        &records,
        vec![
            vec![text("a"), time(0), time(10), Datum::Real(15.0), exact(20)],
            vec![text("a"), time(10), time(20), Datum::Real(5.0), exact(5)],
        ],
    );
}
