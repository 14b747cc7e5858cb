//! Runs views over a stream, cut, shared and restarted in several ways, and compares the rows with those expected.

use std::collections::BTreeMap;

use dataflows::Epoch;
use dataflows::oracle::relation::{Cell, agree};
use dataflows::oracle::value::Datum;
use dataflows::relation::{Call, Emit, Function, Keep, PlannedView, Regression, Relation};
use dataflows::rows::Change;
use dataflows::schema::Schema;
use dataflows::views::Mode;
use num_rational::BigRational;

use crate::job::{Job, Output, Row, Written};
use crate::stream::{Message, epochs, settings};

/// What the rows of views should be.
pub enum Expected {
    /// These, for each view that is no history, and no reading is dropped.
    Rows(Vec<Vec<Vec<Cell>>>),
    /// The same in all runs.
    Same,
    /// The same in all runs with the same epochs, which decide what is late.
    SameInEpochs,
}

/// A stream, its epochs, and how it is run.
pub struct Run<'a> {
    pub schema: &'a Schema,
    pub messages: &'a [Message],
    pub cuts: &'a [u8],
    pub upserts: bool,
    /// Workers before and after a restart.
    pub workers: (usize, usize),
    /// After how many epochs it is restarted.
    pub cut: usize,
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
fn check_file(planned: &PlannedView, script: &str, upserts: bool, written: &Written) {
    let said = || format!("{} of\n{script}", planned.name);
    let retracts = planned.relation.retracts(upserts);
    let is_whole = !planned.relation.is_windowed() || planned.emit == Some(Emit::Changes);
    if !retracts || planned.relation.loses_rows(upserts) {
        let lines = counted(written.lines.iter().map(|(_, change, _, row)| (row, change.sign().into())));
        let table = counted_once(&written.rows());
        if is_whole {
            assert_eq!(lines, table, "the file of {}", said());
        }
        for (row, number) in lines {
            assert!(number <= table.get(&row).copied().unwrap_or(0), "{number} lines of {row}, {}", said());
        }
        return;
    }
    let last: BTreeMap<&Vec<u8>, &Row> = written.lines.iter().map(|(_, _, key, row)| (key, row)).collect();
    for (key, row) in &last {
        assert_eq!(written.keyed.get(*key), Some(*row), "the last line of a row, {}", said());
    }
    assert!(!is_whole || last.len() == written.keyed.len(), "{}", said());
}

/// A history has each new row of the table, and an end for each one that disappears.
fn check_history(planned: &PlannedView, script: &str, latest: &Written, history: &Written) {
    let said = || {
        format!("the ends of {} of\n{script}\n{:#?}\n{:#?}", planned.name, latest.changes, history.appended)
    };
    let is_new = |change: Change| matches!(change, Change::Insert | Change::Update);
    let new = latest.changes.iter().filter(|(change, _)| is_new(*change)).map(|(_, row)| (row, -1));
    let ends = counted(history.appended.iter().map(|row| (row, 1)).chain(new));
    let deleted = latest.changes.iter().filter(|(change, _)| *change == Change::Delete);
    let deleted: Vec<&Row> = deleted.map(|(_, row)| row).collect();
    assert!(ends.values().all(|number| *number > 0), "{}", said());
    assert_eq!(ends.values().sum::<i64>(), deleted.len() as i64, "{}", said());
    if let Relation::Aggregate(aggregate) = &planned.relation {
        let before = planned.relation.columns().len() - aggregate.calls.len();
        let end = |row: &&Row| -> Row {
            let of_call = |call: &Call| match call.function {
                Function::Count | Function::Regr(Regression::Count) => {
                    Datum::Exact(BigRational::from_integer(0.into()))
                }
                _ => Datum::Null,
            };
            row[..before].iter().cloned().chain(aggregate.calls.iter().map(of_call)).collect()
        };
        let expected: Vec<Row> = deleted.iter().map(end).collect();
        assert_eq!(ends, counted_once(&expected), "{}", said());
    }
}

/// The rows of views and their dead letters, in any order.
type Found = (Vec<BTreeMap<String, i64>>, BTreeMap<String, i64>);

impl Run<'_> {
    /// Runs views; a history follows the view that it is of. `script` is their text.
    pub fn compare(&self, views: &[PlannedView], script: &str, expected: &Expected) {
        let Self { schema, messages, cuts, upserts, workers: (before, after), cut } = *self;
        let mode = if upserts { Mode::Upsert } else { Mode::Append };
        let job = Job { settings: settings(schema, mode), views: views.to_vec(), arrived: i64::MAX };
        let whole = |workers: usize, messages: &[Message], cuts: &[u8]| {
            let mut output = Output::default();
            job.run(workers, &epochs(schema, messages, cuts, upserts), &mut output);
            output
        };
        let mut first: Option<Found> = None;
        let mut check = |what: &str, output: &Output| {
            let found = self.found(views, script, expected, what, output);
            // Every double has the same bits.
            match &first {
                Some(first) => assert_eq!(*first, found, "{what}\n{script}\n{messages:#?}"),
                None => first = Some(found),
            }
        };
        if !matches!(expected, Expected::SameInEpochs) {
            check("at once", &whole(1, messages, &[]));
            if !upserts {
                let mut shuffled = messages.to_vec();
                shuffled.rotate_left(messages.len() / 2);
                shuffled.reverse();
                check("in another order", &whole(after, &shuffled, cuts));
            }
        }
        check("in epochs", &whole(before, messages, cuts));
        let all = epochs(schema, messages, cuts, upserts);
        let cut = cut % (all.len() + 1);
        let mut output = Output::default();
        job.run(before, &all[..cut], &mut output);
        job.run(after, &all[cut..], &mut output);
        assert_eq!(output.epoch, all.len() as Epoch);
        check("restarted", &output);
    }

    fn found(
        &self,
        views: &[PlannedView],
        script: &str,
        expected: &Expected,
        what: &str,
        output: &Output,
    ) -> Found {
        let latest = views.iter().filter(|view| view.keep == Keep::Latest);
        let (mut found, mut letters) = (Vec::new(), Vec::new());
        for (place, planned) in latest.enumerate() {
            let written = &output.views[&*planned.name];
            let rows = written.rows();
            if let Expected::Rows(expected) = expected {
                assert!(
                    agree(&expected[place], &rows),
                    "{what}, {} of\n{script}\n{:#?}\nexpected {:#?}\nfound {rows:#?}",
                    planned.name,
                    self.messages,
                    expected[place]
                );
                assert!(written.letters.is_empty(), "{:?}\n{script}", written.letters);
            }
            check_file(planned, script, self.upserts, written);
            // Without those epochs, other rows may be beyond the limit for a while.
            let letters_of_view = written.letters.iter().filter(|_| !matches!(expected, Expected::Same));
            letters.extend(letters_of_view.map(|letter| vec![Datum::Text(format!("{letter:?}").into())]));
            found.push(counted_once(&rows));
        }
        for pair in views.windows(2).filter(|pair| pair[1].keep == Keep::History) {
            let [latest, history] = [0, 1].map(|place| &output.views[&*pair[place].name]);
            check_history(&pair[0], script, latest, history);
        }
        (found, counted_once(&letters))
    }
}
