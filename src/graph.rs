//! The dataflow of a job: the views of [`dataflows`], and what carries their effects out of it.
//!
//! Rows are rendered here, on the workers, and handed to the commit thread; the graph itself
//! never waits for a file or a database.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use dataflows::Epoch;
use dataflows::item::{Arrival, Item, NextOffset};
use dataflows::rows::Rows;
use dataflows::views::{Effect, Inputs, Restored, Settings, View};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, StreamVec};
use timely::worker::Worker;

use crate::clock::Clock;
use crate::render;
use crate::state;
use crate::store::Chunk;

/// What a worker tells the commit thread.
#[derive(Debug)]
pub enum Message {
    /// Rows of a view.
    Rows {
        /// The epoch they belong to.
        epoch: Epoch,
        /// The view's place in the job's list.
        view: usize,
        /// How many rows.
        rows: u64,
        /// Their CSV lines; empty for a view without a file.
        csv: Vec<u8>,
        /// Their part of a statement, for a view with a table.
        chunk: Option<Chunk>,
        /// The rows themselves, if they go to the topic of dead letters.
        forward: Option<Rows>,
    },
    /// A change of a view's state.
    State {
        /// The epoch it belongs to.
        epoch: Epoch,
        /// The view's place in the job's list.
        view: usize,
        /// The change, with version and checksum.
        sealed: Vec<u8>,
        /// Entries that were added.
        added: i64,
    },
    /// How far a worker has read in an epoch.
    Progress {
        /// The epoch.
        epoch: Epoch,
        /// Next offsets.
        offsets: Vec<NextOffset>,
        /// When the messages were produced.
        arrivals: Vec<Arrival>,
    },
    /// Everything before this epoch was sent.
    Frontier(Epoch),
    /// Everything was sent.
    Done,
}

/// Where a view's rows go.
#[derive(Clone, Debug)]
pub struct Route {
    /// The view.
    pub name: &'static str,
    /// Whether it has a CSV file.
    pub csv: bool,
    /// The place of its table among the prepared ones.
    pub table: Option<usize>,
    /// Whether they are dead letters that go to a topic too.
    pub forwarded: bool,
}

/// The way out of the dataflow, to the commit thread.
#[derive(Clone)]
pub struct Outlet {
    /// The commit thread.
    pub sender: Sender<Message>,
    /// What is told of bytes that wait.
    pub clock: Arc<Clock>,
    /// One for each view, in the job's order.
    pub routes: Arc<[Route]>,
    /// Whether the store wants rows as text.
    pub text: bool,
}

impl Outlet {
    /// Hands a message over. A commit thread that is gone has failed, and stops the job itself.
    pub fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    fn rows(&self, epoch: Epoch, view: usize, rows: Rows) {
        let route = &self.routes[view];
        let mut csv = Vec::new();
        if route.csv {
            render::csv(&rows, &mut csv);
        }
        let count = rows.len();
        let forward = route.forwarded.then(|| rows.clone());
        let chunk = route.table.map(|table| Chunk::new(table, rows, self.text));
        let message = Message::Rows { epoch, view, rows: count as u64, csv, chunk, forward };
        self.clock.queue(message.weight());
        self.send(message);
    }
}

impl Message {
    /// About how many bytes it holds while it waits for its commit.
    pub fn weight(&self) -> u64 {
        let bytes = match self {
            Self::Rows { csv, chunk, .. } => csv.len() + chunk.as_ref().map_or(0, Chunk::weight),
            _ => 0,
        };
        bytes as u64
    }
}

/// A worker's ends of its dataflow.
pub struct Graph {
    /// What the source feeds.
    pub items: InputHandle<Epoch, CapacityContainerBuilder<Vec<Item>>>,
    /// What was committed, fed once.
    pub restored: InputHandle<Epoch, CapacityContainerBuilder<Vec<Restored>>>,
    /// Passes an epoch when all its effects were handed over, on all workers.
    pub probe: ProbeHandle<Epoch>,
    /// Which operators belong to what: see [`Part`].
    pub parts: Vec<(Part, Range<usize>)>,
}

/// A part of the graph, whose operators have identifiers in one range: the worker counts them up.
/// What is in none is shared by the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Where what the source reads comes in.
    Source,
    /// Where the committed state comes in.
    Restored,
    /// What tells how far the sources have read.
    Progress,
    /// A view, by its place in the job's list.
    View(usize),
}

/// The operator at the end of each view, which hands its effects over.
pub const DELIVER: &str = "Deliver";

/// Builds the same graph on every worker, beginning after the committed epoch `start`.
pub fn build(
    worker: &mut Worker,
    views: &[View],
    settings: Settings,
    start: Epoch,
    outlet: &Outlet,
) -> Graph {
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
        report(items.clone(), outlet.clone()).probe_with(&probe);
        end(Some(Part::Progress));
        let inputs = Inputs::new(items, restored, start, settings);
        end(None);
        for (index, view) in views.iter().enumerate() {
            deliver((view.render)(&inputs), index, outlet.clone()).probe_with(&probe);
            end(Some(Part::View(index)));
        }
    });
    Graph { items, restored, probe, parts }
}

/// Hands a view's effects over, rendered.
fn deliver<'scope>(
    effects: StreamVec<'scope, Epoch, Effect>,
    view: usize,
    outlet: Outlet,
) -> StreamVec<'scope, Epoch, ()> {
    effects.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, DELIVER, move |_, _| {
        move |input, _output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                for effect in containers.flat_map(|container| container.drain(..)) {
                    match effect {
                        Effect::Rows(rows) => outlet.rows(epoch, view, rows),
                        Effect::State { bytes, added } => {
                            outlet.send(Message::State { epoch, view, sealed: state::seal(&bytes), added });
                        }
                    }
                }
            });
        }
    })
}

/// Hands over how far the sources have read.
fn report<'scope>(items: StreamVec<'scope, Epoch, Item>, outlet: Outlet) -> StreamVec<'scope, Epoch, ()> {
    items.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Report", move |_, _| {
        move |input, _output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                for item in containers.flat_map(|container| container.drain(..)) {
                    if let Item::Progress { offsets, arrivals } = item {
                        outlet.send(Message::Progress { epoch, offsets, arrivals });
                    }
                }
            });
        }
    })
}
