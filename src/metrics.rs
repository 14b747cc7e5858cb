//! Every metric, in one place. Names and units follow Prometheus' conventions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dataflows::batch::{FieldSpec, FieldType};
use dataflows::dead_letter::Reason;
use dataflows::item::Arrival;
use prometheus::{
    Counter, CounterVec, Encoder, Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder, core::Collector, proto::Metric,
};
use serde::Serialize;

use crate::decode::ROUNDED_FIELDS;

/// The metrics of one job.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    consumed: IntCounterVec,
    dead_letters: IntCounterVec,
    rounded: IntCounterVec,
    lag: IntGaugeVec,
    /// Seconds of a commit: sync of the files and the SQL transaction.
    pub commit_seconds: Histogram,
    end_to_end: Histogram,
    rows: IntCounterVec,
    /// Epochs that are open or wait for their commit.
    pub epochs_in_flight: IntGauge,
    /// 1 while a source waits for the sinks.
    pub source_paused: IntGauge,
    state: IntGaugeVec,
    busy: CounterVec,
    event_time: Gauge,
    /// The last committed epoch.
    pub committed_epoch: IntGauge,
    /// Commits that failed and are tried again.
    pub commit_retries: Counter,
    /// 1 while the brokers do not answer who asks them for the lag.
    pub brokers_away: IntGauge,
}

/// What the live page shows of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The topic, or the file.
    pub topic: String,
    /// The partition.
    pub partition: i64,
    /// Messages that were committed since the start.
    pub consumed: u64,
    /// End offset minus committed offset, where that is measured.
    pub lag: Option<i64>,
}

/// What the live page shows of the metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Committed rows: view, sink, how many.
    pub rows: Vec<(String, String, u64)>,
    /// Entries of state by view.
    pub state: BTreeMap<String, i64>,
    /// Seconds in which each worker was not parked.
    pub busy: BTreeMap<String, f64>,
    /// Epochs that are open or wait for their commit.
    pub epochs_in_flight: i64,
    /// Whether a source waits for the sinks.
    pub source_paused: bool,
    /// Whether the brokers do not answer.
    pub brokers_away: bool,
    /// The latest event time read, in seconds since 1970.
    pub event_time: Option<f64>,
    /// The last committed epoch.
    pub epoch: i64,
    /// Commits that were tried again.
    pub retries: u64,
}

/// The values of a metric, each with those of its labels by the labels' names.
type Values = Vec<(Vec<String>, f64)>;

fn values(metric: &impl Collector) -> Values {
    let families = metric.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    let value = |metric: &Metric| match metric.get_counter().as_ref() {
        Some(counter) => counter.value(),
        None => metric.get_gauge().as_ref().map_or(0.0, |gauge| gauge.value()),
    };
    let labels = |metric: &Metric| metric.get_label().iter().map(|label| label.value().to_owned()).collect();
    metrics.map(|metric| (labels(metric), value(metric))).collect()
}

