//! Builds the operators of a plan.
//!
//! ```text
//! readings, rows -> Gather (adds up an epoch's rows per group) --(group)--> Aggregate -> changes -> Select -> ...
//! committed state ---------------------------------------------------------^   |`-> state, late rows
//! ```

use std::iter::repeat_n;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate};

use super::content::{Content, Equals};
use super::delta::{Delta, Deltas, Key};
use super::entry::{Entry, read_slot};
use super::gather::{Gather, Gathered};
use super::grouped::{Grouped, restore};
use super::index::hash_of;
use super::join::{Joining, is_valid};
use super::keyed::{Keyed, Operators, Out, Routed, outs, taken};
use super::late::{letters, letters_of_rows};
use super::part::Parts;
use super::plan::{Aggregate, From, Join, Relation, Source};
use super::tally::Layout;
use super::value::{Row, Value, written};
use super::windowed::Windowed;
use crate::Epoch;
use crate::batch::Batch;
use crate::dead_letter::Reason;
use crate::epochs::{folded, stream_epoch, when_complete};
use crate::expression::{Expression, Selected};

/// Checks an entry of an operator's state: what it is of, the rest of its key, and its value.
type Check = Box<dyn Fn(Entry, &[u8], &[u8]) -> bool + Send + Sync>;

/// The checks of the entries of all operators of a plan, by their numbers, which are those that [`Build`] gives them.
pub(super) fn checks(relation: &Relation, upserts: bool) -> Vec<Check> {
    let check = |relation: &&Relation| -> Option<Check> {
        Some(match relation {
            Relation::Select { .. } | Relation::Union(_) => return None,
            Relation::Aggregate(aggregate) => {
                let layout = Layout::new(&aggregate.calls, aggregate.source.retracts(upserts));
                match &aggregate.window {
                    Some(window) => {
                        let kind = window.kind;
                        Box::new(move |entry, rest, value| Windowed::keeps(&layout, kind, entry, rest, value))
                    }
                    None => Box::new(move |entry, rest, value| {
                        let mut tally = layout.places.empty().to_owned();
                        restore(&layout, entry, rest, value, |_, _| tally.get_mut()).is_some()
                    }),
                }
            }
            Relation::Distinct(_) => Box::new(Content::keeps),
            Relation::Join(join) => {
                let retracts = join.retracts(upserts);
                Box::new(move |entry, rest, value| is_valid(retracts, entry, rest, value))
            }
        })
    };
    relation.keeping().0.iter().filter_map(check).collect()
}

/// What builds the operators of a view.
pub(super) struct Build<'a, 'scope> {
    pub operators: Operators<'a, 'scope>,
    /// The relations that the plan has more than once, and their changes if they have been built.
    shared: Vec<(Relation, Option<DeltaStream<'scope>>)>,
}

type DeltaStream<'scope> = StreamVec<'scope, Epoch, Deltas>;

/// What is made of changes at once, before others are found: so they need little memory, and it is at hand.
pub(super) type Then<O> = Box<dyn FnMut(Deltas) -> Vec<O>>;

impl<'a, 'scope> Build<'a, 'scope> {
    /// For a plan.
    pub fn new(relation: &Relation, operators: Operators<'a, 'scope>) -> Self {
        let (_, shared) = relation.keeping();
        Self { operators, shared: shared.into_iter().map(|one| (one.clone(), None)).collect() }
    }

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
        let Some(at) = self.shared.iter().position(|(one, _)| one == relation) else {
            return self.once(relation, tells_old, then);
        };
        let changes = match &self.shared[at].1 {
            Some(changes) => changes.clone(),
            None => {
                let changes = self.once(relation, true, Box::new(|deltas| vec![deltas]));
                self.shared[at].1.insert(changes).clone()
            }
        };
        changes.flat_map(then)
    }

