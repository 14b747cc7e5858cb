//! A test for each fault that random views found.

use dataflows::expression::{Arithmetic, Comparison, Expression};
use dataflows::relation::{Aggregate, From, Function, Keep, PlannedView, Relation, Source};
use dataflows::views::Mode;

use crate::job::Written;
use crate::small::{
    SESSION, TUMBLE, appended, at, call, column, count, each, field, grouped, job, readings, shown, table,
    view, windows,
};
use crate::stream::MINUTE;

#[test]
fn a_history_has_no_row_for_a_group_that_looks_as_before() {
    let of_trucks = grouped(readings(), vec![field("truck_id")], vec![count()]);
    let none = Expression::number(0, 0).unwrap();
    let has_rows = Expression::compare(Comparison::Greater, column(&of_trucks, 1), none).unwrap();
    let columns = vec![column(&of_trucks, 0), has_rows];
    let relation = Relation::Select { source: Source::of(of_trucks), columns };
    let all = appended(&[&[at("a", 0)], &[at("a", 1)], &[at("a", 2), at("b", 2)]]);
    let history = PlannedView { keep: Keep::History, ..view(relation.clone()) };
    let rows = |written: &Written| written.appended.iter().map(shown).collect::<Vec<_>>();
    each(&job(history, Mode::Append), &all, |written| {
        assert_eq!(rows(written), ["a Truth(true)", "b Truth(true)"]);
    });
    // Nor has its file a line.
    each(&job(view(relation), Mode::Append), &all, |written| assert_eq!(written.lines.len(), 2));
}

#[test]
fn the_end_of_a_session_in_a_history_has_the_columns_of_the_view() {
    let sessions = windows(SESSION, 24 * 60 * MINUTE);
    let columns = [3, 4, 0, 1, 2, 0].map(|place| column(&sessions, place)).into();
    let relation = Relation::Select { source: Source::of(sessions), columns };
    let history = PlannedView { keep: Keep::History, ..view(relation) };
    let all = appended(&[&[at("a", 0)], &[at("a", 8)], &[at("a", 4)]]);
    each(&job(history, Mode::Append), &all, |written| {
        // The second one becomes a part of the first.
        let rows = ["0 NULL a 8 13 a", "1 1 a 0 5 a", "1 1 a 8 13 a", "3 3 a 0 13 a"];
        assert_eq!(table(written), rows);
    });
}

#[test]
fn a_large_constant_next_to_an_aggregate_with_more_decimal_places_is_exact() {
    let speed = || field("engine_speed");
    let square = Expression::arithmetic(Arithmetic::Multiply, speed(), speed()).unwrap();
    let sums = grouped(readings(), vec![field("truck_id")], vec![call(Function::Sum, vec![square])]);
    // With the 18 decimal places of the sum it exceeds 128 bits.
    let large = || Expression::number(10i128.pow(25), 0).unwrap();
    let less = Expression::compare(Comparison::Less, column(&sums, 1), large()).unwrap();
    let greatest = Expression::greatest(vec![column(&sums, 1), large()]).unwrap();
    let relation = Relation::Select { source: Source::of(sums), columns: vec![less, greatest] };
    let expected = format!("Truth(true) {}", 10i128.pow(25));
    each(&job(view(relation), Mode::Append), &appended(&[&[at("a", 0)]]), |written| {
        assert_eq!(table(written), [&*expected]);
    });
}

#[test]
fn a_late_row_that_is_no_reading_has_one_letter_on_any_number_of_workers() {
    let once = Relation::Select {
        source: readings(),
        columns: vec![field("truck_id"), field("timestamp"), field("engine_speed")],
    };
    let once = Relation::Distinct(Box::new(once));
    let Relation::Aggregate(of_readings) = windows(TUMBLE, 0) else { unreachable!() };
    let mut window = of_readings.window.clone().unwrap();
    window.time = column(&once, 1);
    let relation = Relation::Aggregate(Box::new(Aggregate {
        keys: vec![column(&once, 0)],
        window: Some(window),
        calls: vec![count()],
        source: Source { from: From::Relation(Box::new(once)), filter: None },
        ..*of_readings
    }));
    // Three of the same window, on different workers.
    let late = [at("a", 1), at("a", 2), at("a", 3), at("a", 3)];
    let mut epochs = appended(&[&[at("a", 9)], &[at("a", 19)]]);
    epochs.push(late.iter().flat_map(|record| appended(&[std::slice::from_ref(record)]).remove(0)).collect());
    each(&job(view(relation), Mode::Append), &epochs, |written| assert_eq!(written.letters.len(), 3));
}
