//! Kafka topics: partitions are assigned manually, and offsets come from our own commits, never from the group.
//!
//! ```text
//! TopicSet::connect  which topics there are; watermarks, start offset of each partition
//!   |- TopicReader   one consumer per worker, fetching in librdkafka's threads, read in batches
//!   |    ^ Found     new topics and partitions, or that a topic was re-created
//!   `- watch         one thread: lag, committed offsets reported to the group for lag tools, Found
//!        ' Discovered  ids of new topics, and where partitions begin: committed with their first messages
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `options`, `client`, `start` | connecting to topics, and where a new job begins |
//! | `set`, `topic`, `probe` | the topics, and the queries about them |
//! | `watch`, `found`, `trouble` | the thread that watches them, and its findings |
//! | `reader`, `queue`, `topic_index` | the partitions of one worker, read in batches |
//! | `doubt`, `settle` | partitions whose errors require a query to the brokers |
//! | `describe` | the ids of topics |
//! | `fetch`, `client_errors` | single messages by their offsets; errors of short-lived commands |

mod client;
mod client_errors;
mod describe;
mod doubt;
mod fetch;
mod found;
mod options;
mod probe;
mod queue;
mod reader;
mod set;
mod settle;
mod start;
#[cfg(test)]
mod tests;
mod topic;
mod topic_index;
mod trouble;
mod watch;

pub(crate) use client::{ANSWER, consumer_with};
pub(crate) use client_errors::ClientErrors;
pub use fetch::{FetchError, Fetcher};
pub use found::{Discovered, Discoveries};
pub use options::TopicOptions;
pub use reader::TopicReader;
pub(crate) use set::keep_trying;
pub use set::{TopicSet, existing};
pub use start::Start;
pub use topic::Beginning;
