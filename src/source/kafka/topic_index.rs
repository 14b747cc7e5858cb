//! The topics of a reader by number, so that its partitions are found quickly.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A partition of a topic of a [`TopicIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicPartition {
    /// The number of the topic.
    pub(super) topic: u32,
    /// The partition; -1 if an error is about none.
    pub(super) partition: i32,
}

/// Topics by number.
#[derive(Debug, Default)]
pub(super) struct TopicIndex {
    names: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u32>,
}

impl TopicIndex {
    /// A partition of a topic, which gets a number if it has none.
    pub(super) fn at(&mut self, topic: &str, partition: i32) -> TopicPartition {
        let number = match self.numbers.get(topic) {
            Some(&number) => number,
            None => {
                let (name, number) = (Arc::<str>::from(topic), self.names.len() as u32);
                self.numbers.insert(name.clone(), number);
                self.names.push(name);
                number
            }
        };
        TopicPartition { topic: number, partition }
    }

    /// The name of the topic of a partition.
    pub(super) fn name(&self, at: TopicPartition) -> &Arc<str> {
        &self.names[at.topic as usize]
    }
}
