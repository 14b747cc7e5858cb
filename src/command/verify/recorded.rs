//! The facts that only the job's dead letters record, checked for plausibility.

use std::collections::{BTreeMap, HashMap};

use dataflows::batch::{Entity, Record};
use dataflows::dead_letter::Reason;
use dataflows::expression::Expression;
use dataflows::relation::{From, Join, Patience, PlannedView, Relation, WindowKind};
use dataflows::rows::Type;
use dataflows::views::{DEAD_LETTERS, DEAD_LETTERS_TABLE, View};

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
        let own = own.ok_or("names a view that has no letters")?;
        let reason = if is_too_large { Reason::TooLarge } else { Reason::Late };
        if !drops(own, reason) {
            return Err("names a view that drops no such readings");
        }
        if !is_too_large && !Lateness::of(own).is_none_or(|of| of.is_late(&reading.record, times)) {
            return Err("is late, but its reading is not older than the grace");
        }
        // How late it was depends on its group.
        Ok(Some(place))
    }

    fn files_hold_letters(&self) -> bool {
        self.config.has_file(DEAD_LETTERS)
    }

    /// Checks that readings were dropped as too many only if the limit for their key and time was reached, in joins of the
    /// readings of a truck with the same time.
    fn check_too_many(&self, recorded: &mut Recorded) {
        let times = Times::new(&self.input.latest);
        for own in &self.config.planned {
            let (Some(given_up), Some((join, lateness))) = (recorded.given_up.get(&*own.name), at_once(own))
            else {
                continue;
            };
            let limit = join.limit.unwrap_or(u64::MAX) as usize;
            let mut kept: HashMap<(&Entity, i64), (usize, bool)> = HashMap::new();
            for reading in &self.input.readings {
                let (count, is_short) =
                    kept.entry((&reading.record.entity, reading.record.time)).or_default();
                match given_up.contains(&reading.place) {
                    true => *is_short |= !lateness.is_late(&reading.record, &times),
                    false => *count += 1,
                }
            }
            let short = kept.iter().find(|(_, (count, is_short))| *is_short && *count < limit);
            if let Some(((truck, _), (count, _))) = short {
                let wrong = format!(
                    "dead letters too_large of truck `{truck}` leave only {count} readings at a time, below the limit of {limit}"
                );
                recorded.wrong.entry(own.name.to_string()).or_insert(wrong);
            }
        }
    }
}

/// When readings are late for the windows of trucks' own times, or for joins by these.
struct Lateness {
    /// The length of a window; 1 of a join: the time itself.
    length: i64,
    patience: Patience,
}

impl Lateness {
    /// Of a view whose late readings follow from the latest ones.
    fn of(planned: &PlannedView) -> Option<Self> {
        tumbling(planned).or_else(|| at_once(planned).map(|(_, lateness)| lateness))
    }

    fn is_late(&self, record: &Record, times: &Times<'_>) -> bool {
        let start = |time: i64| time.div_euclid(self.length).saturating_mul(self.length);
        let Patience { grace, idle } = self.patience;
        let bound = times.of(&record.entity, idle);
        let horizon = start(bound.saturating_sub(grace)).min(start(times.latest(&record.entity)));
        start(record.time).saturating_add(self.length) <= horizon
    }
}

/// The windows of a view, if they are such windows.
fn tumbling(planned: &PlannedView) -> Option<Lateness> {
    let aggregate = planned.aggregate().filter(|aggregate| aggregate.source.relation().is_none())?;
    let window = aggregate.window.as_ref().filter(|window| window.time.is_event_time())?;
    let is_by_truck = matches!(&aggregate.keys[..], [key] if key.is_entity());
    match window.kind {
        WindowKind::Hop { slide, size }
            if is_by_truck && slide == size && aggregate.source.filter.is_none() =>
        {
            Some(Lateness { length: size, patience: window.patience })
        }
        _ => None,
    }
}

/// The join of a view of readings of a truck that have the same time, of which one side has all readings.
fn at_once(planned: &PlannedView) -> Option<(&Join, Lateness)> {
    let Relation::Select { source, .. } = &planned.relation else { return None };
    let Relation::Join(join) = source.relation()? else { return None };
    let bound = join.bound.as_ref().filter(|_| join.is_at_once())?;
    let [(left, right)] = &join.keys[..] else { return None };
    let of_trucks = |relation: &Relation, key: &Expression, time: &Expression| match relation {
        Relation::Select { source, columns } => {
            let is_truck =
                columns.get(key.place()?)?.is_entity() && columns.get(time.place()?)?.is_event_time();
            (source.from == From::Readings && is_truck).then_some(source.filter.is_none())
        }
        _ => None,
    };
    let has_all = of_trucks(&join.left, left, &bound.left)? | of_trucks(&join.right, right, &bound.right)?;
    has_all.then_some((join, Lateness { length: 1, patience: bound.patience }))
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
