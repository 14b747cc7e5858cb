//! The bytes that a mapping reads.

use crate::decode::confluent;
use crate::decode::mapping::{Format, Mapping};

/// The bytes of a message without the header that names its schema.
pub(super) fn body<'m>(mapping: &Mapping, payload: &'m [u8]) -> &'m [u8] {
    match mapping.format {
        Format::Registry(_) => confluent::split(payload).map_or(payload, |(_, body)| body),
        Format::Text | Format::Csv { .. } | Format::Schema(_) => payload,
    }
}
