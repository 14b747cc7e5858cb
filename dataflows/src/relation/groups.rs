//! Groups and what is kept of them, by places that stay.

use super::index::{Index, hash_of};
use super::kept::{Rest, TallyMut, TallyRef};
use super::places::Places;
use crate::state::{push_length, take_length};

/// The groups of a worker. There may be millions, so none has an allocation of its own, and integers have as many bytes as
/// they need.
#[derive(Default)]
pub(super) struct Groups {
    places: Index,
    chunks: Vec<Chunk>,
    /// What has no words, if the layout needs that.
    rests: Vec<Rest>,
    /// How many places there are.
    len: usize,
    /// Places without a group.
    free: Vec<u32>,
    /// The bytes of a tally.
    bytes: Vec<u8>,
}

/// The records of [`AT_ONCE`] places: the length of a group's keys, these, the room for the tally, and its bytes.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where the record of each place begins; [`NO_RECORD`] if it has none.
    starts: Vec<usize>,
    /// The bytes of records that are gone.
    unused: usize,
}

/// The number of places whose records are together: so many are moved at once.
const AT_ONCE: usize = 1 << 10;
const NO_RECORD: usize = usize::MAX;
/// The bytes by which a tally can grow where it is: sums get longer.
const ROOM: usize = 4;
/// Fewer unused bytes are not worth moving the records.
const FEW: usize = 1 << 10;

impl Chunk {
    /// The keys of the group at a place, and the room for its tally with all that follows.
    #[inline]
    fn record(&self, at: usize) -> (&[u8], usize, &[u8]) {
        let mut bytes = &self.bytes[self.starts[at]..];
        let length = take_length(&mut bytes).unwrap_or_default();
        let (group, mut bytes) = bytes.split_at(length);
        let room = take_length(&mut bytes).unwrap_or_default();
        (group, room, bytes)
    }

    /// Appends a record; of a group that had one, the old one is no longer used.
    fn push(&mut self, at: usize, group: &[u8], tally: &[u8]) {
        self.end(at);
        self.starts[at] = self.bytes.len();
        let room = tally.len() + ROOM;
        // By an eighth, as half of the memory of many chunks would be empty otherwise.
        let more = group.len() + room + 20;
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more + self.bytes.len() / 8);
        }
        push_length(&mut self.bytes, group.len());
        self.bytes.extend_from_slice(group);
        push_length(&mut self.bytes, room);
        self.bytes.extend_from_slice(tally);
        self.bytes.resize(self.bytes.len() + ROOM, 0);
    }

    /// Ends the use of the record of a place, if it has one.
    fn end(&mut self, at: usize) {
        if self.starts[at] == NO_RECORD {
            return;
        }
        let (group, room, _) = self.record(at);
        self.unused += group.len() + room + 2;
        self.starts[at] = NO_RECORD;
        if self.unused > self.bytes.len() / 8 + FEW {
            self.pack();
        }
    }

    /// Moves the records together.
    fn pack(&mut self) {
        let old = std::mem::take(self);
        self.bytes.reserve_exact(old.bytes.len());
        self.starts = vec![NO_RECORD; old.starts.len()];
        for at in 0..old.starts.len() {
            if old.starts[at] != NO_RECORD {
                let (group, room, rest) = old.record(at);
                self.push(at, group, &rest[..room - ROOM]);
            }
        }
    }
}

impl Groups {
    /// Makes room for so many more groups.
    pub fn reserve(&mut self, more: usize) {
        self.places.reserve(more);
    }

