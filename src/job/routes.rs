//! The sinks of each view, and the description of the job's source.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use dataflows::item::NextOffset;
use dataflows::relation::Keep;
use dataflows::rows::ColumnSpec;
use dataflows::views::{DEAD_LETTERS, DEDUPE, Mode, View};

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::filling::{Filling, dedupe_of_backfill, replaced_view};
use crate::job::graph::Route;
use crate::observe::board::shown::Part;
use crate::render::CHANGE;
use crate::sink::csv::{CsvError, CsvFiles};
use crate::source::file::full_path;
use crate::store::{LastCommit, Table, new_table};

/// The sinks of each view.
pub(crate) fn routes(config: &Job) -> Arc<[Route]> {
    let mut tables = 0..;
    // The other processes of a cluster do not know whether process 0 has a page.
    let listed = config.processes > 1 || config.listen != "off";
    let route = |view: &View| Route {
        name: (*view.name).into(),
        csv: config.has_file(&view.name) && !view.columns.is_empty(),
        change: view.has_change,
        table: if config.has_table(&view.name) && !view.columns.is_empty() { tables.next() } else { None },
        forwarded: view.name == DEAD_LETTERS && config.dead_letters.topic.is_some(),
        shown: Part::of(&view.name).filter(|_| listed),
        listed,
    };
    config.active_views.iter().map(route).collect()
}

/// The sinks of each view while one is filled. Repetitions are dropped with a state of its own, which is stored under
/// another name than that of the job; no view has a name with a slash. A view that replaces one has a table and a file of
/// its own; besides these there are only those of dead letters.
pub(crate) fn routes_of_backfill(routes: &[Route], filling: &Filling) -> Arc<[Route]> {
    let mut tables = 0..;
    let own = |(place, route): (usize, &Route)| match &*route.name {
        DEDUPE => Route { name: dedupe_of_backfill(&filling.name).into(), ..route.clone() },
        _ if !filling.replaces => route.clone(),
        _ if place == filling.view => Route {
            name: filling.name.clone(),
            table: route.table.and_then(|_| tables.next()),
            ..route.clone()
        },
        DEAD_LETTERS => Route { table: route.table.and_then(|_| tables.next()), ..route.clone() },
        _ => Route { csv: false, table: None, ..route.clone() },
    };
    routes.iter().enumerate().map(own).collect()
}

/// The tables that rows go to.
pub(crate) fn tables(config: &Job, routes: &[Route]) -> Vec<Table> {
    let views = config.active_views.iter().zip(routes).filter(|(_, route)| route.table.is_some());
    let is_history = |view: &View| {
        let planned = config.planned.iter().find(|planned| planned.name == view.name);
        planned.is_some_and(|planned| planned.keep == Keep::History)
    };
    let table = |(view, route): (&View, &Route)| Table {
        view: route.name.to_string(),
        name: match replaced_view(&route.name) {
            Some(_) => new_table(&view.table),
            None => view.table.to_string(),
        },
        columns: view.columns.to_vec(),
        keyed: view.keyed,
        in_order: view.name == DEAD_LETTERS || is_history(view),
        index: view.index.clone(),
    };
    views.map(table).collect()
}

/// Opens the files and truncates each to its committed length.
pub(crate) fn open_files(config: &Job, routes: &[Route], last: &LastCommit) -> Result<CsvFiles, JobError> {
    with_files(config, routes, &last.files, CsvFiles::open)
}

/// Fails for files that a start would refuse, given their `committed` lengths.
pub(crate) fn check_files(
    config: &Job,
    routes: &[Route],
    committed: &[(String, u64)],
) -> Result<(), JobError> {
    with_files(config, routes, committed, CsvFiles::check)
}

/// An operation on all files: takes the folder, the job, the columns of each view's file, the committed lengths, and
/// the maximum records per file.
type WithFiles<T> = fn(
    &Path,
    &str,
    &[(&str, Option<&[ColumnSpec]>)],
    &BTreeMap<String, u64>,
    Option<NonZeroU64>,
) -> Result<T, CsvError>;

fn with_files<T>(
    config: &Job,
    routes: &[Route],
    committed: &[(String, u64)],
    done: WithFiles<T>,
) -> Result<T, JobError> {
    let lengths: BTreeMap<String, u64> = committed.iter().cloned().collect();
    let columns: Vec<_> = config
        .active_views
        .iter()
        .zip(routes)
        .map(|(view, route)| (&*route.name, route.csv.then(|| file_columns(view, route))))
        .collect();
    let columns: Vec<_> = columns.iter().map(|(name, columns)| (*name, columns.as_deref())).collect();
    let max_records = config.csv.max_records.and_then(NonZeroU64::new);
    Ok(done(&config.out, &config.job, &columns, &lengths, max_records)?)
}

/// The columns of a view's file.
fn file_columns(view: &View, route: &Route) -> Vec<ColumnSpec> {
    view.columns.iter().cloned().chain(route.change.then_some(CHANGE)).collect()
}

/// Names the topics.
pub(crate) fn topics_name(config: &Job) -> String {
    let topics = &config.kafka.topic;
    format!("topic{} {topics}", if topics.single().is_some() { "" } else { "s" })
}

/// Refuses a job that has read another source than the configured one. Topics may be added and left out, as long as one
/// that was read remains.
pub(crate) fn check_source(config: &Job, stored: &str, read: &[NextOffset]) -> Result<(), JobError> {
    let asked = source_name(config);
    let are_topics = |source: &str| ["topic ", "topics "].iter().any(|kind| source.starts_with(kind));
    let is_upsert = |source: &str| source.ends_with(OF_READINGS);
    let is_left = || read.iter().any(|at| config.reads_topic(&at.topic));
    let has_changed = stored != asked
        && !(are_topics(stored) && are_topics(&asked) && is_upsert(stored) == is_upsert(&asked) && is_left());
    match has_changed {
        true => Err(JobError::OtherSource { job: config.job.clone(), stored: stored.to_owned(), asked }),
        false => Ok(()),
    }
}

/// Follows the source of an upsert job.
const OF_READINGS: &str = ", whose keys name readings";

/// Describes the source for which the offsets are committed.
pub(crate) fn source_name(config: &Job) -> String {
    let source = match &config.input {
        Some(input) if config.embedded => format!("embedded {}", full_path(input)),
        Some(input) if input == "-" => "standard input".into(),
        Some(input) => format!("file {}", full_path(input)),
        None => topics_name(config),
    };
    // The same messages mean something else in an upsert job.
    match config.mode {
        Mode::Append => source,
        Mode::Upsert => source + OF_READINGS,
    }
}
