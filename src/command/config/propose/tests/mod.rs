//! What is proposed for messages as producers send them, and how many of their readings it accepts. All values are
//! invented.
//!
//! | file | about |
//! |---|---|
//! | `roots` | lists and envelopes around readings |
//! | `times`, `keys` | event time and the name of the entity |
//! | `fields` | types of fields, their names and their text |
//! | `formats` | formats of messages |
//! | `cases` | the producers of `fixtures/messages/` |
//! | `accept` | the readings that a configuration accepts |

mod accept;
mod cases;
mod fields;
mod formats;
mod keys;
mod roots;
mod times;

use self::accept::{accepted, sample_as};
use super::{Hints, Input, Proposal, Registry, Unreadable, propose};
use crate::source::sample::{OwnHeaders, Sample, Sampled};

/// A proposal, and how many readings it accepts.
struct Proposed {
    proposal: Proposal,
    text: String,
    accepted: usize,
}

impl Proposed {
    fn root(&self) -> String {
        self.proposal.message.as_ref().map_or(String::new(), |message| message.root.join(" then "))
    }

    fn time(&self) -> &str {
        self.proposal.message.as_ref().map_or("", |message| &message.time)
    }

    fn key(&self) -> &str {
        self.proposal.message.as_ref().and_then(|message| message.key.as_deref()).unwrap_or("")
    }

    /// The definition of a field, without what was found.
    #[track_caller]
    fn field(&self, name: &str) -> &str {
        let is_own = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "));
        let line = self.text.lines().skip_while(|line| *line != "[record]").find(is_own);
        let line = line.unwrap_or_else(|| panic!("no field {name}\n{}", self.text));
        line.split("  # ").next().unwrap_or(line).trim_end()
    }

    /// Whether a field is proposed.
    fn has(&self, name: &str) -> bool {
        self.proposal.fields.iter().any(|field| field.name == name && !field.is_comment)
    }

    #[track_caller]
    fn note(&self, start: &str) -> &str {
        let note = self.proposal.notes.iter().find(|note| note.starts_with(start));
        note.unwrap_or_else(|| panic!("{:?}", self.proposal.notes))
    }
}

/// The proposal for the lines of a file.
#[track_caller]
fn of_lines(lines: &[&str]) -> Proposed {
    try_lines(lines).unwrap()
}

fn try_lines(lines: &[&str]) -> Result<Proposed, Unreadable> {
    let bytes = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes();
    let hints = Hints { input: Input::File("readings.jsonl".into()), registry: None };
    let proposal = propose(&sample_as("", &bytes), &hints)?;
    let text = proposal.to_string();
    let accepted = accepted(&text, &sample_as(&text, &bytes)).values().sum();
    Ok(Proposed { proposal, text, accepted })
}

/// A message of a topic.
fn message(key: Option<&str>, payload: Option<&str>, headers: &[(&str, &str)]) -> Sampled {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Some(bytes(value)))).collect();
    Sampled {
        timestamp: Some(1_681_088_560_000),
        key: key.map(bytes),
        payload: payload.map(bytes),
        headers: OwnHeaders(headers),
        ..Sampled::default()
    }
}

/// The hints for a topic.
fn topic(registry: Option<&str>) -> Hints {
    let input = Input::Topic { name: "readings".into(), brokers: "kafka:9092".into() };
    Hints { input, registry: registry.map(|url| Registry { url: Some(url.into()), ..Registry::default() }) }
}

/// The proposal for the messages of a topic.
#[track_caller]
fn of_messages(messages: Vec<Sampled>) -> Proposed {
    let numbered = messages.into_iter().zip(0..).map(|(message, offset)| Sampled { offset, ..message });
    let sample = Sample { header: None, messages: numbered.collect() };
    let proposal = propose(&sample, &topic(None)).unwrap();
    let text = proposal.to_string();
    let accepted = accepted(&text, &sample).values().sum();
    Proposed { proposal, text, accepted }
}

/// The same for messages without keys and headers.
#[track_caller]
fn of_payloads(payloads: &[&str]) -> Proposed {
    of_messages(payloads.iter().map(|payload| message(None, Some(payload), &[])).collect())
}
