//! Turns the updates of a collection into the value of each key before and after an epoch.

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;

use crate::Epoch;
use crate::effect::Effect;
use crate::epochs::when_complete;
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
