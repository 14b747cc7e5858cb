//! Decodes a sample of the input as the job would: how many readings it would accept, why it would reject the others,
//! and which bad values would become NULL.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;

use crate::command::report::Report;
use crate::decode::{Counted, Decode, Decoder, Explanation, Outcome};
use crate::runtime::clock::wall_clock;
use crate::runtime::counts::rejection;
use crate::source::sample::{Sample, Sampled};
use crate::text::printable::{printable, quantity};

/// The most lines about rejections, and about values that became NULL.
const LINES: usize = 5;

/// Decodes a sample and reports the result. A sample without any accepted reading is only a warning, because the job
/// could still run.
pub(super) fn report(what: &str, name: &str, sample: &Sample, decoder: Decoder, report: &mut Report) {
    let found = decode(sample, decoder);
    let said = format!("`{name}`: {}", found.describe());
    match found.accepted {
        0 if found.all() > 0 => report.warn(
            what,
            format!("{said}; compare the messages with the fields that the job reads, or correct the input setting"),
        ),
        _ => report.ok(what, said),
    }
    for warning in found.rejections().into_iter().chain(found.nulls()) {
        report.warn(what, format!("`{name}`: {warning}"));
    }
}

/// The result of decoding a sample.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::command) struct Found {
    accepted: u64,
    /// Readings that the job's condition leaves out.
    skipped: u64,
    /// By reason and field.
    rejected: BTreeMap<(Reason, String), Rejections>,
    /// Bad values that became NULL, by field and reason.
    nulls: BTreeMap<(String, Reason), u64>,
}

/// Rejections for one reason and field.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rejections {
    count: u64,
    /// What is wrong with the first one.
    said: String,
    /// How to see how the first one is read.
    example: String,
}

impl Found {
    fn all(&self) -> u64 {
        self.accepted + self.skipped + self.rejected.values().map(|rejections| rejections.count).sum::<u64>()
    }

    fn describe(&self) -> String {
        if self.all() == 0 {
            return "no messages yet".into();
        }
        let most = self.reasons().into_iter().next();
        let most = most.map_or_else(String::new, |most| format!("; most common rejection: {most}"));
        format!("{}{most}", self.share())
    }

    /// How many readings were accepted.
    pub(in crate::command) fn share(&self) -> String {
        let all = self.all();
        let readings = if all == 1 { "reading" } else { "readings" };
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped by message.only"),
        };
        format!("{} of {all} {readings} accepted{skipped}", self.accepted)
    }

    /// Why readings were rejected, with their numbers, the most common first.
    pub(in crate::command) fn reasons(&self) -> Vec<String> {
        let mut rejected: Vec<_> = self.rejected.iter().collect();
        rejected.sort_by_key(|(_, rejections)| Reverse(rejections.count));
        let describe = |((reason, field), rejections): (&(Reason, String), &Rejections)| {
            format!("{} ({})", rejection(*reason, field), rejections.count)
        };
        rejected.into_iter().map(describe).collect()
    }

    /// The most common rejections, each with an example.
    fn rejections(&self) -> Vec<String> {
        let mut rejected: Vec<_> = self.rejected.iter().collect();
        rejected.sort_by_key(|(_, rejections)| Reverse(rejections.count));
        let rest = rejected.split_off(rejected.len().min(LINES));
        let line = |((reason, field), rejections): (&(Reason, String), &Rejections)| {
            let Rejections { count, said, example } = rejections;
            format!(
                "{} rejected, {}: {said}; see {example}",
                quantity(*count as usize, "reading"),
                rejection(*reason, field)
            )
        };
        let others: u64 = rest.iter().map(|(_, rejections)| rejections.count).sum();
        let rest = (others > 0)
            .then(|| format!("{} rejected for other reasons", quantity(others as usize, "reading")));
        rejected.into_iter().map(line).chain(rest).collect()
    }

    /// The fields whose bad values became NULL.
    fn nulls(&self) -> Vec<String> {
        let mut nulls: Vec<_> = self.nulls.iter().collect();
        nulls.sort_by_key(|(_, count)| Reverse(**count));
        let line = |((field, reason), count): (&(String, Reason), &u64)| {
            let values = quantity(*count as usize, "bad value");
            format!("{values} of `{}` would be NULL, {}", printable(field), reason.name())
        };
        nulls.into_iter().take(LINES).map(line).collect()
    }
}

