//! The natural order of names.

use std::cmp::Ordering;

/// The natural order of names: `truck-2` before `truck-10`.
pub(super) fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(first), Some(second)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, other) = (number(&mut left), number(&mut right));
            match one.len().cmp(&other.len()).then_with(|| one.cmp(other)) {
                Ordering::Equal => continue,
                order => return order,
            }
        }
        if first != second {
            return first.cmp(second);
        }
        (left, right) = (&left[1..], &right[1..]);
    }
}

/// Takes the leading digits of a text, and returns them without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (taken, rest) = text.split_at(digits);
    *text = rest;
    &taken[taken.iter().take_while(|byte| **byte == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_in_natural_order() {
        let mut names = ["b1", "a10", "a2", "a02", "a", "a1b", "", "a00000000000000000000000000003"];
        names.sort_by(|a, b| by_numbers(a, b));
        assert_eq!(names, ["", "a", "a1b", "a02", "a2", "a00000000000000000000000000003", "a10", "b1"]);
    }
}
