//! Sends the messages of an input at the given rate.

use std::collections::HashMap;

use memchr::memmem::Finder;

use super::dead_letters;
use super::error::ReplayError;
use super::input::{Input, Message, Next};
use super::key::KeyField;
use super::lines::{Key, Lines};
use super::parts::Parts;
use super::summary::{LeftOut, Why};
use crate::cli::replay::ReplayArgs;
use crate::kafka::producer::Producer;
use crate::observe::progress::Transfer;
use crate::runtime::pace::Pace;
use crate::runtime::stop::Stop;
use crate::source::file::TextLines;

/// Messages between two updates of the progress bar.
const MESSAGES_PER_LOOK: u64 = 256;

/// Opens the input.
pub(super) fn open(args: &ReplayArgs) -> Result<Box<dyn Input>, ReplayError> {
    let path = args.file();
    let read_error = |source| ReplayError::Read { path: path.to_owned(), source };
    if let Some(letters) = dead_letters::open(path)? {
        let flags = [("--key", &args.key), ("--key-separator", &args.key_separator)];
        return match flags.into_iter().find(|(_, given)| given.is_some()) {
            Some((flag, _)) => Err(ReplayError::KeyOfDeadLetters { flag }),
            None => Ok(letters),
        };
    }
    let lines = TextLines::open(path, args.key_separator.as_deref()).map_err(read_error)?;
    if args.parts {
        return Err(ReplayError::PartsOfLines { path: path.to_owned() });
    }
    if args.topic.is_none() {
        return Err(ReplayError::NoTopic { path: path.to_owned() });
    }
    let key = match (&args.key, &args.key_separator) {
        (Some(field), _) => Key::Field(Box::new(KeyField::new(field))),
        (None, Some(separator)) => Key::Before(Box::new(Finder::new(separator).into_owned())),
        (None, None) => Key::None,
    };
    Ok(Box::new(Lines::new(lines, path, key)))
}

/// Sends until the input ends or a stop is requested.
pub(super) fn send_all(
    args: &ReplayArgs,
    input: &mut Box<dyn Input>,
    producer: &mut Producer,
    mut parts: Option<Parts>,
    progress: &mut Transfer,
    left_out: &mut LeftOut,
    stop: &Stop,
) -> Result<(), ReplayError> {
    let mut topics = Topics::default();
    if let Some(topic) = &args.topic {
        topics.partitions(topic, producer)?;
    }
    let pace = Pace::start(args.rate);
    let mut message = Message::default();
    let mut bytes_before = 0;
    let (mut sent, mut read) = (0_u64, 0_u64);
    while !stop.requested() {
        if let Some(wait) = pace.wait(sent) {
            producer.poll()?;
            progress.at(sent, bytes_before + input.position());
            stop.wait(wait);
            continue;
        }
        let next = input.read(&mut message)?;
        read += 1;
        if read.is_multiple_of(MESSAGES_PER_LOOK) {
            progress.at(sent, bytes_before + input.position());
        }
        match next {
            Next::Message => {}
            Next::LeftOut(why) => {
                left_out.add(why, None);
                continue;
            }
            Next::End if !args.repeat => break,
            Next::End if sent == 0 => {
                return Err(ReplayError::LoopOverNothing { path: args.file().to_owned() });
            }
            Next::End => {
                bytes_before += input.position();
                *input = open(args)?;
                continue;
            }
        }
        if let Some(part) = message.part {
            let why = match &mut parts {
                Some(parts) => parts.put_back(&mut message, part)?,
                None => Some(Why::Part),
            };
            if let Some(why) = why {
                left_out.add(why, why.is_of_payload().then_some(part.line));
                continue;
            }
        }
        let topic = args.topic.as_ref().unwrap_or(&message.topic);
        let partitions = topics.partitions(topic, producer)?;
        let key = message.has_key.then_some(&message.key[..]);
        let partition = match message.partition {
            // The original partition, whatever partitioner chose it.
            Some(partition) if args.topic.is_none() && (0..partitions).contains(&partition) => {
                Some(partition)
            }
            _ if key.is_some() => None,
            _ => Some((sent % u64::from(partitions.unsigned_abs())) as i32),
        };
        let payload = message.has_payload.then_some(&message.payload[..]);
        producer.send_with_headers(topic, partition, key, payload, &message.headers)?;
        sent += 1;
    }
    Ok(())
}

/// The partition count of each topic, requested once per topic.
#[derive(Default)]
struct Topics {
    partitions: HashMap<String, i32>,
}

impl Topics {
    fn partitions(&mut self, topic: &str, producer: &Producer) -> Result<i32, ReplayError> {
        if let Some(count) = self.partitions.get(topic) {
            return Ok(*count);
        }
        let count = producer.partitions(topic)?;
        self.partitions.insert(topic.to_owned(), count);
        Ok(count)
    }
}
