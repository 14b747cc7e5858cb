//! A worker thread: polls its inputs, feeds the graph, and steps it.
//!
//! A worker has one input handle, and so one capability, for all partitions of all its inputs. They close an epoch
//! together, when the clock advances.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use dataflows::Epoch;
use dataflows::effect::Restored;
use dataflows::item::{Arrival, Intake, Item, NextOffset};
use timely::communication::WorkerGuards;
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use crate::job::cluster::Network;
use crate::job::error::JobError;
use crate::job::graph::{self, Graph, Message, Outlet, Shape};
use crate::observe::board::meter::Meter;
use crate::runtime::clock::Clock;
use crate::runtime::failure::SystemError;
use crate::runtime::metrics::Metrics;
use crate::source::several::{Input, InputSet};
use crate::source::{Polled, SourceError};

/// How long an idle worker sleeps.
const IDLE: Duration = Duration::from_millis(2);

/// The parameters of all workers.
pub struct Setup {
    /// The parameters of the graph.
    pub shape: Shape,
    /// The clock.
    pub clock: Arc<Clock>,
    /// The metrics.
    pub metrics: Metrics,
    /// The cluster-wide index of this process's first worker.
    pub first: usize,
    /// Measures the worker's operators, if there is a live page.
    pub meter: Option<Arc<Meter>>,
}

/// The state shared by all workers, and their results.
pub struct Shared {
    setup: Setup,
    outlet: Mutex<Option<Outlet>>,
    inputs: Mutex<Vec<Option<InputSet>>>,
    restored: Mutex<Vec<Restored>>,
    failure: Mutex<Option<SourceError>>,
    panicked: AtomicBool,
    records: Arc<AtomicU64>,
    intake: Mutex<Intake>,
}

/// Poisoning is ignored, because the job ends after a panic anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Shared {
    /// The shared state, with the inputs of each worker of this process.
    pub fn new(setup: Setup, outlet: Outlet, inputs: Vec<InputSet>, restored: Vec<Restored>) -> Self {
        Self {
            setup,
            outlet: Mutex::new(Some(outlet)),
            inputs: Mutex::new(inputs.into_iter().map(Some).collect()),
            restored: Mutex::new(restored),
            failure: Mutex::new(None),
            panicked: AtomicBool::new(false),
            records: Arc::default(),
            intake: Mutex::default(),
        }
    }

    /// Records decoded so far.
    pub fn records(&self) -> Arc<AtomicU64> {
        self.records.clone()
    }

    /// The decoding results of this process.
    pub fn intake(&self) -> Intake {
        lock(&self.intake).clone()
    }

    /// Drops this sender to the commit thread, which ends when the workers' senders are dropped as well.
    pub fn close(&self) {
        lock(&self.outlet).take();
    }

    /// Whether a worker panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked.load(SeqCst)
    }

    /// The source's error that ended the job, if one did.
    pub fn take_failure(&self) -> Option<SourceError> {
        lock(&self.failure).take()
    }
}

/// Starts the workers of this process, which exchange data with those of other processes over `network`.
pub fn start(
    job: Arc<Shared>,
    workers: usize,
    network: Option<Network>,
) -> Result<WorkerGuards<()>, JobError> {
    let failed = |source| SystemError { verb: "start the workers", source };
    let (builders, others) = match network {
        Some(network) => network.build(workers),
        None if workers == 1 => CommunicationConfig::Thread.try_build().map_err(std::io::Error::other),
        None => CommunicationConfig::Process(workers).try_build().map_err(std::io::Error::other),
    }
    .map_err(failed)?;
    execute_from(builders, others, WorkerConfig::default(), move |worker| {
        // If a worker panics, the others would wait for it forever; they are stopped.
        let worked = catch_unwind(AssertUnwindSafe(|| work(worker, &job)));
        if worked.is_err() {
            job.panicked.store(true, SeqCst);
            job.setup.clock.stop();
        }
        if job.has_panicked() {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        }
    })
    .map_err(|reason| failed(std::io::Error::other(reason)).into())
}

