//! The operator of a join, and what becomes of what it gives.

use std::iter::repeat_n;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, OkErr};

use super::super::delta::{Deltas, Key};
use super::super::entry::Entry;
use super::super::keyed::{Keyed, Operators, Out, Routed, outs, taken};
use super::super::late::letters_of_rows;
use super::super::plan::Join;
use super::bags::Bags;
use super::blocks::Blocks;
use super::deal::Deal;
use super::part::{Change, Lost, Part};
use super::side::{Shown, Side};
use crate::Epoch;
use crate::batch::Batch;
use crate::dead_letter::Reason;
use crate::epochs::{stream_epoch, when_complete};
use crate::views::lateness::{BatchId, Dropped, numbered, write_dead_letters};

type DeltaStream<'scope> = StreamVec<'scope, Epoch, Deltas>;
type Batches<'scope> = StreamVec<'scope, Epoch, (BatchId, Batch)>;

/// The rows of both sides; none: they are those of readings.
type Sides<'scope> = [Option<DeltaStream<'scope>>; 2];

/// Whether an entry of a join's state is valid.
pub(crate) fn is_valid(retracts: bool, entry: Entry, rest: &[u8], value: &[u8]) -> bool {
    if retracts { Bags::keeps(entry, rest, value) } else { Blocks::keeps(entry, rest, value) }
}

/// A join, with its number among the operators.
pub(crate) struct Joining {
    join: Arc<Join>,
    shown: Shown,
    operator: u8,
}

impl Joining {
    /// The pairs that have the columns of pairs at these places.
    pub fn new(
        join: &Join,
        columns: impl IntoIterator<Item = Option<usize>>,
        operators: &mut Operators<'_, '_>,
    ) -> Self {
        let (shown, operator) = (Shown::new(join, columns), operators.number());
        Self { join: Arc::new(join.clone()), shown, operator }
    }

    /// The pairs of the rows of both sides.
    pub fn build<'scope>(
        self,
        sides: Sides<'scope>,
        operators: &mut Operators<'_, 'scope>,
    ) -> DeltaStream<'scope> {
        let batches = numbered(operators.inputs.records.clone());
        let may_drop = self.join.may_drop();
        let (pairs, lost) = match self.join.retracts(operators.upserts) {
            true => self.bags(sides, &batches, operators),
            false => self.blocks(sides, &batches, operators),
        };
        if !may_drop {
            // So that no batch is kept until its epoch is complete.
            return pairs;
        }
        let (readings, rows) = lost.ok_err::<Vec<_>, _, Vec<_>, _, _>(|(reason, lost)| match lost {
            Lost::Reading((batch, place)) => Ok(Dropped { batch, reason, place }),
            Lost::Rows(number) => Err((reason, number)),
        });
        let rows = rows.flat_map(|(reason, number)| repeat_n((reason, ()), number));
        operators.effects.push(letters_of_rows(rows, operators.view.clone()));
        operators.effects.push(write_dead_letters(batches, readings, operators.view.clone()));
        pairs
    }

    /// The rows of both sides, dealt to the workers of their keys.
    fn dealt<'scope, P: Clone + 'static>(
        &self,
        [left, right]: Sides<'scope>,
        batches: &Batches<'scope>,
        of_readings: impl Fn(&Deal, BatchId, &Batch) -> Vec<P> + Copy + 'static,
        of_rows: impl Fn(&Deal, &Deltas) -> Vec<P> + Copy + 'static,
        hash: impl Fn(&P) -> u64 + Copy + 'static,
    ) -> [StreamVec<'scope, Epoch, Routed<P>>; 2] {
        let routed = move |part: P| (hash(&part), Keyed::Part(part));
        [(Side::Left, left), (Side::Right, right)].map(|(side, rows)| {
            let deal = Deal::new(self.join.clone(), side, &self.shown);
            match rows {
                None => batches
                    .clone()
                    .flat_map(move |(id, batch)| of_readings(&deal, id, &batch).into_iter().map(routed)),
                Some(rows) => rows.flat_map(move |deltas| of_rows(&deal, &deltas).into_iter().map(routed)),
            }
        })
    }

    /// The pairs of rows that stay.
    fn blocks<'scope>(
        self,
        sides: Sides<'scope>,
        batches: &Batches<'scope>,
        operators: &mut Operators<'_, 'scope>,
    ) -> (DeltaStream<'scope>, StreamVec<'scope, Epoch, (Reason, Lost)>) {
        let sides = self.dealt(sides, batches, Deal::readings, Deal::rows, |part| part.hash);
        let kept = operators.entries(self.operator, |entry, rest| {
            Key::from(Blocks::group_of(entry, rest).unwrap_or_default()).hashed()
        });
        let mut input = sides.into_iter().fold(kept, Concat::concat);
        if self.join.bound.is_some() {
            input = input.concat(operators.updates(self.operator));
        }
        let start = operators.inputs.start;
        let leads = operators.inputs.records.scope().index() == 0;
        let mut blocks = Blocks::new(self.join, self.shown, self.operator, leads);
        let by_worker = Exchange::new(|(to, _): &Routed<Part>| *to);
        let out = when_complete(input, by_worker, "Join", stream_epoch, move |epoch, inputs| {
            let (parts, updates) = taken(inputs, |entry, rest, value| blocks.restore(entry, rest, value));
            let mut pairs = Vec::new();
            let passed = blocks.pass(epoch, parts, updates, epoch <= start, |deltas| pairs.push(deltas));
            let lost = passed.lost.into_iter().map(|(reason, lost)| Out::Dropped(reason, lost));
            outs(pairs, passed.changes).chain(lost).collect()
        });
        operators.split(out, start)
    }

    /// The pairs of rows that can be taken back.
    fn bags<'scope>(
        self,
        sides: Sides<'scope>,
        batches: &Batches<'scope>,
        operators: &mut Operators<'_, 'scope>,
    ) -> (DeltaStream<'scope>, StreamVec<'scope, Epoch, (Reason, Lost)>) {
        let upserts = operators.upserts;
        let of_readings = move |deal: &Deal, id, batch: &Batch| deal.changed_readings(id, batch, upserts);
        let sides = self.dealt(sides, batches, of_readings, Deal::changed_rows, |change| change.key.hashed());
        let kept = operators
            .entries(self.operator, |_, rest| Key::from(Bags::group_of(rest).unwrap_or_default()).hashed());
        let by_worker = Exchange::new(|(to, _): &Routed<Change>| *to);
        let start = operators.inputs.start;
        let mut bags = Bags::new(self.join, self.shown, self.operator, upserts);
        let input = sides.into_iter().fold(kept, Concat::concat);
        let out = when_complete(input, by_worker, "Join", stream_epoch, move |epoch, inputs| {
            let (changes, _) = taken(inputs, |_, rest, value| bags.restore(rest, value));
            let passed = bags.pass(changes);
            let lost = passed.surplus.into_iter().map(|lost| Out::Dropped(Reason::TooLarge, lost));
            // What is fed again has its letters.
            let lost = lost.filter(|_| epoch > start);
            outs(vec![passed.deltas], passed.changes).chain(lost).collect()
        });
        operators.split(out, start)
    }
}
