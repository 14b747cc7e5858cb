//! `truckflow replay --explain`: how the job reads one message, field by field. Nothing is sent.
//!
//! | file | contents |
//! |---|---|
//! | `given` | the message: a text, a file, standard input, or an offset of a topic |
//! | `text`, `json` | the explanation as text and as JSON |

mod given;
mod json;
mod text;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ReplayError;
use crate::cli::replay::ReplayArgs;
use crate::config::Job;
use crate::decode::{Decode, Decoder, Explanation, Future, Outcome};
use crate::job::options::decoder;
use crate::job::schemas::schemas;
use crate::runtime::clock::wall_clock;
use crate::runtime::print;
use crate::source::file::full_path;
use given::Given;

/// How long the schema registry may take for the schema of the message.
const SCHEMA: Duration = Duration::from_secs(10);

/// Explains the message that `given` names.
pub(super) fn run(args: &ReplayArgs, given: &str) -> Result<(), ReplayError> {
    let Some(job) = args.job()? else { return Ok(()) };
    let given = Given::read(given, args.explain_key.as_deref(), &job)?;
    let mut decoder = decoder_of(&job, &given)?;
    await_schema(&mut decoder, &given)?;
    decoder.set_wall_clock(wall_clock());
    let explanation = decoder.explain(&given.message.message());
    match args.json {
        true => print::line(json::of(&given, &job.mapping, &explanation))?,
        false => print::out(text::of(&given, &job.mapping, &explanation))?,
    }
    let outcomes: Vec<bool> = match &explanation {
        Explanation::Rejected(_) => vec![false],
        Explanation::Deletes => vec![true],
        Explanation::Readings(readings) => {
            readings.iter().map(|reading| !matches!(reading.outcome, Outcome::Rejected(_))).collect()
        }
    };
    match outcomes.iter().filter(|is_read| !**is_read).count() {
        0 => Ok(()),
        rejected => Err(ReplayError::WouldBeRejected { rejected, readings: outcomes.len() }),
    }
}

/// The decoder of the input that a message is of.
fn decoder_of(job: &Job, given: &Given) -> Result<Decoder, ReplayError> {
    let (name, topic) = match (&job.input, &given.message.topic) {
        (Some(path), _) if !job.embedded => (&**path, full_path(path).into()),
        (_, Some(topic)) => (&**topic, topic.clone()),
        // Of one of several topics; which one does not matter.
        (_, None) => ("", Arc::default()),
    };
    let decoder = decoder(job, name).with_future(Future::new(job.max_ahead, topic));
    Ok(match schemas(job)? {
        Some(schemas) => decoder.with_schemas(schemas),
        None => decoder,
    })
}

/// Waits until the schema of the message is known.
fn await_schema(decoder: &mut Decoder, given: &Given) -> Result<(), ReplayError> {
    let began = Instant::now();
    while !decoder.is_ready(&given.message.message()) {
        if began.elapsed() > SCHEMA {
            return Err(ReplayError::NoSchema { seconds: SCHEMA.as_secs() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
