//! `truckflow verify`: recomputes every view from the input by an independent path, and compares it with tables and
//! files. Read-only.
//!
//! ```text
//! store: offsets, epoch ----> input again -> general parser -> readings, dead letters
//! dead letters of the job: late, refused --------.               | oracle: big rationals, no timely
//!                                                v               v
//! tables, files (up to their committed length) = expected rows
//! ```
//!
//! | module | contains |
//! |---|---|
//! | [`input`] | reads the job's committed input again |
//! | [`reading`] | a reading of it |
//! | [`dedupe`] | drops repetitions |
//! | [`expected`] | the expected rows of each view |
//! | [`shown`] | the cells of own views' values |
//! | [`cell`] | the form of a value in a file or column |
//! | [`files`] | the committed records of CSV files |
//! | [`compare`] | compares expected and actual rows |
//! | [`views`] | a view's table and files, and the rule for its kind |
//! | [`planned`] | the rule for views in SQL |
//! | [`late`] | windows in which late readings may count |
//! | [`history`], [`closed`] | lines of which the last one is current, and those of closed windows |
//! | [`dead_letters`] | the rule for dead letters |
//! | [`recorded`] | the facts that only dead letters record |
//!
//! Which records are late depends on past epoch boundaries, which are not stored. So late records are taken from the
//! job's dead letters, after a check that each is old enough. Which records are in the future was decided by a clock,
//! and is read from the store.

mod cell;
mod closed;
mod compare;
mod dead_letters;
mod dedupe;
mod expected;
mod files;
mod history;
mod input;
mod late;
mod planned;
mod reading;
mod recorded;
mod shown;
mod trouble;
mod views;

use std::collections::BTreeMap;

use dataflows::views::{DEAD_LETTERS, DEDUPE, View};

use self::input::Input;
use self::views::{Recorded, Views};
use crate::cli::CheckArgs;
use crate::command::error::Error;
use crate::command::report::Report;
use crate::command::stopped::committed;
use crate::config::Job;
use crate::job::backfill;
use crate::job::routes::{check_source, routes};
use crate::state::{Phase, StoredView};
use crate::store;
use crate::text::printable::quantity;
use trouble::Trouble;

/// Verifies a job and reports the result of each view; fails if any view differs.
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
    if config.input.as_deref() == Some("-") {
        return Err(Error::Unrepeatable);
    }
    let url = config.database_url()?;
    let last = committed(config, &url)?;
    check_source(config, &last.source, &last.offsets)?;
    let mut reader = store::open_reader(&url)?;
    let recorded = reader.views(&config.job)?;
    backfill::check_dedupe(config, recorded.iter().find(|view| view.name == DEDUPE))?;
    let input = input::read(config, &last, &reader.in_the_future(&config.job)?)?;
    let epoch = last.epoch;
    let files = match &*input.files {
        [] => String::new(),
        files => format!(", read from {}", files.join(", ")),
    };
    let messages = quantity(input.messages as usize, "message");
    let letters = quantity(input.letters.len(), "dead letter");
    let repetitions = match input.repetitions {
        0 => String::new(),
        number => format!(", {}", quantity(number, "repetition")),
    };
    report.ok("input", format!("{messages}, {letters}{repetitions}, up to epoch {epoch}{files}"));

    let views = &config.active_views;
    let routes = routes(config);
    let has_others = reader.has_other_jobs(&config.job)?;
    // A view that was added later has a shorter input.
    let shorter: BTreeMap<String, Input> = views
        .iter()
        .map(|view| (view.name.to_string(), backfill::starts(&view.name, &last)))
        .filter(|(_, starts)| !starts.is_empty())
        .map(|(view, starts)| (view, input.since(&starts)))
        .collect();
    let mut job = Views {
        config,
        settings: &config.view_settings,
        last: &last,
        input: &input,
        reader: reader.as_mut(),
        has_others,
        recorded: Recorded::default(),
    };
    let both = || views.iter().zip(routes.iter()).filter(|(view, _)| !view.columns.is_empty());
    if let Some((view, route)) = both().find(|(view, _)| view.name == DEAD_LETTERS) {
        settle(job.read_dead_letters(view, route))?.unwrap_or_default();
    }
    for (view, route) in both() {
        job.input = shorter.get(&*view.name).unwrap_or(&input);
        let stored = recorded.iter().find(|recorded| recorded.name == *view.name);
        if let Some(why) = stored.and_then(|stored| unfinished(view, stored)) {
            report.add(&view.name, Err::<&str, _>(why));
            continue;
        }
        report.add(&view.name, settle(job.verify(view, route))?);
    }
    // If the job has committed in the meantime, the comparison is inconsistent.
    let now = committed(config, &url)?;
    match (now.epoch, now.generation) == (last.epoch, last.generation) {
        true => Ok(()),
        false => Err(Error::Running(config.job.clone())),
    }
}

/// Why a view cannot be verified yet.
fn unfinished(view: &View, stored: &StoredView) -> Option<&'static str> {
    if stored.definition != view.definition {
        return Some(
            "its rows are those of another definition; run the job with --replace until it is rebuilt",
        );
    }
    match stored.phase {
        Phase::Backfilling => Some("its backfill is not complete yet; run the job until it is"),
        Phase::Renaming => Some("its table and file are not renamed yet; start the job once"),
        Phase::Complete => None,
    }
}

/// Separates errors, which end the command, from differences, which are reported.
fn settle<T>(result: Result<T, Trouble>) -> Result<Result<T, String>, Error> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(Trouble::Differs(why)) => Ok(Err(why)),
        Err(Trouble::Ends(error)) => Err(error),
    }
}
