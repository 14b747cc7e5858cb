//! The header of Confluent's serializers: 0, and the schema's id in four bytes.
//!
//! <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>

use super::undecodable::Undecodable;

/// The schema's id of a message, and what follows its header.
///
/// ```
/// use codec::decode::confluent;
///
/// assert_eq!(confluent::split(b"\0\0\0\x01\x02{}"), Ok((258, &b"{}"[..])));
/// assert!(confluent::split(b"{\"a\":1}").is_err());
/// ```
///
/// # Errors
/// There is no header.
pub fn split(message: &[u8]) -> Result<(u32, &[u8]), Undecodable> {
    match message.split_first_chunk::<5>() {
        Some((&[0, a, b, c, d], rest)) => Ok((u32::from_be_bytes([a, b, c, d]), rest)),
        _ => Err(Undecodable::Malformed),
    }
}
