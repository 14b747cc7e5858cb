//! What the store keeps of how far inputs were read: the job's own offsets, and those of its views.

use dataflows::item::{Mark, NextOffset};
use serde::{Deserialize, Serialize};

use super::{Commit, LastCommit};

/// What an offset says about a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// How far the view is filled with what was before it.
    Filled,
    /// Where a view begins that was not filled.
    Since,
    /// Where the view was left out of the job.
    Left,
}

impl Role {
    const ALL: [Self; 3] = [Self::Filled, Self::Since, Self::Left];

    /// Its name in the database.
    fn name(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Since => "since",
            Self::Left => "left",
        }
    }
}

/// The role of the job's own offsets, which are of no view.
const OWN: &str = "read";

/// An offset of a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewOffset {
    /// The view.
    pub view: String,
    /// What the offset says about it.
    pub role: Role,
    /// The offset.
    pub at: NextOffset,
}

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

/// The mark of these columns; none where they are NULL.
pub(super) fn mark(bytes: Option<i64>, hash: Option<&str>) -> Option<Mark> {
    Some(Mark { bytes: bytes? as u64, hash: u128::from_str_radix(hash?, 16).ok()? })
}

/// Those of `offsets` that are of a view in a role, under their topics.
pub fn of_view<'a>(
    offsets: &'a [ViewOffset],
    view: &'a str,
    role: Role,
) -> impl Iterator<Item = &'a NextOffset> {
    let is_it = move |of: &&ViewOffset| of.view == view && of.role == role;
    offsets.iter().filter(is_it).map(|of| &of.at)
}

/// These offsets as those of a view.
pub fn for_view(view: &str, role: Role, offsets: impl IntoIterator<Item = NextOffset>) -> Vec<ViewOffset> {
    offsets.into_iter().map(|at| ViewOffset { view: view.to_owned(), role, at }).collect()
}
