//! How far the views of a job have read its inputs.

use dataflows::item::NextOffset;
use serde::{Deserialize, Serialize};

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
    /// What the offset says about it.
    pub role: Role,
    /// The offset.
    pub at: NextOffset,
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
