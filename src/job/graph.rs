//! The dataflow of a job: the views of [`dataflows`], and the operators that carry their effects out.
//!
//! Workers render the rows and send them to the commit thread; the graph itself never waits for a file or a database.
//! In a cluster, the commit thread is in process 0:
//!
//! ```text
//! single     view -> Deliver (renders) -> commit thread
//! cluster    view -> Render -> over timely's channels, to a worker of process 0 -> Deliver -> commit thread
//! ```
//!
//! The probe follows Deliver, so that in both cases everything before the frontier has been sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Sender;
use dataflows::Epoch;
use dataflows::dead_letter::DeadLetter;
use dataflows::effect::{Effect, Restored};
use dataflows::item::{Arrival, Intake, Item, NextOffset, ReadingId};
use dataflows::rows::Rows;
use dataflows::views::{DEAD_LETTERS, DEDUPE, Inputs, Settings, View, dead_letter_reasons, dead_letter_rows};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Concatenate, Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};
use timely::worker::Worker;

use crate::observe::board::shown::{OnPage, Part as ShownPart};
use crate::render;
use crate::runtime::clock::Clock;
use crate::runtime::counts::Letters;
use crate::state::{self, Owner};
use crate::store::{Chunk, Form};

/// A message to the commit thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Rows of a view.
    Rows {
        /// The epoch they belong to.
        epoch: Epoch,
        /// The view's index.
        view: usize,
        /// Their CSV lines; empty for a view without a file.
        csv: Vec<u8>,
        /// The number of CSV records.
        csv_rows: u64,
        /// The changes of the view's table, if it has one.
        chunks: Vec<Chunk>,
        /// The number of table rows written or ended.
        table_rows: u64,
        /// The rows themselves, if they go to the dead-letter topic.
        forward: Option<Rows>,
        /// What the live page shows of them, if there is one.
        on_page: Option<Box<OnPage>>,
        /// The counts, if the rows are dead letters.
        letters: Option<Letters>,
    },
    /// A change of a view's state.
    State {
        /// The epoch it belongs to.
        epoch: Epoch,
        /// The view's index.
        view: usize,
        /// The change, with version and checksum.
        sealed: Bytes,
        /// The number of added entries.
        added: i64,
    },
    /// The offsets that a worker has reached in an epoch.
    Progress {
        /// The epoch.
        epoch: Epoch,
        /// Next offsets.
        offsets: Vec<NextOffset>,
        /// When the messages were produced.
        arrivals: Vec<Arrival>,
    },
    /// The decoding results of a worker.
    Intake {
        /// The epoch that they belong to.
        epoch: Epoch,
        /// The number of accepted and rejected messages.
        intake: Intake,
    },
    /// Messages whose event time is too far ahead.
    InTheFuture {
        /// The epoch they belong to.
        epoch: Epoch,
        /// The messages.
        messages: Vec<ReadingId>,
    },
    /// Readings that were dropped because they repeat another.
    Duplicates {
        /// The epoch they belong to.
        epoch: Epoch,
        /// Their number.
        number: u64,
    },
    /// A key of an upsert job with messages in two partitions; the job must end.
    KeyMoved {
        /// The key.
        key: Vec<u8>,
        /// The partitions.
        partitions: (i32, i32),
    },
    /// Everything before this epoch was sent.
    Frontier(Epoch),
    /// Everything was sent.
    Done,
}

/// The sinks of a view.
#[derive(Clone, Debug)]
pub struct Route {
    /// The view.
    pub name: Arc<str>,
    /// Whether it has a CSV file.
    pub csv: bool,
    /// Whether its file has a `change` column.
    pub change: bool,
    /// The index of its table among the prepared ones.
    pub table: Option<usize>,
    /// Whether the rows are dead letters that also go to a topic.
    pub forwarded: bool,
    /// What the live page shows of trucks or dead letters, if it is made of its rows.
    pub shown: Option<ShownPart>,
    /// Whether there may be a live page, which lists its rows.
    pub listed: bool,
}

