//! Queries the brokers about partitions in doubt.

use super::doubt::{Doubt, QUERY_TIMEOUT, UNKNOWN_FOR};
use super::reader::TopicReader;
use super::topic_index::TopicPartition;
use crate::kafka::codes::{Fault, reason};
use crate::source::SourceError;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

impl TopicReader {
    /// Queries the brokers about the partitions that are due.
    pub(super) fn settle(&mut self) -> Result<(), SourceError> {
        for (at, doubt, age) in self.doubts.due() {
            let (topic, partition) = (self.topics.name(at).clone(), at.partition);
            let settled = match doubt {
                Doubt::Offset => match self.consumer.fetch_watermarks(&topic, partition, QUERY_TIMEOUT) {
                    Ok((low, end)) => self.out_of_range(at, low, end).map(|()| true)?,
                    Err(error) => self.wait_for(at, &error)?,
                },
                Doubt::Topic => match self.consumer.fetch_metadata(Some(&topic), QUERY_TIMEOUT) {
                    Ok(metadata) => {
                        let of_topic = metadata.topics().iter().filter(|found| found.name() == &*topic);
                        let mut known = of_topic.flat_map(|found| found.partitions());
                        if known.any(|known| partition < 0 || known.id() == partition) {
                            self.again(at)?;
                            true
                        } else if age > UNKNOWN_FOR {
                            return Err(self.failed(at, "the brokers no longer know the topic".into()));
                        } else {
                            let reason = "the brokers do not know the topic".into();
                            self.found.wait_for(&topic, partition, reason, None);
                            false
                        }
                    }
                    Err(error) => self.wait_for(at, &error)?,
                },
            };
            if settled {
                self.doubts.remove(at);
                self.found.settled(&topic, partition);
            } else {
                self.doubts.postpone(at);
            }
        }
        Ok(())
    }

    /// Records why the brokers do not answer, if that is temporary; returns false.
    fn wait_for(&self, at: TopicPartition, error: &KafkaError) -> Result<bool, SourceError> {
        let reason = reason(error);
        if error.rdkafka_error_code().map(Fault::of) == Some(Fault::Fatal) {
            return Err(self.failed(at, reason));
        }
        let (topic, partition) = (self.topics.name(at), at.partition);
        tracing::warn!(topic = &**topic, partition, reason, "Kafka does not answer; retrying");
        self.found.wait_for(topic, partition, reason, None);
        Ok(false)
    }

    /// Restarts reading a partition at its position: the client may have stopped.
    fn again(&mut self, at: TopicPartition) -> Result<(), SourceError> {
        let Some(next) = self.partitions.get(&at).map(|found| found.span.next) else { return Ok(()) };
        self.leave(at)?;
        self.assign(at, next)
    }

    /// Stops reading a partition.
    pub(super) fn leave(&self, at: TopicPartition) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(self.topics.name(at), at.partition);
        self.consumer.incremental_unassign(&list).map_err(|error| self.failed(at, reason(&error)))
    }

    pub(super) fn failed(&self, at: TopicPartition, reason: String) -> SourceError {
        SourceError::Kafka { topic: self.topics.name(at).to_string(), partition: at.partition, reason }
    }
}

#[cfg(test)]
mod tests {

    use dataflows::item::NextOffset;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::TopicSet;
    use super::super::tests::options;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::decode::{Decoder, Mapping};
    use crate::kafka::producer::Producer;
    use crate::kafka::properties::Properties;
    use crate::runtime::clock::{Clock, Limits};
    use crate::source::embedded::Feed;
    use crate::source::{Polled, Reader};

    const MESSAGES: i64 = 20;
    const PATIENCE: Duration = Duration::from_secs(60);

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    /// A topic with some messages and its reader from `next` on. The first requests of `kind` fail with `errors`.
    fn reader(next: i64, kind: RDKafkaApiKey, errors: &[RDKafkaRespErr]) -> (Cluster, TopicReader) {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        let mut producer = Producer::new(&brokers, &Properties::default()).unwrap();
        for _ in 0..MESSAGES {
            producer.send("t", Some(0), None, Some(b"{}")).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let options = options(brokers, "t");
        let start = NextOffset { topic: "t".into(), partition: 0, offset: next, mark: None };
        let feed = Feed::new(None);
        (0..MESSAGES).for_each(|offset| feed.acknowledge(0, offset, offset));
        let topic = TopicSet::embedded(options, &[start], 1, feed).unwrap();
        cluster.request_errors(kind, errors);
        let reader = topic.reader(0, 1).unwrap();
        (cluster, reader)
    }

    /// Polls until `is_done`, or until the reader fails.
    fn poll_until(
        reader: &mut TopicReader,
        mut is_done: impl FnMut(&TopicReader, &Decoder) -> bool,
    ) -> Result<(), SourceError> {
        let limits = Limits { interval: Duration::from_secs(1), epochs_in_flight: 2, ..Limits::NONE };
        let mut decoder = Decoder::new("t".into(), Arc::new(Mapping::trucks()));
        let (clock, began) = (Clock::new(limits, 0), Instant::now());
        while !is_done(reader, &decoder) {
            assert!(began.elapsed() < PATIENCE, "timed out");
            if reader.poll(&clock, &mut decoder)? == Polled::Idle {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    fn is_read(reader: &TopicReader) -> bool {
        reader.partitions.values().all(|at| at.span.next == MESSAGES)
    }

    #[test]
    fn a_temporary_login_failure_is_retried_and_reported() {
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
        let (_cluster, mut reader) = reader(0, RDKafkaApiKey::Fetch, &[refused, refused]);
        let mut said = None;
        poll_until(&mut reader, |reader, _| {
            said = said.take().or_else(|| reader.found.trouble());
            is_read(reader)
        })
        .unwrap();
        assert!(
            said.unwrap().reason.contains("SASL Authentication failed"),
            "the health of the job says why"
        );
    }

    #[test]
    fn a_failed_request_for_watermarks_is_retried() {
        // The offset is past the end, which must be queried.
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
        let (_cluster, mut reader) = reader(1000, RDKafkaApiKey::ListOffsets, &[refused; 4]);
        let mut said = None;
        let error = poll_until(&mut reader, |reader, _| {
            said = said.take().or_else(|| reader.found.trouble());
            false
        })
        .unwrap_err();
        assert!(matches!(error, SourceError::Recreated { end: MESSAGES, committed: 1000, .. }), "{error}");
        assert!(said.is_some(), "it was waited for");
    }

    #[test]
    fn a_permanent_error_ends_the_job_with_its_reason() {
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        let (_cluster, mut reader) = reader(0, RDKafkaApiKey::Fetch, &[denied]);
        let error = poll_until(&mut reader, |_, _| false).unwrap_err();
        assert!(matches!(error, SourceError::Kafka { partition: 0, .. }), "{error}");
    }
}
