//! Proposes a configuration from the messages of a topic or file, and says how many readings it accepts.

use std::path::Path;
use std::time::Duration;

use super::error::InitError;
use super::propose::{Hints, Input, propose};
use crate::cli::InitArgs;
use crate::command::check::kafka::sample_of;
use crate::command::check::sample::decode;
use crate::command::error::Error;
use crate::config::Job;
use crate::job::options::{decoder, file_options};
use crate::runtime::print;
use crate::source::file::{LineReader, Lines, Options};
use crate::source::sample::{Bounds, Sample, of_reader};
use crate::text::printable::printable;

/// How long taking a sample may take.
const TIME: Duration = Duration::from_secs(10);
/// The bytes of a sample, at most.
const BYTES: usize = 32 << 20;
/// The most common reasons for rejections that are printed.
const REASONS: usize = 5;

/// The text of the proposed configuration; none if no topic or file was given.
pub(super) fn proposal(args: &InitArgs) -> Result<Option<String>, Error> {
    let bounds = Bounds { messages: args.sample as usize, bytes: BYTES, time: TIME };
    let registry = args.registry.clone();
    if let Some(topic) = &args.from_topic {
        let connection = args.load(topic)?;
        let sample = sample_of(&connection, topic, bounds).map_err(InitError::Topic)?;
        let input = Input::Topic { name: topic.clone(), brokers: connection.kafka.brokers.clone() };
        let text = text(&sample, Hints { input, registry })?;
        report(topic, &sample, &job(&text)?);
        return Ok(Some(text));
    }
    let Some(path) = &args.from_file else { return Ok(None) };
    let found = std::fs::metadata(path);
    if path == "-" || found.as_ref().is_ok_and(|found| !found.is_file()) {
        return Err(InitError::NotAFile(path.clone()).into());
    }
    found.map_err(|source| InitError::Read { path: path.clone(), source })?;
    let sample = sample_of_file(path, Options::default(), bounds)?;
    let input = Input::File(as_seen_from(path, args.file.as_deref()));
    let text = text(&sample, Hints { input, registry })?;
    let job = job(&text)?;
    let options = Options { follow: false, ..file_options(&job) };
    report(path, &sample_of_file(path, options, bounds)?, &job);
    Ok(Some(text))
}

fn sample_of_file(path: &str, options: Options<'_>, bounds: Bounds) -> Result<Sample, Error> {
    let lines = Lines::open(path, &[], options)?;
    Ok(of_reader(LineReader::new(lines), bounds)?)
}

/// The path of the input in a configuration file that may be in another folder.
fn as_seen_from(path: &str, file: Option<&Path>) -> String {
    let is_elsewhere = file.and_then(Path::parent).is_some_and(|folder| !folder.as_os_str().is_empty());
    match std::path::absolute(path) {
        Ok(whole) if is_elsewhere => whole.display().to_string(),
        _ => path.to_owned(),
    }
}

fn text(sample: &Sample, hints: Hints) -> Result<String, Error> {
    Ok(propose(sample, &hints).map_err(InitError::from)?.to_string())
}

/// The job that a proposal configures.
fn job(text: &str) -> Result<Job, Error> {
    Ok(Job::read(text, "proposed", std::iter::empty(), Vec::new())?)
}

/// Prints how many readings of a sample the job accepts, and why it rejects others.
fn report(name: &str, sample: &Sample, job: &Job) {
    let found = decode(sample, decoder(job, name));
    print::note(format!("{}: {}", printable(name), found.share()));
    let rejections = found.rejections();
    for rejection in rejections.iter().take(REASONS) {
        print::note(format!("  rejected: {}", printable(rejection)));
    }
    if let Some(more @ 1..) = rejections.len().checked_sub(REASONS) {
        print::note(format!("  and for {more} more reasons"));
    }
}
