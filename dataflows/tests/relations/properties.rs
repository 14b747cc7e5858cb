//! Random plans over random streams, compared with the interpreter, however a job is cut, shared and restarted.

use std::collections::BTreeMap;

use dataflows::Epoch;
use dataflows::oracle::relation::{Cell, agree, rows};
use dataflows::oracle::value::Datum;
use dataflows::relation::{Call, Emit, From, Function, Keep, PlannedView, Regression, Relation, Source};
use dataflows::rows::Change;
use dataflows::views::Mode;
use num_rational::BigRational;
use num_traits::Zero;
use proptest::prelude::*;

use crate::choices::Choices;
use crate::job::{Job, Output, Row, Written};
use crate::stream::{Message, current, epochs, messages, settings};

/// The number of cases is that of the environment variable `RELATION_CASES`.
pub fn config() -> ProptestConfig {
    let cases = std::env::var("RELATION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn view(place: usize, bytes: &[u8]) -> PlannedView {
    let mut choices = Choices::new(bytes);
    let doubles = choices.below(8) == 7;
    let emit = [None, None, Some(Emit::Changes), Some(Emit::Close)][choices.below(4)];
    let depth = 1 + choices.below(3);
    let relation = choices.plan(depth, true).relation;
    let names = (0..relation.columns().len()).map(|column| format!("c{column}"));
    let name = format!("v{place}");
    let mut view = PlannedView::new(&name, &name, names, relation);
    (view.doubles, view.emit) = (doubles, emit);
    view
}

/// A text that equal rows have in common.
fn text(row: &Row) -> String {
    format!("{row:?}")
}

fn counted<'a>(rows: impl IntoIterator<Item = (&'a Row, i64)>) -> BTreeMap<String, i64> {
    let mut counted = BTreeMap::new();
    for (row, number) in rows {
        *counted.entry(text(row)).or_default() += number;
    }
    counted.retain(|_, number| *number != 0);
    counted
}

fn counted_once(rows: &[Row]) -> BTreeMap<String, i64> {
    counted(rows.iter().map(|row| (row, 1)))
}

/// The file says the same as the table: all of it or, of windows, those that are closed.
fn check_file(planned: &PlannedView, upserts: bool, written: &Written) {
    let retracts = planned.relation.retracts(upserts);
    let is_whole = !planned.relation.is_windowed() || planned.emit == Some(Emit::Changes);
    if !retracts || planned.relation.loses_rows(upserts) {
        let lines = counted(written.lines.iter().map(|(_, change, _, row)| (row, change.sign().into())));
        let table = counted_once(&written.rows());
        if is_whole {
            assert_eq!(lines, table, "the file of {planned:#?}");
        }
        for (row, number) in lines {
            assert!(number <= table.get(&row).copied().unwrap_or(0), "{number} lines of {row}, {planned:#?}");
        }
        return;
    }
    let last: BTreeMap<&Vec<u8>, &Row> = written.lines.iter().map(|(_, _, key, row)| (key, row)).collect();
    for (key, row) in &last {
        assert_eq!(written.keyed.get(*key), Some(*row), "the last line of a row, {planned:#?}");
    }
    assert!(!is_whole || last.len() == written.keyed.len(), "{planned:#?}");
}

/// The same view of an aggregate with a history.
fn history(planned: &PlannedView) -> Option<PlannedView> {
    let is_aggregate = match &planned.relation {
        Relation::Aggregate(_) => true,
        Relation::Select { source, .. } => {
            matches!(&source.from, From::Relation(of) if matches!(**of, Relation::Aggregate(_)))
        }
        _ => false,
    };
    let name = format!("{}_history", planned.name);
    is_aggregate.then(|| PlannedView { name: name.into(), keep: Keep::History, ..planned.clone() })
}

/// A history has each new row of the table, and an end for each one that disappears.
fn check_history(planned: &PlannedView, latest: &Written, history: &Written) {
    let is_new = |change: Change| matches!(change, Change::Insert | Change::Update);
    let new = latest.changes.iter().filter(|(change, _)| is_new(*change)).map(|(_, row)| (row, -1));
    let ends = counted(history.appended.iter().map(|row| (row, 1)).chain(new));
    let deleted = latest.changes.iter().filter(|(change, _)| *change == Change::Delete);
    let deleted: Vec<&Row> = deleted.map(|(_, row)| row).collect();
    assert!(ends.values().all(|number| *number > 0), "{planned:#?}");
    assert_eq!(ends.values().sum::<i64>(), deleted.len() as i64, "the ends of {planned:#?}");
    if let Relation::Aggregate(aggregate) = &planned.relation {
        let before = planned.relation.columns().len() - aggregate.calls.len();
        let end = |row: &&Row| -> Row {
            let of_call = |call: &Call| match call.function {
                Function::Count | Function::Regr(Regression::Count) => Datum::Exact(BigRational::zero()),
                _ => Datum::Null,
            };
            row[..before].iter().cloned().chain(aggregate.calls.iter().map(of_call)).collect()
        };
        let expected: Vec<Row> = deleted.iter().map(end).collect();
        assert_eq!(ends, counted_once(&expected), "{planned:#?}");
    }
}

