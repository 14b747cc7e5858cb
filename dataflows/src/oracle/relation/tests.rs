//! Results computed by hand.
//!
//! | file | contents |
//! |---|---|
//! | `calls` | aggregate functions |
//! | `groups` | groups, windows and sessions |
//! | this one | the other relations, and how found rows are judged |

mod calls;
mod groups;

use num_rational::BigRational;

use super::{Cell, agree, rows};
use crate::batch::{NANO, Record};
use crate::expression::{Arithmetic, Comparison, Expression};
use crate::oracle::root::Root;
use crate::oracle::value::Datum;
use crate::relation::call::{Call, Function, Population};
use crate::relation::plan::{Aggregate, Bound, From, Join, Patience, Relation, Source};
use crate::rows::NULL;
use crate::schema::{FieldType, Schema};

const SECOND: i64 = 1_000_000;
const PATIENCE: Patience = Patience { grace: 0, idle: 0 };

/// A field: `x` and `y` are numbers, `sent` is a timestamp, `timestamp` event time, `truck_id` a text.
fn field(name: &str) -> Expression {
    let name = match name {
        "x" => "engine_speed",
        "y" => "distance_covered",
        other => other,
    };
    let schema = Schema::trucks().with("sent", FieldType::Timestamp);
    Expression::field(schema.field(name).unwrap())
}

/// A reading at so many seconds.
fn reading(truck: &str, time: i64, x: Option<i64>, y: Option<i64>) -> Record {
    let nano = |number: Option<i64>| number.map_or(NULL, |number| number * NANO);
    let units = vec![nano(y), nano(x), NULL, NULL];
    Record { entity: truck.into(), time: time * SECOND, units, texts: Vec::new() }
}

/// A reading with a value of `sent`, in seconds.
fn sent(truck: &str, time: Option<i64>) -> Record {
    let mut record = reading(truck, 0, None, None);
    record.units[3] = time.map_or(NULL, |time| time * SECOND);
    record
}

fn readings() -> Source {
    Source { from: From::Readings, filter: None }
}

fn select(columns: Vec<Expression>) -> Relation {
    Relation::Select { source: readings(), columns }
}

fn number(units: i128) -> Expression {
    Expression::number(units, 0).unwrap()
}

fn compare(op: Comparison, a: Expression, b: Expression) -> Expression {
    Expression::compare(op, a, b).unwrap()
}

fn column(relation: &Relation, place: usize) -> Expression {
    Expression::of_columns(&relation.columns()).swap_remove(place)
}

fn call(function: Function, arguments: Vec<Expression>) -> Call {
    Call::new(function, arguments, false, None).unwrap()
}

fn aggregate(keys: Vec<Expression>, calls: Vec<Call>) -> Aggregate {
    let is_whole = keys.is_empty();
    Aggregate { source: readings(), keys, is_whole, window: None, calls, time: Some(field("timestamp")) }
}

fn grouped(keys: Vec<Expression>, calls: Vec<Call>) -> Relation {
    Relation::Aggregate(Box::new(aggregate(keys, calls)))
}

fn ratio(n: i64, d: i64) -> BigRational {
    BigRational::new(n.into(), d.into())
}

fn exact(n: i64) -> Datum {
    Datum::Exact(ratio(n, 1))
}

fn text(text: &str) -> Datum {
    Datum::Text(text.into())
}

fn time(seconds: i64) -> Datum {
    Datum::Time(seconds * SECOND)
}

