//! Builds the operators of a plan.
//!
//! ```text
//! readings, rows -> Gather (adds up an epoch's rows per group) --(group)--> Aggregate -> changes -> Select -> ...
//! committed state ---------------------------------------------------------^   |`-> state, late rows
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::operators::{Concat, Concatenate, OkErr};

use super::content::{Content, Equals};
use super::delta::{Delta, Deltas, Key};
use super::entry::{Changes, Entry, parsed, read_slot};
use super::gather::{Gather, Gathered};
use super::grouped::{Grouped, restore};
use super::join::{Input as JoinInput, Joined, Side};
use super::late::{letters, letters_of_rows};
use super::part::Parts;
use super::plan::{Aggregate, From, Join, Relation, Source};
use super::tally::Layout;
use super::value::{Row, Value, written};
use super::windowed::Windowed;
use crate::Epoch;
use crate::batch::Batch;
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::epochs::{folded, stream_epoch, when_complete};
use crate::expression::{Evaluated, Expression, Selected};
use crate::state::entries;
use crate::views::Inputs;
use crate::views::watermark::{WatermarkUpdate, updates};

/// Checks an entry of an operator's state: what it is of, the rest of its key, and its value.
type Check = Box<dyn Fn(Entry, &[u8], &[u8]) -> bool + Send + Sync>;

/// The checks of the entries of all operators of a plan, by their numbers, which are those that [`Build`] gives them.
pub(super) fn checks(relation: &Relation, upserts: bool, checks: &mut Vec<Check>) {
    match relation {
        Relation::Select { .. } | Relation::Union(_) => {}
        Relation::Aggregate(aggregate) => {
            let layout = Layout::new(&aggregate.calls, aggregate.source.retracts(upserts));
            checks.push(match &aggregate.window {
                Some(window) => {
                    let kind = window.kind;
                    Box::new(move |entry, rest, value| Windowed::keeps(&layout, kind, entry, rest, value))
                }
                None => Box::new(move |entry, rest, value| {
                    let mut tally = layout.places.empty().to_owned();
                    restore(&layout, entry, rest, value, |_, _| tally.get_mut()).is_some()
                }),
            });
        }
        Relation::Distinct(_) => checks.push(Box::new(Content::keeps)),
        Relation::Join(_) => checks.push(Box::new(Joined::keeps)),
    }
    relation.inputs().into_iter().for_each(|one| self::checks(one, upserts, checks));
}

/// What builds the operators of a view.
pub(super) struct Build<'a, 'scope> {
    pub inputs: &'a Inputs<'scope>,
    pub view: Arc<str>,
    pub upserts: bool,
    /// The number of the next operator.
    pub next: u8,
    /// Changes of state, and dead letters.
    pub effects: Vec<StreamVec<'scope, Epoch, Effect>>,
}

type DeltaStream<'scope> = StreamVec<'scope, Epoch, Deltas>;

/// The input of a keyed operator, with the worker that it goes to.
type Routed<P> = (u64, Keyed<P>);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Keyed<P> {
    Part(P),
    Entry(Vec<u8>, Vec<u8>),
    Watermark(WatermarkUpdate),
}

/// The output of a keyed operator.
#[derive(Clone, Debug)]
enum Out<O, D> {
    Passed(O),
    State(Vec<u8>, i64),
    Dropped(Reason, D),
}

/// What is made of changes at once, before others are found: so they need little memory, and it is at hand.
pub(super) type Then<O> = Box<dyn FnMut(Deltas) -> Vec<O>>;

