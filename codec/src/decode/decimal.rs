//! Decimals in the form of Avro and Connect: an integer of any length, and a scale. No float is on their way.

use num_bigint::BigInt;

use super::undecodable::Undecodable;

/// The longest integer that is read, in bytes. It takes time quadratic in that.
const MAX_BYTES: usize = 4096;
/// The largest scale that is written with a point and zeros. Others are written with an exponent, which is short.
const MAX_ZEROS: i64 = 1024;

/// The text of `unscaled` / 10^`scale`, where `unscaled` is a big-endian integer in two's complement.
pub(super) fn text(unscaled: &[u8], scale: i64) -> Result<String, Undecodable> {
    if unscaled.len() > MAX_BYTES {
        return Err(Undecodable::TooLarge);
    }
    let negative = unscaled.first().is_some_and(|byte| *byte >= 0x80);
    let integer = match unscaled.len() {
        // Most are short.
        0..=8 => {
            let mut bytes = [if negative { 0xff } else { 0 }; 8];
            bytes[8 - unscaled.len()..].copy_from_slice(unscaled);
            i64::from_be_bytes(bytes).to_string()
        }
        _ => BigInt::from_signed_bytes_be(unscaled).to_string(),
    };
    Ok(scaled(integer, scale))
}

/// The text of an integer, divided by 10^`scale`.
pub(super) fn scaled(integer: String, scale: i64) -> String {
    let (sign, digits) = integer.strip_prefix('-').map_or(("", &*integer), |digits| ("-", digits));
    match scale {
        0 => integer,
        1..=MAX_ZEROS => {
            let digits = format!("{digits:0>width$}", width = scale as usize + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
            format!("{sign}{whole}.{fraction}")
        }
        _ => format!("{integer}e{}", -i128::from(scale)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_exactly() {
        for (unscaled, scale, shown) in [
            (&[][..], 0, "0"),
            (&[0], 2, "0.00"),
            (&[5], 0, "5"),
            (&[0x30, 0x39], 2, "123.45"),
            (&[0xcf, 0xc7], 2, "-123.45"),
            (&[0xff], 3, "-0.001"),
            (&[0xff, 0xff, 0xff], 3, "-0.001"),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1, "922337203685477580.7"),
            (&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0, "-9223372036854775809"),
            (&[5], -3, "5e3"),
            (&[5], i64::MAX, "5e-9223372036854775807"),
            (&[5], i64::MIN, "5e9223372036854775808"),
            (
                &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                0,
                "-170141183460469231731687303715884105728",
            ),
            (
                &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                39,
                "0.340282366920938463463374607431768211456",
            ),
        ] {
            assert_eq!(text(unscaled, scale).as_deref(), Ok(shown), "{unscaled:?} {scale}");
        }
    }

    #[test]
    fn a_decimal_of_any_bytes_is_bounded() {
        assert_eq!(text(&[1; MAX_BYTES + 1], 0), Err(Undecodable::TooLarge));
        assert_eq!(text(&[1; MAX_BYTES], 0).unwrap().len(), 9862);
        assert_eq!(text(&[1], 1024).unwrap().len(), 1026);
        assert_eq!(text(&[1], 1025).unwrap(), "1e-1025");
    }
}