/// The sinks that rows go to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Both,
    Table,
    File,
}

/// The way out of the dataflow, to the commit thread.
#[derive(Clone)]
pub struct Outlet {
    /// The commit thread.
    pub sender: Sender<Message>,
    /// Counts the queued bytes.
    pub clock: Arc<Clock>,
    /// One for each view, in the job's order.
    pub routes: Arc<[Route]>,
    /// The row format that the store requires.
    pub form: Form,
}

impl Outlet {
    /// Sends a message. If the commit thread has ended, it has already stopped the job.
    pub fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    /// The message for an effect of a view.
    fn message(&self, epoch: Epoch, view: usize, effect: Effect) -> Option<Message> {
        match effect {
            Effect::Rows(rows) => {
                let letters = self.is_of_letters(view).then(|| dead_letter_reasons(&rows));
                let letters = letters.map(|reasons| Letters { reasons, ..Letters::default() });
                Some(self.rows(epoch, view, rows, To::Both, letters))
            }
            Effect::TableRows(rows) => Some(self.rows(epoch, view, rows, To::Table, None)),
            Effect::FileRows(rows) => Some(self.rows(epoch, view, rows, To::File, None)),
            Effect::DeadLetters(letters) => self.dead_letters(epoch, view, letters),
            Effect::KeyMoved { key, partitions } => Some(Message::KeyMoved { key: key.to_vec(), partitions }),
            Effect::Duplicates(number) => Some(Message::Duplicates { epoch, number }),
            Effect::State { bytes, added } => {
                let owner = Owner { job: &self.form.job, view: &self.routes[view].name };
                Some(Message::State { epoch, view, sealed: state::seal(owner, &bytes).into(), added })
            }
        }
    }

    /// Records dropped by a view become dead letters.
    fn dead_letters(&self, epoch: Epoch, from: usize, letters: Vec<DeadLetter>) -> Option<Message> {
        let view = (0..self.routes.len()).find(|&view| self.is_of_letters(view))?;
        let counted = Letters::of_view(from, &letters);
        Some(self.rows(epoch, view, dead_letter_rows(letters), To::Both, Some(counted)))
    }

    fn is_of_letters(&self, view: usize) -> bool {
        *self.routes[view].name == *DEAD_LETTERS
    }

    fn rows(&self, epoch: Epoch, view: usize, rows: Rows, to: To, letters: Option<Letters>) -> Message {
        let route = &self.routes[view];
        let (mut csv, mut csv_rows) = (Vec::new(), 0);
        if route.csv && to != To::Table {
            render::csv(&rows, route.change, &mut csv);
            csv_rows = rows.len() as u64;
        }
        let forward = route.forwarded.then(|| rows.clone());
        let on_page = (route.listed && to != To::File).then(|| Box::new(OnPage::of(route.shown, &rows)));
        let table = route.table.filter(|_| to != To::File);
        let chunks = table.map_or_else(Vec::new, |table| self.form.chunks(table, rows));
        let table_rows = chunks.iter().map(|chunk| chunk.rows.len() as u64).sum();
        Message::Rows { epoch, view, csv, csv_rows, chunks, table_rows, forward, on_page, letters }
    }
}