fn work(worker: &mut Worker, job: &Shared) {
    let outlet = lock(&job.outlet).clone();
    let setup = &job.setup;
    let inputs = lock(&job.inputs).get_mut(worker.index() - setup.first).and_then(Option::take);
    let (Some(outlet), Some(inputs)) = (outlet, inputs) else { return };
    if let Some(meter) = &setup.meter {
        meter.clone().listen(worker);
    }
    let Graph { items, mut restored, probe, .. } = graph::build(worker, &setup.shape, &outlet);
    restored.advance_to(setup.shape.start);
    if worker.index() == 0 {
        // One part at a time, because decoded entries take more memory than their bytes.
        let parts = std::mem::take(&mut *lock(&job.restored));
        for part in parts {
            restored.send(part);
            restored.flush();
            worker.step();
        }
    }
    restored.close();

    let mut reported = setup.shape.start + 1;
    let leads = worker.index() == 0;
    let mut report_frontier = || {
        // One worker reports for all: the frontier is global, and every worker has sent everything before it.
        let frontier = probe.with_frontier(|frontier| frontier.first().copied());
        if let Some(frontier) = frontier.filter(|frontier| leads && *frontier > reported) {
            reported = frontier;
            outlet.send(Message::Frontier(frontier));
        }
    };

    let mut feed = Feed::new(job, items, inputs);
    let mut busy = Duration::ZERO;
    loop {
        let began = Instant::now();
        let fed = feed.step();
        if let Some(meter) = setup.meter.as_ref().filter(|_| fed == Fed::Some) {
            meter.reads(began.elapsed());
        }
        match fed {
            Fed::Some => {
                worker.step();
            }
            Fed::Nothing => {
                worker.step_or_park(Some(IDLE));
            }
            Fed::End => break,
        }
        report_frontier();
        if fed == Fed::Some {
            busy += began.elapsed();
        }
        if busy > Duration::from_millis(100) || fed == Fed::Nothing {
            setup.metrics.busy(worker.index(), std::mem::take(&mut busy));
        }
    }
    setup.metrics.busy(worker.index(), busy);
    // Closing the clients takes up to 100 ms, and the last commit does not wait for it.
    let _inputs = feed.close();
    while !probe.done() && !job.has_panicked() {
        worker.step_or_park(Some(IDLE));
        report_frontier();
    }
    if leads && probe.done() {
        outlet.send(Message::Done);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fed {
    Some,
    Nothing,
    End,
}

/// Moves records from a worker's inputs to the graph's input.
struct Feed<'job> {
    job: &'job Shared,
    items: timely::dataflow::InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Item>>>,
    inputs: InputSet,
    /// Decoded, but not sent yet.
    decoded: Vec<Item>,
    /// The current epoch.
    epoch: Epoch,
    offsets: Vec<NextOffset>,
    arrivals: Vec<Arrival>,
    latest: i64,
    /// How far the inputs were behind at the last poll. A poll may read for the next epoch.
    behind: i64,
}

impl<'job> Feed<'job> {
    fn new(
        job: &'job Shared,
        mut items: timely::dataflow::InputHandle<
            Epoch,
            timely::container::CapacityContainerBuilder<Vec<Item>>,
        >,
        inputs: InputSet,
    ) -> Self {
        let epoch = job.setup.shape.start + 1;
        items.advance_to(epoch);
        Self {
            job,
            items,
            inputs,
            decoded: Vec::new(),
            epoch,
            offsets: Vec::new(),
            arrivals: Vec::new(),
            latest: i64::MIN,
            behind: i64::MIN,
        }
    }

    /// Polls the inputs, unless they have to wait, and feeds the decoded records.
    fn step(&mut self) -> Fed {
        let clock = &self.job.setup.clock;
        if clock.is_stopping() {
            return Fed::End;
        }
        let polled = if clock.may_read() { self.inputs.poll(clock) } else { Ok(Polled::Idle) };
        match polled {
            Ok(Polled::Read(epoch)) => {
                self.move_to(epoch);
                self.inputs.positions(&mut self.offsets, &mut self.arrivals);
                self.send();
                self.behind = self.inputs.behind();
                Fed::Some
            }
            Ok(Polled::Idle) => {
                self.move_to(clock.now());
                self.behind = self.inputs.behind();
                Fed::Nothing
            }
            Ok(Polled::End) => Fed::End,
            Err(error) => {
                lock(&self.job.failure).get_or_insert(error);
                clock.stop();
                Fed::End
            }
        }
    }

    fn send(&mut self) {
        let setup = &self.job.setup;
        self.inputs.take(&mut self.decoded);
        // A backfill reads messages that were already counted.
        let is_backfill = setup.shape.filled.is_some();
        if !is_backfill {
            self.inputs.take_counts(&mut |counted, count| setup.metrics.count(counted, count));
        }
        let mut intake = Intake::default();
        for item in std::mem::take(&mut self.decoded) {
            match &item {
                Item::Records(batch) => {
                    intake.accepted += batch.len() as u64;
                    self.saw(batch.time.iter().copied().max());
                }
                Item::DeadLetters(_) if is_backfill => continue,
                Item::DeadLetters(letters) => {
                    letters.iter().for_each(|letter| intake.reject(letter.reason, &letter.field));
                }
                Item::Upserts(upserts) => {
                    intake.accepted += upserts.len() as u64;
                    self.saw(upserts.iter().filter_map(|upsert| Some(upsert.record.as_ref()?.time)).max());
                }
                Item::Intake(_)
                | Item::Behind(_)
                | Item::Arrived(_)
                | Item::InTheFuture(_)
                | Item::Progress { .. } => {}
            }
            self.items.send(item);
        }
        self.job.records.fetch_add(intake.accepted, SeqCst);
        lock(&self.job.intake).merge(&intake);
        if !is_backfill && !intake.is_empty() {
            self.items.send(Item::Intake(intake));
        }
        // Send each batch immediately instead of waiting for a full container.
        self.items.flush();
    }

    /// Records the latest event time.
    fn saw(&mut self, latest: Option<i64>) {
        if let Some(latest) = latest.filter(|latest| *latest > self.latest) {
            self.latest = latest;
            self.job.setup.metrics.event_time(latest);
        }
    }

    /// Ends the epochs before `epoch`, after reporting their progress.
    fn move_to(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.report();
            self.epoch = epoch;
            self.items.advance_to(epoch);
        }
    }

    fn report(&mut self) {
        self.items.send(Item::Behind(self.behind));
        if !self.offsets.is_empty() {
            let (offsets, arrivals) = (std::mem::take(&mut self.offsets), std::mem::take(&mut self.arrivals));
            self.items.send(Item::Progress { offsets, arrivals });
        }
    }

    /// Ends the graph's input. Returns what was read.
    fn close(mut self) -> InputSet {
        self.behind = self.inputs.behind();
        self.report();
        self.items.close();
        self.inputs
    }
}
