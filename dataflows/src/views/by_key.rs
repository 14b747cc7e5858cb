//! Turns the updates of a collection into the value of each key before and after an epoch.
//!
//! [`changes_by_key`] is for keys with a value, [`totals_by_key`] for keys whose value is the sum of their
//! differences.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use differential_dataflow::batcher::merge::MergeBatcher;
use differential_dataflow::batcher::merge::chunker::ContainerChunker;
use differential_dataflow::batcher::merge::vec::VecMerger;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::trace::cursor::cursor_list;
use differential_dataflow::trace::implementations::OffsetList;
use differential_dataflow::trace::implementations::ord_neu::{OrdKeyBatch, OrdKeyBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::{Cursor, TraceReader};
use differential_dataflow::{ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use crate::Epoch;
use crate::effect::Effect;
use crate::epochs::when_complete;
use crate::packed::{Pack, Packed};
use crate::rows::Change;

/// The change of a key in an epoch. A key has at most one value at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyChange<K, V> {
    pub key: K,
    /// The value before.
    pub old: Option<V>,
    /// The value after.
    pub new: Option<V>,
}

impl<K, V> KeyChange<K, V> {
    /// The values of rows, each with its change. With `all`, replaced values have a row, too.
    pub fn rows(&self, all: bool) -> impl Iterator<Item = (&V, Change)> {
        let old = self.old.as_ref().map(|old| match self.new {
            Some(_) => (old, Change::Before),
            None => (old, Change::Delete),
        });
        let new = self.new.as_ref().map(|new| match self.old {
            Some(_) => (new, Change::Update),
            None => (new, Change::Insert),
        });
        old.filter(|(_, change)| all || *change == Change::Delete).into_iter().chain(new)
    }
}

/// Calls `logic` with the changes of each complete epoch after `start`.
pub(super) fn changes_by_key<'scope, K: ExchangeData, V: ExchangeData>(
    collection: VecCollection<'scope, Epoch, (K, V), isize>,
    pact: impl ParallelizationContract<Epoch, Vec<((K, V), Epoch, isize)>>,
    name: &str,
    start: Epoch,
    mut logic: impl FnMut(Vec<KeyChange<K, V>>) -> Vec<Effect> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    when_complete(
        collection.inner,
        pact,
        name,
        |(_, time, _), _| *time,
        move |epoch, updates| {
            if epoch <= start {
                return Vec::new();
            }
            let changes = pair(updates.into_iter().map(|(entry, _, diff)| (entry, diff)).collect());
            if changes.is_empty() { Vec::new() } else { logic(changes) }
        },
    )
}

/// A key ordered by its hash first, so that names are compared only if hashes are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Hashed<K> {
    hash: u64,
    pub key: K,
}

