//! The format of state parts in the store: a header followed by the bytes.
//!
//! ```text
//! format | checksum of the format and all that follows | mark of job and view | entries
//! ```
//!
//! The format is one byte; checksum (CRC-32) and mark are little-endian `u32`s. [`export`] writes a job's state to a
//! file.

pub mod export;
pub mod offset;

use dataflows::state::{Damaged, Fold, entries};
use dataflows::views::View;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The format of this version.
const VERSION: u8 = 7;
/// Size of a part, far below the server's packet limit.
const PART_BYTES: usize = 512 << 10;

/// The next step when a job's state cannot be used.
const WAY_BACK: &str = "to restore an export, run `truckflow state reset` and `truckflow state import FILE`; \
                        otherwise restore a backup of the database, or start a new --job with a new --out";

/// A view of a job, as recorded in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredView {
    /// The view.
    pub name: String,
    /// The definition on which its state depends.
    pub definition: String,
    /// How far it is.
    pub phase: Phase,
}

/// How far a stored view is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is filled from the beginning of the input.
    Backfilling,
    /// Its new rows and state are committed, but its table and files still have the names with which they were filled.
    Renaming,
    /// It is up to date.
    Complete,
}

impl Phase {
    pub(crate) const ALL: [Self; 3] = [Self::Backfilling, Self::Renaming, Self::Complete];

    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backfilling => "backfilling",
            Self::Renaming => "renaming",
            Self::Complete => "complete",
        }
    }
}

/// Stored state that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Written by another version.
    #[error(
        "the state of view `{view}` has format {found}, but this version reads {VERSION}; run the version that wrote it, or {WAY_BACK}"
    )]
    Version {
        /// The view.
        view: String,
        /// The format found.
        found: u8,
    },
    /// The checksum does not match, or the content does not parse.
    #[error("the state of view `{view}` in the database is damaged; {WAY_BACK}")]
    Damaged {
        /// The view.
        view: String,
    },
    /// Written for another job, or for another view of it.
    #[error(
        "the state of view `{view}` in the database does not belong to this view of job `{job}`; {WAY_BACK}"
    )]
    Foreign {
        /// The view.
        view: String,
        /// The job.
        job: String,
    },
}

/// The job and view that state belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The job.
    pub job: &'a str,
    /// The view.
    pub view: &'a str,
}

impl Owner<'_> {
    fn mark(self) -> [u8; 4] {
        // Job names contain no zero byte.
        crc32fast::hash(&[self.job.as_bytes(), &[0], self.view.as_bytes()].concat()).to_le_bytes()
    }

    fn damaged(self) -> StateError {
        StateError::Damaged { view: self.view.to_owned() }
    }
}

/// Puts a header before a state change.
pub fn seal(owner: Owner<'_>, bytes: &[u8]) -> Vec<u8> {
    let mark = owner.mark();
    let mut sealed = Vec::with_capacity(bytes.len() + 9);
    sealed.push(VERSION);
    sealed.extend_from_slice(&checksum(&[&[VERSION], &mark, bytes]));
    sealed.extend_from_slice(&mark);
    sealed.extend_from_slice(bytes);
    sealed
}

fn checksum(pieces: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().to_le_bytes()
}

/// Verifies the header, and returns the state change after it.
pub fn unseal<'a>(owner: Owner<'_>, sealed: &'a [u8]) -> Result<&'a [u8], StateError> {
    let damaged = || owner.damaged();
    let (&version, rest) = sealed.split_first().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(StateError::Version { view: owner.view.to_owned(), found: version });
    }
    let (found, bytes) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if *found != checksum(&[&[version], bytes]) {
        return Err(damaged());
    }
    let (mark, bytes) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    if *mark != owner.mark() {
        return Err(StateError::Foreign { view: owner.view.to_owned(), job: owner.job.to_owned() });
    }
    Ok(bytes)
}

/// Checks that all entries of folded state are valid for the view, and returns their number.
pub fn validate_entries(view: &View, folded: &[u8]) -> Result<i64, StateError> {
    let mut count = 0;
    for entry in entries(folded) {
        match entry {
            Ok((key, value)) if (view.keeps)(key, value) => count += 1,
            Ok(_) | Err(Damaged) => return Err(StateError::Damaged { view: view.name.to_string() }),
        }
    }
    Ok(count)
}

/// Folds the sealed parts of a view, newest first.
pub struct SealedFold<'a> {
    owner: Owner<'a>,
    fold: Fold,
    unusable: Option<StateError>,
    /// The number of parts.
    pub parts: usize,
    /// The size of all parts in bytes.
    pub bytes: usize,
}

impl<'a> SealedFold<'a> {
    /// Starts without any part.
    pub fn new(owner: Owner<'a>) -> Self {
        Self { owner, fold: Fold::new(PART_BYTES), unusable: None, parts: 0, bytes: 0 }
    }

    /// Adds a part that is older than the previous ones. Errors are returned by [`finish`](Self::finish).
    pub fn older(&mut self, sealed: &[u8]) {
        self.parts += 1;
        self.bytes += sealed.len();
        let owner = self.owner;
        let folded =
            unseal(owner, sealed).and_then(|part| self.fold.older(part).map_err(|Damaged| owner.damaged()));
        if let Err(error) = folded {
            self.unusable.get_or_insert(error);
        }
    }

    /// The parts of the snapshot, not sealed.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, StateError> {
        self.unusable.map_or(Ok(self.fold.finish()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Job};

    const OWNER: Owner<'_> = Owner { job: "job", view: "v" };

    #[test]
    fn a_flipped_bit_is_found() {
        for mut sealed in [seal(OWNER, b"state"), seal(OWNER, b"")] {
            let bytes = unseal(OWNER, &sealed).unwrap().to_vec();
            assert!(bytes.is_empty() || bytes == b"state");
            for bit in 0..sealed.len() * 8 {
                sealed[bit / 8] ^= 1 << (bit % 8);
                assert!(unseal(OWNER, &sealed).is_err(), "bit {bit}");
                sealed[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_truncated_value_is_found() {
        let sealed = seal(OWNER, b"state");
        for length in 0..sealed.len() {
            assert!(unseal(OWNER, &sealed[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn another_owner_is_refused() {
        for owner in [Owner { job: "job2", ..OWNER }, Owner { view: "w", ..OWNER }] {
            let error = unseal(owner, &seal(OWNER, b"state")).unwrap_err();
            assert!(matches!(error, StateError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        for format in [VERSION - 1, VERSION + 1] {
            let mut sealed = seal(OWNER, b"state");
            sealed[0] = format;
            let error = unseal(OWNER, &sealed).unwrap_err();
            assert!(matches!(error, StateError::Version { found, .. } if found == format), "{error}");
        }
    }

    #[test]
    fn entries_of_no_view_are_damage() {
        let mut change = Vec::new();
        dataflows::state::push_entry(&mut change, b"truck", |out| out.push(7));
        for view in &Job::try_from(Config::default()).unwrap().active_views {
            assert!(validate_entries(view, &change).is_err(), "{}", view.name);
            assert_eq!(validate_entries(view, b"").unwrap(), 0);
        }
    }
}
