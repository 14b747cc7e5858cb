//! From the updates of a collection to what each key held before an epoch and holds after it.
//!
//! [`changes_by_key`] is for keys that have a value, [`totals_by_key`] for keys whose differences add up
//! to one.

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

/// What an epoch did to a key that has at most one value at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyChange<K, V> {
    pub key: K,
    /// The value before.
    pub old: Option<V>,
    /// The value from now on.
    pub new: Option<V>,
}

impl<K, V> KeyChange<K, V> {
    /// The values that rows are made of, each with what its row does. With `all`, what is replaced has a
    /// row too.
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

/// Gives what each complete epoch after `start` did to each key to `logic`.
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

/// A key that is arranged by its hash first: names are compared only where hashes are equal.
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

/// How batches of totals lie in memory: as differential's own, but for the differences.
type TotalsLayout<K, R> = (Vec<Hashed<K>>, Vec<()>, Vec<Epoch>, Packed<R>, OffsetList);
type TotalsSpine<K, R> = Spine<Rc<OrdKeyBatch<TotalsLayout<K, R>>>>;
type Updates<K, R> = Vec<((Hashed<K>, ()), Epoch, R)>;
type TotalsBatcher<K, R> = MergeBatcher<
    ContainerChunker<Updates<K, R>>,
    VecMerger<(Hashed<K>, ()), Epoch, R>,
    OrdKeyBuilder<TotalsLayout<K, R>, Updates<K, R>>,
>;

/// Changes that are given at once: what is made of them is on its way while the next ones are found.
const CHANGES_AT_ONCE: usize = 1 << 16;

/// Adds up the differences of each key, and gives what each complete epoch after `start` did to the totals
/// to `logic`, some at a time. What `logic` returns goes out in that epoch.
///
/// It reads the arrangement as `count_total` does, but a key's old and new total come together: nothing
/// has to be sorted to find them again.
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
                let mut give = |epoch: Epoch, changes: &mut Vec<KeyChange<K, R>>| {
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
                            give(epoch, changes);
                        }
                    });
                    new.step_key(&new_storage);
                }
                open.into_iter().for_each(|(epoch, mut changes)| give(epoch, &mut changes));
            }
            trace.advance_upper(&mut upper);
            trace.set_logical_compaction(upper.borrow());
            trace.set_physical_compaction(upper.borrow());
        }
    })
}

/// Adds a difference to a total, which is none where it is zero.
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
    fn old_and_new_values_of_a_key_come_together_in_any_order() {
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
