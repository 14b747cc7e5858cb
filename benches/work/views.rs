//! The graph as a job builds it, on a worker of this thread: each view alone without sinks, and all views
//! behind the decoder, rendered for files and tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use dataflows::Epoch;
use dataflows::item::Item;
use dataflows::rows::Rows;
use dataflows::views::{Settings, View};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::Thread;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;
use truckflow::config::sql::builtin::{self, Builtin};
use truckflow::config::sql::script::Script;
use truckflow::config::{self, Config, sql};
use truckflow::decode::{Decode, Decoder};
use truckflow::job::graph::{self, Graph, Message, Outlet, Route};
use truckflow::runtime::clock::{Clock, Limits};
use truckflow::store::{Form, Text};

use super::decode::{decode, decoder};
use super::messages::{self, Messages, Shape};
use super::{BATCH, Stage, Work};

/// Readings of five trucks, each 0.36 s behind its last: a batch spans five minutes.
const SHAPE: Shape = Shape { trucks: 5, ..Shape::of(messages::Form::Numpy) };

/// The same of so many that few readings of a run are of the same one: most of the work is rows and state.
const MANY: Shape = Shape { trucks: 10_000, ..SHAPE };

/// What becomes of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sinks {
    /// They are dropped as the view gave them.
    None,
    /// They are rendered for a file and a table.
    FileAndTable,
    /// They are kept.
    Rows,
}

/// A job of one worker without source and commits.
struct Job {
    worker: Worker,
    items: InputHandle<Epoch, CapacityContainerBuilder<Vec<Item>>>,
    probe: ProbeHandle<Epoch>,
    epoch: Epoch,
    sent: Receiver<Message>,
}

impl Job {
    fn new(views: Vec<View>, settings: Settings, sinks: Sinks) -> Self {
        let (sender, sent) = unbounded();
        let limits = Limits { interval: Duration::from_secs(1), ..Limits::NONE };
        let route = |(table, view): (usize, &View)| Route {
            name: (&*view.name).into(),
            csv: sinks == Sinks::FileAndTable,
            change: false,
            table: (sinks == Sinks::FileAndTable).then_some(table),
            forwarded: sinks == Sinks::Rows,
            shown: None,
            listed: false,
        };
        let outlet = Outlet {
            sender,
            clock: Arc::new(Clock::new(limits, 0)),
            routes: views.iter().enumerate().map(route).collect(),
            form: form(),
        };
        let thread = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(WorkerConfig::default(), thread, Some(Instant::now()));
        let shape = graph::Shape { views, settings, start: 0, filled: None, gathered: None };
        let Graph { mut items, restored, probe, .. } = graph::build(&mut worker, &shape, &outlet);
        restored.close();
        items.advance_to(1);
        Self { worker, items, probe, epoch: 1, sent }
    }

    /// Feeds what a poll of the source gave.
    fn feed(&mut self, items: impl Iterator<Item = Item>) {
        items.for_each(|item| self.items.send(item));
        self.items.flush();
        self.worker.step();
    }

    /// Ends the epoch, and works until all of it was handed over.
    fn end_epoch(&mut self) {
        self.epoch += 1;
        self.items.send(Item::Behind(i64::MAX));
        self.items.send(Item::Arrived(i64::MAX));
        self.items.advance_to(self.epoch);
        while self.probe.less_than(&self.epoch) {
            self.worker.step();
        }
    }
}

/// How a server gets rows.
pub fn form() -> Form {
    Form { job: "truckflow".into(), text: Some(Text::Values), lines: [].into() }
}

/// The views that a job of trucks has unless it chooses.
fn builtin() -> config::Job {
    config::Job::try_from(Config::default()).expect("the defaults are valid")
}

/// Their names.
pub fn names() -> impl Iterator<Item = String> {
    builtin().active_views.into_iter().map(|view| view.name.into_owned())
}

fn views(chosen: impl Fn(&str) -> bool) -> (Vec<View>, Settings) {
    let settings = Settings::default();
    let views = builtin().active_views.into_iter().chain(own(&settings));
    (views.filter(|view| chosen(&view.name)).collect(), settings)
}

/// Views of one's own: `above_speed`, aggregates per truck, the same in windows, and a join.
const OWN: &str = "
CREATE MATERIALIZED VIEW own AS
SELECT timestamp, distance_covered, engine_speed, truck_id FROM readings WHERE engine_speed > 80;

CREATE MATERIALIZED VIEW own_groups AS
SELECT truck_id, COUNT(*) AS samples, SUM(distance_covered) AS distance, AVG(engine_speed) AS speed,
       MIN(fuel_consumed) AS least, CORR(engine_speed, timestamp) AS trend
