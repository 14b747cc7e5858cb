//! Where a job began to read its topics, and how far each of its views has read its inputs.

use std::sync::Arc;

use dataflows::item::NextOffset;
use serde::{Deserialize, Serialize};

/// Where a job began to read a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstOffset {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that the job read, or would have read.
    pub offset: i64,
    /// The start that the offset was resolved from; none if the partition appeared later, and was read from its beginning.
    pub start: Option<String>,
}

/// Where a job began to read a partition; 0 if that is not known.
pub fn first_of(offsets: &[FirstOffset], topic: &str, partition: i32) -> i64 {
    let is_it = |at: &&FirstOffset| *at.topic == *topic && at.partition == partition;
    offsets.iter().find(is_it).map_or(0, |at| at.offset)
}

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
    /// Up to where the dead letters are of the view's definition before: see [`crate::job::replace`].
    Outdated,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Filled, Self::Since, Self::Left, Self::Outdated];

    /// Its name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Since => "since",
            Self::Left => "left",
            Self::Outdated => "outdated",
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
