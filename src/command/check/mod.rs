//! `truckflow check`: a dry run that reports `ok` or a fix for everything that the job needs.
//!
//! | module | checks |
//! |---|---|
//! | [`kafka`] | brokers, topics and permissions |
//! | [`cluster`] | the hosts file of a cluster, and this process's port |
//! | [`disk`] | the output folder and its free space |
//! | [`sample`] | whether the job would accept a sample of each input |
//!
//! The store checks itself: [`crate::store::Store::check`]. No server is changed.

mod cluster;
mod disk;
pub(in crate::command) mod kafka;
pub(in crate::command) mod sample;

use std::sync::{Arc, Mutex};

use dataflows::relation::Relation;
use dataflows::views::View;

use crate::cli::CheckArgs;
use crate::command::error::Error;
use crate::command::report::Report;
use crate::config::Job;
use crate::decode::{Decoder, Future};
use crate::job::options::{decoder, file_options};
use crate::job::topics::{began_at, describe_starts};
use crate::job::{replace, routes};
use crate::source::SourceError;
use crate::source::file::{LineReader, Lines, Options};
use crate::source::sample::{Bounds, of_reader};
use crate::state::StoredView;
use crate::store::{self, LastCommit, Store};

/// Checks each part of the job; fails if any check failed.
pub fn run(args: &CheckArgs) -> Result<(), Error> {
    let mut report = Report::new(!args.json);
    let config = args.job.load();
    let result = match &config {
        Ok(config) => {
            report.ok("configuration", format!("job `{}`, workers: {}", config.job, config.workers));
            check(config, &mut report)
        }
        Err(error) if args.json => {
            report.add("configuration", Err::<&str, _>(error));
            Ok(())
        }
        Err(_) => Ok(()),
    };
    report.print()?;
    config?;
    result?;
    match report.failed() {
        0 => Ok(()),
        failed => Err(Error::Check(failed)),
    }
}

fn check(config: &Job, report: &mut Report) -> Result<(), Error> {
    check_record(config, report);
    match &config.input {
        // In a cluster, process 0 reads the files.
        Some(_) if config.process > 0 => {}
        Some(path) if path == "-" => report.ok("input", "standard input"),
        Some(path) => {
            let options = Options { follow: false, ..file_options(config) };
            report.add("input", Lines::check(path, options).map(|()| path.clone()));
            let decoder =
                decoder(config, path).with_future(Future::new(config.max_ahead, path.as_str().into()));
            sample_file("sample", path, decoder, report, || Lines::open(path, &[], options));
        }
        None => {}
    }
    // A database that cannot be read is reported below.
    let last = match (config.process, config.database_url()) {
        (0, Ok(url)) => store::open_reader(&url).and_then(|mut reader| reader.last_commit(&config.job)).ok(),
        _ => None,
    };
    let is_new = last.as_ref().is_some_and(|last| last.as_ref().is_none_or(|last| last.epoch == 0));
    kafka::check(config, is_new, report);
    check_views(config, report);
    cluster::check(config, report);
    if let Err(error) = config.listen_token() {
        report.add("listen_token_file", Err::<&str, _>(error));
    }
    // Only process 0 uses the folder and the database.
    if config.process > 0 {
        return Ok(());
    }
    disk::check(&config.out, report);
    check_database(config, last, report)
}

/// Reports the built-in views that are not built, because the record lacks fields.
fn check_record(config: &Job, report: &mut Report) {
    if let Some(missing) = config.missing_views() {
        report.ok("views that are not built", format!("the record lacks fields: {missing}"));
    }
}

/// Decodes a sample of a file as the job would. Pipes are skipped, because they can be read only once.
fn sample_file(
    what: &str,
    path: &str,
    decoder: Decoder,
    report: &mut Report,
    open: impl FnOnce() -> Result<Arc<Mutex<Lines>>, SourceError>,
) {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return;
    }
    match open().and_then(|lines| of_reader(LineReader::new(lines), Bounds::default())) {
        Ok(sample) => sample::report(what, path, &sample, decoder, report),
        Err(error) => report.add(what, Err::<&str, _>(error)),
    }
}

