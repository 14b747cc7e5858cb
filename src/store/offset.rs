//! The table of offsets, which has those of the job and those of its views.

use dataflows::item::{Mark, NextOffset};

use super::commit::{Commit, LastCommit};
use crate::state::offset::{Role, ViewOffset};

/// The role of the job's own offsets, which belong to no view.
const OWN: &str = "read";

/// A row of the table of offsets.
pub(super) struct Row<'a> {
    pub view: &'a str,
    pub role: &'a str,
    pub at: &'a NextOffset,
}

impl<'a> Commit<'a> {
    /// Its rows in the table of offsets.
    pub(super) fn offset_rows(&self) -> impl Iterator<Item = Row<'a>> {
        let own = self.offsets.iter().map(|at| Row { view: "", role: OWN, at });
        own.chain(self.view_offsets.iter().map(|of| Row { view: &of.view, role: of.role.name(), at: &of.at }))
    }
}

impl LastCommit {
    /// Adds a row of the table of offsets.
    pub(super) fn add_offset(&mut self, view: String, role: &str, at: NextOffset) {
        match Role::ALL.into_iter().find(|known| known.name() == role) {
            Some(role) => self.view_offsets.push(ViewOffset { view, role, at }),
            None => self.offsets.push(at),
        }
    }
}

/// A mark's hash in the database: 32 hexadecimal digits.
pub(super) fn hash_text(mark: Mark) -> String {
    format!("{:032x}", mark.hash)
}

/// The mark in these columns; `None` if they are NULL.
pub(super) fn mark(bytes: Option<i64>, hash: Option<&str>) -> Option<Mark> {
    Some(Mark { bytes: bytes? as u64, hash: u128::from_str_radix(hash?, 16).ok()? })
}
