//! The last dead letters, with the beginning of their bytes.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflows::rows::{Column, NULL, Rows};
use serde::{Deserialize, Serialize};

/// Maximum number of dead letters kept.
pub const LETTERS: usize = 200;
/// Maximum number of bytes kept of a payload or key.
const BYTES: usize = 4 << 10;

/// A dead letter, as shown on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    topic: String,
    partition: i64,
    offset: i64,
    /// Microseconds since 1970.
    kafka_timestamp: Option<i64>,
    key: Option<Cut>,
    reason: String,
    field: String,
    payload: Option<Cut>,
    /// The place of a reading among those of its message.
    place: Option<i64>,
}

/// A prefix of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cut {
    /// Text, if the bytes are UTF-8, otherwise base64.
    text: String,
    is_base64: bool,
    /// The number of all bytes, and of those in `text`.
    bytes: usize,
    kept: usize,
}

impl Cut {
    fn of(bytes: &[u8]) -> Self {
        let kept = &bytes[..bytes.len().min(BYTES)];
        let text = match std::str::from_utf8(kept) {
            Ok(text) => Some(text),
            // An incomplete last character is left out.
            Err(error) if error.error_len().is_none() && kept.len() < bytes.len() => {
                std::str::from_utf8(&kept[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        match text {
            Some(text) => {
                Self { text: text.to_owned(), is_base64: false, bytes: bytes.len(), kept: text.len() }
            }
            None => {
                let text = STANDARD.encode(kept);
                Self { text, is_base64: true, bytes: bytes.len(), kept: kept.len() }
            }
        }
    }
}

impl Letter {
    /// The approximate size in bytes.
    pub fn weight(&self) -> usize {
        let texts = [&self.topic, &self.reason, &self.field].map(String::len).iter().sum::<usize>();
        let bytes = [&self.key, &self.payload].into_iter().flatten().map(|cut| cut.text.len());
        size_of::<Self>() + texts + bytes.sum::<usize>()
    }

    /// The dead letter in a row of the view `dead_letters`.
    pub fn of(rows: &Rows, row: usize) -> Option<Self> {
        let [
            Column::Text(topic),
            Column::Integer(partition),
            Column::Integer(offset),
            Column::Timestamp(time),
            Column::Bytes(key),
            Column::Text(reason),
            Column::Text(field),
            Column::Bytes(payload),
            Column::Integer(place),
        ] = &rows.columns[..]
        else {
            return None;
        };
        let text =
            |texts: &[Option<std::sync::Arc<str>>]| texts[row].as_deref().unwrap_or_default().to_owned();
        Some(Self {
            topic: text(topic),
            partition: partition[row],
            offset: offset[row],
            kafka_timestamp: Some(time[row]).filter(|time| *time != NULL),
            key: key[row].as_deref().map(Cut::of),
            reason: text(reason),
            field: text(field),
            payload: payload[row].as_deref().map(Cut::of),
            place: Some(place[row]).filter(|place| *place != NULL),
        })
    }
}

/// A dead letter with its sequence number since the start of the job, and the time of its commit.
#[derive(Clone, Debug, Serialize)]
pub struct Numbered {
    /// The sequence number.
    pub number: u64,
    /// The time of the commit, in milliseconds since 1970.
    pub committed: u64,
    #[serde(flatten)]
    letter: Letter,
}

/// The last dead letters.
#[derive(Debug, Default)]
pub struct Letters {
    count: u64,
    last: VecDeque<Numbered>,
}

impl Letters {
    /// Adds `count` dead letters. `last` are the last of them, with the times of their commits.
    pub fn add(&mut self, count: u64, last: VecDeque<(u64, Letter)>) {
        self.count += count;
        let first = self.count - last.len() as u64;
        let numbered = |(number, (committed, letter))| Numbered { number, committed, letter };
        self.last.extend((first..).zip(last).map(numbered));
        self.last.drain(..self.last.len().saturating_sub(LETTERS));
    }

    /// The number of all dead letters since the start.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// At most `limit` dead letters, newest first, optionally only those with a `reason` or with numbers lower than
    /// `before`.
    pub fn list(&self, reason: Option<&str>, before: Option<u64>, limit: usize) -> Vec<&Numbered> {
        let wanted = |letter: &&Numbered| {
            reason.is_none_or(|reason| letter.letter.reason == reason)
                && before.is_none_or(|before| letter.number < before)
        };
        self.last.iter().rev().filter(wanted).take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: i64, payload: &[u8]) -> Letter {
        let letter = dataflows::dead_letter::DeadLetter {
            topic: "T".into(),
            partition: 1,
            offset,
            kafka_timestamp: None,
            key: None,
            place: None,
            payload: Some(payload.to_vec()),
            reason: dataflows::dead_letter::Reason::NotAnObject,
            field: "f".into(),
        };
        Letter::of(&dataflows::views::dead_letter_rows(vec![letter]), 0).unwrap()
    }

    #[test]
    fn bytes_are_cut_between_characters_and_are_base64_if_they_are_not_text() {
        let text = "é".repeat(BYTES);
        let cut = letter(0, &text.as_bytes()[..BYTES + 1]).payload.unwrap();
        assert_eq!((cut.is_base64, cut.bytes, cut.kept), (false, BYTES + 1, BYTES));
        let shifted = format!("a{text}");
        let cut = letter(0, shifted.as_bytes()).payload.unwrap();
        assert_eq!((cut.is_base64, cut.kept, cut.text.len()), (false, BYTES - 1, BYTES - 1));
        let cut = letter(0, &[0xff, 0]).payload.unwrap();
        assert_eq!((&*cut.text, cut.is_base64, cut.kept), ("/wA=", true, 2));
        // Half a character at the very end is not text.
        assert!(letter(0, &[b'a', 0xc3]).payload.unwrap().is_base64);
    }

    #[test]
    fn the_last_letters_are_kept_and_all_are_counted() {
        let mut letters = Letters::default();
        letters.add(1000, (0..150).map(|offset| (7, letter(offset, b"x"))).collect());
        letters.add(100, (150..250).map(|offset| (8, letter(offset, b"x"))).collect());
        assert_eq!((letters.count(), letters.last.len()), (1100, LETTERS));
        let newest = letters.list(None, None, 2);
        assert_eq!((newest[0].number, newest[0].letter.offset, newest[0].committed), (1099, 249, 8));
        let before = letters.list(Some("not_an_object"), Some(1099), 1);
        assert_eq!(before[0].number, 1098);
        assert!(letters.list(Some("late"), None, 9).is_empty());
    }
}
