//! A compact encoding of values in arrangements.
//!
//! Sums have room for any stream, but those of a real one fill less than half of it. [`Packed`] replaces `Vec` as the
//! container for the differences of an arrangement's batches, and stores numbers without leading zero bytes. With a
//! million keys that halves the memory, and the bytes that a merge has to move.

use std::marker::PhantomData;

use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};

/// A value that can be written as numbers.
pub(crate) trait Pack {
    /// Appends the value. Equal values have equal bytes.
    fn pack(&self, out: &mut Vec<u8>);

    /// Reads a value that [`pack`](Self::pack) appended.
    fn unpack(bytes: &[u8]) -> Self;
}

/// A list of packed values, which are read as bytes.
pub(crate) struct Packed<V> {
    bytes: Vec<u8>,
    /// The end of each value.
    ends: OffsetList,
    values: PhantomData<V>,
}

impl<V> Packed<V> {
    fn with_room(values: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: OffsetList::with_capacity(values),
            values: PhantomData,
        }
    }
}

impl<V: Pack + Clone + Ord + 'static> BatchContainer for Packed<V> {
    type Owned = V;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(item: &[u8]) -> V {
        V::unpack(item)
    }

    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }

    fn push_ref(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
        self.ends.push(self.bytes.len());
    }

    fn push_own(&mut self, item: &V) {
        item.pack(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        BatchContainer::clear(&mut self.ends);
    }

    fn with_capacity(size: usize) -> Self {
        Self::with_room(size, 0)
    }

    fn merge_capacity(one: &Self, other: &Self) -> Self {
        Self::with_room(one.ends.len() + other.ends.len(), one.bytes.len() + other.bytes.len())
    }

    fn index(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends.index(index - 1) };
        &self.bytes[start..self.ends.index(index)]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The size of a number that is not shortened.
const WHOLE: usize = size_of::<i128>();
/// The size of the largest value: its numbers and their lengths.
const ROOM: usize = 11 * WHOLE;

/// Appends numbers: half a byte for the length of each, then the bytes, little-endian, without those that only repeat
/// the sign.
pub(crate) fn pack_numbers<const N: usize>(numbers: [i128; N], out: &mut Vec<u8>) {
    const { assert!(N.div_ceil(2) + N * WHOLE <= ROOM) };
    // Each number is written in full, and the next one overwrites its unused bytes: no branch on the length.
    let mut bytes = [0; ROOM];
    let mut at = N.div_ceil(2);
    for (place, number) in numbers.into_iter().enumerate() {
        let significant = i128::BITS - (number ^ (number >> 127)).leading_zeros();
        let more = significant as usize / 8; // bytes after the first; one bit is the sign
        bytes[place / 2] |= (more as u8) << (place % 2 * 4);
        bytes[at..at + WHOLE].copy_from_slice(&number.to_le_bytes());
        at += more + 1;
    }
    out.extend_from_slice(&bytes[..at]);
}

/// The numbers that [`pack_numbers`] appended.
pub(crate) fn unpack_numbers<const N: usize>(packed: &[u8]) -> [i128; N] {
    let mut bytes = [0; ROOM];
    bytes[..packed.len()].copy_from_slice(packed);
    let mut at = N.div_ceil(2);
    std::array::from_fn(|place| {
        let more = usize::from(bytes[place / 2] >> (place % 2 * 4) & 0xf);
        let mut whole = [0; WHOLE];
        whole.copy_from_slice(&bytes[at..at + WHOLE]);
        at += more + 1;
        let unused = (WHOLE - 1 - more) * 8;
        i128::from_le_bytes(whole) << unused >> unused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Pack for i128 {
        fn pack(&self, out: &mut Vec<u8>) {
            pack_numbers([*self, -1, 0], out);
        }

        fn unpack(bytes: &[u8]) -> Self {
            let [number, below, zero] = unpack_numbers(bytes);
            assert_eq!((below, zero), (-1, 0));
            number
        }
    }

    fn number() -> impl Strategy<Value = i128> {
        (any::<i128>(), 0u32..128).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn a_packed_list_behaves_like_a_vec(mut numbers in prop::collection::vec(number(), 0..50), others in prop::collection::vec(number(), 0..50)) {
            let packed = |numbers: &[i128]| {
                let mut packed = Packed::with_capacity(numbers.len());
                numbers.iter().for_each(|number| packed.push_own(number));
                packed
            };
            let (one, other) = (packed(&numbers), packed(&others));
            let mut both = Packed::merge_capacity(&one, &other);
            (0..one.len()).for_each(|place| both.push_ref(one.index(place)));
            others.iter().for_each(|number| both.push_own(number));
            numbers.extend(others);
            let read: Vec<i128> = (0..both.len()).map(|place| Packed::into_owned(both.index(place))).collect();
            prop_assert_eq!(read, numbers);
            both.clear();
            prop_assert!(both.is_empty());
        }

        #[test]
        fn equal_bytes_are_equal_numbers(one in number(), other in number()) {
            let packed = |number: i128| {
                let mut bytes = Vec::new();
                number.pack(&mut bytes);
                bytes
            };
            prop_assert_eq!(packed(one) == packed(other), one == other);
        }
    }
}