impl Message {
    /// The epoch that it belongs to; none if it concerns several.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Rows { epoch, .. }
            | Self::State { epoch, .. }
            | Self::Progress { epoch, .. }
            | Self::Intake { epoch, .. }
            | Self::InTheFuture { epoch, .. }
            | Self::Duplicates { epoch, .. } => Some(*epoch),
            Self::KeyMoved { .. } | Self::Frontier(_) | Self::Done => None,
        }
    }

    /// The approximate size in memory until the commit. It is the same in the process that creates the message and in
    /// the one that commits it.
    pub fn weight(&self) -> u64 {
        let bytes = match self {
            Self::Rows { csv, chunks, forward, on_page, .. } => {
                let forward = forward.as_ref().map_or(0, Rows::weight);
                let on_page = on_page.as_ref().map_or(0, |shown| shown.weight());
                csv.len() + chunks.iter().map(Chunk::weight).sum::<usize>() + forward + on_page
            }
            Self::State { sealed, .. } => sealed.len(),
            Self::Progress { offsets, arrivals, .. } => size_of_val(&**offsets) + size_of_val(&**arrivals),
            Self::Intake { .. } => size_of::<Intake>(),
            Self::InTheFuture { messages, .. } => size_of_val(&**messages),
            Self::Duplicates { .. } | Self::KeyMoved { .. } | Self::Frontier(_) | Self::Done => 0,
        };
        bytes as u64
    }
}

/// A worker's ends of its dataflow.
pub struct Graph {
    /// The input fed by the sources.
    pub items: InputHandle<Epoch, CapacityContainerBuilder<Vec<Item>>>,
    /// The input for the committed state, fed once.
    pub restored: InputHandle<Epoch, CapacityContainerBuilder<Vec<Restored>>>,
    /// Passes an epoch when all workers have sent all its effects.
    pub probe: ProbeHandle<Epoch>,
    /// The operators of each [`Part`].
    pub parts: Vec<(Part, Range<usize>)>,
}

/// A part of the graph, whose operators have a contiguous range of ids. Operators outside all parts are shared by the
/// views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The input of messages.
    Source,
    /// The input of the committed state.
    Restored,
    /// Reports the progress of the sources.
    Progress,
    /// A view, by its index.
    View(usize),
}

/// The operator that sends effects to the commit thread: one per view, in a cluster one for all.
pub const DELIVER: &str = "Deliver";

/// The parameters of the graph.
#[derive(Clone)]
pub struct Shape {
    /// The views.
    pub views: Vec<View>,
    /// Their settings.
    pub settings: Settings,
    /// The last committed epoch.
    pub start: Epoch,
    /// The index of the view to backfill; of the others only the one is built then that drops repetitions before all
    /// views.
    pub filled: Option<usize>,
    /// In a cluster, the number of workers of process 0, which send to the commit thread.
    pub gathered: Option<usize>,
}

/// Builds the graph on a worker, starting after the last commit. All workers build the same graph.
pub fn build(worker: &mut Worker, shape: &Shape, outlet: &Outlet) -> Graph {
    let start = shape.start;
    let probe = ProbeHandle::new();
    let mut items = InputHandle::new();
    let mut restored = InputHandle::new();
    let mut parts = Vec::new();
    worker.dataflow_named::<Epoch, _, _>("truckflow", |scope| {
        let mut begun = scope.worker().peek_identifier();
        let mut end = |part: Option<Part>| {
            let next = scope.worker().peek_identifier();
            parts.extend(part.map(|part| (part, begun..next)));
            begun = next;
        };
        let items = scope.input_from(&mut items);
        end(Some(Part::Source));
        let restored = scope.input_from(&mut restored);
        end(Some(Part::Restored));
        // A worker of process 0 delivers its own messages.
        let to = shape.gathered.map(|workers| (scope.worker().index() % workers) as u64);
        let mut gathered = to.map(|_| Vec::new());
        let report = leave(items.clone(), "Report", outlet.clone(), to, |_, epoch, item| match item {
            Item::Progress { offsets, arrivals } => Some(Message::Progress { epoch, offsets, arrivals }),
            Item::Intake(intake) => Some(Message::Intake { epoch, intake }),
            Item::InTheFuture(messages) => Some(Message::InTheFuture { epoch, messages }),
            _ => None,
        });
        end_way(report, &probe, &mut gathered);
        end(Some(Part::Progress));
        let inputs = Inputs::new(items, restored, start, &shape.settings);
        end(None);
        for (index, view) in shape.views.iter().enumerate() {
            if shape.filled.is_some_and(|filled| filled != index) && view.name != DEDUPE {
                continue;
            }
            // A backfill from kept readings feeds them in the epoch of the commit.
            let all = shape.filled.is_some() && shape.settings.upserts();
            let inputs = inputs.beginning_after(if all { start.saturating_sub(1) } else { start });
            let name = if to.is_some() { "Render" } else { DELIVER };
            let way = leave((view.build)(&inputs), name, outlet.clone(), to, move |outlet, epoch, effect| {
                outlet.message(epoch, index, effect)
            });
            end_way(way, &probe, &mut gathered);
            end(Some(Part::View(index)));
        }
        if let Some(gathered) = gathered {
            deliver(scope.concatenate(gathered), outlet.clone()).probe_with(&probe);
        }
    });
    Graph { items, restored, probe, parts }
}