/// The rows as values, in the order of their text.
fn found(relation: &Relation, readings: &[Record]) -> Vec<Vec<Datum>> {
    let rows = rows(relation, readings);
    let mut rows: Vec<Vec<Datum>> = rows.iter().map(|row| row.iter().map(Cell::datum).collect()).collect();
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

#[track_caller]
fn assert_rows(relation: &Relation, readings: &[Record], mut expected: Vec<Vec<Datum>>) {
    expected.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(found(relation, readings), expected);
}

#[test]
fn a_filter_passes_only_what_is_true() {
    let records =
        [reading("a", 0, Some(81), None), reading("b", 1, Some(80), None), reading("c", 2, None, None)];
    for (op, kept) in [(Comparison::Greater, "a"), (Comparison::LessOrEqual, "b")] {
        let filter = Some(compare(op, field("x"), number(80)));
        let source = Source { from: From::Readings, filter };
        let relation = Relation::Select { source, columns: vec![field("truck_id")] };
        assert_rows(&relation, &records, vec![vec![text(kept)]]);
    }
}

#[test]
fn numbers_stay_exact_between_relations_and_doubles_are_rounded() {
    let tenth = |name: &str| {
        Expression::arithmetic(Arithmetic::Multiply, field(name), Expression::number(1, 1).unwrap())
    };
    let tenth = tenth("x").unwrap();
    let sums = grouped(
        vec![field("truck_id")],
        vec![call(Function::Sum, vec![tenth.clone()]), call(Function::Sum, vec![tenth.to_real().unwrap()])],
    );
    let columns = [1, 2].map(|place| column(&sums, place));
    let thrice = |one: Expression| Expression::arithmetic(Arithmetic::Multiply, one, number(3)).unwrap();
    let relation = Relation::Select { source: Source::of(sums), columns: columns.map(thrice).into() };
    let records = [reading("a", 0, Some(1), None)];
    // 0.1 × 3 as decimals and as doubles.
    assert_rows(&relation, &records, vec![vec![Datum::Exact(ratio(3, 10)), Datum::Real(0.1 * 3.0)]]);
}

#[test]
fn a_root_that_is_a_column_stays_one_and_is_a_double_in_an_expression() {
    let deviation = call(Function::Stddev(Population::Whole), vec![field("x")]);
    let of_trucks = grouped(vec![field("truck_id")], vec![deviation]);
    let root = column(&of_trucks, 1);
    let twice = Expression::arithmetic(Arithmetic::Add, root.clone(), root.clone()).unwrap();
    // HAVING STDDEV_POP(x) > 0
    let filter = Some(compare(Comparison::Greater, root.clone(), number(0)));
    let source = Source { filter, ..Source::of(of_trucks) };
    let relation = Relation::Select { source, columns: vec![root, twice] };
    // The deviations of a are -1, 0 and 1; those of b are 0.
    let records = [1, 2, 3].map(|x| reading("a", 0, Some(x), None));
    let records = [&records[..], &[reading("b", 0, Some(1), None)]].concat();
    let nearest = (2f64 / 3.0).sqrt();
    assert_eq!(
        rows(&relation, &records),
        [[
            Cell::Root(Root { square: ratio(2, 3), negative: false }),
            Cell::Datum(Datum::Real(2.0 * nearest)),
        ]]
    );
}

#[test]
fn distinct_rows_are_equal_by_value_and_in_what_is_null() {
    let relation = Relation::Distinct(Box::new(select(vec![field("truck_id"), field("x")])));
    let xs = [Some(1), Some(1), None, None, Some(2)];
    let records = xs.map(|x| reading("a", x.unwrap_or(9), x, None));
    let expected = [exact(1), Datum::Null, exact(2)].map(|x| vec![text("a"), x]);
    assert_rows(&relation, &records, expected.into());

    // 0 and -0 as doubles.
    let negated = field("x").to_real().unwrap().negated().unwrap();
    let both = Relation::Union(vec![select(vec![field("x").to_real().unwrap()]), select(vec![negated])]);
    let records = [reading("a", 0, Some(0), None)];
    assert_rows(&both, &records, vec![vec![Datum::Real(0.0)]; 2]);
    assert_rows(&Relation::Distinct(Box::new(both)), &records, vec![vec![Datum::Real(0.0)]]);
}

#[test]
fn a_union_has_all_rows_of_all() {
    let relation = Relation::Union(vec![select(vec![field("x")]), select(vec![field("y")])]);
    let records = [reading("a", 0, Some(1), Some(2)), reading("b", 0, Some(1), None)];
    assert_rows(&relation, &records, vec![vec![exact(1)], vec![exact(2)], vec![exact(1)], vec![Datum::Null]]);
}

#[test]
fn a_join_has_the_pairs_with_equal_keys() {
    let (left, right) =
        (select(vec![field("truck_id"), field("x")]), select(vec![field("y").to_real().unwrap()]));
    // A decimal equals a double by value.
    let keys = vec![(column(&left, 1), column(&right, 0))];
    let join = Join { left, right, keys, bound: None, limit: Some(1) };
    let relation = Relation::Join(Box::new(join));
    let records = [
        reading("a", 0, Some(1), Some(2)),
        reading("b", 0, Some(1), Some(1)),
        reading("c", 0, None, None),
        reading("d", 0, Some(3), Some(1)),
    ];
    let expected = ["a", "a", "b", "b"].map(|truck| vec![text(truck), exact(1), Datum::Real(1.0)]);
    assert_rows(&relation, &records, expected.into());
}

#[test]
fn a_bound_of_a_join_includes_both_ends() {
    let side = || select(vec![field("truck_id"), field("sent"), field("x")]);
    let (left, right) = (side(), side());
    let keys = vec![(column(&left, 0), column(&right, 0))];
    let times = (column(&left, 1), column(&right, 1));
    let bound = Bound { left: times.0, right: times.1, from: -SECOND, to: 2 * SECOND, patience: PATIENCE };
    let join = Join { left, right, keys, bound: Some(bound), limit: None };
    let relation = Relation::Join(Box::new(join));
    let records = [-1, 0, 2].map(|time| sent("a", Some(time)));
    let records = [&records[..], &[sent("a", None), sent("b", Some(0))]].concat();
    let pair = |truck: &str, left, right| {
        vec![text(truck), time(left), Datum::Null, text(truck), time(right), Datum::Null]
    };
    // right - left is from -1 to 2: not -1 and 2, nor 2 and 0.
    let pairs = [(-1, -1), (-1, 0), (0, -1), (0, 0), (0, 2), (2, 2)];
    let mut expected = pairs.map(|(left, right)| pair("a", left, right)).to_vec();
    expected.push(pair("b", 0, 0));
    assert_rows(&relation, &records, expected);
}

#[test]
fn a_join_without_keys_has_all_pairs() {
    let join = Join {
        left: select(vec![field("x")]),
        right: select(vec![field("y")]),
        keys: vec![],
        bound: None,
        limit: None,
    };
    let records = [reading("a", 0, Some(1), Some(3)), reading("a", 0, Some(2), Some(3))];
    let expected = [1, 1, 2, 2].map(|x| vec![exact(x), exact(3)]);
    assert_rows(&Relation::Join(Box::new(join)), &records, expected.into());
}

#[test]
fn found_rows_agree_in_any_order() {
    let root = |square: i64| Cell::Root(Root { square: ratio(square, 1), negative: true });
    let key = |n: i64| Cell::Datum(exact(n));
    // The root of the first row is found slightly above the one of the second row.
    let expected = [vec![root(2), key(2)], vec![root(2), key(1)], vec![Cell::Datum(Datum::Null), key(1)]];
    let r = -2f64.sqrt();
    let found = |r: f64, other: f64| {
        vec![
            vec![Datum::Null, exact(1)],
            vec![Datum::Real(r), exact(2)],
            vec![Datum::Real(other), Datum::Real(1.0)],
        ]
    };
    assert!(agree(&expected, &found(r.next_up(), r.next_down())));
    assert!(!agree(&expected, &found(r.next_up().next_up().next_up(), r)));
    assert!(!agree(&expected, &found(-r, r)));
    assert!(!agree(&expected, &found(r, r)[1..]));
    assert!(!agree(&expected[..1], &[vec![Datum::Real(r)]]));
    // Two decimals that are found as the same double do not decide the order.
    let close = |more: i64, other| vec![Cell::Datum(Datum::Exact(ratio((1 << 60) + more, 1))), key(other)];
    let double = |other| vec![Datum::Real((1i64 << 60) as f64), exact(other)];
    assert!(agree(&[close(1, 8), close(2, 7)], &[double(8), double(7)]));
    assert!(agree(&[], &[]));
    assert!(!Cell::Datum(exact(0)).agrees(&Datum::Null) && !root(0).agrees(&Datum::Null));
    assert!(!Cell::Datum(Datum::Real(0.1)).agrees(&Datum::Real(0.1f64.next_up())));
}
