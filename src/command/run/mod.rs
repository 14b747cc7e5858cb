//! `truckflow run`: runs a job and prints a summary.

pub mod summary;

use std::sync::Arc;

use crate::cli::RunArgs;
use crate::command::error::Error;
use crate::job::launch;
use crate::runtime::counts::{Counts, nothing_accepted};
use crate::runtime::stop::{Hangup, Stop};
use crate::runtime::{fault, print, process};

/// Runs the job until it ends.
pub fn run(args: &RunArgs) -> Result<(), Error> {
    if args.die_with_parent {
        process::die_with_parent()?;
    }
    args.die_at.into_iter().for_each(fault::arm);
    let stop = Arc::new(Stop::on_signals(Hangup::Reloads)?);
    let config = Arc::new(args.job.load()?);
    let done = launch::run(&config, &stop)?;
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
    if let Some(said) = nothing_accepted(&done.counts.intake).filter(|_| !args.summary) {
        tracing::warn!("{said}");
    }
    Ok(())
}
