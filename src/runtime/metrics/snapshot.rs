//! The values of the metrics at one moment, for the live page.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricType};
use serde::{Deserialize, Serialize};

use super::Metrics;

/// A partition, as the live page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The topic, or the file.
    pub topic: String,
    /// The partition.
    pub partition: i64,
    /// Messages committed since the start.
    pub consumed: u64,
    /// End offset minus committed offset, if known.
    pub lag: Option<i64>,
}

/// A snapshot of the metrics for the live page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// Accepted readings.
    pub records: u64,
    /// Messages that are not valid readings.
    pub rejected: u64,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Committed rows: view, sink, count.
    pub rows: Vec<(String, String, u64)>,
    /// Entries of state by view.
    pub state: BTreeMap<String, i64>,
    /// Busy seconds by worker.
    pub busy: BTreeMap<String, f64>,
    /// Epochs that are open or not yet committed.
    pub epochs_in_flight: i64,
    /// Whether the source is paused.
    pub source_paused: bool,
    /// Whether the brokers do not answer.
    pub brokers_away: bool,
    /// The latest event time read, in seconds since 1970.
    pub event_time: Option<f64>,
    /// The last committed epoch.
    pub epoch: i64,
    /// Retried statements and commits.
    pub retries: u64,
}

/// The values of a metric, each with its label values in the order of the label names.
type Values = Vec<(Vec<String>, f64)>;

fn values(metric: &impl Collector) -> Values {
    let labels = |metric: &Metric| metric.get_label().iter().map(|label| label.value().to_owned()).collect();
    let mut values = Values::new();
    for family in metric.collect() {
        let is_counter = family.get_field_type() == MetricType::COUNTER;
        let value = |metric: &Metric| match is_counter {
            true => metric.get_counter().get_value(),
            false => metric.get_gauge().get_value(),
        };
        values.extend(family.get_metric().iter().map(|metric| (labels(metric), value(metric))));
    }
    values
}

impl Metrics {
    /// The snapshot for the live page.
    pub fn read(&self) -> Snapshot {
        let lag: BTreeMap<Vec<String>, f64> = values(&self.lag).into_iter().collect();
        let consumed: BTreeMap<Vec<String>, f64> = values(&self.consumed).into_iter().collect();
        let all: BTreeSet<&Vec<String>> = lag.keys().chain(consumed.keys()).collect();
        let partitions = all.into_iter().filter_map(|labels| {
            let [partition, topic] = &labels[..] else { return None };
            Some(Partition {
                topic: topic.clone(),
                partition: partition.parse().ok()?,
                consumed: consumed.get(labels).map_or(0, |consumed| *consumed as u64),
                lag: lag.get(labels).map(|lag| *lag as i64),
            })
        });
        let named = |values: Values| values.into_iter().map(|(labels, value)| (labels.concat(), value));
        let rows = values(&self.rows).into_iter().filter_map(|(labels, rows)| {
            let [sink, view]: [String; 2] = labels.try_into().ok()?;
            Some((view, sink, rows as u64))
        });
        Snapshot {
            partitions: partitions.collect(),
            records: self.records.get(),
            rejected: values(&self.rejected).into_iter().map(|(_, number)| number as u64).sum(),
            dead_letters: named(values(&self.dead_letters)).map(|(reason, n)| (reason, n as u64)).collect(),
            rows: rows.collect(),
            state: named(values(&self.state)).map(|(view, n)| (view, n as i64)).collect(),
            busy: named(values(&self.busy)).collect(),
            epochs_in_flight: self.epochs_in_flight.get(),
            source_paused: self.source_paused.get() > 0,
            brokers_away: self.brokers_away.get() > 0,
            event_time: values(&self.event_time).pop().map(|(_, time)| time),
            epoch: self.committed_epoch.get(),
            retries: self.commit_retries.get() as u64,
        }
    }
}
