//! The stored state: the tally of each truck.

use super::axis::Axis;
use super::tally::{Extent, Tally};
use crate::accumulation::Accumulation;
use crate::batch::Entity;
use crate::effect::Restored;
use crate::state::{entries, push_entry};
use crate::views::by_key::KeyChange;

pub(super) fn state(changes: &[KeyChange<Entity, Tally>], (x, _): (Axis, Axis)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for change in changes {
        let Some((sums, extent)) = &change.new else { continue };
        push_entry(&mut bytes, change.key.as_bytes(), |out| {
            let (time, second, first) = extent.latest;
            let fields = [extent.earliest, time, second, first];
            // If the first axis is time, its value is known already.
            for field in &fields[..if x == Axis::Time { 3 } else { 4 }] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            sums.write(out);
        });
    }
    bytes
}

/// The tallies of a committed state change. It was validated when it was loaded, so a parse error is a bug.
pub(super) fn restore(restored: &Restored, axes: (Axis, Axis)) -> impl Iterator<Item = (Entity, Tally)> {
    entries(&restored.bytes).map(move |entry| {
        let tally = entry.ok().and_then(|(key, value)| read(key, value, axes));
        tally.expect("validated state parses")
    })
}

/// Parses an entry of the state.
pub(super) fn read(key: &[u8], mut value: &[u8], (x, _): (Axis, Axis)) -> Option<(Entity, Tally)> {
    let truck = std::str::from_utf8(key).ok()?;
    let mut field = || {
        let (bytes, rest) = value.split_first_chunk::<8>()?;
        value = rest;
        Some(i64::from_le_bytes(*bytes))
    };
    let (earliest, time, second) = (field()?, field()?, field()?);
    let first = if x == Axis::Time { 0 } else { field()? };
    let extent = Extent { earliest, latest: (time, second, first) };
    Some((truck.into(), (Accumulation::read(&mut value)?, extent)))
}
