//! Proposes a configuration from the messages of a topic or file, and says how many readings it accepts.

use std::path::Path;
use std::time::Duration;

use super::error::InitError;
use super::propose::{Hints, Input, Registry, Unreadable, propose, propose_values};
use super::schemas::{self, Decoded};
use crate::cli::InitArgs;
use crate::command::check::kafka::sample_of;
use crate::command::check::sample::decode;
use crate::command::error::Error;
use crate::config::{Config, Job};
use crate::job::options::{decoder, file_options, registry_options};
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
    if let Some(topic) = &args.from_topic {
        let connection = args.load(topic)?;
        let sample = sample_of(&connection, topic, bounds).map_err(InitError::Topic)?;
        let input = Input::Topic { name: topic.clone(), brokers: connection.kafka.brokers.clone() };
        let text = text(&sample, Hints { input, registry: registry_of(&connection) })?;
        report(topic, &sample, &job(&text)?, args.registry.is_some())?;
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
    let text = text(&sample, Hints { input, registry: None })?;
    let job = job(&text)?;
    let options = Options { follow: false, ..file_options(&job) };
    report(path, &sample_of_file(path, options, bounds)?, &job, false)?;
    Ok(Some(text))
}

/// The registry of a configuration.
fn registry_of(config: &Config) -> Option<Registry> {
    let message = &config.message;
    let (user, password_file) = (message.registry_user.clone(), message.registry_password_file.clone());
    let url = Some(message.registry.clone()?);
    Some(Registry { url, user, password_file, authority: message.registry_ca.clone() })
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
    let proposed = match (propose(sample, &hints), &hints.registry) {
        (Err(Unreadable::Registry { .. }), Some(registry)) => {
            let Decoded { format, values } = schemas::decode(sample, registry)?;
            propose_values(sample, format, values, &hints)
        }
        (proposed, _) => proposed,
    };
    Ok(proposed.map_err(InitError::from)?.to_string())
}

/// The job that a proposal configures.
fn job(text: &str) -> Result<Job, Error> {
    Ok(Job::read(text, "proposed", std::iter::empty(), Vec::new())?)
}

/// Prints how many readings of a sample the job accepts, and why it rejects others.
fn report(name: &str, sample: &Sample, job: &Job, has_registry: bool) -> Result<(), Error> {
    let decoder = decoder(job, name);
    let found = match registry_options(job) {
        None => decode(sample, decoder),
        Some(options) if has_registry => {
            decode(sample, decoder.with_schemas(schemas::started(&options, sample)?))
        }
        Some(_) => {
            print::note(format!("{}: the messages need a schema registry; give --registry", printable(name)));
            return Ok(());
        }
    };
    print::note(format!("{}: {}", printable(name), found.share()));
    let rejections = found.reasons();
    for rejection in rejections.iter().take(REASONS) {
        print::note(format!("  rejected: {}", printable(rejection)));
    }
    if let Some(more @ 1..) = rejections.len().checked_sub(REASONS) {
        print::note(format!("  and for {more} more reasons"));
    }
    Ok(())
}
