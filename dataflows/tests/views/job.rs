//! Runs the views of a job, and collects their output.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::Epoch;
use dataflows::effect::Effect;
use dataflows::item::Item;
use dataflows::rows::{Change, Column, Rows};
use dataflows::state::Fold;
use dataflows::views::{Mode, Settings, View, dead_letters_view, dedupe_view, readings_view};

use crate::plans::plans;
use crate::support::{Setup, effects};

/// A row of a view: its epoch, its change, its key, its cells.
pub type Row = (Epoch, Change, Vec<u8>, Vec<String>);

/// The output of a view.
#[derive(Clone, Debug, Default)]
pub struct Gave {
    pub table: Vec<Row>,
    pub file: Vec<Row>,
    pub state: Vec<Vec<u8>>,
    pub entries: i64,
    pub letters: BTreeSet<(i64, String, &'static str)>,
    pub moved: BTreeSet<(Epoch, Vec<u8>, (i32, i32))>,
    pub duplicates: u64,
}

pub fn cells(epoch: Epoch, rows: &Rows) -> Vec<Row> {
    let cell = |column: &Column, row: usize| match column {
        Column::Timestamp(values) | Column::Integer(values) | Column::Decimal { values, .. } => {
            values[row].to_string()
        }
        Column::Wide { values, .. } => format!("{:?}", values[row]),
        // Bits, as results are promised to be bit-identical.
        Column::Real(values) => format!("{:016x}", values[row].to_bits()),
        Column::Name { names, index } => names[index[row] as usize].to_string(),
        Column::Text(values) => format!("{:?}", values[row]),
        Column::Bytes(values) => format!("{:?}", values[row]),
    };
    let row = |row: usize| {
        let (change, key) = rows
            .changes
            .as_ref()
            .map_or((Change::Insert, Vec::new()), |all| (all.kinds[row], all.keys[row].to_vec()));
        (epoch, change, key, rows.columns.iter().map(|column| cell(column, row)).collect())
    };
    (0..rows.len()).map(row).collect()
}

/// A job: its settings, and its epochs of batches.
#[derive(Clone, Debug)]
pub struct Job {
    pub settings: Settings,
    pub epochs: Vec<Vec<Item>>,
    /// When its messages arrived: the time of the topic never exceeds it.
    pub arrived: i64,
    /// Whether correlations keep one row per truck.
    pub latest: bool,
    /// How many readings of a truck may share a timestamp in the join.
    pub join_limit: Option<u64>,
}

pub fn views(job: &Job) -> Vec<View> {
    let settings = &job.settings;
    let mut views: Vec<View> =
        plans(settings, job.latest, job.join_limit).into_iter().map(|plan| plan.view(settings)).collect();
    views.push(dead_letters_view());
    if settings.mode == Mode::Upsert {
        views.push(readings_view(settings));
    }
    views.extend(settings.dedupe.as_ref().map(dedupe_view));
    views
}

/// Runs every view over some epochs of a job, on `workers` workers that take the batches in turn, after
/// the commit of `start`.
pub fn run(
    job: &Job,
    workers: usize,
    start: Epoch,
    restored: &BTreeMap<String, Vec<Vec<u8>>>,
    epochs: &[Vec<Item>],
) -> BTreeMap<String, Gave> {
    let views = views(job);
    let setup = Setup { settings: job.settings.clone(), views: views.clone(), arrived: job.arrived };
    let mut gave: BTreeMap<String, Gave> = BTreeMap::new();
    for (epoch, place, effect) in effects(setup, workers, start, restored.clone(), epochs) {
        let gave = gave.entry(views[place].name.to_string()).or_default();
        match effect {
            Effect::Rows(rows) => {
                gave.table.extend(cells(epoch, &rows));
                gave.file.extend(cells(epoch, &rows));
            }
            Effect::TableRows(rows) => gave.table.extend(cells(epoch, &rows)),
            Effect::FileRows(rows) => gave.file.extend(cells(epoch, &rows)),
            Effect::State { bytes, added } => {
                gave.state.push(bytes);
                gave.entries += added;
            }
            Effect::KeyMoved { key, partitions } => {
                gave.moved.insert((epoch, key.to_vec(), partitions));
            }
            Effect::Duplicates(number) => gave.duplicates += number,
            Effect::DeadLetters(letters) => {
                gave.letters.extend(letters.into_iter().map(|l| (l.offset, l.field.clone(), l.reason.name())))
            }
        }
    }
    for gave in gave.values_mut() {
        gave.table.sort();
        gave.file.sort();
    }
    gave
}

pub fn whole(job: &Job, workers: usize) -> BTreeMap<String, Gave> {
    run(job, workers, 0, &BTreeMap::new(), &job.epochs)
}

/// The output of a view; empty if it has none.
pub fn of(gave: &BTreeMap<String, Gave>, view: &str) -> Gave {
    gave.get(view).cloned().unwrap_or_default()
}

/// Folded state changes.
pub fn folded(changes: Vec<Vec<u8>>, part_size: usize) -> Vec<Vec<u8>> {
    let mut fold = Fold::new(part_size);
    changes.iter().rev().for_each(|change| fold.older(change).expect("state that was written parses"));
    fold.finish()
}
