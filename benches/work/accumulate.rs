//! Sums of a correlation: a record into those of its batch, these into a truck's, and r of them.

use std::hint::black_box;

use dataflows::accumulation::{Accumulation, Narrow};

use super::messages::scrambled;
use super::{BATCH, Stage, Work};

/// Event times in microseconds and engine speeds in nano-units.
fn pairs(batches: usize) -> Vec<(i64, i64)> {
    let pair = |index: usize| {
        let time = 1_681_088_547_000_000 + index as i64 * 360_007;
        (time, (7800 + scrambled(index) as i64 % 400) * 10_000_000)
    };
    (0..batches * BATCH).map(pair).collect()
}

/// The sums of ever more pairs.
fn sums(batches: usize) -> Vec<Accumulation> {
    let add = |sums: &mut Accumulation, (x, y)| {
        sums.add(&Accumulation::of(x, y));
        Some(*sums)
    };
    pairs(batches).into_iter().scan(Accumulation::default(), add).collect()
}

/// Does one thing to each of some values.
struct Each<T> {
    values: Vec<T>,
    run: fn(&[T]),
}

impl<T> Work for Each<T> {
    fn run(&mut self) {
        (self.run)(black_box(&self.values));
    }

    fn elements(&self) -> u64 {
        self.values.len() as u64
    }
}

fn push(pairs: &[(i64, i64)]) {
    for batch in pairs.chunks(BATCH) {
        let mut sums = Narrow::start(batch[0].0, batch[0].1);
        batch[1..].iter().for_each(|&(x, y)| sums.push(x, y));
        black_box(sums.finish());
    }
}

fn merge(sums: &[Accumulation]) {
    let mut total = Accumulation::default();
    sums.iter().for_each(|sums| total.add(sums));
    black_box(total);
}

fn r(sums: &[Accumulation]) {
    sums.iter().for_each(|sums| {
        black_box(sums.r());
    });
}

pub fn stages() -> Vec<Stage> {
    vec![
        Stage::new("accumulate/push", |batches| Each { values: pairs(batches), run: push }),
        Stage::new("accumulate/merge", |batches| Each { values: sums(batches), run: merge }),
        Stage::new("accumulate/r", |batches| Each { values: sums(batches), run: r }),
    ]
}
