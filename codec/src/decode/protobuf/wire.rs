//! The wire format: tags, integers, and bytes with a length.

use crate::decode::undecodable::{Undecodable, check_depth};
use crate::decode::varint;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Sized,
    StartGroup,
    EndGroup,
    Fixed32,
}

/// The rest of a message's bytes.
pub(super) struct Wire<'a> {
    pub rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// The number of the next field, and how its value is written. None at the end.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<(u32, WireType)>, Undecodable> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Undecodable::Malformed)?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Sized,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(Undecodable::Malformed),
        };
        match tag >> 3 {
            0 => Err(Undecodable::Malformed),
            number => Ok(Some((number, wire_type))),
        }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Undecodable> {
        let (value, length) = varint::read(self.rest).ok_or(Undecodable::Malformed)?;
        self.rest = &self.rest[length..];
        Ok(value)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Undecodable::Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// Bytes with their length before them.
    #[inline]
    pub fn sized(&mut self) -> Result<&'a [u8], Undecodable> {
        let length = usize::try_from(self.varint()?).map_err(|_| Undecodable::Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Undecodable::Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A part of the place of a message's type.
    pub fn index(&mut self) -> Result<usize, Undecodable> {
        usize::try_from(varint::zigzag(self.varint()?)).map_err(|_| Undecodable::Malformed)
    }

    /// Skips the value of a field that is not read.
    pub fn skip(&mut self, number: u32, wire_type: WireType) -> Result<(), Undecodable> {
        // The groups that are open. They are skipped in a loop: bytes decide how deeply they are nested.
        let mut open = Vec::new();
        let (mut number, mut wire_type) = (number, wire_type);
        loop {
            match wire_type {
                WireType::Varint => _ = self.varint()?,
                WireType::Fixed64 => _ = self.array::<8>()?,
                WireType::Fixed32 => _ = self.array::<4>()?,
                WireType::Sized => _ = self.sized()?,
                WireType::StartGroup => {
                    open.push(number);
                    check_depth(open.len())?;
                }
                WireType::EndGroup if open.pop() == Some(number) => {}
                WireType::EndGroup => return Err(Undecodable::Malformed),
            }
            if open.is_empty() {
                return Ok(());
            }
            (number, wire_type) = self.tag()?.ok_or(Undecodable::Malformed)?;
        }
    }
}
