//! What a source feeds the graph.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::dead_letter::DeadLetter;
use crate::orientation::Orientation;

/// How far a source has read one partition. Sent as data at the end of each epoch, so that it
/// reaches the commit of exactly that epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextOffset {
    /// The topic, or the path of the input file.
    pub topic: Arc<str>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset that a restart reads first.
    pub offset: i64,
}

/// Records that share a Kafka timestamp: what the end-to-end latency is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// Kafka's timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// How many records bear it.
    pub records: u32,
}

/// One thing that a source feeds the graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    /// Decoded readings.
    Records(Batch),
    /// Decoded orientation readings.
    Orientation(Orientation),
    /// Input that could not be used.
    DeadLetters(Vec<DeadLetter>),
    /// How far the source has read, at the end of an epoch.
    Progress {
        /// One entry for each partition that this worker read in the epoch.
        offsets: Vec<NextOffset>,
        /// When the epoch's records were produced.
        arrivals: Vec<Arrival>,
    },
}
