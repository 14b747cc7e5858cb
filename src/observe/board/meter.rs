//! Measures where the dataflow is busy: sums up timely's log of the workers by operator and channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// The activity of the workers of this process.
#[derive(Debug)]
pub struct Meter {
    /// Nanoseconds in each operator, without its inner operators.
    busy: Box<[AtomicU64]>,
    /// Records sent over each channel; most are batches of readings.
    sent: Box<[AtomicU64]>,
    /// Nanoseconds of reading and decoding.
    read: AtomicU64,
}

impl Meter {
    /// A meter for a graph whose operator and channel ids are below `ids`.
    pub fn new(ids: usize) -> Self {
        let zeros = || (0..ids).map(|_| AtomicU64::new(0)).collect();
        Self { busy: zeros(), sent: zeros(), read: AtomicU64::new(0) }
    }

    /// Measures a worker. Call it before the graph is built.
    pub fn listen(self: Arc<Self>, worker: &Worker) {
        let mut open: Vec<(usize, Duration, Duration)> = Vec::new();
        let Some(mut logs) = worker.log_register() else { return };
        logs.insert::<TimelyEventBuilder, _>("timely", move |_, batch| {
            for (at, event) in batch.iter_mut().flat_map(|batch| batch.drain(..)) {
                match event {
                    TimelyEvent::Schedule(event) => match event.start_stop {
                        StartStop::Start => open.push((event.id, at, Duration::ZERO)),
                        StartStop::Stop => {
                            let Some((id, began, within)) = open.pop() else { continue };
                            let took = at.saturating_sub(began);
                            add(&self.busy, id, took.saturating_sub(within).as_nanos() as u64);
                            if let Some((_, _, within)) = open.last_mut() {
                                *within += took;
                            }
                        }
                    },
                    TimelyEvent::Messages(event) if event.is_send => {
                        add(&self.sent, event.channel, event.record_count.max(0) as u64);
                    }
                    _ => {}
                }
            }
        });
    }

    /// Adds time that a worker spent reading and decoding.
    pub fn reads(&self, time: Duration) {
        self.read.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// Microseconds of reading and decoding.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed) / 1000
    }

    /// Microseconds in each active operator, by id.
    pub fn busy(&self) -> Vec<(usize, u64)> {
        counted(&self.busy).map(|(id, nanos)| (id, nanos / 1000)).collect()
    }

    /// Records sent over each active channel, by id.
    pub fn sent(&self) -> Vec<(usize, u64)> {
        counted(&self.sent).collect()
    }
}

fn add(counts: &[AtomicU64], id: usize, count: u64) {
    if let Some(at) = counts.get(id) {
        at.fetch_add(count, Relaxed);
    }
}

fn counted(counts: &[AtomicU64]) -> impl Iterator<Item = (usize, u64)> {
    counts.iter().map(|count| count.load(Relaxed)).enumerate().filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timely::dataflow::operators::{Inspect, ToStream};

    #[test]
    fn operators_and_channels_are_metered() {
        let meter = Arc::new(Meter::new(64));
        let shared = meter.clone();
        timely::execute_directly(move |worker| {
            shared.clone().listen(worker);
            worker.dataflow::<u64, _, _>(|scope| {
                let wait = |_: &u64| std::thread::sleep(Duration::from_millis(1));
                (0..5u64).to_stream(scope).container::<Vec<_>>().inspect(wait);
            });
        });
        assert_eq!(meter.sent().iter().map(|(_, count)| *count).sum::<u64>(), 5);
        let most = meter.busy().into_iter().map(|(_, micros)| micros).max();
        assert!(most.is_some_and(|most| most >= 5000), "{most:?}");
        // The time of inner operators does not count for the dataflow itself.
        assert_eq!(meter.busy().iter().filter(|(_, micros)| *micros >= 5000).count(), 1);
    }
}
