//! Aggregate functions.

use super::*;
use crate::relation::call::{Fraction, Regression};

/// The results of calls over all readings.
fn results(calls: Vec<Call>, records: &[Record]) -> Vec<Cell> {
    let mut rows = rows(&grouped(Vec::new(), calls), records);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn result(call: Call, records: &[Record]) -> Cell {
    results(vec![call], records).remove(0)
}

#[track_caller]
fn assert_real(call: Call, records: &[Record], expected: f64) {
    let shown = format!("{call:?}");
    assert_eq!(result(call, records), Cell::Datum(Datum::Real(expected)), "{shown}");
}

#[track_caller]
fn assert_datum(call: Call, records: &[Record], expected: Datum) {
    let shown = format!("{call:?}");
    assert_eq!(result(call, records), Cell::Datum(expected), "{shown}");
}

#[track_caller]
fn assert_root(call: Call, records: &[Record], square: BigRational, negative: bool) {
    assert_eq!(result(call, records), Cell::Root(Root { square, negative }));
}

fn of_x(function: Function) -> Call {
    call(function, vec![field("x")])
}

fn distinct_x(function: Function) -> Call {
    Call::new(function, vec![field("x")], true, None).unwrap()
}

/// Of y on x.
fn of_pairs(function: Function) -> Call {
    call(function, vec![field("y"), field("x")])
}

fn fraction(units: i64, scale: u8) -> Fraction {
    Fraction { units, scale }
}

/// x: 1 2 3 3, y: 2 4 5 7; three rows have both.
fn sample() -> Vec<Record> {
    let pairs =
        [(Some(1), Some(2)), (Some(2), Some(4)), (Some(3), Some(5)), (None, Some(7)), (Some(3), None)];
    pairs.map(|(x, y)| reading("a", 0, x, y)).into()
}

use Population::{Sample, Whole};

#[test]
fn counts_sums_means_and_extremes_ignore_null() {
    let records = sample();
    assert_datum(call(Function::Count, Vec::new()), &records, exact(5));
    assert_datum(of_x(Function::Count), &records, exact(4));
    assert_datum(of_x(Function::Sum), &records, exact(9));
    assert_real(of_x(Function::Avg), &records, 2.25);
    assert_datum(of_x(Function::Min), &records, exact(1));
    assert_datum(of_x(Function::Max), &records, exact(3));
}

#[test]
fn equal_values_count_once_if_distinct() {
    let records = sample();
    assert_datum(distinct_x(Function::Count), &records, exact(3));
    assert_datum(distinct_x(Function::Sum), &records, exact(6));
    assert_real(distinct_x(Function::Avg), &records, 2.0);
    assert_real(distinct_x(Function::Var(Sample)), &records, 1.0);
    assert_real(distinct_x(Function::Median), &records, 2.0);
    assert_datum(distinct_x(Function::Max), &records, exact(3));
}

#[test]
fn only_rows_count_for_which_the_filter_is_true() {
    let filter = Some(compare(Comparison::Greater, field("x"), number(1)));
    let filtered = |function, arguments| Call::new(function, arguments, false, filter.clone()).unwrap();
    let records = sample();
    // x > 1 is unknown for the fourth row.
    assert_datum(filtered(Function::Count, Vec::new()), &records, exact(3));
    assert_datum(filtered(Function::Sum, vec![field("y")]), &records, exact(9));
    let both = vec![field("y"), field("x")];
    assert_datum(filtered(Function::Regr(Regression::Count), both), &records, exact(2));
}

#[test]
fn variances_and_deviations() {
    // The mean is 9/4; the squares of deviations are 25, 1, 9 and 9 of 16.
    let records = sample();
    assert_real(of_x(Function::Var(Whole)), &records, 0.6875);
    assert_real(of_x(Function::Var(Sample)), &records, 11.0 / 12.0);
    assert_root(of_x(Function::Stddev(Whole)), &records, ratio(11, 16), false);
    assert_root(of_x(Function::Stddev(Sample)), &records, ratio(11, 12), false);
}

#[test]
fn functions_of_pairs() {
    // The means are 2 and 11/3; the sums of products are 2 (xx), 14/3 (yy) and 3 (xy).
    let records = sample();
    assert_real(of_pairs(Function::Covar(Whole)), &records, 1.0);
    assert_real(of_pairs(Function::Covar(Sample)), &records, 1.5);
    assert_root(of_pairs(Function::Corr), &records, ratio(27, 28), false);
    let regression = |regression| of_pairs(Function::Regr(regression));
    assert_datum(regression(Regression::Count), &records, exact(3));
    for (what, expected) in [
        (Regression::Slope, 1.5),
        (Regression::Intercept, 2.0 / 3.0),
        (Regression::R2, 27.0 / 28.0),
        (Regression::AvgX, 2.0),
        (Regression::AvgY, 11.0 / 3.0),
        (Regression::Sxx, 2.0),
        (Regression::Syy, 14.0 / 3.0),
        (Regression::Sxy, 3.0),
    ] {
        assert_real(regression(what), &records, expected);
    }
    let falling = [(1, 5), (2, 4), (3, 2)].map(|(x, y)| reading("a", 0, Some(x), Some(y)));
    assert_root(of_pairs(Function::Corr), &falling, ratio(27, 28), true);
    assert_real(regression(Regression::Slope), &falling, -1.5);
}

#[test]
fn a_regression_without_variance() {
    let regression = |regression| of_pairs(Function::Regr(regression));
    let level = [(1, 5), (2, 5)].map(|(x, y)| reading("a", 0, Some(x), Some(y)));
    assert_real(regression(Regression::R2), &level, 1.0);
    assert_real(regression(Regression::Slope), &level, 0.0);
    assert_real(regression(Regression::Intercept), &level, 5.0);
    assert_datum(of_pairs(Function::Corr), &level, Datum::Null);
    let upright = [(1, 5), (1, 6)].map(|(x, y)| reading("a", 0, Some(x), Some(y)));
    for what in [Regression::R2, Regression::Slope, Regression::Intercept] {
        assert_datum(regression(what), &upright, Datum::Null);
    }
    assert_datum(of_pairs(Function::Corr), &upright, Datum::Null);
    assert_real(regression(Regression::Syy), &upright, 0.5);
}

#[test]
fn one_row_has_no_sample() {
    let one = [reading("a", 0, Some(3), Some(4))];
    for call in [
        of_x(Function::Var(Sample)),
        of_x(Function::Stddev(Sample)),
        of_pairs(Function::Covar(Sample)),
        of_pairs(Function::Corr),
        of_pairs(Function::Regr(Regression::Slope)),
        of_pairs(Function::Regr(Regression::R2)),
    ] {
        assert_datum(call, &one, Datum::Null);
    }
    assert_real(of_x(Function::Var(Whole)), &one, 0.0);
    assert_root(of_x(Function::Stddev(Whole)), &one, ratio(0, 1), false);
    assert_real(of_pairs(Function::Covar(Whole)), &one, 0.0);
    assert_real(of_pairs(Function::Regr(Regression::Sxy)), &one, 0.0);
    assert_real(of_pairs(Function::Regr(Regression::AvgY)), &one, 4.0);
    assert_real(of_x(Function::PercentileCont(fraction(3, 1))), &one, 3.0);
}

#[test]
fn without_rows_counts_are_zero_and_the_rest_is_null() {
    let is_count = |function| matches!(function, Function::Count | Function::Regr(Regression::Count));
    let of_one = [
        Function::Count,
        Function::Sum,
        Function::Avg,
        Function::Min,
        Function::Max,
        Function::Var(Whole),
        Function::Stddev(Whole),
        Function::First,
        Function::Last,
        Function::Median,
        Function::PercentileCont(fraction(1, 0)),
        Function::PercentileDisc(fraction(0, 0)),
    ];
    let regressions = [
        Regression::Slope,
        Regression::Intercept,
        Regression::R2,
        Regression::Count,
        Regression::AvgX,
        Regression::AvgY,
        Regression::Sxx,
        Regression::Syy,
        Regression::Sxy,
    ];
    let of_two = regressions.map(Function::Regr).into_iter().chain([Function::Covar(Whole), Function::Corr]);
    let calls = of_one.map(of_x).into_iter().chain(of_two.map(of_pairs));
    let calls: Vec<Call> = calls.chain([call(Function::Count, Vec::new())]).collect();
    for records in [vec![], vec![reading("a", 0, None, Some(1))]] {
        for (call, cell) in calls.iter().zip(results(calls.clone(), &records)) {
            let rows = if call.arguments.is_empty() { records.len() as i64 } else { 0 };
            let expected = if is_count(call.function) { exact(rows) } else { Datum::Null };
            assert_eq!(cell, Cell::Datum(expected), "{call:?}");
        }
    }
}

#[test]
fn the_first_is_the_least_of_the_earliest_and_the_last_the_greatest_of_the_latest() {
    let values = [(1, None), (2, Some(5)), (2, Some(3)), (9, Some(1)), (9, Some(4)), (10, None)];
    let mut records = values.map(|(time, x)| reading("a", time, x, None)).to_vec();
    for _ in 0..2 {
        assert_datum(of_x(Function::First), &records, exact(3));
        assert_datum(of_x(Function::Last), &records, exact(4));
        let filter = compare(Comparison::Less, field("x"), number(4));
        let filtered = Call::new(Function::Last, vec![field("x")], false, Some(filter)).unwrap();
        assert_datum(filtered, &records, exact(1));
        records.reverse();
    }
    // Of a timestamp it is a timestamp.
    let of_time = |function| call(function, vec![field("timestamp")]);
    assert_datum(of_time(Function::First), &records, time(1));
    assert_datum(of_time(Function::Last), &records, time(10));
}

#[test]
fn percentiles() {
    // Of 1 2 3 3.
    let records = sample();
    assert_real(of_x(Function::Median), &records, 2.5);
    for (units, expected) in [(0, 1.0), (25, 1.75), (50, 2.5), (90, 3.0), (100, 3.0)] {
        assert_real(of_x(Function::PercentileCont(fraction(units, 2))), &records, expected);
    }
    for (units, expected) in [(0, 1), (25, 1), (26, 2), (50, 2), (51, 3), (75, 3), (100, 3)] {
        assert_datum(of_x(Function::PercentileDisc(fraction(units, 2))), &records, exact(expected));
    }
    // Interpolated exactly: 1 + 1/10 of 1 is the nearest double to 1.1.
    let two = &records[..2];
    assert_real(of_x(Function::PercentileCont(fraction(1, 1))), two, 1.1);
}

#[test]
fn texts_are_compared_by_bytes() {
    let of_truck = |function| call(function, vec![field("truck_id")]);
    let records = ["b", "é", "B", "bb"].map(|truck| reading(truck, 7, None, None));
    assert_datum(of_truck(Function::Min), &records, text("B"));
    assert_datum(of_truck(Function::Max), &records, text("é"));
    assert_datum(of_truck(Function::First), &records, text("B"));
    assert_datum(of_truck(Function::PercentileDisc(fraction(5, 1))), &records, text("b"));
    assert_datum(of_truck(Function::Count), &records, exact(4));
}

#[test]
fn timestamps_count_as_seconds() {
    let of_time = |function| call(function, vec![field("timestamp")]);
    let mut records = vec![reading("a", -1, Some(1), None), reading("a", 2, Some(7), None)];
    records[1].time += SECOND / 2; // 2.5 s
    assert_real(of_time(Function::Sum), &records, 1.5);
    assert_real(of_time(Function::Avg), &records, 0.75);
    assert_real(of_time(Function::Var(Whole)), &records, 3.0625);
    assert_real(of_time(Function::Median), &records, 0.75);
    assert_datum(of_time(Function::Min), &records, time(-1));
    assert_datum(of_time(Function::Max), &records, Datum::Time(2_500_000));
    assert_datum(of_time(Function::PercentileDisc(fraction(0, 0))), &records, time(-1));
    let slope = Function::Regr(Regression::Slope);
    assert_real(call(slope, vec![field("x"), field("timestamp")]), &records, 6.0 / 3.5);
}

/// x times 10 to the power of 304, as doubles.
fn huge() -> Expression {
    let by = number(10i128.pow(38)).to_real().unwrap();
    let times = |one, by| Expression::arithmetic(Arithmetic::Multiply, one, by).unwrap();
    (0..8).fold(field("x").to_real().unwrap(), |one, _| times(one, by.clone()))
}

#[test]
fn sums_of_doubles_are_exact_and_rounded_once() {
    let double = field("x").to_real().unwrap();
    let sum = call(Function::Sum, vec![double]);
    let mut records = [9_000_000_000, 0, -9_000_000_000].map(|x| reading("a", 0, Some(x), None));
    records[1].units[1] = 1; // 10^-9, far below the last place of the others
    assert_real(sum, &records, 1e-9);

    let huge_ones = |xs: &[i64]| xs.iter().map(|x| reading("a", 0, Some(*x), None)).collect::<Vec<_>>();
    let twice = huge_ones(&[10_000, 10_000, -10_000]);
    let single = match result(call(Function::Max, vec![huge()]), &twice) {
        Cell::Datum(Datum::Real(real)) => real,
        other => panic!("{other:?}"),
    };
    assert!(single > 9e307);
    assert_real(call(Function::Sum, vec![huge()]), &twice, single);
    assert_datum(call(Function::Sum, vec![huge()]), &twice[..2], Datum::Null);
    assert_real(call(Function::Avg, vec![huge()]), &twice[..2], single);
    assert_datum(call(Function::Var(Whole), vec![huge()]), &twice, Datum::Null);
    // The deviations are ±1.7e308; the sample's is greater by the root of 2.
    let far = huge_ones(&[17_000, -17_000]);
    assert_datum(call(Function::Stddev(Sample), vec![huge()]), &far, Datum::Null);
    let whole = result(call(Function::Stddev(Whole), vec![huge()]), &far);
    assert!(matches!(whole, Cell::Root(root) if root.nearest() > 1.6e308));
}
