//! The event time of readings: the field that is there in all of them, or several that are together.

use super::candidate::Candidate;
use super::facts::Facts;
use super::form::{Form, micros};
use super::kind::{self, Kind, Reads};
use super::shape::Place;
use super::value::Leaf;
use super::words::words;
use super::words::{TimeRole, time_role};

/// Where event time comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventTime {
    /// Kafka's timestamp: the readings have no time.
    Kafka,
    /// The first of these that a reading has, by their numbers, and if `kafka` else Kafka's timestamp.
    Fields {
        /// The numbers of the candidates.
        fields: Vec<usize>,
        /// Whether Kafka's timestamp stands in for readings without any.
        kafka: bool,
    },
}

/// A candidate that is a time.
struct Time {
    at: usize,
    role: TimeRole,
    quality: u32,
    /// Which readings have it.
    there: Vec<bool>,
    /// The first and the last.
    period: (i64, i64),
}

/// Times are alternatives if they are this close, in microseconds: 400 days.
const NEAR: i64 = 400 * 86_400 * 1_000_000;
/// The most alternatives.
const MOST: usize = 30;

/// Chooses the event time of readings.
pub(super) fn choose(candidates: &[Candidate<'_>], facts: Facts) -> EventTime {
    let Facts { readings, is_transport, has_timestamps: has_kafka_time, .. } = facts;
    let mut times: Vec<Time> = candidates
        .iter()
        .enumerate()
        .filter_map(|(at, candidate)| {
            let second = candidates.get(at + 1).filter(|next| next.is_second);
            time(at, candidate, second, readings, is_transport)
        })
        .collect();
    times.sort_by_key(|time| std::cmp::Reverse((time.role, count(&time.there), time.quality)));
    let mut covered = vec![false; readings];
    times.iter().for_each(|time| add(&mut covered, &time.there));
    let all = count(&covered);
    if all == 0 {
        return EventTime::Kafka;
    }
    // One that is always there, apart from readings that have no time at all.
    let is_always = |time: &&Time| time.role == TimeRole::Event && count(&time.there) == all;
    let mut always: Vec<&Time> = times.iter().filter(is_always).collect();
    always.sort_by_key(|time| std::cmp::Reverse(time.quality));
    let is_kafka_needed = has_kafka_time && all * 10 < readings * 9;
    if let Some(time) = always.first() {
        return EventTime::Fields { fields: vec![time.at], kafka: is_kafka_needed };
    }
    let mut chosen: Vec<&Time> = Vec::new();
    let mut covered = vec![false; readings];
    while chosen.len() < MOST {
        let gain = |time: &Time| {
            time.there.iter().zip(&covered).filter(|(there, covered)| **there && !**covered).count()
        };
        let first = chosen.first().map(|time| time.period);
        let is_near = |time: &Time| {
            first.is_none_or(|(from, to)| {
                time.period.0 <= to.saturating_add(NEAR) && time.period.1 >= from.saturating_sub(NEAR)
            })
        };
        let next = times
            .iter()
            .filter(|time| gain(time) > 0 && is_near(time))
            .max_by_key(|time| (time.role, gain(time), time.quality, std::cmp::Reverse(time.at)));
        let Some(next) = next else { break };
        add(&mut covered, &next.there);
        chosen.push(next);
    }
    let is_kafka_needed = has_kafka_time && count(&covered) * 10 < readings * 9;
    EventTime::Fields { fields: chosen.iter().map(|time| time.at).collect(), kafka: is_kafka_needed }
}

fn count(there: &[bool]) -> usize {
    there.iter().filter(|there| **there).count()
}

fn add(covered: &mut [bool], there: &[bool]) {
    covered.iter_mut().zip(there).for_each(|(covered, there)| *covered |= there);
}

fn time(
    at: usize,
    candidate: &Candidate<'_>,
    second: Option<&Candidate<'_>>,
    readings: usize,
    is_transport: bool,
) -> Option<Time> {
    let Kind::Time(form) = &candidate.kind else { return None };
    let keys = candidate.column.place.keys();
    let (mut role, mut quality) = time_role(&words(keys.last()?));
    if let [.., before, _] = &*keys {
        let (of_parent, _) = time_role(&words(before));
        role = role.min(of_parent);
    }
    quality = 8 * quality + 8u32.saturating_sub(keys.len() as u32);
    match candidate.column.place {
        Place::Message(_) if is_transport => role = role.min(TimeRole::Server),
        Place::Key(_) => role = TimeRole::Other,
        // The first of several, such as the gateways that got a message.
        _ if keys.iter().any(|key| key.bytes().all(|byte| byte.is_ascii_digit())) => role = TimeRole::Other,
        // A schema or an instant says more than digits of a local clock.
        _ if matches!(form, Form::Epoch(_) | Form::Declared) || candidate.has_zone => quality += 4,
        _ => {}
    }
    let (field, reader) = (candidate.kind.field(&candidate.nulls), form.reader());
    let of_second = second.map(|second| second.kind.field(&second.nulls));
    let reads_second =
        |leaf: &Leaf| of_second.as_ref().is_some_and(|field| kind::reads(field, leaf) == Reads::Value);
    let mut there = vec![false; readings];
    let mut period: Option<(i64, i64)> = None;
    for (reading, leaf) in &candidate.column.values {
        // A bad value is there, too, if the second form does not read it: such a reading is a dead letter.
        let is_there = kind::reads(&field, leaf) != Reads::Null && !reads_second(leaf);
        there[*reading as usize] = is_there && !candidate.is_second;
        if let Some(micros) = micros(&reader, leaf) {
            there[*reading as usize] = true;
            let (from, to) = period.get_or_insert((micros, micros));
            (*from, *to) = ((*from).min(micros), (*to).max(micros));
        }
    }
    Some(Time { at, role, quality, there, period: period? })
}
