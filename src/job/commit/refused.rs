//! Rows that the database refuses because of their content become dead letters: in the file, in the table and in the
//! topic.
//!
//! Refusals belong to one attempt of a commit. A retry may refuse other rows, because a table was altered or another
//! program wrote the same key. So each attempt truncates the file and writes its own dead letters. Counters and the
//! live page use those of the attempt that committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::rows::{Column, Rows};
use dataflows::views::{DEAD_LETTERS, dead_letter_rows};

use crate::job::error::JobError;
use crate::job::graph::Route;
use crate::observe::board::recent::Recent;
use crate::observe::board::shown::{Part, Shown};
use crate::observe::board::views::ViewChanges;
use crate::render;
use crate::runtime::counts::Counter;
use crate::runtime::fault::{self, Moment};
use crate::sink::csv::{CsvFiles, End};
use crate::store::{Chunk, Refused, Store, StoreError};
use crate::text::printable::printable;

/// The length of a text column, in characters.
const LONGEST_FIELD: usize = 255;
/// Characters of a row shown in the log.
const SHOWN: usize = 200;

/// The refusals of the current attempt.
#[derive(Default)]
pub(super) struct Refusals {
    /// Dead letters of refused rows, not written yet.
    pub letters: Vec<DeadLetter>,
    /// Written dead letters, as rows of the view `dead_letters`.
    written: Vec<Rows>,
    /// The view of each refused row.
    views: Vec<usize>,
    /// The end of the dead-letter file without these refusals, once an attempt has written to it.
    end: Option<End>,
}

impl Refusals {
    /// Discards the refusals of an attempt that was rolled back. `end` is kept.
    pub fn roll_back(&mut self) {
        self.letters.clear();
        self.written.clear();
        self.views.clear();
    }

    /// Writes the dead letters of this attempt to the file, replacing those of an earlier attempt, and to the
    /// transaction. `ends` are the file lengths without them; returns the lengths to commit.
    pub fn write(
        &mut self,
        store: &mut dyn Store,
        files: &mut CsvFiles,
        routes: &[Route],
        ends: &[(String, u64)],
    ) -> Result<Vec<(String, u64)>, JobError> {
        let mut ends = ends.to_vec();
        let view = dead_letters_view(routes);
        let mut letters = std::mem::take(&mut self.letters);
        if let Some(view) = view {
            match self.end {
                Some(end) => files.cut_back(view, end)?,
                None if letters.is_empty() => return Ok(ends),
                None => self.end = files.end(view),
            }
        }
        // The table may also refuse a dead letter for its bytes; then its own dead letter has no bytes. If the table
        // refuses that as well, it is only logged.
        for _ in 0..2 {
            if letters.is_empty() {
                break;
            }
            // The dead letter of a refused row has the view's name as its topic.
            let view_of = |letter: &DeadLetter| routes.iter().position(|route| *route.name == *letter.topic);
            self.views.extend(letters.iter().filter_map(view_of));
            let rows = dead_letter_rows(letters);
            letters = Vec::new();
            if let Some(view) = view {
                let route = &routes[view];
                if route.csv {
                    let mut lines = Vec::new();
                    render::csv(&rows, false, &mut lines);
                    files.write(view, &lines, rows.len() as u64)?;
                }
                if let Some(table) = route.table {
                    let chunks = store.form().chunks(table, rows.clone()).into_iter().map(Arc::new);
                    letters = put(store, routes, &chunks.collect::<Vec<_>>())?;
                }
            }
            self.written.push(rows);
        }
        for (name, end) in files.sync()? {
            ends.retain(|(other, _)| *other != name);
            ends.push((name, end));
        }
        Ok(ends)
    }

    /// The dead letters of this attempt that go to the topic.
    pub fn to_forward(&self, routes: &[Route]) -> Vec<Rows> {
        let is_forwarded = dead_letters_view(routes).is_some_and(|view| routes[view].forwarded);
        if is_forwarded { self.written.clone() } else { Vec::new() }
    }

    /// Counts the dead letters of the committed attempt, and returns what the live page shows of them.
    pub fn count(self, routes: &[Route], counter: &mut Counter) -> (Vec<Shown>, ViewChanges) {
        self.views.into_iter().for_each(|view| counter.refuse(view));
        let mut listed = ViewChanges::default();
        let Some(view) = dead_letters_view(routes) else { return (Vec::new(), listed) };
        let route = &routes[view];
        for rows in &self.written {
            let number = rows.len() as u64;
            let (csv, table) = (u64::from(route.csv) * number, u64::from(route.table.is_some()) * number);
            counter.rows(view, csv, table);
            listed.add(view, Recent::of(rows), None, routes.len());
        }
        (self.written.iter().filter_map(|rows| Part::DeadLetters.shown(rows)).collect(), listed)
    }
}

fn dead_letters_view(routes: &[Route]) -> Option<usize> {
    routes.iter().position(|route| *route.name == *DEAD_LETTERS)
}

/// Inserts chunks in the open transaction, and returns the dead letters of refused rows.
pub(super) fn put(
    store: &mut dyn Store,
    routes: &[Route],
    chunks: &[Arc<Chunk>],
) -> Result<Vec<DeadLetter>, StoreError> {
    fault::at(Moment::Statement);
    let refused = store.insert(chunks)?;
    fault::at(Moment::StatementDone);
    let mut first: BTreeMap<&str, (u64, &Refused)> = BTreeMap::new();
    for refused in &refused {
        first.entry(&refused.table).or_insert((0, refused)).0 += 1;
    }
    for (table, (rows, first)) in first {
        let line = line_of(&chunks[first.chunk].rows.row(first.row));
        let row: String = String::from_utf8_lossy(&line).chars().take(SHOWN).collect();
        let (reason, row) = (&*first.reason, &*printable(&row));
        tracing::warn!(table, rows, reason, row, "the database refused rows; they become dead letters");
    }
    let letter = |refused: Refused| {
        let table = Some(chunks[refused.chunk].table);
        let view = routes.iter().find(|route| route.table == table).map_or("", |route| &*route.name);
        refusal(view, chunks[refused.chunk].rows.row(refused.row), &refused)
    };
    Ok(refused.into_iter().map(letter).collect())
}

/// A row as a CSV line, without its line feed.
fn line_of(row: &Rows) -> Vec<u8> {
    let mut line = Vec::new();
    render::csv(row, false, &mut line);
    line.pop_if(|end| *end == b'\n');
    line
}

/// The dead letter of a refused row of `view`. For a refused dead letter it omits the bytes, which are in the file;
/// otherwise it would be refused for them again.
fn refusal(view: &str, mut row: Rows, refused: &Refused) -> DeadLetter {
    if view == DEAD_LETTERS {
        for column in &mut row.columns {
            if let Column::Bytes(bytes) = column {
                *bytes = Arc::new(vec![None]);
            }
        }
    }
    let field = format!("table {}: {}", refused.table, refused.reason);
    DeadLetter {
        topic: view.into(),
        partition: -1,
        offset: -1,
        kafka_timestamp: None,
        key: None,
        place: None,
        payload: Some(line_of(&row)),
        reason: Reason::RefusedByDatabase,
        field: field.chars().take(LONGEST_FIELD).collect(),
    }
}
