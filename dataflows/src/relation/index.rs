//! Finds places by the hash of what is there.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

/// The hash of a group's keys: the same in all processes of a cluster.
pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    FixedState::with_seed(0).hash_one(bytes)
}

/// A table of places in which neighbours have neighbouring hashes: who asks in the order of hashes finds most of it in a
/// cache. Who inserts in that order has to [reserve](Self::reserve) before: in a table that is too small for all of them the
/// first ones would crowd its beginning. What a place has is compared by who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The first free slot behind that of its tag has a place.
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The upper half of the hash.
    tag: u32,
    /// [`FREE`] if there is none.
    place: u32,
}

const FREE: u32 = u32::MAX;
/// The least number of slots.
const LEAST: usize = 16;

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// Makes room for so many more places.
    pub fn reserve(&mut self, more: usize) {
        if (self.len + more) * 4 <= self.slots.len() * 3 {
            return;
        }
        let least = (self.len + more) / 3 * 4 + LEAST;
        let slots = vec![Slot { tag: 0, place: FREE }; least.max(self.slots.len() / 4 * 5)];
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot.place != FREE {
                self.put(slot);
            }
        }
    }

    /// The first place with nearly this hash: mostly the only one.
    #[inline]
    pub fn first(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The place with this hash where `is_it` is true.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag_of(hash);
        let mut at = self.home(tag);
        loop {
            let slot = self.slots.get(at).filter(|slot| slot.place != FREE)?;
            if slot.tag == tag && is_it(slot.place) {
                return Some(slot.place);
            }
            at = self.after(at);
        }
    }

    /// Adds a place, below 2³² − 1, that is not there.
    pub fn insert(&mut self, hash: u64, place: u32) {
        self.reserve(1);
        self.put(Slot { tag: tag_of(hash), place });
        self.len += 1;
    }

    /// Removes a place.
    pub fn remove(&mut self, hash: u64, place: u32) {
        let mut hole = self.home(tag_of(hash));
        while self.slots[hole].place != place {
            if self.slots[hole].place == FREE {
                return;
            }
            hole = self.after(hole);
        }
        // Those behind it move up to where they would be without it.
        let mut at = self.after(hole);
        while self.slots[at].place != FREE {
            let home = self.home(self.slots[at].tag);
            if self.distance(home, at) >= self.distance(hole, at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole].place = FREE;
        self.len -= 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag);
        while self.slots[at].place != FREE {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// The slot of a tag, in the order of tags.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// How many slots one is behind another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn an_index_finds_what_a_map_finds(
            // Few hashes, near each other and at both ends, so that runs of slots are long and wrap around.
            steps in prop::collection::vec((any::<bool>(), 0u64..12, 0u64..3), 0..200),
            reserved in 0usize..40,
        ) {
            let mut index = Index::default();
            let mut model: HashMap<(u64, u64), u32> = HashMap::new();
            let mut keys = Vec::new();
            index.reserve(reserved);
            for (inserts, near, key) in steps {
                let hash = (near.wrapping_sub(6) << 58) | near << 32;
                let place = model.get(&(hash, key)).copied();
                let find = |index: &Index| index.find(hash, |place| keys[place as usize] == (hash, key));
                prop_assert_eq!(find(&index), place);
                let has_hash = model.keys().any(|(other, _)| *other == hash);
                prop_assert_eq!(index.first(hash).is_some(), has_hash);
                match (inserts, place) {
                    (true, None) => {
                        index.insert(hash, keys.len() as u32);
                        model.insert((hash, key), keys.len() as u32);
                        keys.push((hash, key));
                    }
                    (false, Some(place)) => {
                        index.remove(hash, place);
                        model.remove(&(hash, key));
                    }
                    _ => {}
                }
            }
            for ((hash, key), place) in model {
                let found = index.find(hash, |place| keys[place as usize] == (hash, key));
                prop_assert_eq!(found, Some(place));
            }
        }
    }
}
