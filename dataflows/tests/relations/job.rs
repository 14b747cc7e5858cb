//! Runs planned views, and keeps their tables, files and state as a job does.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::Epoch;
use dataflows::dead_letter::DeadLetter;
use dataflows::effect::Effect;
use dataflows::expression::Kind;
use dataflows::item::Item;
use dataflows::oracle::value::Datum;
use dataflows::relation::{ColumnKind, PlannedView};
use dataflows::rows::{Change, Column, NULL, Rows};
use dataflows::state::{Fold, entries};
use dataflows::views::{Settings, View, readings_view};
use num_bigint::BigInt;
use num_rational::BigRational;

use crate::support::{Setup, effects};

pub type Row = Vec<Datum>;

/// A job: its settings, and its views.
pub struct Job {
    pub settings: Settings,
    pub views: Vec<PlannedView>,
    /// When its messages arrived: the time of the topic never exceeds it.
    pub arrived: i64,
}

/// What a job has written.
#[derive(Default)]
pub struct Output {
    /// The last committed epoch.
    pub epoch: Epoch,
    pub views: BTreeMap<String, Written>,
}

/// What a view has written.
#[derive(Default)]
pub struct Written {
    /// The rows of a table, by their keys.
    pub keyed: BTreeMap<Vec<u8>, Row>,
    /// The changes of its rows.
    pub changes: Vec<(Change, Row)>,
    /// The rows of a table without keys.
    pub appended: Vec<Row>,
    /// The lines of its file.
    pub lines: Vec<(Epoch, Change, Vec<u8>, Row)>,
    /// The parts of its state.
    pub state: Vec<Vec<u8>>,
    /// The number of entries of its state, as the view counts them.
    pub entries: i64,
    pub letters: Vec<DeadLetter>,
}

impl Job {
    fn all(&self) -> Vec<View> {
        let mut views: Vec<View> =
            self.views.iter().map(|planned| planned.clone().view(&self.settings)).collect();
        if self.settings.upserts() {
            views.push(readings_view(&self.settings));
        }
        views
    }

    /// Processes epochs after the last committed one, and commits them. A panic of a worker is one here.
    pub fn run(&self, workers: usize, epochs: &[Vec<Item>], output: &mut Output) {
        if epochs.is_empty() {
            return;
        }
        let start = output.epoch;
        let restored = output.views.iter().map(|(name, view)| (name.clone(), view.state.clone())).collect();
        output.epoch += epochs.len() as Epoch;
        let views = self.all();
        let setup = Setup { settings: self.settings.clone(), views: views.clone(), arrived: self.arrived };
        let effects = effects(setup, workers, start, restored, epochs);
        for (place, view) in views.iter().enumerate() {
            let kinds = self.views.get(place).map_or_else(Vec::new, |planned| planned.relation.columns());
            let of_view = effects.iter().filter(|(_, of, _)| *of == place);
            let effects = of_view.map(|(epoch, _, effect)| (*epoch, effect.clone())).collect();
            let written = output.views.entry(view.name.to_string()).or_default();
            written.commit(effects, &kinds);
            written.check(view);
        }
    }
}

impl Written {
    fn commit(&mut self, effects: Vec<(Epoch, Effect)>, kinds: &[ColumnKind]) {
        let (mut rows, mut states) = (Vec::new(), self.state.clone());
        for (epoch, effect) in effects {
            let (for_table, for_file, these) = match effect {
                Effect::Rows(rows) => (true, true, rows),
                Effect::TableRows(rows) => (true, false, rows),
                Effect::FileRows(rows) => (false, true, rows),
                Effect::State { bytes, added } => {
                    states.push(bytes);
                    self.entries += added;
                    continue;
                }
                Effect::DeadLetters(letters) => {
                    self.letters.extend(letters);
                    continue;
                }
                other => panic!("{other:?}"),
            };
            for (change, row) in changes(&these).into_iter().zip(datums(&these, kinds)) {
                if let (true, Some((kind, key))) = (for_table, &change) {
                    rows.push((epoch, *kind, key.clone(), row.clone()));
                }
                if for_table && change.is_none() {
                    self.appended.push(row.clone());
                }
                if for_file {
                    let (kind, key) = change.unwrap_or((Change::Insert, Vec::new()));
                    self.lines.push((epoch, kind, key, row));
                }
            }
        }
        self.keep(rows);
        let mut fold = Fold::new(1 << 20);
        states.iter().rev().for_each(|change| fold.older(change).expect("state that was written parses"));
        self.state = fold.finish();
    }

