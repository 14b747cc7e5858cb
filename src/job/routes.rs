//! Where the rows of each view go, and what the job's offsets are offsets of.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use dataflows::rows::ColumnSpec;
use dataflows::views::{DEAD_LETTERS, Mode, View};

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::graph::Route;
use crate::observe::board::shown::Part;
use crate::render::CHANGE;
use crate::sink::csv::{CsvError, CsvFiles};
use crate::source::file::full_path;
use crate::store::LastCommit;

/// Where the rows of each view go.
pub(crate) fn routes(config: &Job, views: &[View]) -> Arc<[Route]> {
    let mut tables = 0..;
    let route = |view: &View| Route {
        name: (*view.name).into(),
        csv: config.csv.takes(&view.name) && !view.columns.is_empty(),
        change: config.mode == Mode::Upsert && view.of_readings,
        table: if config.tables.takes(&view.name) && !view.columns.is_empty() { tables.next() } else { None },
        forwarded: view.name == DEAD_LETTERS && config.dead_letters.topic.is_some(),
        // Whether process 0 has a page the others do not know.
        shown: Part::of(&view.name).filter(|_| config.processes > 1 || config.listen != "off"),
    };
    views.iter().map(route).collect()
}

/// Opens the files, each cut to what was committed.
pub(crate) fn open_files(
    config: &Job,
    views: &[View],
    routes: &[Route],
    last: &LastCommit,
) -> Result<CsvFiles, JobError> {
    with_files(config, views, routes, &last.files, CsvFiles::open)
}

/// Refuses files that a start would refuse, where `committed` is what the job has committed of them.
pub(crate) fn check_files(config: &Job, committed: &[(String, u64)]) -> Result<(), JobError> {
    let views = config.active_views.clone();
    with_files(config, &views, &routes(config, &views), committed, CsvFiles::check)
}

/// What is done with the folder, the job, each view's columns in its file, what was committed of the
/// files, and the most records of one.
type WithFiles<T> = fn(
    &Path,
    &str,
    &[(&str, Option<&[ColumnSpec]>)],
    &BTreeMap<String, u64>,
    Option<NonZeroU64>,
) -> Result<T, CsvError>;

fn with_files<T>(
    config: &Job,
    views: &[View],
    routes: &[Route],
    committed: &[(String, u64)],
    done: WithFiles<T>,
) -> Result<T, JobError> {
    let lengths: BTreeMap<String, u64> = committed.iter().cloned().collect();
    let columns: Vec<_> = views
        .iter()
        .zip(routes)
        .map(|(view, route)| (&*view.name, route.csv.then(|| file_columns(view, route))))
        .collect();
    let columns: Vec<_> = columns.iter().map(|(name, columns)| (*name, columns.as_deref())).collect();
    let max_records = config.csv.max_records.and_then(NonZeroU64::new);
    Ok(done(&config.out, &config.job, &columns, &lengths, max_records)?)
}

/// The columns of a view's file.
fn file_columns(view: &View, route: &Route) -> Vec<ColumnSpec> {
    view.columns.iter().cloned().chain(route.change.then_some(CHANGE)).collect()
}

/// What the trucks' offsets are offsets of: a phone may be added later.
pub(crate) fn source_name(config: &Job) -> String {
    let source = match &config.input {
        Some(input) if config.embedded => format!("embedded {}", full_path(input)),
        Some(input) if input == "-" => "standard input".into(),
        Some(input) => format!("file {}", full_path(input)),
        None => format!("topic {}", config.kafka.topic),
    };
    // What a message does to those before it is part of what they are.
    match config.mode {
        Mode::Append => source,
        Mode::Upsert => format!("{source}, whose keys name readings"),
    }
}
