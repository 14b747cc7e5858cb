//! All metrics. Names and units follow the Prometheus conventions.
//!
//! `docs/metrics.md` is generated from here ([`Metrics::reference`]); a test below has the command. [`snapshot`] has the
//! values that the live page shows.

pub mod snapshot;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataflows::dead_letter::Reason;
use dataflows::item::Arrival;
use dataflows::schema::{FieldType, Schema};
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Counter, CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::decode::Counted;
use crate::runtime::counts::Counts;

/// A lag that could not be measured for this long, because the broker does not answer, is no longer shown. (With
/// a thousand partitions each is measured every few seconds.)
const LAG_KEPT: Duration = Duration::from_secs(60);

/// The metrics of one job.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    consumed: IntCounterVec,
    records: IntCounter,
    rejected: IntCounterVec,
    dead_letters: IntCounterVec,
    rounded: IntCounterVec,
    field_errors: IntCounterVec,
    skipped: IntCounter,
    duplicates: IntCounter,
    lag: IntGaugeVec,
    /// When the lag of each partition was last measured.
    measured: Arc<Mutex<BTreeMap<(String, i32), Instant>>>,
    /// Duration of a commit: file sync and SQL transaction.
    pub commit_seconds: Histogram,
    end_to_end: Histogram,
    rows: IntCounterVec,
    refused_rows: IntCounterVec,
    dropped: IntCounterVec,
    /// Epochs that are open or not yet committed.
    pub epochs_in_flight: IntGauge,
    /// Bytes of rows and state that are not yet committed.
    pub bytes_in_flight: IntGauge,
    /// 1 while the source is paused because commits cannot keep up.
    pub source_paused: IntGauge,
    state: IntGaugeVec,
    busy: CounterVec,
    /// A vector without labels, so that it has no value before the first event time.
    event_time: GaugeVec,
    /// The last committed epoch.
    pub committed_epoch: IntGauge,
    /// Statements and commits that failed and were retried.
    pub commit_retries: Counter,
    /// 1 while the brokers do not answer requests for the lag.
    pub brokers_away: IntGauge,
    /// Commits that the live page merged into the next one.
    pub page_commits_merged: Counter,
}

impl Metrics {
    /// All metrics, at zero, for a job that declares `fields`.
    ///
    /// # Errors
    /// Only if two metrics have the same name, which is a bug.
    pub fn new(schema: &Schema) -> Result<Self, prometheus::Error> {
        Self::described(schema).map(|(metrics, _)| metrics)
    }

