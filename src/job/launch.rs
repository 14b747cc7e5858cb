//! Starts and ends all parts of a job; the only module that knows all of them.
//!
//! ```text
//! worker threads: sources -> decode -> graph -> render -.
//!   one per --workers, each with its own readers        |-> commit thread -> files, store
//! watch threads: lag, group offsets <---- committed ----'        |
//! feeder thread: embedded broker    <---- committed -------------'
//! ```
//!
//! In a cluster, this is process 0. The others have only workers ([`Launch::follow`]); their output goes to the commit
//! thread of process 0.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use dataflows::Epoch;
use dataflows::effect::Restored;
use dataflows::views::Mode;

use crate::config::Job;
use crate::job::about;
use crate::job::backfill;
use crate::job::cluster::control::Control;
use crate::job::cluster::endpoint::{Endpoint, PATIENCE, Welcome};
use crate::job::cluster::{ClusterError, Members, has_held_worker};
use crate::job::commit::{Committer, Parts, Setup};
use crate::job::error::JobError;
use crate::job::filling::Filling;
use crate::job::graph::{Outlet, Route, Shape};
use crate::job::inputs::Inputs;
use crate::job::open;
use crate::job::plan;
use crate::job::progress::ProgressThread;
use crate::job::replace;
use crate::job::restore::Restore;
use crate::job::routes::{open_files, routes, routes_of_backfill, tables};
use crate::job::summary::Summary;
use crate::job::topics;
use crate::job::worker::{self, Shared};
use crate::kafka::properties::Properties;
use crate::observe::board::meter::Meter;
use crate::observe::board::{Board, Doing, Feed};
use crate::observe::web::live::Live;
use crate::observe::web::{self, AppState};
use crate::registry::Registry;
use crate::runtime::clock::{Clock, wall_clock};
use crate::runtime::counts::Counts;
use crate::runtime::events::{Event, Events};
use crate::runtime::failure::Bug;
use crate::runtime::fault::{self, Moment};
use crate::runtime::folder::FolderLock;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::reload::Reloaded;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;
use crate::sink::csv;
use crate::sink::topic::DeadLetterTopic;
use crate::source::kafka::{Beginning, keep_trying};
use crate::store::{LastCommit, Login, Store};

/// Runs a job until the end of its input (with `until_end`), a signal (`stop`), or an error. Before it reads, a signal
/// ends it immediately, because there is nothing to commit yet.
pub fn run(config: &Arc<Job>, stop: &Arc<Stop>, events: Option<Arc<Events>>) -> Result<Summary, JobError> {
    let shows = config.process == 0 && config.listen != "off";
    let page = shows.then(|| Board::start(about::views(config))).transpose()?;
    let result = run_shown(config, page.clone(), stop, events);
    if let Some(page) = page {
        page.board.end(&match &result {
            Ok(_) => "It ended after a final commit.".to_owned(),
            Err(error) => format!("It failed: {error}."),
        });
    }
    result
}

