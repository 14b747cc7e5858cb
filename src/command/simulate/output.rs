//! The output of a simulation: a Kafka topic, a file, or standard output.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use super::error::SimulateError;
use crate::cli::simulate::{Destination, SimulateArgs};
use crate::kafka::producer::Producer;
use crate::runtime::print;

const BUFFER: usize = 256 * 1024;
/// Longer than the delivery timeout of a message.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(90);

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Written or buffered.
    Kept,
    /// The reader closed the pipe, as `head` does. Not an error.
    ReaderGone,
}

pub(super) enum Output<'a> {
    Topic { producer: Producer, topic: &'a str },
    Lines { writer: Box<dyn Write>, buffer: Vec<u8>, name: String },
}

impl<'a> Output<'a> {
    pub(super) fn open(args: &'a SimulateArgs) -> Result<Output<'a>, SimulateError> {
        let lines = |writer, name| Output::Lines { writer, buffer: Vec::with_capacity(BUFFER), name };
        Ok(match &args.to {
            Destination::Topic => {
                if args.topic.contains(',') || args.topic.starts_with(['^', '[']) {
                    return Err(SimulateError::SeveralTopics(args.topic.clone()));
                }
                let producer = Producer::new(&args.brokers, &args.properties.all())?;
                producer.partitions(&args.topic)?;
                Output::Topic { producer, topic: &args.topic }
            }
            Destination::Stdout => lines(Box::new(print::output()), "standard output".to_owned()),
            Destination::File(path) => match File::create(path) {
                Ok(file) => lines(Box::new(file), path.display().to_string()),
                Err(source) => return Err(SimulateError::Open { path: path.clone(), source }),
            },
        })
    }

    /// Writes one line, with its line feed. In Kafka the truck's name is the key, unless it is empty.
    pub(super) fn write(&mut self, line: &[u8], name: &str, records: u64) -> Result<Written, SimulateError> {
        match self {
            Output::Topic { producer, topic } => {
                let payload = line.strip_suffix(b"\n").unwrap_or(line);
                let key = (!name.is_empty()).then_some(name.as_bytes());
                producer.send(topic, None, key, Some(payload))?;
                Ok(Written::Kept)
            }
            Output::Lines { writer, buffer, name } => {
                let full = buffer.len() + line.len() > BUFFER;
                let written = if full { write_out(writer, buffer, name, records)? } else { Written::Kept };
                buffer.extend_from_slice(line);
                Ok(written)
            }
        }
    }

    /// Writes the buffer. Kafka's producer sends by itself; here it reports failed deliveries.
    pub(super) fn flush(&mut self, records: u64) -> Result<Written, SimulateError> {
        match self {
            Output::Topic { producer, .. } => producer.poll().map(|()| Written::Kept).map_err(Into::into),
            Output::Lines { writer, buffer, name } => write_out(writer, buffer, name, records),
        }
    }

    /// Writes the buffer and, with Kafka, waits for all acknowledgements.
    pub(super) fn finish(mut self, records: u64) -> Result<(), SimulateError> {
        self.flush(records)?;
        if let Output::Topic { producer, .. } = &mut self {
            producer.flush(FLUSH_TIMEOUT)?;
        }
        Ok(())
    }
}

fn write_out(
    writer: &mut dyn Write,
    buffer: &mut Vec<u8>,
    name: &str,
    records: u64,
) -> Result<Written, SimulateError> {
    let result = writer.write_all(buffer).and_then(|()| writer.flush());
    buffer.clear();
    match result {
        Ok(()) => Ok(Written::Kept),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Written::ReaderGone),
        Err(source) => Err(SimulateError::Write { output: name.to_owned(), records, source }),
    }
}
