//! Kafka topics: partitions are assigned manually, and offsets come from our own commits, never from the group.
//!
//! ```text
//! Topic::connect   metadata, watermarks, start offset of each partition
//!   |- TopicReader one consumer per worker, fetching in librdkafka's threads, read in batches
//!   |    ^ Found   new partitions, or that the topic was re-created
//!   `- watch       one thread: lag, committed offsets reported to the group for lag tools, Found
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `options`, `client` | connecting to a topic |
//! | `topic`, `watch`, `found` | the topic, the thread that watches it, and its findings |
//! | `reader`, `queue` | the partitions of one worker, read in batches |
//! | `doubt`, `settle` | partitions whose errors require a query to the brokers |
//! | `describe` | the id of a topic |
//! | `fetch`, `client_errors` | single messages by their offsets; errors of short-lived commands |

mod client;
mod client_errors;
mod describe;
mod doubt;
mod fetch;
mod found;
mod options;
mod queue;
mod reader;
mod settle;
#[cfg(test)]
mod tests;
mod topic;
mod watch;

pub(crate) use client::{ANSWER, consumer_with};
pub(crate) use client_errors::ClientErrors;
pub use fetch::{FetchError, Fetcher};
pub use options::TopicOptions;
pub use reader::TopicReader;
pub use topic::Topic;
pub(crate) use topic::keep_trying;
