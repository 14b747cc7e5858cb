//! Rows to bytes: each view's as lines of a file and as values of SQL, and the costly types alone.

use std::hint::black_box;
use std::sync::Arc;

use dataflows::batch::NANO_SCALE;
use dataflows::rows::{Column, Rows};
use dataflows::views::DEAD_LETTERS;
use truckflow::render;
use truckflow::store::Form;

use super::messages::scrambled;
use super::views::{form, names, rows};
use super::{BATCH, Stage, Work};

/// Rows in the pieces in which a view gives them, and what to make of them.
struct Rendering {
    rows: Vec<Rows>,
    to: To,
    /// The copies that the next run takes: they share their columns.
    next: Vec<Rows>,
}

enum To {
    Csv,
    Sql(Form),
}

impl Work for Rendering {
    fn prepare(&mut self) {
        self.next.clone_from(&self.rows);
    }

    fn run(&mut self) {
        for rows in self.next.drain(..) {
            match &self.to {
                To::Csv => {
                    let mut out = Vec::new();
                    render::csv(&rows, false, &mut out);
                    black_box(out);
                }
                To::Sql(form) => {
                    black_box(form.chunks(0, rows));
                }
            }
        }
    }

    fn elements(&self) -> u64 {
        self.rows.iter().map(|rows| rows.len() as u64).sum()
    }
}

fn csv(rows: Vec<Rows>) -> Rendering {
    Rendering { rows, to: To::Csv, next: Vec::new() }
}

fn sql(rows: Vec<Rows>) -> Rendering {
    Rendering { rows, to: To::Sql(form()), next: Vec::new() }
}

/// One column, a batch of rows a piece.
fn column(batches: usize, column: impl Fn(&mut dyn Iterator<Item = usize>) -> Column) -> Vec<Rows> {
    (0..batches).map(|batch| vec![column(&mut (batch * BATCH..(batch + 1) * BATCH))].into()).collect()
}

fn decimals(batches: usize) -> Vec<Rows> {
    let value = |index| (7800 + scrambled(index) as i64 % 400) * 10_000_000;
    column(batches, |places| Column::Decimal {
        scale: NANO_SCALE,
        values: Arc::new(places.map(value).collect()),
    })
}

fn times(batches: usize) -> Vec<Rows> {
    let value = |index| 1_681_088_547_000_000 + index as i64 * 36_007;
    column(batches, |places| Column::Timestamp(Arc::new(places.map(value).collect())))
}

fn doubles(batches: usize) -> Vec<Rows> {
    let value = |index| index as f64 / (7800 + scrambled(index) % 400) as f64;
    column(batches, |places| Column::Real(Arc::new(places.map(value).collect())))
}

pub fn stages() -> Vec<Stage> {
    let mut stages = vec![
        Stage::new("render/decimals", |batches| csv(decimals(batches))),
        Stage::new("render/times", |batches| csv(times(batches))),
        Stage::new("render/doubles", |batches| csv(doubles(batches))),
    ];
    // There are no dead letters here.
    for name in names().filter(|name| *name != DEAD_LETTERS) {
        let other = name.clone();
        stages.push(Stage::new(format!("csv/{name}"), move |batches| csv(rows(&name, batches))));
        stages.push(Stage::new(format!("sql/{other}"), move |batches| sql(rows(&other, batches))));
    }
    stages
}
