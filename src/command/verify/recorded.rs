//! The facts that only the job's dead letters record, checked for plausibility.

use std::collections::{BTreeMap, HashMap};

use dataflows::batch::{Entity, Record};
use dataflows::dead_letter::Reason;
use dataflows::relation::{Patience, PlannedView, WindowKind};
use dataflows::rows::Type;
use dataflows::views::{DEAD_LETTERS, DEAD_LETTERS_TABLE, FILTERED_JOIN, View};

use super::cell::Cell;
use super::dead_letters::{is_of_views, letter};
use super::expected::Times;
use super::input::fingerprint;
use super::planned::drops;
use super::reading::{Place, Reading};
use super::trouble::Trouble;
use super::views::{Recorded, Views};
use crate::job::graph::Route;
use crate::state::offset::Role;
use crate::store::reader::Line;

impl Views<'_> {
    /// Reads the job's dead letters, and checks them for plausibility.
    pub fn read_dead_letters(&mut self, view: &View, route: &Route) -> Result<(), Trouble> {
        let mut recorded = Recorded::default();
        let dropping = self.dropping();
        let mut of_views: Vec<Line> = Vec::new();
        let files = self.files(view, route);
        let outdated = self.outdated(view, route, files.is_some());
        let mut take = |at: i64, line: &Line| {
            let is_outdated = || {
                let view = String::from_utf8_lossy(line.field(letter::FIELD));
                outdated.get(&*view).is_some_and(|end| at <= *end)
            };
            if line.field(letter::REASON) == b"refused_by_database" {
                let row = csv_fields(line.field(letter::PAYLOAD));
                let name = String::from_utf8_lossy(line.field(letter::TOPIC)).into_owned();
                recorded.refused.entry(name).or_default().push(row);
            } else if is_of_views(line, &dropping) && !is_outdated() {
                of_views.push(line.clone());
            }
        };
        if let Some(files) = files {
            let mut number = 0;
            // Problems with the file are reported by the verification of the view.
            let _ = files.each(&mut |_, line| {
                number += 1;
                take(number, line);
            });
        } else if let Ok(Some(table)) = self.table(view, route) {
            self.table_rows(&table, &mut |row| take(row.id.unwrap_or(i64::MAX), row.values))?;
        }
        let places: HashMap<Place, &Reading> = if of_views.is_empty() {
            HashMap::new()
        } else {
            self.input.readings.iter().map(|reading| (reading.place, reading)).collect()
        };
        let times = Times::new(&self.input.latest);
        for line in of_views {
            let name = String::from_utf8_lossy(line.field(letter::FIELD)).into_owned();
            match self.given_up(&line, &name, &places, &times) {
                Ok(Some(place)) => {
                    recorded.given_up.entry(name).or_default().insert(place);
                }
                Ok(None) => *recorded.of_rows.entry(name).or_default() += 1,
                Err(why) => {
                    recorded.wrong.entry(name).or_insert_with(|| format!("dead letter {line} {why}"));
                }
            }
        }
        self.check_too_many(&mut recorded);
        self.recorded = recorded;
        Ok(())
    }

    /// Of each view that was replaced, the last dead letter of its definition before: its number in the files, or its id
    /// in the table.
    fn outdated(&self, letters: &View, route: &Route, in_files: bool) -> HashMap<String, i64> {
        let mut ends: HashMap<&str, BTreeMap<String, u64>> = HashMap::new();
        for of in self.last.view_offsets.iter().filter(|of| of.role == Role::Outdated) {
            let end = (of.at.topic.to_string(), of.at.offset as u64);
            ends.entry(&of.view).or_default().extend([end]);
        }
        let end = |numbers: &BTreeMap<String, u64>| {
            if !in_files {
                return numbers.get(DEAD_LETTERS_TABLE).map_or(0, |id| *id as i64);
            }
            let mut count = 0;
            // Without a committed file there was none.
            let _ = self.files_up_to(letters, route, numbers).each(&mut |_, _| count += 1);
            count
        };
        ends.into_iter().map(|(view, numbers)| (view.to_owned(), end(&numbers))).collect()
    }

    /// The record that a view dropped, if that is plausible; None for a dead letter without a record.
    fn given_up(
        &self,
        line: &Line,
        view: &str,
        places: &HashMap<Place, &Reading>,
        times: &Times<'_>,
    ) -> Result<Option<Place>, &'static str> {
        let is_too_large = line.field(letter::REASON) == b"too_large";
        if self.settings.upserts() {
            // It names a key, and keys determine which readings are beyond the limit now.
            return if is_too_large {
                Ok(None)
            } else {
                Err("is late, but an upsert job has no late readings")
            };
        }
        let number = |at| std::str::from_utf8(line.field(at)).ok()?.parse::<i64>().ok();
        let own = self.config.planned.iter().find(|own| own.name == view);
        if own.is_some() && number(letter::PARTITION) == Some(-1) {
            // A row that is not a reading.
            return Ok(None);
        }
        let topic = String::from_utf8_lossy(line.field(letter::TOPIC));
        let place = self.input.topic(&topic).map(|topic| Place {
            topic,
            partition: number(letter::PARTITION).unwrap_or(-1) as i32,
            offset: number(letter::OFFSET).unwrap_or(-1),
            place: number(letter::PLACE).unwrap_or(0) as u32,
        });
        let (place, reading) = place
            .and_then(|place| Some((place, *places.get(&place)?)))
            .ok_or("does not belong to a reading")?;
        let payload = match Cell::of_csv(line.field(letter::PAYLOAD), Type::Bytes) {
            Some(Cell::Bytes(bytes)) if self.files_hold_letters() => bytes,
            _ => line.field(letter::PAYLOAD).into(),
        };
        if fingerprint(&payload) != reading.bytes {
            return Err("differs from its message");
        }
        if let Some(own) = own {
            let reason = if is_too_large { Reason::TooLarge } else { Reason::Late };
            return match (drops(own, reason), tumbling(own)) {
                (false, _) => Err("names a view that drops no such readings"),
                (true, Some(window)) if !is_too_large && !window.is_late(&reading.record, times) => {
                    Err("is late, but its reading is not older than the grace")
                }
                // How late it was depends on its group.
                (true, _) => Ok(Some(place)),
            };
        }
        if is_too_large {
            return if view == FILTERED_JOIN {
                Ok(Some(place))
            } else {
                Err("is too_large, but this view has no limit of readings")
            };
        }
        match self.is_late_for_join(reading, times) {
            true => Ok(Some(place)),
            false => Err("is late, but its reading is not older than the retention"),
        }
    }

    fn is_late_for_join(&self, reading: &Reading, times: &Times<'_>) -> bool {
        let truck = &reading.record.entity;
        let bound = times.of(truck, self.settings.window_idle);
        reading.record.time < bound.saturating_sub(self.settings.join_retention).min(times.latest(truck))
    }

    fn files_hold_letters(&self) -> bool {
        self.config.has_file(DEAD_LETTERS)
    }

    /// Checks that readings were dropped as too many only if the limit for their truck and time was reached.
    fn check_too_many(&self, recorded: &mut Recorded) {
        let limit = self.settings.join_limit;
        let Some(given_up) = recorded.given_up.get(FILTERED_JOIN) else { return };
        let mut kept: HashMap<(&Entity, i64), (usize, bool)> = HashMap::new();
        let times = Times::new(&self.input.latest);
        let is_late = |reading: &Reading| self.is_late_for_join(reading, &times);
        for reading in &self.input.readings {
            let (count, is_short) = kept.entry((&reading.record.entity, reading.record.time)).or_default();
            match given_up.contains(&reading.place) {
                true => *is_short |= !is_late(reading),
                false => *count += 1,
            }
        }
        if let Some(((truck, _), (count, _))) =
            kept.iter().find(|(_, (count, given_up))| *given_up && *count < limit)
        {
            let wrong = format!(
                "dead letters too_large of truck `{truck}` leave only {count} readings at a time, below the limit of {limit}"
            );
            recorded.wrong.entry(FILTERED_JOIN.into()).or_insert(wrong);
        }
    }
}

