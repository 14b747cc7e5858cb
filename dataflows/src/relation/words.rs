//! Integers in as many words of 64 bits as their bound needs, the least significant word first.

use ethnum::I256;

/// The number of words for integers up to `bound` and down to its negative.
pub(super) fn width_of(bound: I256) -> usize {
    (I256::BITS - bound.leading_zeros()) as usize / 64 + 1
}

/// The words of an integer.
fn limbs(number: I256) -> [i64; 4] {
    let (high, low) = number.into_words();
    [low as i64, (low >> 64) as i64, high as i64, (high >> 64) as i64]
}

/// Adds the same number of words, or more. Wraps, so that a retraction always cancels its insertion.
#[inline]
fn add_limbs(words: &mut [i64], others: &[i64]) {
    let mut carry = false;
    for (word, other) in words.iter_mut().zip(others) {
        let (sum, overflows) = (*word as u64).overflowing_add(*other as u64);
        let (sum, overflows_by_carry) = sum.overflowing_add(carry.into());
        *word = sum as i64;
        carry = overflows | overflows_by_carry;
    }
}

/// Adds an integer of the same width.
#[inline]
pub(super) fn add(words: &mut [i64], others: &[i64]) {
    match (words, others) {
        ([word], [other]) => *word = word.wrapping_add(*other),
        (words, others) => add_limbs(words, others),
    }
}

/// Adds an integer of 256 bits.
#[inline]
pub(super) fn add_wide(words: &mut [i64], number: I256) {
    add_limbs(words, &limbs(number));
}

/// Adds an integer of 128 bits.
#[inline]
pub(super) fn add_narrow(words: &mut [i64], number: i128) {
    match words {
        [word] => *word = word.wrapping_add(number as i64),
        [low, high] => {
            let sum = join(*low, *high).wrapping_add(number);
            (*low, *high) = (sum as i64, (sum >> 64) as i64);
        }
        words => {
            let sign = (number >> 127) as i64;
            add_limbs(words, &[number as i64, (number >> 64) as i64, sign, sign]);
        }
    }
}

/// The integer of two words.
#[inline]
fn join(low: i64, high: i64) -> i128 {
    i128::from(high) << 64 | i128::from(low as u64)
}

/// The integer.
#[inline]
pub(super) fn wide(words: &[i64]) -> I256 {
    let sign = words.last().map_or(0, |last| last >> 63);
    let mut all = [sign; 4];
    all[..words.len()].copy_from_slice(words);
    let [a, b, c, d] = all.map(|word| i128::from(word as u64));
    I256::from_words(d << 64 | c, b << 64 | a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_of_words_add_up(high in any::<i128>(), low in any::<i128>(), more in any::<i128>(), shift in 2u32..256) {
            let number = I256::from_words(high, low) >> shift;
            let other = I256::from_words(more, high) >> shift;
            let bound = number.unsigned_abs().max(other.unsigned_abs()).as_i256() * 2;
            let mut words = vec![0; width_of(bound)];
            prop_assert!(words.len() <= 4);
            add_wide(&mut words, number);
            prop_assert_eq!(wide(&words), number);
            let mut others = vec![0; words.len()];
            add_wide(&mut others, other);
            add(&mut words, &others);
            prop_assert_eq!(wide(&words), number + other);
            add_wide(&mut words, -number);
            prop_assert_eq!(wide(&words), other);
            let narrow = low >> (shift / 2);
            add_narrow(&mut words, narrow);
            let sum = other.wrapping_add(narrow.into());
            let bits = 256 - 64 * words.len() as u32;
            prop_assert_eq!(wide(&words), sum << bits >> bits);
        }
    }
}
