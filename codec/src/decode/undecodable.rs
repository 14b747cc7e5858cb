//! Why bytes cannot be read with their schema, and the bounds of what any bytes may become.

use dataflows::dead_letter::Reason;

use super::tree::MAX_DEPTH;

/// How many values a message may have, in addition to [`VALUES_PER_BYTE`]: elements without bytes, and fields that
/// are absent, are values too.
const MAX_VALUES: usize = 1 << 20;
/// How many values each byte of a message may add.
const VALUES_PER_BYTE: usize = 8;

/// Why bytes cannot be read with their schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// They are not what the schema describes, end too early, or go on behind it.
    #[error("the bytes do not match the schema")]
    Malformed,
    /// Objects and arrays are nested more than [`MAX_DEPTH`] levels deep.
    #[error("the values are nested too deeply")]
    TooDeep,
    /// They stand for far more values than a message of their length has.
    #[error("the bytes stand for too many values")]
    TooLarge,
}

impl Undecodable {
    /// The reason of the dead letter.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::Undecodable,
            Self::TooDeep => Reason::NotAnObject,
            Self::TooLarge => Reason::TooLarge,
        }
    }
}

/// Checks that an object or array at this depth, counted from 1, is allowed.
pub(super) fn check_depth(depth: usize) -> Result<(), Undecodable> {
    if depth > MAX_DEPTH { Err(Undecodable::TooDeep) } else { Ok(()) }
}

/// How many values a message may still have. This bounds memory: a few bytes may declare any number of values.
#[derive(Debug)]
pub(super) struct Values {
    left: usize,
}

impl Values {
    /// The values of a message with `length` bytes.
    pub fn of(length: usize) -> Self {
        Self { left: length.saturating_mul(VALUES_PER_BYTE).saturating_add(MAX_VALUES) }
    }

    /// Takes `number` of them.
    #[inline]
    pub fn take(&mut self, number: usize) -> Result<(), Undecodable> {
        self.left = self.left.checked_sub(number).ok_or(Undecodable::TooLarge)?;
        Ok(())
    }
}
