//! Integers of some words as few bytes: their number, then the significant ones, the least first.

/// Appends an integer of at most four words of 64 bits, the least significant word first.
#[inline]
pub(super) fn push(words: &[i64], out: &mut Vec<u8>) {
    match *words {
        [word] => push_narrow(word.into(), out),
        [low, high] => push_narrow(join(low, high), out),
        [low, high, ref more @ ..] if more.iter().all(|word| *word == high >> 63) => {
            push_narrow(join(low, high), out);
        }
        _ => {
            out.push(size_of_val(words) as u8);
            words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
    }
}

/// Appends nothing, in place of an integer.
pub(super) fn push_none(out: &mut Vec<u8>) {
    out.push(0);
}

#[inline]
fn push_narrow(number: i128, out: &mut Vec<u8>) {
    let bits = i128::BITS - (number ^ (number >> 127)).leading_zeros();
    // The last byte that is kept has the sign bit.
    let length = bits as usize / 8 + 1;
    out.push(length as u8);
    let end = out.len() + length;
    // A length that is known is copied faster.
    out.extend_from_slice(&number.to_le_bytes());
    out.truncate(end);
}

#[inline]
fn join(low: i64, high: i64) -> i128 {
    i128::from(high) << 64 | i128::from(low as u64)
}

/// Takes an integer that fits these words from the front of `bytes`; returns whether there was one.
#[inline]
pub(super) fn take(bytes: &mut &[u8], words: &mut [i64]) -> Option<bool> {
    let (&length, rest) = bytes.split_first()?;
    let length = usize::from(length);
    let (taken, after) = rest.split_at_checked(length)?;
    if length > size_of_val(words) {
        return None;
    }
    if length <= 16 {
        if length == 0 {
            *bytes = after;
            return Some(false);
        }
        let all = match rest.first_chunk() {
            Some(all) => *all,
            None => {
                let mut all = [0; 16];
                all[..length].copy_from_slice(taken);
                all
            }
        };
        let unused = i128::BITS - 8 * length as u32;
        let number = i128::from_le_bytes(all) << unused >> unused;
        let sign = (number >> 127) as i64;
        let all = [number as i64, (number >> 64) as i64, sign, sign];
        words.iter_mut().zip(all).for_each(|(word, taken)| *word = taken);
    } else {
        let (all, []) = taken.as_chunks::<8>() else { return None };
        if all.len() != words.len() {
            return None;
        }
        words.iter_mut().zip(all).for_each(|(word, taken)| *word = i64::from_le_bytes(*taken));
    }
    *bytes = after;
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words of every magnitude.
    fn words() -> impl Strategy<Value = Vec<i64>> {
        (prop::collection::vec(any::<i64>(), 1..=4), 0usize..=4, 0u32..64, any::<bool>()).prop_map(
            |(mut words, whole, shift, negative)| {
                let flipped = -i64::from(negative);
                let whole = whole.min(words.len() - 1);
                words[whole] = words[whole] >> shift ^ flipped;
                let sign = words[whole] >> 63;
                words[whole + 1..].fill(sign);
                words
            },
        )
    }

    proptest! {
        #[test]
        fn integers_are_taken_as_they_were_pushed(
            all in prop::collection::vec(prop::option::of(words()), 0..6),
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = Vec::new();
            for words in &all {
                match words {
                    Some(words) => push(words, &mut bytes),
                    None => push_none(&mut bytes),
                }
            }
            let length = bytes.len();
            bytes.extend(&behind);
            let mut rest = &bytes[..];
            for words in &all {
                let mut taken = vec![7; words.as_ref().map_or(1, Vec::len)];
                prop_assert_eq!(take(&mut rest, &mut taken), Some(words.is_some()));
                prop_assert!(words.as_ref().is_none_or(|words| *words == taken));
            }
            prop_assert_eq!(rest, &behind[..]);
            if let Some(Some(last)) = all.last() {
                // Neither a part of it nor fewer words are enough.
                let mut one = Vec::new();
                push(last, &mut one);
                prop_assert_eq!(take(&mut &one[..one.len() - 1], &mut last.clone()), None);
                let narrower = (one.len() - 2) / 8;
                prop_assert_eq!(take(&mut &one[..], &mut vec![0; narrower]), None);
            }
            prop_assert!(length >= all.len());
        }

        #[test]
        fn any_bytes_are_an_integer_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40), width in 1usize..=4) {
            let mut rest = &bytes[..];
            if let Some(is_there) = take(&mut rest, &mut vec![0; width]) {
                prop_assert_eq!(bytes.len() - rest.len(), usize::from(bytes[0]) + 1);
                prop_assert_eq!(is_there, bytes[0] != 0);
            }
        }
    }
}