impl<'scope> Build<'_, 'scope> {
    /// The changes of a relation, each with the row before.
    pub fn deltas(&mut self, relation: &Relation) -> DeltaStream<'scope> {
        self.changes(relation, true, Box::new(|deltas| vec![deltas]))
    }

    /// What `then` makes of the changes of a relation. Without `tells_old`, groups that replace their row may leave out the
    /// one before.
    pub fn changes<O: Clone + 'static>(
        &mut self,
        relation: &Relation,
        tells_old: bool,
        then: Then<O>,
    ) -> StreamVec<'scope, Epoch, O> {
        match relation {
            Relation::Select { source, columns } => self.select(source, columns, tells_old, then),
            Relation::Aggregate(aggregate) => self.aggregate(aggregate, tells_old, then),
            Relation::Distinct(of) => {
                let operator = self.number();
                let rows = self.deltas(of);
                self.content(rows, Equals::One, operator).flat_map(then)
            }
            Relation::Union(all) => {
                let all: Vec<_> = all.iter().map(|one| self.deltas(one)).collect();
                let scope = self.inputs.records.scope();
                scope.concatenate(all).flat_map(then)
            }
            Relation::Join(join) => self.join(join).flat_map(then),
        }
    }

    /// The number of an operator with state.
    pub fn number(&mut self) -> u8 {
        self.next += 1;
        self.next - 1
    }

    fn select<O: Clone + 'static>(
        &mut self,
        source: &Source,
        columns: &[Expression],
        tells_old: bool,
        mut then: Then<O>,
    ) -> StreamVec<'scope, Epoch, O> {
        let (filter, columns) = (source.filter.clone(), columns.to_vec());
        match &source.from {
            From::Readings => self.inputs.records.clone().flat_map(move |batch| {
                let mut deltas = Deltas::default();
                for (place, row) in rows_of(&batch, filter.as_ref(), &columns) {
                    deltas.push_row(row, batch.sign(place as usize).into());
                }
                then(deltas)
            }),
            From::Relation(of) => {
                let of_group = match &**of {
                    Relation::Aggregate(aggregate) => {
                        Some(aggregate.keys.len() + if aggregate.window.is_some() { 2 } else { 0 })
                    }
                    _ => None,
                };
                let tells_old = tells_old || filter.is_some();
                let then = move |deltas| then(selected(&deltas, filter.as_ref(), &columns, of_group));
                self.changes(of, tells_old, Box::new(then))
            }
        }
    }

    /// The parts that the rows of a source add to groups.
    fn parts(
        &mut self,
        aggregate: &Arc<Aggregate>,
        layout: &Arc<Layout>,
    ) -> StreamVec<'scope, Epoch, Routed<Parts>> {
        let gather = Gather::new(aggregate.clone(), layout.clone());
        let records = self.inputs.records.clone();
        let workers = records.scope().peers();
        let finish = move |_, parts: Gathered| {
            let parts = parts.finish().dealt(workers).into_iter();
            parts.map(|(worker, parts)| (worker, Keyed::Part(parts)))
        };
        let of_rows = match &aggregate.source.from {
            From::Readings => {
                let (is_whole, layout) = (aggregate.is_whole, layout.clone());
                let add = move |parts: &mut Gathered, batch: Batch| {
                    if is_whole {
                        parts.whole(&layout);
                    }
                    gather.batch(&batch, parts);
                };
                return folded(records, Pipeline, "Gather", stream_epoch, add, finish);
            }
            From::Relation(of) => {
                let add = move |parts: &mut Gathered, deltas: Deltas| {
                    deltas.rows().for_each(|(row, sign)| gather.row(row, sign, parts));
                };
                folded(self.deltas(of), Pipeline, "Gather", stream_epoch, add, finish)
            }
        };
        if !aggregate.is_whole {
            return of_rows;
        }
        // There is a group of everything as soon as there are readings.
        let layout = layout.clone();
        let begun = folded(
            records,
            Pipeline,
            "Begin",
            stream_epoch,
            move |parts: &mut Gathered, _: Batch| parts.whole(&layout),
            finish,
        );
        of_rows.concat(begun)
    }

    /// The committed entries of an operator; `route` says whose they are.
    fn entries<P: Clone + 'static>(
        &self,
        operator: u8,
        route: impl Fn(Entry, &[u8]) -> u64 + 'static,
    ) -> StreamVec<'scope, Epoch, Routed<P>> {
        let view = self.view.clone();
        self.inputs.restored.clone().flat_map(move |restored| {
            let is_ours = restored.view == view;
            let entries = entries(&restored.bytes).filter(|_| is_ours).flatten();
            let entries = entries.filter_map(|(key, value)| {
                let (entry, _, rest) = parsed(key).filter(|(_, of, _)| *of == operator)?;
                Some((route(entry, rest), Keyed::Entry(key.to_vec(), value.to_vec())))
            });
            entries.collect::<Vec<_>>()
        })
    }

    /// The times of the topic, for all workers.
    fn updates<P: Clone + 'static>(&self, operator: u8) -> StreamVec<'scope, Epoch, Routed<P>> {
        updates(self.inputs, &self.view, Windowed::topic_key(operator))
            .map(|(worker, update)| (worker, Keyed::Watermark(update)))
    }

    fn aggregate<O: Clone + 'static>(
        &mut self,
        aggregate: &Aggregate,
        tells_old: bool,
        mut then: Then<O>,
    ) -> StreamVec<'scope, Epoch, O> {
        let operator = self.number();
        let retracts = aggregate.source.retracts(self.upserts);
        let layout = Arc::new(Layout::new(&aggregate.calls, retracts));
        let aggregate = Arc::new(aggregate.clone());
        let parts = self.parts(&aggregate, &layout);
        let of_group = |entry: Entry, mut rest: &[u8]| {
            let group =
                if entry == Entry::Times { Some(rest) } else { read_slot(&mut rest).map(|(group, _)| group) };
            group.unwrap_or_default().hashed()
        };
        let kept = self.entries(operator, of_group);
        let by_worker = Exchange::new(|(to, _): &Routed<Parts>| *to);
        let (start, upserts) = (self.inputs.start, self.upserts);
        let Some(window) = aggregate.window.clone() else {
            let mut grouped = Grouped::new(&aggregate, layout, operator, !upserts, tells_old);
            let out =
                when_complete(parts.concat(kept), by_worker, "Aggregate", stream_epoch, move |_, inputs| {
                    let (parts, _) = taken(inputs, |entry, rest, value| grouped.restore(entry, rest, value));
                    let mut passed = Vec::new();
                    let changes = grouped.pass(parts, |deltas| passed.extend(then(deltas)));
                    outs::<_, ()>(passed, changes).collect()
                });
            let (passed, _) = self.split(out, start);
            return passed;
        };
        let leads = self.inputs.records.scope().index() == 0;
        let mut windowed = Windowed::new(window, layout, operator, (retracts, upserts), leads, tells_old);
        let input = parts.concat(kept).concat(self.updates(operator));
        let out = when_complete(input, by_worker, "Windows", stream_epoch, move |epoch, inputs| {
            let (parts, updates) = taken(inputs, |entry, rest, value| windowed.restore(entry, rest, value));
            let passed = windowed.pass(parts, updates, epoch <= start);
            let late = passed.late.into_iter().map(|dropped| Out::Dropped(Reason::Late, dropped));
            outs(then(passed.deltas), passed.changes).chain(late).collect()
        });
        let (passed, dropped) = self.split(out, start);
        if !upserts {
            let gather = Gather::new(aggregate.clone(), Arc::default());
            let letters = match &aggregate.source.from {
                From::Readings => {
                    letters(self.inputs.records.clone(), dropped, self.view.clone(), move |batch, late| {
                        gather.places(batch, late)
                    })
                }
                From::Relation(_) => letters_of_rows(dropped, self.view.clone()),
            };
            self.effects.push(letters);
        }
        passed
    }

    /// Rows by their content.
    pub fn content(
        &mut self,
        rows: DeltaStream<'scope>,
        equals: Equals,
        operator: u8,
    ) -> DeltaStream<'scope> {
        let rows = rows.flat_map(|deltas| {
            let rows = deltas.rows().map(|(row, sign)| {
                let row = written(row);
                (row.hashed(), Keyed::Part((row, sign)))
            });
            rows.collect::<Vec<_>>()
        });
        let kept = self.entries(operator, |_, rest| Key::from(rest).hashed());
        let by_worker = Exchange::new(|(to, _): &Routed<(Key, i64)>| *to);
        let name = if equals == Equals::One { "Distinct" } else { "Number" };
        let mut content = Content::new(equals, operator, !self.upserts);
        let out = when_complete(rows.concat(kept), by_worker, name, stream_epoch, move |_, inputs| {
            let (rows, _) = taken(inputs, |_, rest, value| content.restore(rest, value));
            let (deltas, changes) = content.pass(rows.into_iter());
            outs::<_, ()>(vec![deltas], changes).collect()
        });
        self.split(out, self.inputs.start).0
    }

    fn join(&mut self, join: &Join) -> DeltaStream<'scope> {
        let operator = self.number();
        let join = Arc::new(join.clone());
        let of_side = |deltas: DeltaStream<'scope>, side: Side| {
            let join = join.clone();
            deltas.flat_map(move |deltas| {
                let inputs = deltas.rows().filter_map(|(row, sign)| {
                    let (key, time) = join.key_of(side, row)?;
                    let row = row.to_vec();
                    Some((key.hashed(), Keyed::Part(JoinInput { side, key, time, row, sign })))
                });
                inputs.collect::<Vec<_>>()
            })
        };
        let left = of_side(self.deltas(&join.left), Side::Left);
        let right = of_side(self.deltas(&join.right), Side::Right);
        let kept = self.entries(operator, |entry, rest| {
            Key::from(Joined::group_of(entry, rest).unwrap_or_default()).hashed()
        });
        let by_worker = Exchange::new(|(to, _): &Routed<JoinInput>| *to);
        let (start, upserts) = (self.inputs.start, self.upserts);
        let leads = self.inputs.records.scope().index() == 0;
        let mut joined = Joined::new(join.clone(), operator, upserts, leads);
        let mut input = left.concat(right).concat(kept);
        if join.bound.is_some() {
            input = input.concat(self.updates(operator));
        }
        let out = when_complete(input, by_worker, "Join", stream_epoch, move |epoch, inputs| {
            let (parts, updates) = taken(inputs, |entry, rest, value| joined.restore(entry, rest, value));
            let passed = joined.pass(parts, updates, epoch <= start);
            let late = passed.late.into_iter().map(|dropped| Out::Dropped(Reason::Late, dropped));
            let surplus = passed.surplus.into_iter().map(|dropped| Out::Dropped(Reason::TooLarge, dropped));
            // What is fed again has its letters.
            let dropped = late.chain(surplus).filter(|_| epoch > start);
            outs(vec![passed.deltas], passed.changes).chain(dropped).collect()
        });
        let (deltas, dropped) = self.split(out, start);
        // A reading that both sides drop is one letter.
        let of_readings = |(side, relation): (Side, &Relation)| match relation {
            Relation::Select { source: Source { from: From::Readings, filter }, columns } if !upserts => {
                Some((side, filter.clone(), columns.clone()))
            }
            _ => None,
        };
        let sides = [(Side::Left, &join.left), (Side::Right, &join.right)];
        let of_readings: Vec<_> = sides.into_iter().filter_map(of_readings).collect();
        let known: Vec<Side> = of_readings.iter().map(|(side, ..)| *side).collect();
        let (view, records) = (self.view.clone(), self.inputs.records.clone());
        let is_known = move |dropped: &(Reason, (Side, Key))| known.contains(&dropped.1.0);
        let others = is_known.clone();
        self.effects.push(letters_of_rows(dropped.clone().filter(move |one| !others(one)), view.clone()));
        if !of_readings.is_empty() {
            self.effects.push(letters(records, dropped.filter(is_known), view, move |batch, dropped| {
                let mut places = BTreeSet::new();
                for (side, filter, columns) in &of_readings {
                    let rows = rows_of(batch, filter.as_ref(), columns);
                    let is_dropped = |row: &Row| dropped.contains(&(*side, written(row)));
                    places.extend(rows.filter(|(_, row)| is_dropped(row)).map(|(place, _)| place));
                }
                places.into_iter().collect()
            }));
        }
        deltas
    }

    /// Splits the output of an operator. Effects begin after `start`.
    fn split<O: Clone + 'static, D: Clone + 'static>(
        &mut self,
        out: StreamVec<'scope, Epoch, Out<O, D>>,
        start: Epoch,
    ) -> (StreamVec<'scope, Epoch, O>, StreamVec<'scope, Epoch, (Reason, D)>) {
        let (passed, others) = out.ok_err::<Vec<_>, _, Vec<_>, _, _>(|out| match out {
            Out::Passed(passed) => Ok(passed),
            other => Err(other),
        });
        let (dropped, state) = others.ok_err::<Vec<_>, _, Vec<_>, _, _>(|out| match out {
            Out::Dropped(reason, dropped) => Ok((reason, dropped)),
            other => Err(other),
        });
        let state = state.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "State", move |_, _| {
            move |input, output| {
                input.for_each_stamp(|cap, containers| {
                    let due = cap.least().is_some_and(|epoch| *epoch > start);
                    let mut session = output.session(&cap);
                    for out in containers.flat_map(|container| container.drain(..)).filter(|_| due) {
                        if let Out::State(bytes, added) = out {
                            session.give(Effect::State { bytes, added });
                        }
                    }
                });
            }
        });
        self.effects.push(state);
        (passed, dropped)
    }
}

