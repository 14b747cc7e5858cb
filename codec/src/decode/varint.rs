//! Integers of variable length, as Avro and Protobuf have them: seven bits in each byte, the lowest first.

/// The integer at the start of `bytes`, and its length. None if it does not end, or has more than 64 bits.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Option<(u64, usize)> {
    match bytes.first() {
        Some(&byte) if byte < 0x80 => Some((byte.into(), 1)),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return (place < 9 || byte < 2).then_some((value, place + 1));
        }
    }
    None
}

/// The signed integer that is written as 0 for 0, 1 for -1, 2 for 1, and so on.
#[inline]
pub(super) const fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_at_most_64_bits() {
        assert_eq!(read(&[5, 9]), Some((5, 1)));
        assert_eq!(read(&[0x96, 0x01]), Some((150, 2)));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some((u64::MAX, 10)));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(read(&[0xff; 11]), None);
        assert_eq!(read(&[0x80]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn signed_integers_alternate() {
        for (value, signed) in
            [(0, 0), (1, -1), (2, 1), (3, -2), (u64::MAX, i64::MIN), (u64::MAX - 1, i64::MAX)]
        {
            assert_eq!(zigzag(value), signed);
        }
    }
}