    /// Applies the rows of a table with keys.
    fn keep(&mut self, rows: Vec<(Epoch, Change, Vec<u8>, Row)>) {
        let mut seen = BTreeSet::new();
        for (epoch, change, key, row) in rows {
            if change != Change::Before {
                assert!(seen.insert((epoch, key.clone())), "two changes of a row in epoch {epoch}: {row:?}");
            }
            self.changes.push((change, row.clone()));
            match change {
                Change::Insert => {
                    assert_eq!(self.keyed.insert(key, row.clone()), None, "inserted again: {row:?}");
                }
                Change::Update => {
                    assert!(self.keyed.insert(key, row.clone()).is_some(), "nothing to update: {row:?}");
                }
                Change::Delete => assert_eq!(self.keyed.remove(&key), Some(row), "deleted"),
                Change::Before => {}
            }
        }
    }

    /// Checks the state: all entries are valid, and as many as the view says.
    fn check(&self, view: &View) {
        let mut number = 0;
        for (key, value) in self.state.iter().flat_map(|part| entries(part)).map(Result::unwrap) {
            number += 1;
            assert!((view.keeps)(key, value), "not valid in the state of {}: {key:?} {value:?}", view.name);
        }
        assert_eq!(number, self.entries, "the entries of {}", view.name);
    }

    /// All rows of the table.
    pub fn rows(&self) -> Vec<Row> {
        self.keyed.values().chain(&self.appended).cloned().collect()
    }
}

/// The changes of rows, and the keys of what they change.
fn changes(rows: &Rows) -> Vec<Option<(Change, Vec<u8>)>> {
    let of = |row: usize| rows.changes.as_ref().map(|all| (all.kinds[row], all.keys[row].to_vec()));
    (0..rows.len()).map(of).collect()
}

fn datums(rows: &Rows, kinds: &[ColumnKind]) -> Vec<Row> {
    let row = |row: usize| {
        rows.columns.iter().zip(kinds).map(|(column, (kind, _))| datum(column, *kind, row)).collect()
    };
    (0..rows.len()).map(row).collect()
}

fn exact(units: BigInt, scale: u8) -> Datum {
    Datum::Exact(BigRational::new(units, BigInt::from(10).pow(scale.into())))
}

fn datum(column: &Column, kind: Kind, row: usize) -> Datum {
    let known = |value: i64, of: &dyn Fn(i64) -> Datum| if value == NULL { Datum::Null } else { of(value) };
    match column {
        Column::Timestamp(values) => known(values[row], &Datum::Time),
        Column::Integer(values) => known(values[row], &|value| match kind {
            Kind::Truth => Datum::Truth(value == 1),
            _ => exact(value.into(), 0),
        }),
        Column::Decimal { scale, values } => known(values[row], &|value| exact(value.into(), *scale)),
        Column::Wide { scale, values } => {
            values[row].map_or(Datum::Null, |units| exact(units.to_big(), *scale))
        }
        Column::Real(values) => {
            if values[row].is_nan() {
                Datum::Null
            } else {
                Datum::Real(values[row])
            }
        }
        Column::Name { names, index } => Datum::Text(names[index[row] as usize].clone()),
        Column::Text(values) => values[row].clone().map_or(Datum::Null, Datum::Text),
        Column::Bytes(_) => panic!("no relation has bytes"),
    }
}