/// Limits the rows per key of all joins. The interpreter counts all rows, so that runs are only compared with each other.
fn limit(relation: &mut Relation, to: u64) {
    let of_source = |source: &mut Source| {
        if let From::Relation(of) = &mut source.from {
            limit(of, to);
        }
    };
    match relation {
        Relation::Select { source, .. } => of_source(source),
        Relation::Aggregate(aggregate) => of_source(&mut aggregate.source),
        Relation::Distinct(of) => limit(of, to),
        Relation::Union(all) => all.iter_mut().for_each(|one| limit(one, to)),
        Relation::Join(join) => {
            join.limit = Some(to);
            limit(&mut join.left, to);
            limit(&mut join.right, to);
        }
    }
}

fn compare(
    messages: &[Message],
    cuts: &[u8],
    plans: &[Vec<u8>],
    (upserts, most): (bool, Option<u64>),
    (workers, cut): (usize, usize),
) {
    let mode = if upserts { Mode::Upsert } else { Mode::Append };
    let views = plans.iter().enumerate().map(|(place, bytes)| {
        let mut view = view(place, bytes);
        most.iter().for_each(|most| limit(&mut view.relation, *most));
        view
    });
    let views: Vec<_> = views.collect();
    let histories: Vec<_> = views.iter().filter_map(history).collect();
    let plans = views.len();
    let views = [views, histories].concat();
    let job = Job { settings: settings(mode), views, arrived: i64::MAX };
    let records = current(messages, upserts);
    let expected: Vec<Vec<Vec<Cell>>> =
        job.views[..plans].iter().map(|view| rows(&view.relation, &records)).collect();
    let mut first: Option<Vec<BTreeMap<String, i64>>> = None;
    let mut check = |what: &str, output: &Output| {
        let mut found = Vec::new();
        for (planned, expected) in job.views.iter().zip(&expected) {
            let written = &output.views[&*planned.name];
            let rows = written.rows();
            assert!(
                most.is_some() || agree(expected, &rows),
                "{what}, {planned:#?}\nreadings {records:#?}\nexpected {expected:#?}\nfound {rows:#?}"
            );
            check_file(planned, upserts, written);
            assert!(most.is_some() || written.letters.is_empty(), "{:?}", written.letters);
            found.push(counted_once(&rows));
        }
        for (planned, history) in job.views.iter().filter_map(|one| Some((one, history(one)?))) {
            if let Some(history) = output.views.get(&*history.name) {
                check_history(planned, &output.views[&*planned.name], history);
            }
        }
        // Every double has the same bits.
        match &first {
            Some(first) => assert_eq!(*first, found, "{what}"),
            None => first = Some(found),
        }
    };
    let whole = |workers: usize, messages: &[Message], cuts: &[u8]| {
        let mut output = Output::default();
        job.run(workers, &epochs(messages, cuts, upserts), &mut output);
        output
    };
    check("at once", &whole(1, messages, &[]));
    check("in epochs", &whole(workers, messages, cuts));
    if !upserts {
        let mut shuffled = messages.to_vec();
        shuffled.rotate_left(messages.len() / 2);
        shuffled.reverse();
        check("in another order", &whole(4 - workers, &shuffled, cuts));
    }
    let all = epochs(messages, cuts, upserts);
    let cut = cut % (all.len() + 1);
    let mut output = Output::default();
    job.run(workers, &all[..cut], &mut output);
    job.run(4 - workers, &all[cut..], &mut output);
    assert_eq!(output.epoch, all.len() as Epoch);
    check("restarted", &output);
}

fn plans() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..160), 1..4)
}

fn cuts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..5, 0..36)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn appended_readings(
        messages in messages(false), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
    ) {
        compare(&messages, &cuts, &plans, (false, None), (workers, cut));
    }

    #[test]
    fn corrected_readings(
        messages in messages(true), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
    ) {
        compare(&messages, &cuts, &plans, (true, None), (workers, cut));
    }

    #[test]
    fn corrected_readings_in_limited_joins(
        messages in messages(true), cuts in cuts(), plans in plans(), workers in 1usize..=3, cut in 0usize..20,
        most in 1u64..4,
    ) {
        compare(&messages, &cuts, &plans, (true, Some(most)), (workers, cut));
    }
}
