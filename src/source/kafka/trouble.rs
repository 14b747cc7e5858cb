//! Why topics are not available.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a topic is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The topic.
    pub(super) topic: Arc<str>,
    /// The reason.
    pub(super) reason: String,
}

impl Trouble {
    /// The trouble of a partition; of the whole topic if it is negative.
    pub(super) fn of(topic: &Arc<str>, partition: i32, reason: &str) -> Self {
        let reason = if partition < 0 { reason.into() } else { format!("partition {partition}: {reason}") };
        Self { topic: topic.clone(), reason }
    }
}

/// Why some topics, or all of them, are not available.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// The first reason of each topic.
    topics: BTreeMap<Arc<str>, String>,
    /// Why all are not available.
    all: Option<String>,
}

impl Troubles {
    /// No topic is available.
    pub(super) fn of_all(reason: String) -> Self {
        Self { topics: BTreeMap::new(), all: Some(reason) }
    }

    /// Whether some topics may be available.
    pub(super) fn is_of_topics(&self) -> bool {
        self.all.is_none()
    }

    /// Whether all topics are available.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_none() && self.topics.is_empty()
    }

    /// Whether a topic is not available.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    pub(super) fn add(&mut self, trouble: Trouble) {
        self.topics.entry(trouble.topic).or_insert(trouble.reason);
    }

    pub(super) fn add_all(&mut self, others: Self) {
        self.topics.extend(others.topics);
        self.all = self.all.take().or(others.all);
    }

    /// What is not available, and why; none if everything is. `all` names all topics.
    pub(super) fn describe(&self, all: &str) -> Option<(String, String)> {
        if let Some(reason) = &self.all {
            return Some((all.to_owned(), reason.clone()));
        }
        let (topic, reason) = self.topics.first_key_value()?;
        let more = match self.topics.len() - 1 {
            0 => String::new(),
            1 => " (and 1 more topic)".to_owned(),
            more => format!(" (and {more} more topics)"),
        };
        Some((format!("topic {topic}{more}"), reason.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topic_is_named_unless_all_are_affected() {
        let mut troubles = Troubles::default();
        assert!(troubles.is_empty() && troubles.describe("topics ^t").is_none());
        for (topic, partition) in [("t2", -1), ("t1", 3), ("t1", 4)] {
            troubles.add(Trouble::of(&topic.into(), partition, "gone"));
        }
        assert!(troubles.has("t1") && !troubles.has("t3") && troubles.is_of_topics());
        let (away, reason) = troubles.describe("topics ^t").unwrap();
        assert_eq!((&*away, &*reason), ("topic t1 (and 1 more topic)", "partition 3: gone"));
        troubles.add_all(Troubles::of_all("no answer".into()));
        let (away, reason) = troubles.describe("topics ^t").unwrap();
        assert_eq!((&*away, &*reason), ("topics ^t", "no answer"));
        assert!(!troubles.is_of_topics() && !troubles.is_empty());
    }
}
