//! What is known of a sample apart from its messages.

use super::proposal::{Input, Registry};

/// What is known of a sample apart from its messages.
#[derive(Clone, Debug)]
pub struct Hints {
    /// Where it was taken from.
    pub input: Input,
    /// The schema registry, if it is known.
    pub registry: Option<Registry>,
}