fn outs<O, D>(passed: Vec<O>, changes: Changes) -> impl Iterator<Item = Out<O, D>> {
    let state = Some(changes).filter(|changes| !changes.bytes.is_empty());
    let state = state.map(|changes| Out::State(changes.bytes, changes.added));
    passed.into_iter().map(Out::Passed).chain(state)
}

/// Restores the committed entries among the inputs of an epoch; returns the others.
fn taken<P>(
    inputs: Vec<Routed<P>>,
    mut restore: impl FnMut(Entry, &[u8], &[u8]),
) -> (Vec<P>, Vec<WatermarkUpdate>) {
    let (mut parts, mut updates) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (_, input) in inputs {
        match input {
            Keyed::Part(part) => parts.push(part),
            Keyed::Watermark(update) => updates.push(update),
            Keyed::Entry(key, value) => {
                let (entry, _, rest) = parsed(&key).expect("validated state parses");
                restore(entry, rest, &value);
            }
        }
    }
    (parts, updates)
}

/// The rows of a batch that satisfy a condition, with their places.
fn rows_of(
    batch: &Batch,
    filter: Option<&Expression>,
    columns: &[Expression],
) -> impl Iterator<Item = (u32, Row)> {
    let selected = Selected::by(filter, batch);
    let columns: Vec<Evaluated<'_>> = columns.iter().map(|column| selected.values(column)).collect();
    let rows: Vec<(u32, Row)> = selected
        .places
        .iter()
        .enumerate()
        .map(|(row, &place)| (place, columns.iter().map(|column| column.value(row)).collect()))
        .collect();
    rows.into_iter()
}