FROM readings GROUP BY truck_id;

CREATE MATERIALIZED VIEW own_windows AS
SELECT truck_id, window_start, window_end, COUNT(*) AS samples, AVG(engine_speed) AS speed,
       CORR(engine_speed, timestamp) AS trend
FROM TUMBLE(readings, timestamp, INTERVAL '5 minutes') GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW own_join WITH (grace = '10m') AS
SELECT a.truck_id, a.timestamp, b.engine_speed - a.engine_speed AS gain
FROM readings a JOIN readings b
  ON a.truck_id = b.truck_id AND b.timestamp BETWEEN a.timestamp + INTERVAL '1 ms' AND a.timestamp + INTERVAL '2 s';
";
const OWN_NAMES: [&str; 4] = ["own", "own_groups", "own_windows", "own_join"];

fn own(settings: &Settings) -> Vec<View> {
    let parameters = sql::parameters::defaults();
    let built_in = builtin::script(&parameters).and_then(|script| Builtin::compile(&script, settings));
    let script = Script::parse("own", OWN, &parameters).expect("it is SQL");
    let own = sql::compile(&script, &built_in.expect("it compiles")).expect("it reads fields of trucks");
    own.views.into_iter().map(|view| view.view(settings)).collect()
}

/// One view alone: an epoch of batches a run.
struct Alone {
    shape: Shape,
    job: Job,
    decoder: Decoder,
    batches: usize,
    next: usize,
    items: Vec<Item>,
}

impl Alone {
    fn new(view: &str, shape: Shape, sinks: Sinks, batches: usize) -> Self {
        let (views, settings) = views(|name| name == view);
        let decoder = if views[0].drops_readings { decoder().with_origins() } else { decoder() };
        Self { shape, job: Job::new(views, settings, sinks), decoder, batches, next: 0, items: Vec::new() }
    }
}

impl Work for Alone {
    fn prepare(&mut self) {
        self.job.sent.try_iter().for_each(drop);
        let messages = Messages::new(&self.shape, self.next, self.batches * BATCH);
        self.next += messages.len();
        decode(&mut self.decoder, &messages, None, |decoder| decoder.take(&mut self.items));
    }

    fn run(&mut self) {
        for item in self.items.drain(..) {
            self.job.feed([item].into_iter());
        }
        self.job.end_epoch();
    }

    fn elements(&self) -> u64 {
        (self.batches * BATCH) as u64
    }
}

/// From messages to what the commit thread is given, in all views: an epoch a run.
struct Whole {
    job: Job,
    decoder: Decoder,
    messages: Messages,
    batches: usize,
    next: usize,
    items: Vec<Item>,
}

impl Work for Whole {
    fn prepare(&mut self) {
        self.job.sent.try_iter().for_each(drop);
        self.messages = Messages::new(&SHAPE, self.next, self.batches * BATCH);
        self.next += self.messages.len();
    }

    fn run(&mut self) {
        decode(&mut self.decoder, &self.messages, None, |decoder| {
            decoder.take(&mut self.items);
            self.job.feed(self.items.drain(..));
        });
        self.job.end_epoch();
    }

    fn elements(&self) -> u64 {
        (self.batches * BATCH) as u64
    }
}

/// An epoch's rows of a view, in the pieces in which it gives them.
pub fn rows(view: &str, batches: usize) -> Vec<Rows> {
    let mut alone = Alone::new(view, SHAPE, Sinks::Rows, batches);
    alone.prepare();
    alone.run();
    let forwarded = |message| match message {
        Message::Rows { forward, .. } => forward,
        _ => None,
    };
    alone.job.sent.try_iter().filter_map(forwarded).collect()
}

pub fn stages() -> Vec<Stage> {
    let alone = names().chain(OWN_NAMES.map(str::to_owned)).map(|name| {
        Stage::new(format!("view/{name}"), move |batches| Alone::new(&name, SHAPE, Sinks::None, batches))
    });
    let of_many = ["distance_correlation", "own_groups", "window_averages", "filtered_join"].map(|name| {
        let work = move |batches| Alone::new(name, MANY, Sinks::None, batches);
        Stage::new(format!("many_trucks/{name}"), work)
    });
    let whole = Stage::new("whole/all_views", |batches| {
        let (views, settings) = views(|name| names().any(|other| other == name));
        Whole {
            job: Job::new(views, settings, Sinks::FileAndTable),
            decoder: decoder().with_origins(),
            messages: Messages::new(&SHAPE, 0, 0),
            batches,
            next: 0,
            items: Vec::new(),
        }
    });
    alone.chain(of_many).chain([whole]).collect()
}