/// Warns of views whose state grows with their input, or that a reading dated ahead could blind.
fn check_views(config: &Job, report: &mut Report) {
    let upserts = config.view_settings.upserts();
    for view in &config.planned {
        let grows = |one: &Relation| match one {
            // Rows that change are those of groups, of which there are only so many.
            Relation::Join(join) => {
                join.bound.is_none() && !(join.left.retracts(upserts) && join.right.retracts(upserts))
            }
            _ => false,
        };
        if view.relation.any(&grows) {
            report.warn(
                &format!("view {}", view.name),
                "its JOIN keeps all rows of both sides, so its state grows with the input; add a bound such as \
                 b.timestamp BETWEEN a.timestamp - INTERVAL '1 hour' AND a.timestamp"
                    .into(),
            );
        }
        let graces = |one: &Relation| match one {
            Relation::Aggregate(aggregate) => aggregate.window.as_ref().map(|window| window.patience.grace),
            Relation::Join(join) => join.bound.as_ref().map(|bound| bound.patience.grace),
            _ => None,
        };
        let is_short = |one: &Relation| {
            let (grace, ahead) = (graces(one), config.max_ahead);
            matches!((grace, ahead), (Some(grace), Some(ahead)) if grace < ahead)
        };
        if !upserts && view.relation.any(&is_short) {
            warn_of_grace(&view.name, config, report);
        }
    }
}

fn warn_of_grace(view: &str, config: &Job, report: &mut Report) {
    let allowed = &config.limits.max_ahead;
    report.warn(
        &format!("view {view}"),
        format!(
            "its grace is shorter than limits.max_ahead = {allowed}: a reading dated ahead by more than that makes \
             others of its group late until that time; lower limits.max_ahead or raise its grace"
        ),
    );
}

/// `last` is the last commit, none if the database cannot be read.
fn check_database(config: &Job, last: Option<Option<LastCommit>>, report: &mut Report) -> Result<(), Error> {
    let opened = match config.database_url() {
        Ok(url) => store::open(&url).map(|store| (store, url)).map_err(Error::from),
        Err(error) => Err(error.into()),
    };
    match opened {
        Ok((mut store, url)) => {
            let stored = store::open_reader(&url).and_then(|mut reader| reader.views(&config.job));
            let changed = changed(config, &stored.unwrap_or_default());
            let mut routes = routes::routes(config).to_vec();
            for &view in &changed {
                check_change(config, view, store.as_mut(), report);
                // Its table, which has other columns, is replaced, or not written to.
                routes[view].table = None;
                routes[view].csv = false;
            }
            let tables = routes::tables(config, &routes);
            for finding in store.check(&tables) {
                report.add(&finding.what, finding.result);
            }
            if let Some(last) = last {
                let last = last.unwrap_or_default();
                if last.epoch > 0 && !last.begun.is_empty() {
                    let starts = last.begun.iter().map(|at| (&*at.topic, at.partition, at.offset));
                    let (start, starts) = (began_at(&last), describe_starts(starts));
                    report.ok("origin", format!("the job began at {start}: {starts}"));
                }
                let files = routes::check_files(config, &routes, &last.files);
                report.add("files", files.map(|()| "no conflicting files"));
            }
        }
        Err(error) => report.add("database", Err::<&str, _>(error)),
    }
    Ok(())
}

/// The indexes of the views whose definitions differ from the stored ones.
fn changed(config: &Job, stored: &[StoredView]) -> Vec<usize> {
    let differs = |view: &View| {
        stored.iter().any(|stored| stored.name == *view.name && stored.definition != view.definition)
    };
    (0..config.active_views.len()).filter(|view| differs(&config.active_views[*view])).collect()
}

/// Reports what the next run does with a view whose definition has changed.
fn check_change(config: &Job, view: usize, store: &mut dyn Store, report: &mut Report) {
    let view = &config.active_views[view];
    let what = format!("view {}", view.name);
    if !config.replaced.contains(&*view.name) {
        let refused = "its definition has changed, so the next run refuses it; add --replace to rebuild it, \
                       or give it another name and table";
        return report.add(&what, Err::<&str, _>(refused));
    }
    let rebuilt = "its definition has changed: the next run rebuilds it from where the job began, and the other \
                   views wait";
    report.add(&what, replace::check(store, config, view).map(|()| rebuilt));
}