/// Runs a job and reports its progress to `page`.
fn run_shown(
    config: &Arc<Job>,
    page: Option<Feed>,
    stop: &Arc<Stop>,
    events: Option<Arc<Events>>,
) -> Result<Summary, JobError> {
    let starts = |text: &str| page.iter().for_each(|page| page.board.set_starting(text));
    let reloads = stop.reloads();
    let token = reloads.watch("listen_token_file", {
        let config = config.clone();
        move || config.listen_token()
    })?;
    let kafka = match config.reaches_kafka() {
        true => reloads.watch("kafka.property_files", {
            let config = config.clone();
            move || config.kafka_properties()
        })?,
        false => Reloaded::fixed(Properties::default()),
    };
    if let Some(missing) = config.missing_views() {
        tracing::info!("some built-in views are not built, because the record lacks their fields: {missing}");
    }
    let metrics = Metrics::new(&config.view_settings.schema).map_err(|_| Bug("the metrics"))?;
    let dropping = config.active_views.iter().filter(|view| view.drops_readings);
    dropping.for_each(|view| metrics.dropped_readings(&view.name, 0));
    let health = Arc::<Health>::default();
    let state = AppState {
        metrics: metrics.clone(),
        health: health.clone(),
        page: page
            .as_ref()
            .map(|page| Live::new(page.board.clone(), metrics.clone(), health.clone(), about::job(config))),
        token,
    };
    if let Some(address) = web::serve(&config.listen, state)? {
        tracing::info!("metrics at http://{address}/metrics");
        if page.is_some() {
            tracing::info!("live page at http://{address}/");
        }
    }

    let registry = open::registry(config, reloads, &health, stop)?;

    // Before anything that takes time, because the other processes may already be waiting.
    let endpoint = Members::of(config, reloads)?.map(Endpoint::open).transpose()?;
    let routes = routes(config);
    if let (Some(endpoint), 1..) = (&endpoint, config.process) {
        return Launch { config, routes, metrics, health, page, kafka, registry, stop, events }
            .follow(endpoint);
    }
    let login = reloads.watch("password and certificates of the database", {
        let config = config.clone();
        move || Ok::<_, JobError>(Login::read(&config.database_url()?)?)
    })?;
    starts("Waiting for the database.");
    csv::prepare_folder(&config.out)?;
    let mut lock = FolderLock::take(&config.out)?;
    fault::at(Moment::FolderLocked);
    let opened = stop.unless_requested({
        let (config, stop) = (config.clone(), stop.clone());
        move || open::store(&config, login, &stop)
    })?;
    let Some(opened) = opened.transpose()? else { return Ok(Summary::default()) };
    let open::Opened { mut store, mut last, to_fill } = opened;
    if let (Some(_), Some(filling)) = (&endpoint, to_fill.first()) {
        return Err(ClusterError::Unfilled(config.active_views[filling.view].name.to_string()).into());
    }
    let launch =
        Launch { config, routes, metrics, health, page: page.clone(), kafka, registry, stop, events };
    let (replaced, new): (Vec<_>, Vec<_>) = to_fill.into_iter().partition(|filling| filling.replaces);
    for filling in replaced {
        match launch.replace(store, lock, &last, &filling)? {
            Filled::All(parts) => (store, lock) = parts,
            Filled::Some(summary) => return Ok(summary),
        }
        last = store.last_commit()?;
    }
    store.prepare(&tables(config, &launch.routes))?;
    fault::at(Moment::TablesMade);
    let files = open_files(config, &launch.routes, &last)?;
    fault::at(Moment::FilesCut);
    let mut parts = Parts { store, files, lock };
    for filling in new {
        match launch.fill(parts, &last, &filling)? {
            Filled::All((filled, epoch)) => (parts, last.epoch) = (filled, epoch),
            Filled::Some(summary) => return Ok(summary),
        }
        backfill::finish(parts.store.as_mut(), config, filling.view, &last)?;
    }
    starts("Waiting for the input.");
    let passed = launch.pass(parts, &last, None, endpoint.as_ref())?;
    Ok(passed.map_or(Summary { epoch: last.epoch, ..Summary::default() }, |(_, summary)| summary))
}

/// What a job holds while no file is open.
type Locked = (Box<dyn Store>, FolderLock);

/// What became of filling a view.
enum Filled<T> {
    All(T),
    /// A stop was requested before it was complete.
    Some(Summary),
}

/// The parts of a job that are shared by all passes over its input.
struct Launch<'job> {
    config: &'job Arc<Job>,
    routes: Arc<[Route]>,
    metrics: Metrics,
    health: Arc<Health>,
    /// The live page, if there is one.
    page: Option<Feed>,
    /// Where the process that started the job gets its reports.
    events: Option<Arc<Events>>,
    /// The Kafka client properties.
    kafka: Arc<Reloaded<Properties>>,
    /// The schemas of messages, if a registry has them.
    registry: Option<Arc<Registry>>,
    stop: &'job Arc<Stop>,
}