    fn once<O: Clone + 'static>(
        &mut self,
        relation: &Relation,
        tells_old: bool,
        then: Then<O>,
    ) -> StreamVec<'scope, Epoch, O> {
        match relation {
            Relation::Select { source, columns } => self.select(source, columns, tells_old, then),
            Relation::Aggregate(aggregate) => self.aggregate(aggregate, tells_old, then),
            Relation::Distinct(of) => {
                let operator = self.operators.number();
                let rows = self.deltas(of);
                self.content(rows, Equals::One, operator).flat_map(then)
            }
            Relation::Union(all) => {
                let all: Vec<_> = all.iter().map(|one| self.deltas(one)).collect();
                let scope = self.operators.inputs.records.scope();
                scope.concatenate(all).flat_map(then)
            }
            Relation::Join(join) => {
                let all = (0..relation.columns().len()).map(Some);
                self.join(join, all).flat_map(then)
            }
        }
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
            From::Readings => self.operators.inputs.records.clone().flat_map(move |batch| {
                let mut deltas = Deltas::default();
                for (place, row) in Selected::by(filter.as_ref(), &batch).rows(&columns) {
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
                // A group that has changed may look as before, unless the number of its rows is shown.
                let shows_rows = |place: usize| columns.iter().any(|column| column.place() == Some(place));
                let is_other = match (&**of, of_group) {
                    (Relation::Aggregate(aggregate), Some(before)) => {
                        let mut calls = aggregate.calls.iter().zip(before..);
                        calls.any(|(call, place)| call.is_number_of_rows() && shows_rows(place))
                    }
                    _ => false,
                };
                let tells_old = tells_old || filter.is_some() || !is_other;
                if let Some(join) = self.join_alone(of) {
                    let places: Option<Vec<usize>> = columns.iter().map(Expression::place).collect();
                    if let (Some(places), None) = (places, &filter) {
                        return self.join(join, places.into_iter().map(Some)).flat_map(then);
                    }
                    let all = filter.iter().chain(&columns);
                    let pairs = self.join(join, used(of, &all.collect::<Vec<_>>()));
                    return pairs
                        .flat_map(move |deltas| then(selected(&deltas, filter.as_ref(), &columns, None)));
                }
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
        let records = self.operators.inputs.records.clone();
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
                let rows = match self.join_alone(of) {
                    Some(join) => self.join(join, used(of, &aggregate.expressions().collect::<Vec<_>>())),
                    None => self.deltas(of),
                };
                folded(rows, Pipeline, "Gather", stream_epoch, add, finish)
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

    fn aggregate<O: Clone + 'static>(
        &mut self,
        aggregate: &Aggregate,
        tells_old: bool,
        mut then: Then<O>,
    ) -> StreamVec<'scope, Epoch, O> {
        let operator = self.operators.number();
        let retracts = aggregate.source.retracts(self.operators.upserts);
        let layout = Arc::new(Layout::new(&aggregate.calls, retracts));
        let aggregate = Arc::new(aggregate.clone());
        let parts = self.parts(&aggregate, &layout);
        let of_group = |entry: Entry, mut rest: &[u8]| {
            let group =
                if entry == Entry::Times { Some(rest) } else { read_slot(&mut rest).map(|(group, _)| group) };
            hash_of(group.unwrap_or_default())
        };
        let kept = self.operators.entries(operator, of_group);
        let by_worker = Exchange::new(|(to, _): &Routed<Parts>| *to);
        let (start, upserts) = (self.operators.inputs.start, self.operators.upserts);
        let Some(window) = aggregate.window.clone() else {
            let mut grouped = Grouped::new(&aggregate, layout, operator, !upserts, tells_old);
            let out =
                when_complete(parts.concat(kept), by_worker, "Aggregate", stream_epoch, move |_, inputs| {
                    // Those of a start come in the order in which they were written.
                    grouped.reserve(inputs.iter().filter(|(_, input)| input.is_entry()).count());
                    let (parts, _) = taken(inputs, |entry, rest, value| grouped.restore(entry, rest, value));
                    let mut passed = Vec::new();
                    let changes = grouped.pass(parts, |deltas| passed.extend(then(deltas)));
                    outs::<_, ()>(passed, changes).collect()
                });
            let (passed, _) = self.operators.split(out, start);
            return passed;
        };
        let leads = self.operators.inputs.records.scope().index() == 0;
        let mut windowed = Windowed::new(window, layout, operator, (retracts, upserts), leads, tells_old);
        let input = parts.concat(kept).concat(self.operators.updates(operator));
        // A reading finds its letter by group and pane; of others there is a letter for each row.
        let is_of_readings = aggregate.source.from == From::Readings;
        let out = when_complete(input, by_worker, "Windows", stream_epoch, move |epoch, inputs| {
            let (parts, updates) = taken(inputs, |entry, rest, value| windowed.restore(entry, rest, value));
            let passed = windowed.pass(parts, updates, epoch <= start);
            let late = passed.late.into_iter().flat_map(|(dropped, rows)| {
                repeat_n(Out::Dropped(Reason::Late, dropped), if is_of_readings { 1 } else { rows })
            });
            outs(then(passed.deltas), passed.changes).chain(late).collect()
        });
        let (passed, dropped) = self.operators.split(out, start);
        if !upserts {
            let gather = Gather::new(aggregate.clone(), Arc::default());
            let letters = match &aggregate.source.from {
                From::Readings => letters(
                    self.operators.inputs.records.clone(),
                    dropped,
                    self.operators.view.clone(),
                    move |batch, late| gather.places(batch, late),
                ),
                From::Relation(_) => letters_of_rows(dropped, self.operators.view.clone()),
            };
            self.operators.effects.push(letters);
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
        let kept = self.operators.entries(operator, |_, rest| Key::from(rest).hashed());
        let by_worker = Exchange::new(|(to, _): &Routed<(Key, i64)>| *to);
        let name = if equals == Equals::One { "Distinct" } else { "Number" };
        let mut content = Content::new(equals, operator, !self.operators.upserts);
        let out = when_complete(rows.concat(kept), by_worker, name, stream_epoch, move |_, inputs| {
            let (rows, _) = taken(inputs, |_, rest, value| content.restore(rest, value));
            let (deltas, changes) = content.pass(rows.into_iter());
            outs::<_, ()>(vec![deltas], changes).collect()
        });
        self.operators.split(out, self.operators.inputs.start).0
    }

    /// The join that a relation is, if no other one reads it.
    fn join_alone<'r>(&self, of: &'r Relation) -> Option<&'r Join> {
        match of {
            Relation::Join(join) if self.shared.iter().all(|(one, _)| one != of) => Some(join),
            _ => None,
        }
    }

    /// The pairs of a join, with the columns of pairs at these places.
    fn join(&mut self, join: &Join, columns: impl IntoIterator<Item = Option<usize>>) -> DeltaStream<'scope> {
        let joining = Joining::new(join, columns, &mut self.operators);
        let sides = [&join.left, &join.right].map(|side| match side.is_of_readings() {
            true => None,
            false => Some(self.deltas(side)),
        });
        joining.build(sides, &mut self.operators)
    }
}

