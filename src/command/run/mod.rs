//! `truckflow run`: runs a job and prints a summary.

mod printed;
pub mod summary;

use std::sync::Arc;

use crate::cli::RunArgs;
use crate::command::error::Error;
use crate::config::Job;
use crate::job::launch;
use crate::job::summary::Summary;
use crate::runtime::counts::{Counts, nothing_accepted};
use crate::runtime::events::{Event, Events};
use crate::runtime::stop::{Hangup, Stop};
use crate::runtime::{fault, print, process};

fn run_job(
    args: &RunArgs,
    stop: &Arc<Stop>,
    events: Option<Arc<Events>>,
) -> Result<(Arc<Job>, Summary), Error> {
    let config = Arc::new(args.job.load()?);
    let done = launch::run(&config, stop, events)?;
    Ok((config, done))
}

/// Runs the job until it ends.
pub fn run(args: &RunArgs) -> Result<(), Error> {
    if args.die_with_parent {
        process::die_with_parent()?;
    }
    args.die_at.into_iter().for_each(fault::arm);
    let stop = Arc::new(Stop::on_signals(Hangup::Reloads)?);
    if !args.print.is_empty() {
        return printed::run(args, &stop);
    }
    let events = args.events.map(Events::open).transpose()?.map(Arc::new);
    let done = run_job(args, &stop, events.clone());
    if let Some(events) = events {
        events.send(&match &done {
            Ok((_, done)) => Event::Done {
                dead_letters: done.counts.letters.total(),
                peak_memory_bytes: process::peak_memory(),
            },
            Err(error) => Event::Failed { reason: error.to_string() },
        });
    }
    let (config, done) = done?;
    if args.summary {
        print::out(summary::describe(&config, &done))?;
    } else if args.json {
        print::line(done.to_json())?;
    } else {
        let Counts { intake, left_out, letters, .. } = &done.counts;
        tracing::info!(
            records = intake.accepted,
            rejected = intake.rejected.total(),
            left_out = left_out.total(),
            refused_rows = done.counts.all_rows().refused,
            dead_letters = letters.total(),
            epoch = done.epoch,
            seconds = done.elapsed.as_secs_f64(),
            peak_memory_bytes = process::peak_memory(),
            "done"
        );
    }
    // The summary already contains this warning.
    if let Some(said) = nothing_accepted(&done.counts.intake, &config.mapping).filter(|_| !args.summary) {
        tracing::warn!("{said}");
    }
    Ok(())
}