    /// The metrics, and a description of each.
    fn described(schema: &Schema) -> Result<(Self, Vec<Description>), prometheus::Error> {
        let mut all = All::default();
        let metrics = Self {
            consumed: all.counters(
                "offsets_consumed_total",
                "Committed offsets of a partition, or lines of a file.",
                &["topic", "partition"],
            )?,
            records: all.add(IntCounter::with_opts(opts(
                "records_total",
                "Committed readings; in an upsert job also tombstones, which delete one.",
            )))?,
            rejected: all.counters(
                "rejected_messages_total",
                "Committed messages that are not valid readings; each is also a dead letter.",
                &["reason"],
            )?,
            dead_letters: all.counters(
                "dead_letters_total",
                "Committed dead letters: rejected messages, readings that a view dropped as late (one per view), \
                 and rows that the database refused.",
                &["reason"],
            )?,
            rounded: all.counters(
                "rounded_values_total",
                "Values that were rounded because they have more than 9 decimals.",
                &["field"],
            )?,
            field_errors: all.counters(
                "field_errors_total",
                "Bad values that became NULL, of fields with bad = \"null\".",
                &["field", "reason"],
            )?,
            skipped: all.add(IntCounter::with_opts(opts(
                "skipped_readings_total",
                "Readings that message.only left out.",
            )))?,
            duplicates: all.add(IntCounter::with_opts(opts(
                "duplicate_readings_total",
                "Committed readings that message.dedupe dropped, because they repeat another.",
            )))?,
            lag: all.gauges(
                "consumer_lag",
                "End offset of a partition minus its committed offset, measured every second; absent \
                 while it cannot be measured.",
                &["topic", "partition"],
            )?,
            measured: Arc::default(),
            commit_seconds: all.histogram(
                "commit_seconds",
                "Duration of a commit in seconds: file sync and SQL transaction, including retries.",
                prometheus::exponential_buckets(0.001, 2.0, 15)?,
            )?,
            end_to_end: all.histogram(
                "end_to_end_seconds",
                "Seconds from the Kafka timestamp of a message to its commit.",
                prometheus::exponential_buckets(0.005, 2.0, 18)?,
            )?,
            rows: all.counters(
                "rows_written_total",
                "Rows committed to tables (sink=\"table\") and files (sink=\"csv\").",
                &["sink", "view"],
            )?,
            refused_rows: all.counters(
                "rows_refused_total",
                "Rows that the database refused because of their content; each is a dead letter.",
                &["view"],
            )?,
            dropped: all.counters(
                "readings_dropped_total",
                "Readings that a view dropped because they are late or exceed its join_limit; each is a dead letter.",
                &["view"],
            )?,
            epochs_in_flight: all
                .gauge("epochs_in_flight", "Epochs that are open or not yet committed.")?,
            bytes_in_flight: all.gauge(
                "bytes_in_flight",
                "Approximate number of bytes that are not yet committed: rows, state changes, dead letters, data for the \
                 live page. In a cluster, process 0 reports the total of all processes.",
            )?,
            source_paused: all.gauge(
                "source_paused",
                "1 while the source is paused because commits cannot keep up.",
            )?,
            state: all.gauges(
                "state_records",
                "State entries of a view as of the last commit.",
                &["view"],
            )?,
            busy: all.add(CounterVec::new(
                opts("worker_busy_seconds_total", "Seconds that a worker spent reading and processing input."),
                &["worker"],
            ))?,
            event_time: all.add(GaugeVec::new(
                opts("event_time_seconds", "Latest event time read since the start, in seconds since 1970."),
                &[],
            ))?,
            committed_epoch: all.gauge("committed_epoch", "Number of the last committed epoch.")?,
            commit_retries: all.add(Counter::with_opts(opts(
                "commit_retries_total",
                "Statements and commits that failed and were retried.",
            )))?,
            brokers_away: all.gauge("brokers_away", "1 while the brokers do not answer.")?,
            page_commits_merged: all.add(Counter::with_opts(opts(
                "page_commits_merged_total",
                "Commits that the live page merged into the next one because it was busy.",
            )))?,
            registry: all.registry.clone(),
        };
        all.process()?;
        // Initialize all label values: `increase()` misses the event that creates a counter.
        for reason in Reason::ALL {
            metrics.dead_letters.with_label_values(&[reason.name()]);
            metrics.rejected.with_label_values(&[reason.name()]);
        }
        let can_round = |kind: FieldType| matches!(kind, FieldType::Number | FieldType::Timestamp);
        for field in schema.fields().iter().filter(|field| can_round(field.field_type)) {
            metrics.rounded.with_label_values(&[&*field.name]);
        }
        Ok((metrics, all.descriptions))
    }

    /// All metrics as a Markdown table.
    ///
    /// # Errors
    /// Only if two metrics have the same name, which is a bug.
    pub fn reference() -> Result<String, prometheus::Error> {
        let (_, mut all) = Self::described(&Schema::trucks())?;
        all.sort();
        let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        for Description { name, kind, labels, help } in all {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
        }
        Ok(table)
    }

    /// The exposition in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.forget_lags(Instant::now());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Messages of a partition were committed.
    pub fn consumed(&self, topic: &str, partition: i32, messages: u64) {
        self.consumed.with_label_values(&[topic, &partition.to_string()]).inc_by(messages);
    }

