//! `[message]` and `[record]`: how bytes become an object, and which of its values become fields.
//!
//! | file | contents |
//! |---|---|
//! | `written` | the tables as they are written |
//! | `texts` | one text or a list of texts |
//! | `compile` | the mapping that decoders use |
//! | `field` | one field of it |
//! | `dedupe` | which readings repeat others |

mod compile;
mod dedupe;
mod field;
#[cfg(test)]
mod tests;
mod texts;
pub(super) mod written;

pub use compile::{mapping, registry};
pub use dedupe::dedupe;
pub use texts::Texts;
pub use written::{
    Bad, Dedupe, FieldEntry, FieldWritten, Format, MessageSettings, Preset, RecordFields, TimeUnit, Within,
};
