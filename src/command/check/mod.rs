//! `truckflow check`: is everything there that the job needs? Each thing `ok`, or what to do.
//!
//! | module | looks at |
//! |---|---|
//! | [`kafka`] | brokers, topics, and what the job may do there |
//! | [`cluster`] | the hosts file of a cluster, and this process's port |
//! | [`disk`] | the output folder, and what is free there |
//! | [`sample`] | some messages of each input, and whether the job would accept them |
//!
//! The store looks at itself: [`crate::store::Store::check`]. Nothing is changed on any server.

mod cluster;
mod disk;
mod kafka;
mod sample;

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::cli::CheckArgs;
use crate::command::error::Error;
use crate::config::Config;
use crate::decode::orientation::OrientationDecoder;
use crate::decode::{Decode, Future};
use crate::job::inputs;
use crate::job::routes;
use crate::runtime::failure::Bug;
use crate::runtime::print::{self, PrintError};
use crate::source::SourceError;
use crate::source::file::{LineReader, Lines, Options};
use crate::source::sample::{Bounds, of_reader};
use crate::store::{self, Table, look};

/// Looks at each part of the job and tells what it found; fails if one is not in order.
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
    match report.failed {
        0 => Ok(()),
        failed => Err(Error::Check(failed)),
    }
}

fn check(config: &Config, report: &mut Report) -> Result<(), Error> {
    let reads = config.reads()?;
    match &config.input {
        // Of a cluster, process 0 reads the files.
        _ if !reads.trucks || config.process > 0 => {}
        Some(path) if path == "-" => report.ok("input", "standard input"),
        Some(path) => {
            let options = Options { follow: false, ..inputs::trucks_file(config) };
            report.add("input", Lines::check(path, options).map(|()| path.clone()));
            let settings = config.view_settings()?;
            let decoder = inputs::trucks_decoder(path, config.limits.message_bytes, &settings)
                .with_future(Future::new(config.max_ahead()?, path.as_str().into()));
            sample_file("sample", path, decoder, report, || Lines::open(path, &[], options));
        }
        None => {}
    }
    match reads.phone_file.filter(|_| config.process == 0) {
        Some("-") => report.ok("orientation file", "standard input"),
        Some(path) => {
            let options = Options { follow: false, ..inputs::phone_file(config) };
            let opened = inputs::open_phone_file(path, &[], options);
            report.add("orientation file", opened.map(|_| path.to_owned()));
            let decoder = OrientationDecoder::new(path.into(), config.limits.message_bytes)
                .with_future(Future::new(config.max_ahead()?, path.into()));
            sample_file("orientation sample", path, decoder, report, || {
                inputs::open_phone_file(path, &[], options)
            });
        }
        None => {}
    }
    kafka::check(config, reads, report);
    check_ahead(config, report)?;
    cluster::check(config, report);
    if let Err(error) = config.listen_token() {
        report.add("listen_token_file", Err::<&str, _>(error));
    }
    // Folder and database are process 0's.
    if config.process > 0 {
        return Ok(());
    }
    disk::check(&config.out, report);
    check_database(config, report)
}

/// Reports what the job would make of a file. What can be read once only is left to the job.
fn sample_file(
    what: &str,
    path: &str,
    decoder: impl Decode,
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

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    checks: Vec<Look>,
    failed: usize,
    /// Whether each line is printed at once.
    #[serde(skip)]
    told: bool,
    /// What became of printing them.
    #[serde(skip)]
    printed: Option<PrintError>,
}