    /// Messages and dead letters were committed.
    pub fn counted(&self, counts: &Counts) {
        self.records.inc_by(counts.intake.accepted);
        self.duplicates.inc_by(counts.duplicates);
        for (metric, numbers) in
            [(&self.rejected, &counts.intake.rejected), (&self.dead_letters, &counts.letters)]
        {
            for (reason, number) in numbers.iter() {
                metric.with_label_values(&[reason.name()]).inc_by(number);
            }
        }
    }

    /// A decoder counted something.
    pub fn count(&self, counted: Counted<'_>, count: u64) {
        match counted {
            Counted::Rounded(field) => self.rounded.with_label_values(&[field]).inc_by(count),
            Counted::Forgiven(field, reason) => {
                self.field_errors.with_label_values(&[field, reason.name()]).inc_by(count);
            }
            Counted::Skipped => self.skipped.inc_by(count),
        }
    }

    /// Sets a partition's current end offset minus its committed offset.
    pub fn lag(&self, topic: &str, partition: i32, lag: i64) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.insert((topic.to_owned(), partition), Instant::now());
        self.lag.with_label_values(&[topic, &partition.to_string()]).set(lag);
    }

    /// Removes every lag that was measured too long before `now`.
    fn forget_lags(&self, now: Instant) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.retain(|(topic, partition), at| {
            let known = now.saturating_duration_since(*at) <= LAG_KEPT;
            if !known {
                // Cannot fail: the label was set when the lag was measured.
                let _ = self.lag.remove_label_values(&[topic, &partition.to_string()]);
            }
            known
        });
    }

    /// Rows of a view were committed to a sink.
    pub fn rows(&self, sink: &str, view: &str, rows: u64) {
        self.rows.with_label_values(&[sink, view]).inc_by(rows);
    }

    /// The database refused rows of a view.
    pub fn refused_rows(&self, view: &str, rows: u64) {
        self.refused_rows.with_label_values(&[view]).inc_by(rows);
    }

    /// A view dropped readings.
    pub fn dropped_readings(&self, view: &str, readings: u64) {
        self.dropped.with_label_values(&[view]).inc_by(readings);
    }

    /// Sets the number of state entries of a view.
    pub fn state_records(&self, view: &str, entries: i64) {
        self.state.with_label_values(&[view]).set(entries);
    }

    /// Takes an event time that a worker read, in microseconds since 1970.
    pub fn event_time(&self, micros: i64) {
        let latest = self.event_time.with_label_values::<&str>(&[]);
        let seconds = micros as f64 / 1e6;
        latest.set(if latest.get() == 0.0 { seconds } else { latest.get().max(seconds) });
    }

    /// Adds time in which a worker was busy.
    pub fn busy(&self, worker: usize, time: Duration) {
        self.busy.with_label_values(&[&worker.to_string()]).inc_by(time.as_secs_f64());
    }

    /// Messages with these arrival times were committed at `now`, in milliseconds since 1970.
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

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("truckflow_{name}"), help)
}

/// A metric in the reference.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Description {
    name: String,
    kind: String,
    labels: Vec<String>,
    help: String,
}

/// Registers metrics and collects their descriptions.
#[derive(Default)]
struct All {
    registry: Registry,
    descriptions: Vec<Description>,
}

