//! What a table of a view needs before a job writes to it.

use std::fmt;

/// The changes that a table needs, in any database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether it does not exist yet.
    pub is_new: bool,
    /// What an existing table lacks: names of columns, or of an index.
    pub added: Vec<String>,
    /// The statements that create or extend it, in their order.
    pub statements: Vec<String>,
    /// What happens to some values in the columns that exist.
    pub notes: Vec<String>,
}

/// What `truckflow check` reports.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_new {
            return f.write_str("will be created on the first run");
        }
        f.write_str("compatible")?;
        if !self.added.is_empty() {
            write!(f, "; the next run adds {}", self.added.join(", "))?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}