/// The places of the columns of a relation that expressions use; none in place of the others.
fn used(of: &Relation, expressions: &[&Expression]) -> Vec<Option<usize>> {
    let is_used = |place: &usize| expressions.iter().any(|one| one.uses_column(*place));
    (0..of.columns().len()).map(|place| Some(place).filter(is_used)).collect()
}

/// The rows that are inserted and satisfy a condition, a column at a time; none if that cannot be done.
fn selected_columns(deltas: &Deltas, filter: Option<&Expression>, columns: &[Expression]) -> Option<Deltas> {
    let inserted = deltas.inserted()?;
    let selected = Selected::of_columns(&inserted.columns, inserted.len, filter, columns)?;
    let is_all = selected.places.len() == inserted.len;
    let column = |of: &Expression| match of.place().and_then(|place| inserted.columns.get(place)) {
        Some(column) if is_all => column.clone(),
        Some(column) => column.at(&selected.places),
        None => selected.values(of).into_column(),
    };
    Some(Deltas::inserting(columns.iter().map(column).collect(), selected.places.len()))
}

/// The changes of the rows that satisfy a condition. Of an aggregate, so many columns are those of its group.
fn selected(
    deltas: &Deltas,
    filter: Option<&Expression>,
    columns: &[Expression],
    of_group: Option<usize>,
) -> Deltas {
    if let Some(selected) = selected_columns(deltas, filter, columns) {
        return selected;
    }
    let passes = |row: &&[Value]| filter.is_none_or(|filter| filter.holds_for(row));
    fn shown<'a>(columns: &'a [Expression], row: &'a [Value]) -> impl Iterator<Item = Value> {
        columns.iter().map(|column| column.of_row(row))
    }
    let mut all = Deltas::default();
    all.reserve(deltas.len(), columns.len());
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
        if is_replaced {
            end.into_iter().for_each(|row| all.put_end(shown(columns, row)));
        } else if let (Some(_), None, Some(of_group)) = (passed_old, passed_new, of_group) {
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
