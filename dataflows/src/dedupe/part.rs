//! The part of a batch that is of one partition: what is compared, without the records.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::stored::Partition;
use crate::batch::Batch;
use crate::schema::Place;
use crate::state::push_length;

/// A batch: the worker that read it, and its number there.
pub(super) type BatchId = (u64, u64);

/// The part of a batch that is of one partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub batch: BatchId,
    pub readings: Vec<Reading>,
    /// The concatenated fields of the readings.
    fields: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Reading {
    pub offset: i64,
    /// Its place in the message.
    pub place: u32,
    /// Its row in the batch.
    pub row: u32,
    pub time: i64,
    /// The end of its fields.
    end: u32,
}

impl Part {
    /// The fields of a reading.
    pub fn fields(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.readings[before].end);
        &self.fields[start as usize..self.readings[index].end as usize]
    }
}

/// The parts of a batch. With `is_file`, its partitions are those of one input, whatever its path is.
pub(super) fn parts(id: BatchId, batch: &Batch, fields: &[Place], is_file: bool) -> Vec<(Partition, Part)> {
    let origin = batch.origin.as_ref().expect("with dedupe, decoders keep origins");
    let mut parts: Vec<(i32, Part)> = Vec::new();
    let mut known: HashMap<i32, usize> = HashMap::new();
    // Neighbouring readings are mostly of the same partition.
    let mut last = (0, None);
    for row in 0..batch.len() {
        let (partition, offset, place) = origin.position(row);
        let index = match last {
            (of, Some(index)) if of == partition => index,
            _ => *known.entry(partition).or_insert_with(|| {
                parts.push((partition, Part { batch: id, readings: Vec::new(), fields: Vec::new() }));
                parts.len() - 1
            }),
        };
        last = (partition, Some(index));
        let part = &mut parts[index].1;
        fields.iter().for_each(|field| write(batch, *field, row, &mut part.fields));
        let (time, end) = (batch.time[row], part.fields.len() as u32);
        part.readings.push(Reading { offset, place, row: row as u32, time, end });
    }
    let topic = if is_file { "".into() } else { origin.topic().clone() };
    parts.into_iter().map(|(partition, part)| ((topic.clone(), partition), part)).collect()
}

/// Appends the value of a field. NULL is a value of its own, so that two of them are equal.
fn write(batch: &Batch, field: Place, row: usize, out: &mut Vec<u8>) {
    let mut write_text = |text: &str, add: usize| {
        push_length(out, text.len() + add);
        out.extend_from_slice(text.as_bytes());
    };
    match field {
        Place::Time => out.extend_from_slice(&batch.time[row].to_le_bytes()),
        Place::Units(column) => out.extend_from_slice(&batch.units[column][row].to_le_bytes()),
        Place::Entity => write_text(batch.entities.get(batch.entity[row] as usize), 0),
        Place::Texts(column) => match &batch.texts[column][row] {
            Some(text) => write_text(text, 1),
            None => out.push(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::null::NULL;
    use crate::origin::Origin;
    use crate::schema::{FieldType, Schema};

    #[test]
    fn different_values_are_written_differently() {
        let schema = Schema::new("time")
            .with_entity("truck")
            .with("a", FieldType::Text)
            .with("b", FieldType::Text)
            .with("n", FieldType::Number);
        let mut builder = BatchBuilder::new(&schema);
        let texts = [None, Some(""), Some("a"), Some("\0"), Some("ab")];
        let long = "x".repeat(200);
        for truck in ["", "a", &long] {
            for (a, b) in texts.iter().flat_map(|a| texts.map(|b| (*a, b))) {
                for (time, number) in [(0, 0), (1, 0), (0, NULL)] {
                    builder.push_with(truck, time, [number], [a, b].map(|text| text.map(Arc::from)));
                }
            }
        }
        let batch = builder.take();
        let fields: Vec<Place> = schema.fields().iter().map(|field| field.place).collect();
        let written = |row| {
            let mut out = Vec::new();
            fields.iter().for_each(|field| write(&batch, *field, row, &mut out));
            out
        };
        assert_eq!((0..batch.len()).map(written).collect::<BTreeSet<_>>().len(), 3 * 25 * 3);
    }

    #[test]
    fn a_batch_has_a_part_for_each_partition() {
        let mut builder = BatchBuilder::default();
        let mut origin = Origin::bare("topic".into());
        for (row, partition) in [3, 3, 1, 3, 1].into_iter().enumerate() {
            builder.push(["a", "bc"][row % 2], row as i64, &[]);
            origin.push(partition, 10 + row as i64, None, None, None, b"");
        }
        let batch = Batch { origin: Some(Arc::new(origin)), ..builder.take() };
        let parts = parts((1, 2), &batch, &[Place::Entity], false);
        let of = |index: usize| {
            let ((topic, partition), part) = &parts[index];
            assert_eq!((&**topic, part.batch), ("topic", (1, 2)));
            let fields = (0..part.readings.len()).map(|index| part.fields(index)).collect::<Vec<_>>();
            (*partition, part.readings.iter().map(|reading| reading.row).collect::<Vec<_>>(), fields)
        };
        let (a, bc): (&[u8], &[u8]) = (b"\x01a", b"\x02bc");
        assert_eq!(of(0), (3, vec![0, 1, 3], vec![a, bc, bc]));
        assert_eq!(of(1), (1, vec![2, 4], vec![a, a]));
    }
}
