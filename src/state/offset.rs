//! How far each view of a job has read its inputs.

use dataflows::item::NextOffset;
use serde::{Deserialize, Serialize};

/// The meaning of a view's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// How far the view is backfilled.
    Filled,
    /// Where a view starts that was not backfilled.
    Since,
    /// Where the view was removed from the job.
    Left,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Filled, Self::Since, Self::Left];

    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Since => "since",
            Self::Left => "left",
        }
    }
}

/// An offset of a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewOffset {
    /// The view.
    pub view: String,
    /// The meaning of the offset.
    pub role: Role,
    /// The offset.
    pub at: NextOffset,
}

/// The offsets of a view with this role.
pub fn of_view<'a>(
    offsets: &'a [ViewOffset],
    view: &'a str,
    role: Role,
) -> impl Iterator<Item = &'a NextOffset> {
    let is_it = move |of: &&ViewOffset| of.view == view && of.role == role;
    offsets.iter().filter(is_it).map(|of| &of.at)
}

/// Turns offsets into offsets of a view with this role.
pub fn for_view(view: &str, role: Role, offsets: impl IntoIterator<Item = NextOffset>) -> Vec<ViewOffset> {
    offsets.into_iter().map(|at| ViewOffset { view: view.to_owned(), role, at }).collect()
}
