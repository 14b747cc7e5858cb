//! Why the verification of a view failed.

use crate::command::error::Error;

/// Why the verification of a view failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A difference, described.
    Differs(String),
    /// An error that ends the command.
    Ends(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Ends(error.into())
    }
}
