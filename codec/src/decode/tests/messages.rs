//! Messages as a whole: tombstones, their size, dead letters, keyed readings.

use std::sync::Arc;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::Item;
use dataflows::rows::NULL;
use dataflows::schema::FieldType;
use dataflows::views::Mode;

use super::{accepted, because, decode, decoder, message, record, rejected, speed, take_rounded, with};
use crate::decode::{Decode, Decoder, MAX_BYTES, Mapping, Message};

#[test]
fn a_message_without_payload_is_a_null_value() {
    let (outcome, _) = decode(&Message { payload: None, ..message(b"") });
    assert_eq!(outcome, Err(because(Reason::NullValue, "")));
}

#[test]
fn a_payload_longer_than_allowed_is_too_large() {
    let payload = with("");
    for (max_bytes, dead) in [(payload.len(), 0), (payload.len() - 1, 1)] {
        let mut decoder = decoder().with_max_bytes(max_bytes);
        decoder.decode(&message(payload.as_bytes()));
        let letters = decoder.take_dead_letters();
        assert_eq!(letters.len(), dead);
        assert!(letters.iter().all(|letter| (letter.reason, &*letter.field) == (Reason::TooLarge, "")));
    }
    let padded = |length: usize| with("") + &" ".repeat(length - with("").len());
    assert_eq!(accepted(padded(MAX_BYTES)), record(""));
    assert_eq!(rejected(padded(MAX_BYTES + 1)), because(Reason::TooLarge, ""));
}

#[test]
fn a_dead_letter_keeps_the_whole_message() {
    let mut decoder = decoder();
    decoder.decode(&Message { key: Some(b"k\xff"), ..message(b"{'timestamp': \xff") });
    let expected = DeadLetter {
        topic: "topic".into(),
        partition: 3,
        offset: 42,
        kafka_timestamp: Some(1_700_000_000_000),
        key: Some(b"k\xff".to_vec()),
        place: None,
        payload: Some(b"{'timestamp': \xff".to_vec()),
        reason: Reason::NotAnObject,
        field: String::new(),
    };
    assert_eq!(decoder.take_dead_letters(), [expected]);
    assert_eq!(decoder.take_dead_letters(), []);
}

#[test]
fn a_keyed_reading_has_all_declared_fields_whichever_parser_reads_it() {
    let mapping = Arc::new(Mapping::trucks_and(&[("oil", FieldType::Number), ("driver", FieldType::Text)]));
    let payload = with("");
    let decoder = || Decoder::new("topic".into(), mapping.clone()).with_mode(Mode::Upsert);
    for mut decoder in [decoder(), decoder().without_scanner()] {
        decoder.decode(&Message { key: Some(b"k"), ..message(payload.as_bytes()) });
        let mut items = Vec::new();
        decoder.take(&mut items);
        let [Item::Upserts(upserts), Item::Arrived(_)] = items.as_slice() else { panic!("{items:?}") };
        // The form that a restart reads from state, so that a repeated reading is recognized.
        let record = upserts[0].record.as_ref().unwrap();
        assert_eq!((&record.units[3..], &record.texts[..]), (&[NULL][..], &[None][..]));
    }
}

#[test]
fn a_decoder_continues_after_take() {
    let mut decoder = decoder();
    for round in 1..=2 {
        for _ in 0..round {
            decoder.decode(&message(with("").as_bytes()));
            decoder.decode(&message(speed("0.00000000001").as_bytes()));
            decoder.decode(&message(b""));
        }
        assert_eq!(decoder.records(), 2 * round);
        assert_eq!(decoder.take_batch().len(), 2 * round);
        assert_eq!(decoder.take_dead_letters().len(), round);
        assert_eq!(take_rounded(&mut decoder), [("engine_speed".to_owned(), round as u64)]);
    }
    assert_eq!((decoder.records(), take_rounded(&mut decoder)), (0, vec![]));
}
