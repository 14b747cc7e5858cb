//! Decodes a sample of the input as the job would: how many readings it would accept, and why it would reject the
//! others.

use std::collections::BTreeMap;

use dataflows::dead_letter::Reason;
use dataflows::item::Item;

use crate::command::report::Report;
use crate::decode::Decode;
use crate::runtime::clock::wall_clock;
use crate::runtime::counts::rejection;
use crate::source::sample::Sample;

/// Decodes a sample and reports the result. A sample without any accepted reading is only a warning, because the job
/// could still run.
pub(super) fn report(what: &str, name: &str, sample: &Sample, decoder: impl Decode, report: &mut Report) {
    let found = decode(sample, decoder);
    let said = format!("`{name}`: {}", found.describe());
    match found.accepted {
        0 if found.all() > 0 => report.warn(
            what,
            format!("{said}; compare the messages with the fields that the job reads, or correct the input setting"),
        ),
        _ => report.ok(what, said),
    }
}

/// The result of decoding a sample.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::command) struct Found {
    accepted: u64,
    /// By reason and field.
    rejected: BTreeMap<(Reason, String), u64>,
}

impl Found {
    fn all(&self) -> u64 {
        self.accepted + self.rejected.values().sum::<u64>()
    }

    fn describe(&self) -> String {
        if self.all() == 0 {
            return "no messages yet".into();
        }
        let most = self.rejections().into_iter().next();
        let most = most.map_or_else(String::new, |most| format!("; most common rejection: {most}"));
        format!("{}{most}", self.share())
    }

    /// How many readings were accepted.
    pub(in crate::command) fn share(&self) -> String {
        let all = self.all();
        format!("{} of {all} {} accepted", self.accepted, if all == 1 { "reading" } else { "readings" })
    }

    /// Why readings were rejected, with their numbers, the most common first.
    pub(in crate::command) fn rejections(&self) -> Vec<String> {
        let mut rejected: Vec<_> = self.rejected.iter().collect();
        rejected.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let describe = |((reason, field), number): (&(Reason, String), &u64)| {
            format!("{} ({number})", rejection(*reason, field))
        };
        rejected.into_iter().map(describe).collect()
    }
}

/// Decodes a sample.
pub(in crate::command) fn decode(sample: &Sample, mut decoder: impl Decode) -> Found {
    let (mut found, mut items) = (Found::default(), Vec::new());
    if let Some(header) = &sample.header {
        decoder.header(header);
    }
    decoder.set_wall_clock(wall_clock());
    for sampled in &sample.messages {
        decoder.decode(&sampled.message());
    }
    decoder.take(&mut items);
    for item in items {
        match item {
            Item::Records(batch) => found.accepted += batch.len() as u64,
            Item::Upserts(upserts) => found.accepted += upserts.len() as u64,
            Item::DeadLetters(letters) => {
                for letter in letters {
                    *found.rejected.entry((letter.reason, letter.field)).or_default() += 1;
                }
            }
            Item::Intake(_)
            | Item::Behind(_)
            | Item::Arrived(_)
            | Item::InTheFuture(_)
            | Item::Progress { .. } => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::decode::{Decoder, Mapping};
    use crate::source::sample::Sampled;

    fn found(payloads: &[&str]) -> Found {
        let sampled =
            |payload: &&str| Sampled { payload: Some(payload.as_bytes().into()), ..Sampled::default() };
        let sample = Sample { header: None, messages: payloads.iter().map(sampled).collect() };
        decode(&sample, Decoder::new("t".into(), Arc::new(Mapping::trucks())))
    }

    #[test]
    fn a_sample_reports_accepted_readings_and_the_most_common_rejection() {
        let good = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
        let without = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "fuel_consumed": 0}"#;
        assert_eq!(
            found(&[good, without, "no reading", without, good]).describe(),
            "2 of 5 readings accepted; most common rejection: missing_field `engine_speed` (2)"
        );
        assert_eq!(found(&[good]).describe(), "1 of 1 reading accepted");
        assert_eq!(
            found(&["no reading"]).describe(),
            "0 of 1 reading accepted; most common rejection: not_an_object (1)"
        );
        assert_eq!(found(&[]).describe(), "no messages yet");
    }
}