#[derive(Debug, Serialize)]
struct Look {
    what: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What is no obstacle, and most likely not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Report {
    /// An empty one; with `told`, each line is printed at once.
    pub(crate) fn new(told: bool) -> Self {
        Self { told, ..Self::default() }
    }

    /// How many are not in order.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Prints it as JSON, unless its lines were printed.
    pub(crate) fn print(&mut self) -> Result<(), Error> {
        if self.told {
            return self.printed.take().map_or(Ok(()), |error| Err(error.into()));
        }
        let json = serde_json::to_string_pretty(self).map_err(|_| Bug("the report as JSON"))?;
        Ok(print::line(json)?)
    }

    pub(crate) fn ok(&mut self, what: &str, detail: impl Display) {
        self.add(what, Ok::<_, &str>(detail));
    }

    pub(crate) fn add(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        let (detail, problem) = match result {
            Ok(detail) => (Some(detail.to_string()), None),
            Err(problem) => (None, Some(problem.to_string())),
        };
        self.failed += usize::from(problem.is_some());
        match (&detail, &problem) {
            (Some(detail), _) => self.tell(format_args!("ok      {what}: {detail}")),
            (None, problem) => {
                self.tell(format_args!("FAILED  {what}: {}", problem.as_deref().unwrap_or_default()));
            }
        }
        self.checks.push(Look { what: what.into(), ok: problem.is_none(), detail, warning: None, problem });
    }

    /// Prints a line, if lines are printed at once.
    fn tell(&mut self, line: impl Display) {
        if self.told {
            let printed = print::line(line);
            self.printed = self.printed.take().or(printed.err());
        }
    }

    /// Adds what does not keep a job from running, and should be looked at all the same.
    pub(crate) fn warn(&mut self, what: &str, warning: String) {
        self.tell(format_args!("WARNING {what}: {warning}"));
        let (detail, problem) = (None, None);
        self.checks.push(Look { what: what.into(), ok: true, detail, warning: Some(warning), problem });
    }
}

/// A reading that is ahead, but not too far, makes the readings of its truck late for a view whose retention
/// is shorter than that.
fn check_ahead(config: &Config, report: &mut Report) -> Result<(), Error> {
    let Some(max_ahead) = config.max_ahead()? else { return Ok(()) };
    let (settings, texts) = (config.view_settings()?, &config.settings);
    let views = config.active_views()?;
    let is_on = |name: &str| views.iter().any(|view| view.name == name && view.gives_up);
    let allowed = &config.limits.max_ahead;
    for (view, key, retention, text) in [
        ("window_averages", "settings.window_retention", settings.window_retention, &texts.window_retention),
        ("filtered_join", "settings.join_retention", settings.join_retention, &texts.join_retention),
    ] {
        if is_on(view) && retention < max_ahead {
            report.warn(
                key,
                format!(
                    "{text} is shorter than limits.max_ahead = {allowed}: a reading that is dated ahead by more \
                     than {text} makes what its truck sends until then late for `{view}`; lower limits.max_ahead \
                     or raise {key}"
                ),
            );
        }
    }
    Ok(())
}

fn check_database(config: &Config, report: &mut Report) -> Result<(), Error> {
    let tables: Vec<Table> = config
        .active_views()?
        .iter()
        .filter(|view| config.tables.takes(&view.name))
        .map(|view| Table { name: view.table.to_string(), columns: view.columns.to_vec(), keyed: view.keyed })
        .collect();
    let opened = match config.database_url() {
        Ok(url) => store::open(&url).map_err(Error::from),
        Err(error) => Err(error.into()),
    };
    match opened {
        Ok(mut store) => {
            for finding in store.check(&tables) {
                report.add(&finding.what, finding.result);
            }
            drop(store);
            let last = look::open(&config.database_url()?).and_then(|mut look| look.last_commit(&config.job));
            // A database that cannot be looked into was told of above.
            if let Ok(last) = last {
                let committed = last.map(|last| last.files).unwrap_or_default();
                report
                    .add("files", routes::check_files(config, &committed).map(|()| "the job's, or none yet"));
            }
        }
        Err(error) => report.add("database", Err::<&str, _>(error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_as_json() {
        let mut report = Report::default();
        report.ok("one", "there");
        report.add("two", Err::<&str, _>("not there; make it"));
        report.warn("three", "look at it".into());
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"checks":[{"what":"one","ok":true,"detail":"there"},{"what":"two","ok":false,"problem":"not there; make it"},{"what":"three","ok":true,"warning":"look at it"}],"failed":1}"#
        );
    }
}