/// A message, and the worker that delivers it.
type Bound = (u64, Message);

/// Turns the output of the graph into messages, and sends them to the commit thread or, with `to`, on to that worker.
fn leave<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    name: &str,
    outlet: Outlet,
    to: Option<u64>,
    message: impl Fn(&Outlet, Epoch, D) -> Option<Message> + 'static,
) -> StreamVec<'scope, Epoch, Bound> {
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let data = containers.flat_map(|container| container.drain(..));
                // Counted from here on, because in a cluster it may wait in a channel to process 0.
                let messages = data
                    .filter_map(|data| message(&outlet, epoch, data))
                    .inspect(|message| outlet.clock.queue(epoch, message.weight()));
                match to {
                    None => messages.for_each(|message| outlet.send(message)),
                    Some(to) => {
                        output.session(&cap).give_iterator(messages.map(|message| (to, message)));
                    }
                }
            });
        }
    })
}

/// Attaches the probe to the end of an output or, in a cluster, adds the output to `gathered`.
fn end_way<'scope>(
    way: StreamVec<'scope, Epoch, Bound>,
    probe: &ProbeHandle<Epoch>,
    gathered: &mut Option<Vec<StreamVec<'scope, Epoch, Bound>>>,
) {
    match gathered {
        None => drop(way.probe_with(probe)),
        Some(gathered) => gathered.push(way),
    }
}