/// Decodes a sample.
pub(in crate::command) fn decode(sample: &Sample, mut decoder: Decoder) -> Found {
    let (mut found, mut items) = (Found::default(), Vec::new());
    if let Some(header) = &sample.header {
        decoder.header(header);
    }
    decoder.set_wall_clock(wall_clock());
    for sampled in &sample.messages {
        decoder.decode(&sampled.message());
        for letter in decoder.take_dead_letters() {
            let place = (letter.reason, letter.field.clone());
            let rejections = found.rejected.entry(place).or_default();
            rejections.count += 1;
            if rejections.count == 1 {
                rejections.said = said(&mut decoder, sampled, &letter);
                rejections.example = example(sampled);
            }
        }
    }
    decoder.take_counts(&mut |counted, count| match counted {
        Counted::Forgiven(field, reason) => {
            *found.nulls.entry((field.to_owned(), reason)).or_default() += count;
        }
        Counted::Skipped => found.skipped += count,
        Counted::Rounded(_) => {}
    });
    decoder.take(&mut items);
    for item in items {
        match item {
            Item::Records(batch) => found.accepted += batch.len() as u64,
            Item::Upserts(upserts) => found.accepted += upserts.len() as u64,
            Item::DeadLetters(_)
            | Item::Intake(_)
            | Item::Behind(_)
            | Item::Arrived(_)
            | Item::InTheFuture(_)
            | Item::Progress { .. } => {}
        }
    }
    found
}

/// What is wrong with a reading that was rejected.
fn said(decoder: &mut Decoder, sampled: &Sampled, letter: &DeadLetter) -> String {
    let reading = letter.place.unwrap_or(0) as usize;
    match decoder.explain(&sampled.message()) {
        Explanation::Rejected(rejected) => rejected.said,
        Explanation::Readings(readings) => match readings.into_iter().nth(reading).map(|one| one.outcome) {
            Some(Outcome::Rejected(rejected)) => rejected.said,
            _ => letter.reason.name().to_owned(),
        },
        Explanation::Deletes => letter.reason.name().to_owned(),
    }
}

/// How to see how a message is read.
fn example(sampled: &Sampled) -> String {
    match &sampled.topic {
        Some(topic) => {
            format!("`truckflow replay --explain kafka:{topic}/{}/{}`", sampled.partition, sampled.offset)
        }
        None => format!("record {} of the file with `truckflow replay --explain`", sampled.offset + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use dataflows::schema::FieldType;

    use crate::decode::Mapping;

    fn found(payloads: &[&str]) -> Found {
        found_by(Mapping::trucks(), payloads)
    }

    fn found_by(mapping: Mapping, payloads: &[&str]) -> Found {
        let sampled = |(offset, payload): (usize, &&str)| Sampled {
            topic: Some("t".into()),
            partition: 1,
            offset: offset as i64,
            payload: Some(payload.as_bytes().into()),
            ..Sampled::default()
        };
        let messages = payloads.iter().enumerate().map(sampled).collect();
        decode(&Sample { header: None, messages }, Decoder::new("t".into(), Arc::new(mapping)))
    }

    #[test]
    fn a_sample_reports_accepted_readings_and_each_kind_of_rejection_with_an_example() {
        let good = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
        let without = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "fuel_consumed": 0}"#;
        let found_all = found(&[good, "no reading", without, without, good]);
        assert_eq!(
            found_all.describe(),
            "2 of 5 readings accepted; most common rejection: missing_field `engine_speed` (2)"
        );
        assert_eq!(
            found_all.rejections(),
            [
                "2 readings rejected, missing_field `engine_speed`: at /engine_speed there is nothing; expected a \
                 number; see `truckflow replay --explain kafka:t/1/2`",
                "1 reading rejected, not_an_object: it cannot be read from byte 0 on, `no reading`; expected JSON, or a \
                 dict as Python writes it; see `truckflow replay --explain kafka:t/1/1`",
            ]
        );
        assert_eq!(found(&[good]).describe(), "1 of 1 reading accepted");
        assert_eq!(found(&[]).describe(), "no messages yet");
        assert_eq!(found(&[good]).rejections(), [""; 0]);
    }

    #[test]
    fn only_the_most_common_rejections_have_a_line() {
        let payloads: Vec<String> = ["timestamp", "distance_covered", "engine_speed", "fuel_consumed"]
            .iter()
            .flat_map(|field| {
                let good = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
                [good.replace(field, "x"), good.replace(&format!("\"{field}\": "), &format!("\"{field}\": [], \"x\": "))]
            })
            .collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let lines = found(&payloads).rejections();
        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[LINES], "3 readings rejected for other reasons");
    }

    #[test]
    fn bad_values_that_became_null_and_skipped_readings_are_reported() {
        let mut mapping = Mapping::trucks_and(&[("oil", FieldType::Number)]);
        mapping.fields[5].bad_is_null = true;
        let bad = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0, "oil": "x"}"#;
        let found = found_by(mapping, &[bad, bad]);
        assert_eq!(found.describe(), "2 of 2 readings accepted");
        assert_eq!(found.nulls(), ["2 bad values of `oil` would be NULL, wrong_type"]);
        let skipped = Found { skipped: 3, ..Found::default() };
        assert_eq!(skipped.describe(), "0 of 3 readings accepted, 3 skipped by message.only");
    }
}
