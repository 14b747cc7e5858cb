//! Readings that are later than the wall clock allows.

use dataflows::dead_letter::Reason;
use dataflows::item::Item;
use dataflows::views::Mode;

use super::{TIME, decoder, message, with};
use crate::decode::{Decode, Decoder, Future, Message};

/// A decoder of a job whose wall clock is at [`TIME`], and whose readings may be a second ahead.
fn clocked() -> Decoder {
    let future = Future::After { max_ahead: 1_000_000, topic: "topic".into() };
    let mut decoder = decoder().with_future(future);
    Decode::set_wall_clock(&mut decoder, TIME);
    decoder
}

#[test]
fn a_reading_in_the_future_is_a_dead_letter_whatever_else_is_wrong_with_it() {
    let at = |second: u32, more: &str| with(more).replace("01:02:27", &format!("01:02:{second}"));
    for new in [clocked, || clocked().without_scanner()] {
        let letter = |payload: &str, timestamp| {
            let mut decoder = new();
            decoder.decode(&Message { timestamp, ..message(payload.as_bytes()) });
            let mut items = Vec::new();
            decoder.take(&mut items);
            let found = items.iter().any(|item| matches!(item, Item::InTheFuture(found) if found.len() == 1));
            let letters = items.into_iter().find_map(|item| match item {
                Item::DeadLetters(letters) => Some((letters[0].reason, letters[0].field.clone())),
                _ => None,
            });
            assert_eq!(found, letters.as_ref().is_some_and(|(reason, _)| *reason == Reason::InTheFuture));
            letters
        };
        let in_the_future = Some((Reason::InTheFuture, "timestamp".to_owned()));
        assert_eq!(letter(&at(28, ""), None), None);
        assert_eq!(letter(&at(29, ""), None), in_the_future);
        assert_eq!(letter(&at(29, ", 'engine_speed': 'fast'"), None), in_the_future);
        assert_eq!(letter(&at(29, ", 'truck_id': []"), None), in_the_future);
        assert_eq!(letter(&at(28, ", 'engine_speed': 'fast'"), None).unwrap().0, Reason::WrongType);
        // Kafka's timestamp is later.
        assert_eq!(letter(&at(29, ""), Some(TIME / 1000 + 1000)), None);
        assert_eq!(letter("{'timestamp': '9999-01-01 00:00:00'", None).unwrap().0, Reason::NotAnObject);
    }
}

#[test]
fn a_keyed_reading_in_the_future_does_not_change_its_key() {
    let mut decoder = clocked().with_mode(Mode::Upsert);
    let payload = with("").replace("2023", "2024");
    decoder.decode(&Message { key: Some(b"k"), timestamp: None, ..message(payload.as_bytes()) });
    let mut items = Vec::new();
    decoder.take(&mut items);
    assert!(
        matches!(items.as_slice(), [Item::DeadLetters(_), Item::InTheFuture(_), Item::Arrived(TIME)]),
        "{items:?}"
    );
}
