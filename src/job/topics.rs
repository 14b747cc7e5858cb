//! The topics of a job at its start: where they begin, and what has changed since the job began.

use std::collections::BTreeSet;

use crate::config::Job;
use crate::source::kafka::{Beginning, Start, TopicSet};
use crate::store::LastCommit;
use crate::text::printable::quantity;

/// Where the topics of a job begin after its last commit.
pub(super) fn beginning(config: &Job, last: &LastCommit) -> Beginning {
    let start = (last.epoch == 0).then_some(config.start);
    Beginning { committed: last.offsets.clone(), known: last.topics.clone(), start }
}

/// The text of the `kafka.start` from which the offsets of a job were resolved that has committed.
pub(crate) fn began_at(last: &LastCommit) -> String {
    let known = last.begun.iter().find_map(|at| at.start.clone());
    known.unwrap_or_else(|| Start::default().to_string())
}

/// The most partitions that are listed in a description.
const LISTED: usize = 16;

/// Lists where partitions begin.
pub(crate) fn describe_starts<'a>(starts: impl IntoIterator<Item = (&'a str, i32, i64)>) -> String {
    let mut starts = starts.into_iter();
    let listed: Vec<String> = (starts.by_ref().take(LISTED))
        .map(|(topic, partition, offset)| format!("{topic} {partition}:{offset}"))
        .collect();
    match starts.count() {
        0 => listed.join(", "),
        more => format!("{} and {}", listed.join(", "), quantity(more, "more partition")),
    }
}

/// Warns if a job that has committed does not read all of its topics any more, or would begin elsewhere now.
pub(super) fn warn_of_changes(config: &Job, last: &LastCommit) {
    if last.epoch == 0 || config.input.is_some() {
        return;
    }
    let (began, start) = (began_at(last), config.start.to_string());
    if began != start {
        tracing::warn!(
            began,
            "kafka.start = {start} is ignored, because the job has already begun; start a new --job with a new --out to begin there"
        );
    }
    for topic in last.offsets.iter().map(|at| &*at.topic).collect::<BTreeSet<_>>() {
        if !config.reads_topic(topic) {
            tracing::warn!(
                topic,
                "the topic is no longer among the topics of the job and is not read; its committed offsets are kept"
            );
        }
    }
}

/// Warns about topics of committed offsets that no longer exist, but whose names match a pattern.
pub(super) fn warn_of_missing(config: &Job, from: &Beginning, found: &TopicSet) {
    let committed: BTreeSet<_> = from.committed.iter().map(|at| &at.topic).collect();
    for topic in committed.into_iter().filter(|topic| config.reads_topic(topic)) {
        if !found.names().any(|name| name == topic) {
            tracing::warn!(
                topic = &**topic,
                "the topic, which the job has read, no longer exists; it is read from its committed offsets if it appears again"
            );
        }
    }
}