/// Sends the messages of all processes to the commit thread.
fn deliver<'scope>(
    messages: StreamVec<'scope, Epoch, Bound>,
    outlet: Outlet,
) -> StreamVec<'scope, Epoch, ()> {
    let to = Exchange::new(|(to, _): &Bound| *to);
    messages.unary::<CapacityContainerBuilder<_>, _, _, _>(to, DELIVER, move |_, _| {
        move |input, _output| {
            input.for_each_stamp(|_, containers| {
                let messages = containers.flat_map(|container| container.drain(..));
                messages.for_each(|(_, message)| outlet.send(message));
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Job};
    use crate::job::routes::routes;
    use crate::runtime::clock::Limits;
    use crate::store::Text;
    use crossbeam_channel::{Receiver, unbounded};
    use dataflows::batch::{BatchBuilder, NANO};
    use std::time::Duration;

    /// A job with a page and a dead-letter topic.
    fn parts(gathered: Option<usize>) -> (Shape, Outlet, Receiver<Message>) {
        let mut config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
        config.dead_letters.topic = Some("letters".into());
        let job = Job::try_from(config).unwrap();
        let limits = Limits { interval: Duration::ZERO, epochs_in_flight: 2, ..Limits::NONE };
        let (sender, messages) = unbounded();
        let form = Form { job: "job".into(), text: Some(Text::Inserts), lines: Arc::default() };
        let outlet = Outlet { sender, clock: Arc::new(Clock::new(limits, 0)), routes: routes(&job), form };
        let (views, settings) = (job.active_views.clone(), job.view_settings.clone());
        (Shape { views, settings, start: 0, filled: None, gathered }, outlet, messages)
    }

    /// Feeds readings, a dead letter and progress in the first epoch, and completes it.
    fn feed(graph: &mut Graph) {
        let mut batch = BatchBuilder::default();
        (0..10).for_each(|second| batch.push("truck", second * 1_000_000, &[NANO, 90 * NANO, NANO]));
        let letter = DeadLetter {
            topic: "T".into(),
            partition: 0,
            offset: 10,
            kafka_timestamp: None,
            key: None,
            place: None,
            payload: Some(vec![b'x'; 1000]),
            reason: dataflows::dead_letter::Reason::NotAnObject,
            field: String::new(),
        };
        graph.restored.advance_to(2);
        graph.items.advance_to(1);
        graph.items.send(Item::Records(batch.take()));
        graph.items.send(Item::DeadLetters(vec![letter]));
        let offsets = vec![NextOffset { topic: "T".into(), partition: 0, offset: 11, mark: None }];
        graph.items.send(Item::Progress { offsets, arrivals: vec![Arrival { timestamp: 0, records: 11 }] });
        graph.items.advance_to(2);
    }

    #[test]
    fn queued_bytes_are_counted_once_with_and_without_a_cluster() {
        for gathered in [None, Some(1)] {
            let (shape, outlet, messages) = parts(gathered);
            let clock = outlet.clock.clone();
            timely::execute_directly(move |worker| {
                let mut graph = build(worker, &shape, &outlet);
                feed(&mut graph);
                worker.step_while(|| graph.probe.less_than(&2));
            });
            let messages: Vec<Message> = messages.try_iter().collect();
            assert_eq!(clock.bytes_in_flight(), messages.iter().map(Message::weight).sum::<u64>());
            let (mut forwarded, mut on_page) = (0, 0);
            for message in &messages {
                match message {
                    Message::Rows { csv, chunks, forward, on_page: shown, .. } => {
                        let forward = forward.as_ref().map_or(0, Rows::weight);
                        let shown = shown.as_ref().map_or(0, |shown| shown.weight());
                        let rows: usize = chunks.iter().map(Chunk::weight).sum();
                        assert!(message.weight() >= (csv.len() + rows + forward + shown) as u64);
                        forwarded += forward;
                        on_page += shown;
                    }
                    Message::State { sealed, .. } => assert!(message.weight() >= sealed.len() as u64),
                    Message::Progress { .. } => assert!(message.weight() > 0),
                    _ => {}
                }
            }
            assert!(forwarded > 1000 && on_page > 1000, "{forwarded} and {on_page}");
            assert!(messages.iter().any(|message| matches!(message, Message::State { .. })));
        }
    }

    #[test]
    fn rows_sent_to_process_0_count_before_they_arrive() {
        let (shape, outlet, messages) = parts(Some(1));
        let clock = outlet.clock.clone();
        let (weight_sender, weights) = unbounded();
        let (receiver, weight_sender) =
            (std::sync::Mutex::new(Some((messages, weights))), std::sync::Mutex::new(Some(weight_sender)));
        let workers = timely::execute(timely::Config::process(2), move |worker| {
            let mut graph = build(worker, &shape, &outlet);
            let clock = &outlet.clock;
            if worker.index() == 1 {
                feed(&mut graph);
                worker.step_while(|| clock.bytes_in_flight() < 1000);
                weight_sender.lock().unwrap().take().unwrap().send(clock.bytes_in_flight()).unwrap();
            } else {
                // The delivering worker has not run yet.
                let (messages, weights) = receiver.lock().unwrap().take().unwrap();
                assert!(weights.recv().unwrap() >= 1000);
                assert!(messages.try_recv().is_err());
                graph.restored.advance_to(2);
                graph.items.advance_to(2);
                worker.step_while(|| graph.probe.less_than(&2));
                let weight: u64 = messages.try_iter().map(|message| message.weight()).sum();
                assert_eq!(weight, clock.bytes_in_flight());
            }
            graph.items.close();
            graph.restored.close();
        });
        workers.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        assert!(clock.bytes_in_flight() > 1000);
    }
}
