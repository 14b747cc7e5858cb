//! A decoder for each topic of a source, made at its first message.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::item::Item;

use crate::decode::{Counted, Decode, Message};

/// Makes the decoder of a topic.
type Make<D> = Box<dyn Fn(&Arc<str>) -> D + Send>;

/// Passes each message to the decoder of its topic.
pub struct PerTopic<D> {
    make: Make<D>,
    /// The numbers of decoders.
    topics: BTreeMap<Arc<str>, usize>,
    /// The decoders, and whether each has decoded something since the last `take`.
    decoders: Vec<(D, bool)>,
    /// The topic of the last message, and the number of its decoder.
    current: Option<(Arc<str>, usize)>,
    /// The numbers of those that have, in their order.
    used: Vec<usize>,
    wall: i64,
}

impl<D: Decode> PerTopic<D> {
    /// Decoders that `make` makes for the name of a topic.
    pub fn new(make: impl Fn(&Arc<str>) -> D + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            topics: BTreeMap::new(),
            decoders: Vec::new(),
            current: None,
            used: Vec::new(),
            wall: 0,
        }
    }

    /// The decoder of a message's topic.
    #[inline]
    fn of(&mut self, message: &Message<'_>) -> Option<&mut D> {
        let topic = message.topic?;
        let number = match &self.current {
            Some((current, number)) if Arc::ptr_eq(current, topic) => *number,
            _ => self.change_to(topic),
        };
        Some(&mut self.decoders[number].0)
    }

    /// The decoder of a topic becomes the current one, and learns the wall clock.
    #[cold]
    fn change_to(&mut self, topic: &Arc<str>) -> usize {
        let number = match self.topics.get(topic) {
            Some(&number) => number,
            None => {
                let number = self.decoders.len();
                self.decoders.push(((self.make)(topic), false));
                self.topics.insert(topic.clone(), number);
                number
            }
        };
        self.decoders[number].0.set_wall_clock(self.wall);
        self.current = Some((topic.clone(), number));
        self.use_current();
        number
    }

    fn use_current(&mut self) {
        if let Some((_, number)) = self.current
            && !std::mem::replace(&mut self.decoders[number].1, true)
        {
            self.used.push(number);
        }
    }
}

impl<D: Decode> Decode for PerTopic<D> {
    /// Messages of topics have no header.
    fn header(&mut self, _header: &[u8]) {}

    fn set_wall_clock(&mut self, wall: i64) {
        self.wall = wall;
        if let Some((_, number)) = self.current {
            self.decoders[number].0.set_wall_clock(wall);
        }
    }

    #[inline]
    fn is_ready(&mut self, message: &Message<'_>) -> bool {
        self.of(message).is_none_or(|decoder| decoder.is_ready(message))
    }

    #[inline]
    fn decode(&mut self, message: &Message<'_>) {
        if let Some(decoder) = self.of(message) {
            decoder.decode(message);
        }
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        for number in std::mem::take(&mut self.used) {
            let (decoder, is_used) = &mut self.decoders[number];
            decoder.take(items);
            *is_used = false;
        }
        // The next message may be of the same topic.
        self.use_current();
    }

    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64)) {
        self.decoders.iter_mut().for_each(|(decoder, _)| decoder.take_counts(count));
    }

    fn last_time(&self) -> Option<i64> {
        let (_, number) = self.current.as_ref()?;
        self.decoders[*number].0.last_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers what it was called with.
    struct Heard(String, Vec<String>);

    impl Decode for Heard {
        fn header(&mut self, _header: &[u8]) {}

        fn set_wall_clock(&mut self, wall: i64) {
            self.1.push(format!("wall {wall}"));
        }

        fn decode(&mut self, message: &Message<'_>) {
            self.1.push(format!("message {}", message.offset));
        }

        fn take(&mut self, items: &mut Vec<Item>) {
            items.extend((!self.1.is_empty()).then_some(Item::Behind(self.1.len() as i64)));
        }

        fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64)) {
            self.1.drain(..).for_each(|heard| count(Counted::Rounded(&format!("{}: {heard}", self.0)), 1));
        }

        fn last_time(&self) -> Option<i64> {
            Some(self.1.len() as i64)
        }
    }

    #[test]
    fn each_topic_has_a_decoder_that_knows_the_wall_clock() {
        let mut decoder = PerTopic::new(|topic| Heard(topic.to_string(), Vec::new()));
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut decode = |wall, messages: &[(&Arc<str>, i64)]| {
            decoder.set_wall_clock(wall);
            for &(topic, offset) in messages {
                decoder.decode(&Message { topic: Some(topic), offset, ..Message::default() });
            }
            let (mut items, mut heard) = (Vec::new(), Vec::new());
            let last = decoder.last_time();
            decoder.take(&mut items);
            decoder.take_counts(&mut |said, _| {
                if let Counted::Rounded(said) = said {
                    heard.push(said.to_owned());
                }
            });
            (heard.join(", "), items.len(), last)
        };
        assert_eq!(
            decode(1, &[(&a, 0), (&b, 7), (&a, 1)]),
            ("a: wall 1, a: message 0, a: wall 1, a: message 1, b: wall 1, b: message 7".into(), 2, Some(4))
        );
        assert_eq!(decode(2, &[(&a, 2)]), ("a: wall 2, a: message 2".into(), 1, Some(2)));
        // The same name in another place.
        let again: Arc<str> = "b".into();
        assert_eq!(decode(3, &[(&again, 8)]), ("a: wall 3, b: wall 3, b: message 8".into(), 2, Some(2)));
    }
}