impl<K: Hash> Hashed<K> {
    pub fn new(key: K) -> Self {
        Self { hash: key.hashed(), key }
    }
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// The memory layout of batches of totals: that of differential dataflow, with packed differences.
type TotalsLayout<K, R> = (Vec<Hashed<K>>, Vec<()>, Vec<Epoch>, Packed<R>, OffsetList);
type TotalsSpine<K, R> = Spine<Rc<OrdKeyBatch<TotalsLayout<K, R>>>>;
type Updates<K, R> = Vec<((Hashed<K>, ()), Epoch, R)>;
type TotalsBatcher<K, R> = MergeBatcher<
    ContainerChunker<Updates<K, R>>,
    VecMerger<(Hashed<K>, ()), Epoch, R>,
    OrdKeyBuilder<TotalsLayout<K, R>, Updates<K, R>>,
>;

/// The number of changes passed on at once, so that later stages work on them while the next ones are found.
const CHANGES_AT_ONCE: usize = 1 << 16;

/// Adds up the differences of each key, and calls `logic` with the changes of the totals of each complete epoch after
/// `start`, some at a time. The output of `logic` is sent in that epoch.
///
/// It reads the arrangement like `count_total`, but returns the old and the new total of a key together, so that they
/// need not be matched by sorting.
pub(super) fn totals_by_key<'scope, K, R>(
    collection: VecCollection<'scope, Epoch, Hashed<K>, R>,
    name: &str,
    start: Epoch,
    mut logic: impl FnMut(&[KeyChange<K, R>]) -> Vec<Effect> + 'static,
) -> StreamVec<'scope, Epoch, Effect>
where
    K: ExchangeData + Hash,
    R: ExchangeData + Semigroup + Pack,
{
    let arranged = collection.map(|key| (key, ())).arrange_named::<TotalsBatcher<K, R>, TotalsSpine<K, R>>(
        &format!("Arrange: {name}"),
        MergeBatcher::new,
    );
    let mut trace = arranged.trace;
    arranged.stream.unary(Pipeline, name, move |_, _| {
        let mut upper = Antichain::from_elem(0);
        move |input, output| {
            let lower = upper.clone();
            let mut held: Option<Capability<Epoch>> = None;
            let mut batches = Vec::new();
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                if held.as_ref().is_none_or(|held| epoch < *held.time()) {
                    held = Some(cap.delayed(&epoch, 0));
                }
                for span in containers.flat_map(|container| container.drain(..)) {
                    upper.clone_from(span.upper());
                    batches.extend(span.inner);
                }
            });
            if let Some(held) = held {
                let mut send = |epoch: Epoch, changes: &mut Vec<KeyChange<K, R>>| {
                    if epoch > start && !changes.is_empty() {
                        output.session(&held.delayed(&epoch)).give_iterator(logic(changes).into_iter());
                    }
                    changes.clear();
                };
                let mut open: BTreeMap<Epoch, Vec<KeyChange<K, R>>> = BTreeMap::new();
                let before =
                    trace.batches_through(lower.borrow()).expect("a trace is read up to a batch's end");
                let (mut new, new_storage) = cursor_list(batches);
                let (mut old, old_storage) = cursor_list(before);
                while let Some(key) = new.get_key(&new_storage) {
                    let mut total: Option<R> = None;
                    old.seek_key(&old_storage, key);
                    if old.get_key(&old_storage) == Some(key) {
                        old.map_times(&old_storage, |_, diff| add(&mut total, R::unpack(diff)));
                    }
                    new.map_times(&new_storage, |&epoch, diff| {
                        let old = total.clone();
                        add(&mut total, R::unpack(diff));
                        let changes = open.entry(epoch).or_default();
                        changes.push(KeyChange { key: key.key.clone(), old, new: total.clone() });
                        if changes.len() == CHANGES_AT_ONCE {
                            send(epoch, changes);
                        }
                    });
                    new.step_key(&new_storage);
                }
                open.into_iter().for_each(|(epoch, mut changes)| send(epoch, &mut changes));
            }
            trace.advance_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());
        }
    })
}

/// Adds a difference to a total; a zero total is none.
fn add<R: Semigroup>(total: &mut Option<R>, diff: R) {
    match total {
        Some(sum) => sum.plus_equals(&diff),
        None => *total = Some(diff),
    }
    if total.as_ref().is_some_and(R::is_zero) {
        *total = None;
    }
}

fn pair<K: Ord, V: Ord>(mut updates: Vec<((K, V), isize)>) -> Vec<KeyChange<K, V>> {
    consolidate(&mut updates);
    let mut changes: Vec<KeyChange<K, V>> = Vec::new();
    for ((key, value), diff) in updates {
        if changes.last().is_none_or(|last| last.key != key) {
            changes.push(KeyChange { key, old: None, new: None });
        }
        if let Some(change) = changes.last_mut() {
            *(if diff < 0 { &mut change.old } else { &mut change.new }) = Some(value);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_values_of_a_key_are_paired_in_any_order() {
        let updates = vec![(("b", 2), 1), (("a", 1), -1), (("c", 5), 1), (("b", 1), -1), (("c", 5), -1)];
        let changes = pair(updates);
        assert_eq!(
            changes,
            [
                KeyChange { key: "a", old: Some(1), new: None },
                KeyChange { key: "b", old: Some(1), new: Some(2) },
            ]
        );
        let kinds = |all| changes[1].rows(all).map(|(_, change)| change).collect::<Vec<_>>();
        assert_eq!(kinds(true), [Change::Before, Change::Update]);
        assert_eq!(kinds(false), [Change::Update]);
        assert_eq!(changes[0].rows(false).collect::<Vec<_>>(), [(&1, Change::Delete)]);
    }
}
