//! The sums and extent of a truck, as a difference of the collection.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::axis::Point;
use crate::accumulation::Accumulation;
use crate::packed::{Pack, pack_numbers, unpack_numbers};

/// The time span of a truck's records, and its latest values: minimum and maximum as a semigroup without inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Extent {
    /// The earliest event time, in microseconds.
    pub earliest: i64,
    /// The latest event and its values.
    pub latest: Point,
}

impl Extent {
    #[inline]
    pub fn of(point: Point) -> Self {
        Self { earliest: point.0, latest: point }
    }
}

impl IsZero for Extent {
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Extent {
    #[inline]
    fn plus_equals(&mut self, other: &Self) {
        self.earliest = self.earliest.min(other.earliest);
        self.latest = self.latest.max(other.latest);
    }
}

/// The sums and extent of a truck, both as a difference and as a total.
pub(super) type Tally = (Accumulation, Extent);

/// Packed in 128-bit numbers if possible, otherwise in the format of state.
impl Pack for Tally {
    fn pack(&self, out: &mut Vec<u8>) {
        let (sums, Extent { earliest, latest: (time, second, first) }) = *self;
        match sums.to_narrow() {
            Some([n, x, y, xx, xy, yy]) => {
                out.push(NARROW);
                let since = time.wrapping_sub(earliest);
                let [time, since, second, first] = [time, since, second, first].map(i128::from);
                pack_numbers([n, x, y, xx, xy, yy, time, since, second, first], out);
            }
            None => {
                out.push(WIDE);
                for field in [earliest, time, second, first] {
                    out.extend_from_slice(&field.to_le_bytes());
                }
                sums.write(out);
            }
        }
    }

    fn unpack(bytes: &[u8]) -> Self {
        let (&form, mut bytes) = bytes.split_first().expect("a packed tally is not empty");
        if form == NARROW {
            let [n, x, y, xx, xy, yy, time, since, second, first] = unpack_numbers(bytes);
            let [time, since, second, first] = [time, since, second, first].map(|field| field as i64);
            let extent = Extent { earliest: time.wrapping_sub(since), latest: (time, second, first) };
            return (Accumulation::from_narrow([n, x, y, xx, xy, yy]), extent);
        }
        let [earliest, time, second, first] = std::array::from_fn(|_| {
            let (field, rest) = bytes.split_first_chunk().expect("a tally has four fields");
            bytes = rest;
            i64::from_le_bytes(*field)
        });
        let sums = Accumulation::read(&mut bytes).expect("sums that were written parse");
        (sums, Extent { earliest, latest: (time, second, first) })
    }
}

/// The first byte of a packed tally whose sums fit 128 bits.
const NARROW: u8 = 0;
/// The first byte of any other.
const WIDE: u8 = 1;

#[cfg(test)]
mod tests {
    use differential_dataflow::difference::Multiply;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packed_tally_is_unpacked(
            points in prop::collection::vec(any::<(i64, i64, i64)>(), 1..9),
            near in prop::collection::vec((-9i64..9, -9i64..9, 0i64..9), 1..9),
            copies in prop_oneof![Just(1isize), Just(-1), 1isize << 40..isize::MAX],
        ) {
            for points in [points, near] {
                let mut tally: Tally = (Accumulation::default(), Extent::of(points[0]));
                for point in points {
                    tally.plus_equals(&(Accumulation::of(point.0, point.1), Extent::of(point)));
                }
                tally.0 = tally.0.multiply(&copies);
                let mut bytes = Vec::new();
                tally.pack(&mut bytes);
                prop_assert_eq!(bytes[0] == NARROW, tally.0.to_narrow().is_some());
                prop_assert_eq!(Tally::unpack(&bytes), tally);
            }
        }
    }
}
