//! A Kafka topic: partitions assigned by hand, offsets from our own commit, never from the group.
//!
//! ```text
//! Topic::connect   metadata, watermarks, where each partition starts
//!   |- TopicReader one consumer per worker, fetching in librdkafka's threads, read in batches
//!   |    ^ Found   what is found out meanwhile: new partitions, or that it is another topic by now
//!   `- Watch       one thread: lag, committed offsets reported to the group for lag tools, Found
//! ```
//!
//! | module | is |
//! |---|---|
//! | `options`, `client` | how a topic is reached |
//! | `topic`, `watch`, `found` | the topic, the thread that watches it, and what that has found |
//! | `reader`, `queue` | the partitions of one worker, read in batches |
//! | `doubt`, `settle` | partitions about which the brokers have to be asked |
//! | `describe` | the id of a topic |

mod client;
mod describe;
mod doubt;
mod found;
mod options;
mod queue;
mod reader;
mod settle;
mod topic;
mod watch;

pub(crate) use client::{ANSWER, consumer_with, is_end};
pub use options::{OnDataLoss, TopicOptions};
pub use reader::TopicReader;
pub use topic::Topic;
pub(crate) use topic::keep_trying;