impl Launch<'_> {
    /// Fills a view up to the job's offsets. Returns the last epoch, too.
    fn fill(
        &self,
        parts: Parts,
        last: &LastCommit,
        filling: &Filling,
    ) -> Result<Filled<(Parts, Epoch)>, JobError> {
        let view = &*self.config.active_views[filling.view].name;
        let verb = if filling.replaces { "Rebuilding" } else { "Backfilling" };
        let said = format!("{verb} view {view}; the other views wait for it.");
        self.page.iter().for_each(|page| page.board.set_starting(&said));
        match filling.replaces {
            true => tracing::info!(view, "rebuilding the view, as its definition has changed"),
            false => tracing::info!(view, "backfilling the view"),
        }
        let Some((parts, summary)) = self.pass(parts, last, Some(filling), None)? else {
            return Ok(Filled::Some(Summary { epoch: last.epoch, ..Summary::default() }));
        };
        tracing::info!(view, records = summary.counts.intake.accepted, "filled");
        Ok(match self.stop.requested() {
            true => Filled::Some(summary),
            false => Filled::All((parts, summary.epoch)),
        })
    }

    /// Replaces a view by one with another definition.
    fn replace(
        &self,
        mut store: Box<dyn Store>,
        lock: FolderLock,
        last: &LastCommit,
        filling: &Filling,
    ) -> Result<Filled<Locked>, JobError> {
        let routes = routes_of_backfill(&self.routes, filling);
        store.prepare(&tables(self.config, &routes))?;
        let files = open_files(self.config, &routes, last)?;
        let (Parts { mut store, lock, .. }, _) =
            match self.fill(Parts { store, files, lock }, last, filling)? {
                Filled::All(filled) => filled,
                Filled::Some(summary) => return Ok(Filled::Some(summary)),
            };
        replace::switch(store.as_mut(), self.config, filling)?;
        replace::finish(store.as_mut(), self.config, self.stop)?;
        tracing::info!(view = &*self.config.active_views[filling.view].name, "the view is replaced");
        Ok(Filled::All((store, lock)))
    }

    /// Runs a pass over the input to its end: the job itself, with the other processes of a cluster at `endpoint`, or
    /// the view that is `filled`. None if a stop was requested before it read anything.
    fn pass(
        &self,
        parts: Parts,
        last: &LastCommit,
        filled: Option<&Filling>,
        endpoint: Option<&Endpoint>,
    ) -> Result<Option<(Parts, Summary)>, JobError> {
        let (config, stop, metrics) = (self.config, self.stop, &self.metrics);
        let routes = match filled {
            None => self.routes.clone(),
            Some(filling) => routes_of_backfill(&self.routes, filling),
        };
        let loaded = stop.unless_requested({
            let (config, routes, mut parts) = (config.clone(), routes.clone(), parts);
            move || Restore::read(parts.store.as_mut(), &config, &routes).map(|restore| (parts, restore))
        })?;
        let Some((mut parts, restore)) = loaded.transpose()? else { return Ok(None) };
        let Restore { restored, weights, changed } = restore;
        fault::at(Moment::StateRead);
        let page = self.page.as_ref().filter(|_| filled.is_none());
        if let Some(page) = page {
            about::restored(config, page, &restored, last.epoch > 0);
        }
        // File headers, first offsets and topic ids are committed before any record, in an epoch of their own, so that
        // no epoch is committed twice.
        let start = last.epoch + 1;
        let clock = Arc::new(Clock::new(config.epoch_limits, start));
        let mut done = Vec::new();
        let opened = match filled {
            None => {
                topics::warn_of_changes(config, last);
                self.open_inputs(topics::beginning(config, last))?
            }
            Some(filling) => {
                let progress = backfill::progress(&filling.name, last);
                if config.mode == Mode::Upsert {
                    if progress.contains(&backfill::kept()) {
                        return Ok(Some((parts, Summary { epoch: last.epoch, ..Summary::default() })));
                    }
                    done.push(backfill::kept());
                    Some(Inputs::none(config)?)
                } else {
                    let decided = parts.store.in_the_future()?;
                    let (config, last, filling) = (config.clone(), last.clone(), filling.clone());
                    let (kafka, waits) = (self.kafka.clone(), stop.clone());
                    stop.unless_requested(move || {
                        Inputs::again(&config, &filling, &progress, &last, decided, &kafka, &waits)
                    })?
                    .transpose()?
                }
            }
        };
        let Some(mut inputs) = opened else { return Ok(None) };
        inputs.read_schemas_of(self.registry.as_ref());
        let (sender, messages) = unbounded();
        let outlet =
            Outlet { sender, clock: clock.clone(), routes: routes.clone(), form: parts.store.form() };
        let forward = match config.dead_letters.topic.clone() {
            Some(topic) => {
                let brokers = inputs.embedded_broker().unwrap_or(&config.kafka.brokers).to_owned();
                let (kafka, wait, waits) = (self.kafka.clone(), config.wait, stop.clone());
                let open = move || Ok(DeadLetterTopic::open(&brokers, kafka.clone(), &topic)?);
                let opened = stop.unless_requested(move || keep_trying(wait, &waits, open))?;
                let Some(topic) = opened.transpose()? else { return Ok(None) };
                Some(topic)
            }
            None => None,
        };
        let cluster = match endpoint {
            None => None,
            Some(endpoint) => {
                // All other processes start at the offsets of process 0.
                let offsets = inputs.starts().into_iter().chain(last.offsets.iter().cloned()).collect();
                page.iter().for_each(|page| page.board.set_starting("Waiting for the other processes."));
                let welcome = Welcome { epoch: start, offsets, form: parts.store.form() };
                match endpoint.gather(&welcome, patience(config), stop)? {
                    Some(others) => Some((Control::lead(others, &clock, stop)?, endpoint)),
                    None => return Ok(None),
                }
            }
        };
        // The start of a backfill needs no commit, because the view has no row yet.
        let (committed, starts): (&[_], _) = match filled {
            None => (&last.offsets, inputs.starts()),
            Some(_) => (&[], Vec::new()),
        };
        let committer = Committer::new(
            parts,
            Setup {
                messages,
                routes,
                clock: clock.clone(),
                metrics: metrics.clone(),
                health: self.health.clone(),
                weights,
                followers: inputs.take_followers(),
                committed: committed.to_vec(),
                starts,
                discovered: inputs.discovered(),
                changed,
                forward,
                page: page.cloned(),
                events: self.events.clone().filter(|_| filled.is_none()),
                topic: config.kafka.topic.to_string().into(),
                mapping: config.mapping.clone(),
                filled: filled.map(|filling| filling.name.clone()),
                done,
            },
        )?;

        let shape = self.shape(start, filled.map(|filling| filling.view))?;
        let meter = page.map(|page| plan::as_it_runs(config).map(|plan| page.board.show_graph(plan)));
        let job = self.job(shape, outlet, &inputs, restored, meter.transpose()?)?;
        // In a cluster, each process sees only its share of the messages.
        let share = if config.processes == 1 { inputs.share() } else { None };
        if filled.is_none() {
            if last.epoch > 0 {
                let generation = last.generation;
                tracing::info!(epoch = last.epoch, generation, "resuming after the last commit");
            }
            if config.memory.is_none() {
                tracing::info!(source = inputs.describe(), workers = config.workers, "reading");
            }
            self.events.iter().for_each(|events| events.send(&Event::Reading { at: wall_clock() }));
            inputs.watch(&self.health, Some(metrics))?;
        }
        let began = Instant::now();
        self.health.set_reading(filled.is_none());
        page.iter().for_each(|page| page.board.set_doing(Doing::Reading));

        let work = |cluster: Option<(&mut Control, &Endpoint)>| {
            let commit = spawn("commit", move || committer.run())?;
            let board = page.map(|page| page.board.clone());
            let progress = ProgressThread::start(
                stop.clone(),
                clock.clone(),
                metrics.clone(),
                job.records(),
                board,
                share,
            )?;
            let panicked = self.work(&job, cluster)?;
            job.close();
            let committed = commit.join();
            self.health.set_reading(false);
            progress.finish();
            inputs.finish(&self.health);

            let (parts, mut counts) = committed.map_err(|_| Bug("the commit thread"))??;
            if filled.is_some() {
                // The messages were already counted when they were first read.
                counts.intake = job.intake();
            }
            if panicked {
                return Err(Bug("a worker").into());
            }
            inputs.join_feeder(stop)?;
            job.take_failure().map_or(Ok((parts, counts)), |failure| Err(failure.into()))
        };
        let (parts, counts) = match cluster {
            None => work(None)?,
            Some((control, endpoint)) => control.finish_with(|control| work(Some((control, endpoint))))?,
        };
        let unfinished = inputs.unfinished();
        unfinished.iter().for_each(|line| tracing::warn!("{line}"));
        let summary = Summary { counts, elapsed: began.elapsed(), epoch: clock.committed(), unfinished };
        Ok(Some((parts, summary)))
    }

    /// Opens the job's topics and files. None if a stop was requested.
    fn open_inputs(&self, from: Beginning) -> Result<Option<Inputs>, JobError> {
        let (config, kafka, stop) = (self.config.clone(), self.kafka.clone(), self.stop.clone());
        self.stop.unless_requested(move || Inputs::open(&config, &from, &kafka, &stop))?.transpose()
    }

    /// Runs the workers of another process than process 0.
    fn follow(&self, endpoint: &Endpoint) -> Result<Summary, JobError> {
        let (config, stop) = (self.config, self.stop);
        let Some((first, welcome)) = endpoint.join(patience(config), stop)? else {
            return Ok(Summary::default());
        };
        let clock = Arc::new(Clock::following(config.epoch_limits, welcome.epoch));
        let control = Control::follow(first, &clock, stop)?;
        let summary = control.finish_with(|control| {
            // Process 0 checks whether topics were re-created. After a stop request, this process runs without inputs
            // until all processes end.
            let from = Beginning { committed: welcome.offsets.clone(), ..Beginning::default() };
            let mut inputs = match self.open_inputs(from)? {
                Some(inputs) => inputs,
                None => Inputs::none(config)?,
            };
            // Only process 0 has a commit thread.
            let (sender, _) = unbounded();
            let (routes, form) = (self.routes.clone(), welcome.form);
            let outlet = Outlet { sender, clock: clock.clone(), routes, form };
            let shape = self.shape(welcome.epoch, None)?;
            let job = self.job(shape, outlet, &inputs, Vec::new(), None)?;
            tracing::info!(source = inputs.describe(), workers = config.workers, "reading for process 0");
            inputs.watch(&self.health, None)?;
            let began = Instant::now();
            let progress = ProgressThread::start(
                stop.clone(),
                clock.clone(),
                self.metrics.clone(),
                job.records(),
                None,
                None,
            )?;
            self.health.set_reading(true);
            self.work(&job, Some((control, endpoint)))?;
            self.health.set_reading(false);
            progress.finish();
            inputs.finish(&self.health);
            if let Some(failure) = job.take_failure() {
                return Err(failure.into());
            }
            let counts = Counts { intake: job.intake(), ..Counts::default() };
            Ok(Summary { counts, elapsed: began.elapsed(), ..Summary::default() })
        })?;
        Ok(Summary { epoch: clock.committed(), ..summary })
    }

    fn shape(&self, start: Epoch, filled: Option<usize>) -> Result<Shape, JobError> {
        let gathered = (self.config.processes > 1).then_some(self.config.workers);
        let (views, settings) = (self.config.active_views.clone(), self.config.view_settings.clone());
        Ok(Shape { views, settings, start, filled, gathered })
    }

    /// The state shared by the workers of this process.
    fn job(
        &self,
        shape: Shape,
        outlet: Outlet,
        inputs: &Inputs,
        restored: Vec<Restored>,
        meter: Option<Arc<Meter>>,
    ) -> Result<Arc<Shared>, JobError> {
        let (workers, process, processes) = (self.config.workers, self.config.process, self.config.processes);
        let first = process * workers;
        let shares = inputs.shares(first..first + workers, processes * workers)?;
        let (clock, metrics) = (outlet.clock.clone(), self.metrics.clone());
        let setup = worker::Setup { shape, clock, metrics, first, meter };
        Ok(Arc::new(Shared::new(setup, outlet, shares, restored)))
    }

    /// Starts the workers and waits until they have ended. Returns whether one panicked.
    fn work(&self, job: &Arc<Shared>, cluster: Option<(&mut Control, &Endpoint)>) -> Result<bool, JobError> {
        let start = |network| worker::start(job.clone(), self.config.workers, network);
        let panicked = match cluster {
            None => start(None)?.join().into_iter().any(|result| result.is_err()),
            Some((control, endpoint)) => {
                let network = endpoint.connect(|| control.check())?;
                let has_panicked = || job.has_panicked() || has_held_worker();
                return control.work(start(Some(network))?, has_panicked).map(|()| false);
            }
        };
        Ok(panicked || job.has_panicked())
    }
}

/// How long processes wait for each other.
fn patience(config: &Job) -> Option<Duration> {
    (!config.wait).then_some(PATIENCE)
}