impl Metrics {
    /// All metrics, at zero, for a job that declares `fields`.
    ///
    /// # Errors
    /// Never, unless two metrics here were given one name.
    pub fn new(fields: &[FieldSpec]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        fn add<C: Collector + Clone + 'static>(
            registry: &Registry,
            metric: C,
        ) -> Result<C, prometheus::Error> {
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let opts = |name: &str, help: &str| Opts::new(format!("truckflow_{name}"), help);
        let counters = |name, help, labels: &[&str]| {
            IntCounterVec::new(opts(name, help), labels).and_then(|metric| add(&registry, metric))
        };
        let gauges = |name, help, labels: &[&str]| {
            IntGaugeVec::new(opts(name, help), labels).and_then(|metric| add(&registry, metric))
        };
        let gauge =
            |name, help| IntGauge::with_opts(opts(name, help)).and_then(|metric| add(&registry, metric));
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets))
                .and_then(|metric| add(&registry, metric))
        };
        let metrics = Self {
            consumed: counters("records_consumed_total", "Messages read.", &["topic", "partition"])?,
            dead_letters: counters("dead_letters_total", "Inputs that could not be used.", &["reason"])?,
            rounded: counters(
                "rounded_values_total",
                "Values with more decimals than are kept.",
                &["field"],
            )?,
            lag: gauges("consumer_lag", "End offset minus committed offset.", &["topic", "partition"])?,
            commit_seconds: histogram(
                "commit_seconds",
                "Seconds of a commit: sync of the files and the SQL transaction.",
                prometheus::exponential_buckets(0.001, 2.0, 15)?,
            )?,
            end_to_end: histogram(
                "end_to_end_seconds",
                "Seconds from a message's Kafka timestamp to its commit.",
                prometheus::exponential_buckets(0.005, 2.0, 18)?,
            )?,
            rows: counters("rows_written_total", "Rows committed.", &["sink", "view"])?,
            epochs_in_flight: gauge("epochs_in_flight", "Epochs that are open or wait for their commit.")?,
            source_paused: gauge("source_paused", "1 while a source waits for the sinks.")?,
            state: gauges("state_records", "Entries of state that a view keeps.", &["view"])?,
            busy: CounterVec::new(
                opts("worker_busy_seconds_total", "Seconds in which a worker was not parked."),
                &["worker"],
            )
            .and_then(|metric| add(&registry, metric))?,
            event_time: Gauge::with_opts(opts("event_time_seconds", "The latest event time read."))
                .and_then(|metric| add(&registry, metric))?,
            committed_epoch: gauge("committed_epoch", "The last committed epoch.")?,
            commit_retries: Counter::with_opts(opts(
                "commit_retries_total",
                "Commits that were tried again.",
            ))
            .and_then(|metric| add(&registry, metric))?,
            brokers_away: gauge("brokers_away", "1 while the brokers do not answer.")?,
            registry,
        };
        // A counter that starts at its first event hides that event from `increase()`.
        for reason in Reason::ALL {
            metrics.dead_letters.with_label_values(&[reason.name()]);
        }
        let numbers = fields.iter().filter(|field| field.field_type == FieldType::Number);
        for field in ROUNDED_FIELDS.into_iter().chain(numbers.map(|field| &*field.name)) {
            metrics.rounded.with_label_values(&[field]);
        }
        Ok(metrics)
    }

    /// The exposition in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The numbers that the live page shows.
    pub fn read(&self) -> Reading {
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
        Reading {
            partitions: partitions.collect(),
            dead_letters: named(values(&self.dead_letters)).map(|(reason, n)| (reason, n as u64)).collect(),
            rows: rows.collect(),
            state: named(values(&self.state)).map(|(view, n)| (view, n as i64)).collect(),
            busy: named(values(&self.busy)).collect(),
            epochs_in_flight: self.epochs_in_flight.get(),
            source_paused: self.source_paused.get() > 0,
            brokers_away: self.brokers_away.get() > 0,
            event_time: Some(self.event_time.get()).filter(|time| *time > 0.0),
            epoch: self.committed_epoch.get(),
            retries: self.commit_retries.get() as u64,
        }
    }

    /// Messages of a partition were committed.
    pub fn consumed(&self, topic: &str, partition: i32, messages: u64) {
        self.consumed.with_label_values(&[topic, &partition.to_string()]).inc_by(messages);
    }

    /// An input could not be used.
    pub fn dead_letter(&self, reason: Reason, count: u64) {
        self.dead_letters.with_label_values(&[reason.name()]).inc_by(count);
    }

    /// Values of a field were rounded.
    pub fn rounded(&self, field: &str, count: u64) {
        self.rounded.with_label_values(&[field]).inc_by(count);
    }

    /// A partition's end offset minus its committed offset.
    pub fn lag(&self, topic: &str, partition: i32, lag: i64) {
        self.lag.with_label_values(&[topic, &partition.to_string()]).set(lag);
    }

    /// Rows of a view were committed to a sink.
    pub fn rows(&self, sink: &str, view: &str, rows: u64) {
        self.rows.with_label_values(&[sink, view]).inc_by(rows);
    }

    /// How many state entries a view keeps.
    pub fn state_records(&self, view: &str, entries: i64) {
        self.state.with_label_values(&[view]).set(entries);
    }

    /// The latest event time that a worker read, in microseconds since 1970.
    pub fn event_time(&self, micros: i64) {
        self.event_time.set(self.event_time.get().max(micros as f64 / 1e6));
    }

    /// A worker worked for so long.
    pub fn busy(&self, worker: usize, time: Duration) {
        self.busy.with_label_values(&[&worker.to_string()]).inc_by(time.as_secs_f64());
    }

    /// Messages that arrived then were committed at `now`, in milliseconds since 1970.
    pub fn arrived(&self, arrivals: &[Arrival], now: i64) {
        let local = self.end_to_end.local();
        for arrival in arrivals {
            let seconds = now.saturating_sub(arrival.timestamp).max(0) as f64 / 1000.0;
            for _ in 0..arrival.records {
                local.observe(seconds);
            }
        }
        local.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_gives_no_negative_latency() {
        let metrics = Metrics::new(&[]).unwrap();
        let arrivals = [Arrival { timestamp: 5000, records: 2 }, Arrival { timestamp: i64::MAX, records: 1 }];
        // The second is far in the future, and before 1970 nothing has arrived.
        for now in [4000, i64::MIN, 6000] {
            metrics.arrived(&arrivals, now);
        }
        assert_eq!((metrics.end_to_end.get_sample_count(), metrics.end_to_end.get_sample_sum()), (9, 2.0));
    }

    #[test]
    fn every_metric_is_shown_before_its_first_event() {
        let field = |name: &str, field_type| FieldSpec { name: name.into(), field_type };
        let fields = [field("oil_pressure", FieldType::Number), field("driver", FieldType::Text)];
        let text = String::from_utf8(Metrics::new(&fields).unwrap().render().unwrap()).unwrap();
        assert!(text.contains("truckflow_dead_letters_total{reason=\"late\"} 0"), "{text}");
        assert!(text.contains("truckflow_end_to_end_seconds_count 0"), "{text}");
        for field in ROUNDED_FIELDS.into_iter().chain(["oil_pressure"]) {
            assert!(text.contains(&format!("rounded_values_total{{field=\"{field}\"}} 0")), "{text}");
        }
        assert!(!text.contains("driver"), "a text is not rounded: {text}");
    }
}
