//! `truckflow verify`: every view recomputed from the input by another path, and compared with what tables
//! and files hold. Nothing is written anywhere.
//!
//! ```text
//! store: offsets, epoch ----> input again -> general parser -> readings, dead letters
//! dead letters of the job: late, refused --------.               | oracle: big rationals, no timely
//!                                                v               v
//! tables, files (as far as they are committed) = rows that should be
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`input`] | what the job has read, read again |
//! | [`expected`] | the rows that each view should have |
//! | [`cell`] | what a file or a column makes of a value |
//! | [`files`] | the committed records of CSV files |
//! | [`compare`] | rows that should be, against rows that are |
//! | [`views`] | which rules hold for each kind of view |
//!
//! Which records are late depends on where epochs ended, which nobody knows any more: what the job gave up
//! is taken from its dead letters, after a look whether each is old enough. Which are in the future was
//! decided by clocks, and is taken from where that is kept.

mod cell;
mod compare;
mod expected;
mod files;
mod input;
mod trouble;
mod views;

use std::collections::BTreeMap;

use dataflows::views::DEAD_LETTERS;

use self::input::Input;
use self::views::{Said, Views};
use crate::cli::CheckArgs;
use crate::command::error::Error;
use crate::command::report::Report;
use crate::command::stopped::committed;
use crate::config::Job;
use crate::job::backfill;
use crate::job::error::JobError;
use crate::job::routes::{routes, source_name};
use crate::store;
use trouble::Trouble;

/// Verifies a job, and tells of each view what it found; fails if one is not as it should be.
pub fn run(args: &CheckArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let mut report = Report::new(!args.json);
    let result = verify(&config, &mut report);
    report.print()?;
    result?;
    match report.failed() {
        0 => Ok(()),
        failed => Err(Error::Verify(failed)),
    }
}

fn verify(config: &Job, report: &mut Report) -> Result<(), Error> {
    if config.input.as_deref() == Some("-") || config.orientation.input.as_deref() == Some("-") {
        return Err(Error::Unrepeatable);
    }
    let url = config.database_url()?;
    let last = committed(config, &url)?;
    let asked = source_name(config);
    if last.source != asked {
        return Err(JobError::OtherSource { job: config.job.clone(), stored: last.source, asked }.into());
    }
    let mut look = store::open_reader(&url)?;
    look.last_commit(&config.job)?;
    let input = input::read(config, &last, &look.in_the_future(&config.job)?)?;
    let epoch = last.epoch;
    let files = match &*input.files {
        [] => String::new(),
        files => format!(", read from {}", files.join(", ")),
    };
    let (messages, letters) = (input.messages, input.letters.len());
    report.ok("input", format!("{messages} messages, {letters} dead letters, up to epoch {epoch}{files}"));

    let views = config.active_views.clone();
    let routes = routes(config, &views);
    let has_others = look.has_other_jobs(&config.job)?;
    let unfilled = look.unfilled(&config.job)?;
    // A view that began later was told of less.
    let told: BTreeMap<String, Input> = views
        .iter()
        .map(|view| (view.name.to_string(), backfill::starts(&view.name, &last)))
        .filter(|(_, starts)| !starts.is_empty())
        .map(|(view, starts)| (view, input.since(&starts)))
        .collect();
    let mut job = Views {
        config,
        settings: config.view_settings.clone(),
        last: &last,
        input: &input,
        look: look.as_mut(),
        has_others,
        said: Said::default(),
    };
    let both = || views.iter().zip(routes.iter()).filter(|(view, _)| !view.columns.is_empty());
    if let Some((view, route)) = both().find(|(view, _)| view.name == DEAD_LETTERS) {
        settle(job.listen(view, route))?.unwrap_or_default();
    }
    for (view, route) in both() {
        job.input = told.get(&*view.name).unwrap_or(&input);
        if unfilled.iter().any(|name| *name == view.name) {
            let why = "it has not taken all that was before it yet; run the job until it has";
            report.add(&view.name, Err::<&str, _>(why));
            continue;
        }
        report.add(&view.name, settle(job.verify(view, route))?);
    }
    // What was compared meanwhile would be no state of the job's.
    let now = committed(config, &url)?;
    match (now.epoch, now.generation) == (last.epoch, last.generation) {
        true => Ok(()),
        false => Err(Error::Running(config.job.clone())),
    }
}

/// An error ends it all; a difference is told.
fn settle<T>(result: Result<T, Trouble>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(Trouble::Differs(why)) => Ok(Err(why)),
        Err(Trouble::Ends(error)) => Err(error),
    }
}
