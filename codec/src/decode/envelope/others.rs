//! What becomes of the other readings of a message.

/// What becomes of the other readings of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They stay.
    Stay,
    /// What has them becomes an empty list.
    Emptied,
    /// They are left out, with the keys that lead to them.
    LeftOut,
}
