//! The stored state: the sums of each window that accepts readings, and the times of each truck.

use serde::{Deserialize, Serialize};

use super::sums::{Sums, Window};
use crate::accumulation::Accumulation;
use crate::batch::Entity;
use crate::views::lateness::truck_of_times;

/// The stored state of a truck.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Kept {
    /// A window, by its start.
    Window(i64, Box<Sums>),
    /// Its times.
    Times(Times),
}

/// The times of a truck, in microseconds. All only increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// The latest event.
    pub latest: i64,
    /// Windows that end up to here are closed.
    pub closed: i64,
    /// Windows that end up to here are discarded.
    pub horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, closed: i64::MIN, horizon: i64::MIN }
    }
}

const WINDOW: u8 = b'w';

pub(super) fn window_key((truck, start): &Window) -> Vec<u8> {
    [&[WINDOW][..], &start.to_be_bytes(), truck.as_bytes()].concat()
}

pub(super) fn write_sums(sums: &Sums, out: &mut Vec<u8>) {
    sums.distance.write(out);
    sums.speed.write(out);
    out.extend_from_slice(&sums.samples.to_le_bytes());
    out.extend_from_slice(&sums.fuel.0.to_le_bytes());
    out.extend_from_slice(&sums.fuel.1.to_le_bytes());
}

/// Parses an entry of the state.
pub(super) fn read(key: &[u8], mut value: &[u8]) -> Option<(Entity, Kept)> {
    if let Some(truck) = truck_of_times(key) {
        let (times, []) = value.as_chunks::<8>() else { return None };
        let [latest, closed, horizon] = *times else { return None };
        let [latest, closed, horizon] = [latest, closed, horizon].map(i64::from_le_bytes);
        return Some((truck, Kept::Times(Times { latest, closed, horizon })));
    }
    let (start, truck) = key.strip_prefix(&[WINDOW])?.split_first_chunk::<8>()?;
    let (distance, speed) = (Accumulation::read(&mut value)?, Accumulation::read(&mut value)?);
    let (samples, value) = value.split_first_chunk::<8>()?;
    let (of_fuel, fuel) = value.split_first_chunk::<8>()?;
    let fuel = (i64::from_le_bytes(*of_fuel), i128::from_le_bytes(fuel.try_into().ok()?));
    let sums = Sums { samples: i64::from_le_bytes(*samples), distance, speed, fuel };
    let window = Kept::Window(i64::from_be_bytes(*start), Box::new(sums));
    Some((std::str::from_utf8(truck).ok()?.into(), window))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_times_are_read_back() {
        let (distance, speed) = (Accumulation::of(5, -7), Accumulation::of(5, i64::MAX));
        let sums = Sums { samples: 9, distance, speed, fuel: (3, -1 << 100) };
        let window: Window = ("näher".into(), -300);
        let mut value = Vec::new();
        write_sums(&sums, &mut value);
        let Some((truck, Kept::Window(start, read_sums))) = read(&window_key(&window), &value) else {
            panic!("a window")
        };
        assert_eq!(((truck, start), *read_sums), (window, sums));
        assert!(read(b"w", &value).is_none() && read(b"t", &[0; 23]).is_none());
    }
}