impl All {
    fn add<C: Collector + Clone + 'static>(
        &mut self,
        metric: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let metric = metric?;
        self.register(metric.clone())?;
        Ok(metric)
    }

    fn register(&mut self, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
        let families = collector.collect();
        for about in collector.desc() {
            let family = families.iter().find(|family| family.name() == about.fq_name);
            self.descriptions.push(Description {
                name: about.fq_name.clone(),
                kind: family.map_or_else(String::new, |family| {
                    format!("{:?}", family.get_field_type()).to_lowercase()
                }),
                labels: about.variable_labels.clone(),
                help: about.help.clone(),
            });
        }
        self.registry.register(Box::new(collector))
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(opts(name, help), labels))
    }

    fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels))
    }

    fn gauge(&mut self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::with_opts(opts(name, help)))
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
    ) -> Result<Histogram, prometheus::Error> {
        self.add(Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets)))
    }

    /// Memory, CPU time, descriptors and start time of the process, under the names of all client libraries.
    fn process(&mut self) -> Result<(), prometheus::Error> {
        self.register(ProcessCollector::for_self())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set to `write` to update the page.
    const VARIABLE: &str = "TRUCKFLOW_METRICS";
    const COMMAND: &str = "TRUCKFLOW_METRICS=write cargo test --locked --release --lib metrics";

    #[test]
    fn the_metrics_page_matches_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let start = page.find("| metric |").expect("the page has the table");
        // Everything before and after the table is written by hand.
        let length = page[start..].find("\n\n").map_or(page.len() - start, |blank| blank + 1);
        let table = Metrics::reference().unwrap();
        if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
            let page = [&page[..start], &table, &page[start + length..]].concat();
            std::fs::write(path, page).unwrap();
        } else {
            assert_eq!(
                page[start..start + length],
                table,
                "docs/metrics.md is outdated; update it with `{COMMAND}`"
            );
        }
    }

    #[test]
    fn a_lag_that_cannot_be_measured_disappears() {
        let metrics = Metrics::new(&Schema::trucks()).unwrap();
        let shown = || String::from_utf8(metrics.render().unwrap()).unwrap();
        metrics.lag("t", 0, 7);
        metrics.forget_lags(Instant::now());
        assert!(shown().contains("truckflow_consumer_lag{partition=\"0\",topic=\"t\"} 7"));
        metrics.forget_lags(Instant::now() + LAG_KEPT * 2);
        assert!(!shown().contains("truckflow_consumer_lag"));
        metrics.lag("t", 0, 8);
        assert!(shown().contains("truckflow_consumer_lag{partition=\"0\",topic=\"t\"} 8"));
    }

    #[test]
    fn no_event_time_is_shown_before_the_first() {
        let metrics = Metrics::new(&Schema::trucks()).unwrap();
        let shown = || String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(!shown().contains("event_time"));
        for micros in [-3_000_000, -2_500_000, -4_000_000] {
            metrics.event_time(micros);
        }
        assert!(shown().contains("\ntruckflow_event_time_seconds -2.5\n"), "{}", shown());
    }

    #[test]
    fn a_clock_that_is_set_back_causes_no_negative_latency() {
        let metrics = Metrics::new(&Schema::trucks()).unwrap();
        let arrivals = [Arrival { timestamp: 5000, records: 2 }, Arrival { timestamp: i64::MAX, records: 1 }];
        // The second arrival is far in the future, and the second `now` is before 1970.
        for now in [4000, i64::MIN, 6000] {
            metrics.arrived(&arrivals, now);
        }
        assert_eq!((metrics.end_to_end.get_sample_count(), metrics.end_to_end.get_sample_sum()), (9, 2.0));
    }

    #[test]
    fn every_metric_is_shown_before_its_first_event() {
        let schema = Schema::trucks().with("oil_pressure", FieldType::Number).with("driver", FieldType::Text);
        let text = String::from_utf8(Metrics::new(&schema).unwrap().render().unwrap()).unwrap();
        assert!(text.contains("truckflow_dead_letters_total{reason=\"late\"} 0"), "{text}");
        assert!(text.contains("truckflow_end_to_end_seconds_count 0"), "{text}");
        for field in ["timestamp", "engine_speed", "oil_pressure"] {
            assert!(text.contains(&format!("rounded_values_total{{field=\"{field}\"}} 0")), "{text}");
        }
        assert!(!text.contains("driver"), "a text is not rounded: {text}");
    }
}
