//! What keeps a view from being right, or from being verified.

use crate::command::error::Error;

/// Why a view was not found as it should be.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something is not as it should be, in words.
    Differs(String),
    /// It cannot be looked at.
    Ends(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Ends(error.into())
    }
}
