//! From each form of message to batches.

use std::hint::black_box;

use dataflows::item::Item;
use dataflows::schema::FieldType;
use truckflow::decode::{Decode, Decoder, Mapping, Message};

use super::mapped::{ALL, Mapped, of};
use super::messages::{Form, Messages, Shape, Times};
use super::{BATCH, Stage, Work};

/// Decodes messages, batch after batch.
struct Decoding {
    messages: Messages,
    decoder: Decoder,
    key: Option<&'static [u8]>,
    items: Vec<Item>,
}

impl Work for Decoding {
    fn run(&mut self) {
        decode(&mut self.decoder, &self.messages, self.key, |decoder| {
            decoder.take(&mut self.items);
            black_box(&mut self.items).clear();
        });
    }

    fn elements(&self) -> u64 {
        self.messages.len() as u64
    }
}

/// Decodes messages and calls `taken` behind each batch.
pub fn decode(
    decoder: &mut Decoder,
    messages: &Messages,
    key: Option<&[u8]>,
    mut taken: impl FnMut(&mut Decoder),
) {
    for batch in messages.batches(BATCH) {
        for (offset, payload) in (0..).zip(batch) {
            decoder.decode(&Message { offset, key, payload: Some(payload), ..Message::default() });
        }
        // Every one of them is a record, so that the stage is what its name says.
        assert_eq!(decoder.records(), BATCH, "{:?}", decoder.take_dead_letters().first());
        taken(decoder);
    }
}

pub fn decoder() -> Decoder {
    of(Mapping::trucks())
}

fn stage(name: &str, shape: Shape, key: Option<&'static [u8]>, decoder: fn() -> Decoder) -> Stage {
    Stage::new(format!("decode/{name}"), move |batches| Decoding {
        messages: Messages::new(&shape, 0, batches * BATCH),
        decoder: decoder(),
        key,
        items: Vec::new(),
    })
}

fn mapped(Mapped { name, decoder, messages }: Mapped) -> Stage {
    Stage::new(format!("decode/{name}"), move |batches| Decoding {
        messages: messages(batches * BATCH),
        decoder: decoder(),
        key: None,
        items: Vec::new(),
    })
}

pub fn stages() -> Vec<Stage> {
    let (json, dict, numpy) = (Shape::of(Form::Json), Shape::of(Form::Dict), Shape::of(Form::Numpy));
    let general = || decoder().without_scanner();
    let declared = || of(Mapping::trucks_and(&[("oil_pressure", FieldType::Number)]));
    let mut stages = vec![
        stage("json", json, None, decoder),
        stage("dict", dict, None, decoder),
        stage("numpy", numpy, None, decoder),
        stage("scattered_minutes", Shape { times: Times::Scattered, ..numpy }, None, decoder),
        stage("10_trucks", Shape { trucks: 10, ..numpy }, None, decoder),
        stage("10000_trucks", Shape { trucks: 10_000, ..numpy }, None, decoder),
        stage("truck_by_key", numpy, Some(b"truck-0001"), decoder),
        stage("with_origins", Shape { trucks: 10, ..numpy }, None, || decoder().with_origins()),
        stage("other_order", Shape { reordered: true, ..json }, None, decoder),
        stage("extra_field", Shape { extra: true, ..json }, None, decoder),
        stage("declared_field", Shape { extra: true, ..json }, None, declared),
        stage("general_json", json, None, general),
        stage("general_dict", dict, None, general),
        stage("general_numpy", numpy, None, general),
    ];
    stages.extend(ALL.map(mapped));
    stages
}