    /// The places of groups, each with the hash of its keys.
    pub fn find_all<'k>(&self, groups: impl Iterator<Item = (u64, &'k [u8])> + Clone) -> Vec<Option<usize>> {
        // One step for all, then the next one: so the waits for memory that is in no cache overlap.
        let first: Vec<Option<u32>> = groups.clone().map(|(hash, _)| self.places.first(hash)).collect();
        let found = groups.zip(first).map(|((hash, group), first)| {
            let first = first? as usize;
            if self.group(first) == group { Some(first) } else { self.find(hash, group) }
        });
        found.collect()
    }

    /// The place of a group, whose keys have this hash.
    pub fn find(&self, hash: u64, group: &[u8]) -> Option<usize> {
        self.places.find(hash, |place| self.group(place as usize) == group).map(|place| place as usize)
    }

    #[inline]
    fn group(&self, place: usize) -> &[u8] {
        self.chunks[place / AT_ONCE].record(place % AT_ONCE).0
    }

    /// Adds a group that is not there; its tally has to be [put](Self::put) next.
    pub fn insert(&mut self, hash: u64, places: &Places) -> usize {
        let rest = places.empty().rest;
        let place = match self.free.pop() {
            Some(place) => {
                if let (Some(kept), Some(rest)) = (self.rests.get_mut(place as usize), rest) {
                    kept.clone_from(rest);
                }
                place as usize
            }
            None => {
                if self.len.is_multiple_of(AT_ONCE) {
                    self.chunks.push(Chunk::default());
                }
                self.chunks[self.len / AT_ONCE].starts.push(NO_RECORD);
                self.rests.extend(rest.cloned());
                self.len += 1;
                self.len - 1
            }
        };
        self.places.insert(hash, place as u32);
        place
    }

    /// Reads the words of a group's tally.
    #[inline]
    pub fn read(&self, place: usize, places: &Places, words: &mut [i64]) {
        let (_, _, mut bytes) = self.chunks[place / AT_ONCE].record(place % AT_ONCE);
        places.unpack(&mut bytes, words).expect("it was packed here");
    }

    /// A group's tally, whose words were [read](Self::read).
    pub fn tally<'a>(&'a self, place: usize, words: &'a [i64]) -> TallyRef<'a> {
        TallyRef { words, rest: self.rests.get(place) }
    }

    /// The same, to change it.
    pub fn tally_mut<'a>(&'a mut self, place: usize, words: &'a mut [i64]) -> TallyMut<'a> {
        TallyMut { words, rest: self.rests.get_mut(place) }
    }

    /// The bytes of the words that were [put](Self::put) last.
    pub fn packed(&self) -> &[u8] {
        &self.bytes
    }

    /// Keeps the words of a group's tally.
    pub fn put(&mut self, place: usize, group: &[u8], places: &Places, words: &[i64]) {
        self.bytes.clear();
        places.pack(words, &mut self.bytes);
        let (chunk, at) = (&mut self.chunks[place / AT_ONCE], place % AT_ONCE);
        let length = self.bytes.len();
        let start = match chunk.starts[at] {
            NO_RECORD => None,
            _ => {
                let (_, room, rest) = chunk.record(at);
                (room >= length).then(|| chunk.bytes.len() - rest.len())
            }
        };
        match start {
            Some(start) => chunk.bytes[start..start + length].copy_from_slice(&self.bytes),
            None => chunk.push(at, group, &self.bytes),
        }
    }

    /// Removes a group.
    pub fn remove(&mut self, place: usize) {
        let hash = hash_of(self.group(place));
        self.places.remove(hash, place as u32);
        self.chunks[place / AT_ONCE].end(place % AT_ONCE);
        self.free.push(place as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ethnum::I256;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Groups, some with long keys.
    fn group(number: u8) -> Vec<u8> {
        vec![number; 30 * usize::from(number)]
    }

    proptest! {
        #[test]
        fn groups_keep_their_keys_and_tallies(
            steps in prop::collection::vec((0u8..12, 0u32..64, any::<bool>()), 0..400),
        ) {
            // The number of rows, and one sum.
            let places = Places::new([Some(I256::ONE << 100u32)].into_iter(), [].into_iter(), 0);
            let mut groups = Groups::default();
            let mut model: BTreeMap<u8, [i64; 3]> = BTreeMap::new();
            for (number, shift, stays) in steps {
                let key = group(number);
                let hash = hash_of(&key);
                let found = groups.find(hash, &key);
                prop_assert_eq!(found.is_some(), model.contains_key(&number));
                prop_assert_eq!(groups.find_all([(hash, &key[..])].into_iter()), [found]);
                let place = found.unwrap_or_else(|| groups.insert(hash, &places));
                let mut words = [0; 3];
                if found.is_some() {
                    groups.read(place, &places, &mut words);
                    prop_assert_eq!(Some(&words), model.get(&number));
                }
                words = [words[0] + 1, i64::MAX >> shift, -1 >> shift];
                let mut expected = Vec::new();
                places.pack(&words, &mut expected);
                groups.put(place, &key, &places, &words);
                prop_assert_eq!(groups.packed(), &expected[..]);
                model.insert(number, words);
                if !stays {
                    groups.remove(place);
                    model.remove(&number);
                }
                let kept: usize = model.keys().map(|number| group(*number).len() + 64).sum();
                let bytes: usize = groups.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
                prop_assert!(bytes <= kept + kept / 4 + 2 * FEW, "{} for {}", bytes, kept);
            }
            for (number, expected) in model {
                let place = groups.find(hash_of(&group(number)), &group(number)).expect("it is there");
                let mut words = [0; 3];
                groups.read(place, &places, &mut words);
                prop_assert_eq!(words, expected);
            }
        }
    }
}
