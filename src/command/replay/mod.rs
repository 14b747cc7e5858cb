//! `truckflow replay`: sends the lines of a file, or dead letters, to a topic; or explains how a message is read.
//!
//! ```text
//! file or standard input --> lines ------------------------------------> key, partition --> producer --> summary
//!     folder, file       --> dead letters --> left out? --> whole? ------^
//!                                                `--> parts: envelope ---'
//! ```
//!
//! Some dead letters are left out: readings that only one view dropped, which would count twice in the other views,
//! and rows that the database refused, which are not messages. A part of a message is sent in the message that it was
//! in, without the other readings; that message is fetched from its topic.

mod dead_letters;
pub mod error;
mod explain;
mod input;
mod key;
mod lines;
mod parts;
mod read;
mod send;
mod summary;
#[cfg(test)]
mod tests;

pub use error::ReplayError;
pub use read::{Sent, dead_letters_of, lines_of};
pub use summary::Summary;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::replay::ReplayArgs;
use crate::kafka::producer::Producer;
use crate::observe::progress::Transfer;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::sink::csv::numbered;
use crate::source::file::{Unfinished, is_separator};
use parts::Parts;
use send::{open, send_all};
use summary::LeftOut;

/// Longer than the delivery timeout of a message.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(90);

/// Sends the file, or explains a message.
pub fn run(args: &ReplayArgs) -> Result<(), ReplayError> {
    match &args.explain {
        Some(given) => explain::run(args, given),
        None => send(args).map(drop),
    }
}

/// Sends everything in the file, or until SIGINT or SIGTERM, then flushes the queue. The last line on standard error
/// is the [`Summary`], even if deliveries failed; the line before it lists what was left out.
pub fn send(args: &ReplayArgs) -> Result<Summary, ReplayError> {
    run_until(args, &Stop::on_signals(Hangup::Stops)?)
}

fn run_until(args: &ReplayArgs, stop: &Stop) -> Result<Summary, ReplayError> {
    if args.repeat && args.file() == Path::new("-") {
        return Err(ReplayError::LoopOverStdin);
    }
    if args.key.is_some() && args.key_separator.is_some() {
        return Err(ReplayError::TwoKeys);
    }
    if let Some(separator) = args.key_separator.clone().filter(|separator| !is_separator(separator)) {
        return Err(ReplayError::KeySeparator { separator });
    }
    // Opened before connecting, so that a wrong file name is reported without a broker.
    let mut input = open(args)?;
    let job = args.job()?;
    let mut producer = match &job {
        Some(job) => Producer::new(&job.kafka.brokers, &args.properties.over(job.kafka_properties()?))?,
        None => Producer::new(&args.brokers(), &args.properties.all())?,
    };
    let parts = job.as_ref().filter(|_| args.parts).map(Parts::of).transpose()?;
    let is_endless = args.repeat || args.file() == Path::new("-");
    let mut progress = Transfer::start(if is_endless { None } else { size(args.file()) });
    let mut left_out = LeftOut::default();
    let started = Instant::now();
    let result = send_all(args, &mut input, &mut producer, parts, &mut progress, &mut left_out, stop)
        .and_then(|()| producer.flush(FLUSH_TIMEOUT).map_err(Into::into));
    progress.finish();
    let failed = producer.sent() - producer.delivered();
    let (sent, total) = (producer.delivered(), left_out.total());
    let summary = Summary { sent, failed, left_out: total, elapsed: started.elapsed() };
    if total > 0 {
        print::note(&left_out);
    }
    if let Some((line, bytes)) = input.unfinished() {
        let path = args.file().display().to_string();
        print::note(Unfinished { path, line, bytes });
    }
    if result.is_ok() || producer.sent() > 0 {
        match args.json {
            true => print::line(summary.to_json())?,
            false => print::note(summary),
        }
    }
    result.map(|()| summary)
}

/// The size of a file, or of a folder's numbered files, if known.
fn size(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() {
        return numbered(path).ok()?.iter().map(|(_, file)| size(file)).sum();
    }
    metadata.is_file().then_some(metadata.len())
}
