//! Drops repetitions by the words of the rule: every reading that was ever kept is remembered and looked at.

use std::collections::{BTreeSet, HashMap};

use dataflows::batch::Record;
use dataflows::schema::Place as Field;
use dataflows::views::Dedupe;

use super::reading::{Place, Reading};

/// The value of a field.
#[derive(PartialEq, Eq, Hash)]
enum Value {
    Units(i64),
    Text(Option<String>),
}

fn value(record: &Record, field: Field) -> Value {
    match field {
        Field::Time => Value::Units(record.time),
        Field::Entity => Value::Text(Some(record.entity.to_string())),
        Field::Units(column) => Value::Units(record.units[column]),
        Field::Texts(column) => Value::Text(record.texts[column].as_deref().map(str::to_owned)),
    }
}

/// Drops repetitions, and returns their number. The readings are in the order of their places then.
pub fn drop_repetitions(readings: &mut Vec<Reading>, dedupe: &Dedupe) -> usize {
    readings.sort_by_key(|reading| reading.place);
    let before = readings.len();
    // The event times of kept readings, by their fields, and the latest event time, both of one partition.
    let mut kept: HashMap<Vec<Value>, BTreeSet<i64>> = HashMap::new();
    let (mut of, mut latest) = (None, i64::MIN);
    readings.retain(|Reading { record, place: Place { topic, partition, .. }, .. }| {
        if of.replace((*topic, *partition)) != Some((*topic, *partition)) {
            (kept, latest) = (HashMap::new(), i64::MIN);
        }
        latest = latest.max(record.time);
        let oldest = latest.saturating_sub(dedupe.within);
        let near = record.time.saturating_sub(dedupe.within)..=record.time.saturating_add(dedupe.within);
        let fields = dedupe.fields.iter().map(|field| value(record, *field)).collect();
        let times = kept.entry(fields).or_default();
        let repeats = record.time >= oldest && times.range(near).any(|time| *time >= oldest);
        if !repeats {
            times.insert(record.time);
        }
        !repeats
    });
    before - readings.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which readings of a truck, given by partition, offset, place and event time, are left.
    fn left(readings: &[(i32, i64, u32, i64)]) -> Vec<(i32, i64, u32)> {
        let dedupe = Dedupe { fields: vec![Field::Entity], within: 10, definition: String::new() };
        let reading = |(partition, offset, place, time): (i32, i64, u32, i64)| Reading {
            record: Record { entity: "a".into(), time, units: Vec::new(), texts: Vec::new() },
            place: Place { topic: 0, partition, offset, place },
            key: [].into(),
            bytes: 0,
        };
        let mut all = readings.iter().copied().map(reading).collect();
        assert_eq!(drop_repetitions(&mut all, &dedupe), readings.len() - all.len());
        let place = |Place { partition, offset, place, .. }| (partition, offset, place);
        all.into_iter().map(|reading| place(reading.place)).collect()
    }

    #[test]
    fn repetitions_are_dropped_in_the_order_of_each_partition() {
        // Partition 1 has none; in partition 0 the second reading of the first message repeats the first.
        let readings = [(0, 2, 0, 21), (0, 1, 0, 11), (0, 0, 0, 0), (0, 0, 1, 10), (1, 0, 0, 0)];
        assert_eq!(left(&readings), [(0, 0, 0), (0, 1, 0), (1, 0, 0)]);
    }

    #[test]
    fn partitions_of_two_topics_are_two() {
        let dedupe = Dedupe { fields: vec![Field::Entity], within: 10, definition: String::new() };
        let reading = |topic| Reading {
            record: Record { entity: "a".into(), time: 0, units: Vec::new(), texts: Vec::new() },
            place: Place { topic, partition: 0, offset: 0, place: 0 },
            key: [].into(),
            bytes: 0,
        };
        assert_eq!(drop_repetitions(&mut vec![reading(0), reading(1)], &dedupe), 0);
    }

    #[test]
    fn readings_older_than_the_bound_are_not_checked() {
        let readings = [(0, 0, 0, 0), (0, 1, 0, 11), (0, 2, 0, 0), (0, 3, 0, 1)];
        assert_eq!(left(&readings), [(0, 0, 0), (0, 1, 0), (0, 2, 0)]);
    }
}
