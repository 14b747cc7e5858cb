//! How state parts lie in the store: a format version and a checksum before the bytes.

use dataflows::state::{Damaged, Fold};
use thiserror::Error;

/// The format that this version writes. From 2 on, `filtered_join` keeps blocks of readings.
const VERSION: u8 = 2;
/// The oldest format that it reads.
const OLDEST: u8 = 1;
const HEADER: usize = 5;
/// Bytes of a part; the store's values stay far below the server's packet limit.
const PART_BYTES: usize = 512 << 10;

/// Stored state that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Written by another version.
    #[error(
        "the state of view `{view}` has format {found}, but this version reads {OLDEST} to {VERSION}; run the version that wrote it, or start a new --job"
    )]
    Version {
        /// The view.
        view: String,
        /// The format found.
        found: u8,
    },
    /// The checksum does not fit.
    #[error(
        "the state of view `{view}` in the database is damaged; restore the database from a backup, or start a new --job from the topic's beginning"
    )]
    Damaged {
        /// The view.
        view: String,
    },
}

/// Puts version and checksum before a state change.
pub fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(bytes.len() + HEADER);
    sealed.push(VERSION);
    sealed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    sealed.extend_from_slice(bytes);
    sealed
}

/// Verifies version and checksum, and gives the state change behind them.
pub fn unseal<'a>(view: &str, sealed: &'a [u8]) -> Result<&'a [u8], StateError> {
    let damaged = || StateError::Damaged { view: view.to_owned() };
    let (&version, rest) = sealed.split_first().ok_or_else(damaged)?;
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(StateError::Version { view: view.to_owned(), found: version });
    }
    let (checksum, bytes) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(bytes) != u32::from_le_bytes(*checksum) {
        return Err(damaged());
    }
    Ok(bytes)
}

/// Folds the sealed parts of a view, newest first.
pub struct SealedFold<'a> {
    view: &'a str,
    fold: Fold,
    unusable: Option<StateError>,
    /// How many parts were given.
    pub parts: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl<'a> SealedFold<'a> {
    /// Nothing of `view` yet.
    pub fn new(view: &'a str) -> Self {
        Self { view, fold: Fold::new(PART_BYTES), unusable: None, parts: 0, bytes: 0 }
    }

    /// Takes a part that is older than those before. What is wrong with it is told in the end.
    pub fn older(&mut self, sealed: &[u8]) {
        self.parts += 1;
        self.bytes += sealed.len();
        let folded = unseal(self.view, sealed).and_then(|part| {
            self.fold.older(part).map_err(|Damaged| StateError::Damaged { view: self.view.to_owned() })
        });
        if let Err(error) = folded {
            self.unusable.get_or_insert(error);
        }
    }

    /// The parts of a snapshot, not sealed.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, StateError> {
        self.unusable.map_or(Ok(self.fold.finish()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_found() {
        let mut sealed = seal(b"state");
        assert_eq!(unseal("v", &sealed).unwrap(), b"state");
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal("v", &sealed).is_err());
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(unseal("v", &[]).is_err());
    }
}