/// Windows of the trucks' own times, whose lateness follows from the latest readings.
struct Tumbling {
    length: i64,
    patience: Patience,
}

impl Tumbling {
    fn is_late(&self, record: &Record, times: &Times<'_>) -> bool {
        let start = |time: i64| time.div_euclid(self.length).saturating_mul(self.length);
        let Patience { grace, idle } = self.patience;
        let bound = times.of(&record.entity, idle);
        let horizon = start(bound.saturating_sub(grace)).min(start(times.latest(&record.entity)));
        start(record.time).saturating_add(self.length) <= horizon
    }
}

/// The windows of a view, if they are such windows.
fn tumbling(planned: &PlannedView) -> Option<Tumbling> {
    let aggregate = planned.aggregate().filter(|aggregate| aggregate.source.relation().is_none())?;
    let window = aggregate.window.as_ref().filter(|window| window.time.is_event_time())?;
    let is_by_truck = matches!(&aggregate.keys[..], [key] if key.is_entity());
    match window.kind {
        WindowKind::Hop { slide, size }
            if is_by_truck && slide == size && aggregate.source.filter.is_none() =>
        {
            Some(Tumbling { length: size, patience: window.patience })
        }
        _ => None,
    }
}

/// The fields of a row in a dead letter.
fn csv_fields(record: &[u8]) -> Line {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(record);
    let mut fields = csv::ByteRecord::new();
    // Invalid CSV matches no expected row.
    let _ = reader.read_byte_record(&mut fields);
    fields.iter().collect()
}
