//! Texts of fields that were met before. Most are the names of entities and of states: few, again and again.

use std::sync::Arc;

use super::message::MAX_ENTITY_BYTES;

/// How many texts are kept.
const KEPT: usize = 64;

/// Gives equal texts the same memory, as long as their places hold no other ones.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Each at the place that its bytes say; empty before the first one.
    known: Vec<Option<Arc<str>>>,
}

impl Texts {
    /// A text, in the memory of an equal one if that is kept.
    #[inline]
    pub fn share(&mut self, text: &str) -> Arc<str> {
        let place = place(text.as_bytes());
        match self.known.get(place) {
            Some(Some(known)) if **known == *text => known.clone(),
            _ => self.keep(place, text),
        }
    }

    fn keep(&mut self, place: usize, text: &str) -> Arc<str> {
        let shared: Arc<str> = text.into();
        if text.len() <= MAX_ENTITY_BYTES {
            self.known.resize(KEPT, None);
            self.known[place] = Some(shared.clone());
        }
        shared
    }
}

/// The place of a text: of the first and the last eight bytes.
#[inline]
fn place(text: &[u8]) -> usize {
    let bytes = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29) ^ text.len() as u64
        }
        _ => text.iter().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte)),
    };
    // The upper bits of the product depend on all bytes.
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_met_again_shares_its_memory() {
        let mut texts = Texts::default();
        for text in ["", "a", "truck-1", "truck-11", "a longer name of a truck"] {
            let first = texts.share(text);
            assert_eq!(&*first, text);
            assert!(Arc::ptr_eq(&first, &texts.share(text)), "{text}");
        }
    }

    #[test]
    fn the_memory_of_texts_is_bounded() {
        let mut texts = Texts::default();
        for number in 0..10_000 {
            let text = number.to_string();
            assert_eq!(*texts.share(&text), text);
            texts.share(&text.repeat(100));
        }
        assert_eq!(texts.known.len(), KEPT);
        assert!(texts.known.iter().flatten().all(|text| text.len() <= MAX_ENTITY_BYTES));
    }
}