/// The changes of the rows that satisfy a condition. Of an aggregate, so many columns are those of its group.
fn selected(
    deltas: &Deltas,
    filter: Option<&Expression>,
    columns: &[Expression],
    of_group: Option<usize>,
) -> Deltas {
    let passes = |row: &&[Value]| filter.is_none_or(|filter| filter.holds_for(row));
    fn shown<'a>(columns: &'a [Expression], row: &'a [Value]) -> impl Iterator<Item = Value> {
        columns.iter().map(|column| column.of_row(row))
    }
    let mut all = Deltas::default();
    for Delta { key, old, had_row, new, end, to } in deltas.iter() {
        let (passed_old, passed_new) = (old.filter(passes), new.filter(passes));
        passed_old.into_iter().for_each(|row| all.put_old(shown(columns, row)));
        passed_new.into_iter().for_each(|row| all.put_new(shown(columns, row)));
        // Where the row before was left out, it differs.
        let is_replaced = had_row && old.is_none();
        if !is_replaced && all.is_same() {
            all.cancel();
            continue;
        }
        if let (Some(_), None, Some(of_group)) = (passed_old, passed_new, of_group) {
            // A group that no longer passes has its key and NULL; one that is gone what it has without rows.
            let left = new.map(|row| {
                let of_column = |(place, value): (usize, &Value)| {
                    if place < of_group { value.clone() } else { Value::Null }
                };
                row.iter().enumerate().map(of_column).collect::<Row>()
            });
            left.as_deref().or(end).into_iter().for_each(|row| all.put_end(shown(columns, row)));
        }
        all.close(key.clone(), passed_old.is_some() || is_replaced, to);
    }
    all
}
