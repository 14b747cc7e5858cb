//! Verifies the dead letters: those of the decoders are recomputed, the others compared between table and file.

use dataflows::dead_letter::DeadLetter;
use dataflows::views::View;

use super::cell::{Cell, Form};
use super::compare::{self, Refused, Surplus};
use super::expected;
use super::trouble::Trouble;
use super::views::{Each, Views, cells_of_line, describe};
use crate::job::graph::Route;
use crate::source::file::full_path;
use crate::store::reader::Line;

/// Indexes of the columns of dead letters.
pub(super) mod letter {
    pub const TOPIC: usize = 0;
    pub const PARTITION: usize = 1;
    pub const OFFSET: usize = 2;
    pub const KAFKA_TIMESTAMP: usize = 3;
    pub const KEY: usize = 4;
    pub const REASON: usize = 5;
    pub const FIELD: usize = 6;
    pub const PAYLOAD: usize = 7;
    pub const PLACE: usize = 8;
}

impl Views<'_> {
    pub(super) fn dead_letters(&mut self, view: &View, route: &Route) -> Result<String, Trouble> {
        let dropping = self.dropping();
        let letters = self.letters_again();
        let rows = expected::letters(&letters);
        let (files, table) = (self.files(view, route), self.table(view, route)?);
        let topic = self.topic();
        let mut others: Vec<Vec<Cell>> = Vec::new();
        if let Some(files) = &files {
            let mut each = |each: Each<'_>| {
                let mut each = |change, line: &Line| {
                    let line = topic.known(line);
                    if !is_of_views(&line, &dropping) {
                        each(change, 0, &line);
                    }
                };
                files.each(&mut each).map_err(Trouble::Differs)
            };
            compare::unordered("file", &Form::Csv, &*rows, &Refused::default(), Surplus::Wrong, &mut each)?;
            let mut keep = |_, line: &Line| {
                if is_of_views(line, &dropping) {
                    // Normalized like the rows of the table.
                    others.extend(cells_of_line(&topic.known(line), view));
                }
            };
            files.each(&mut keep).map_err(Trouble::Differs)?;
        }
        if let Some(table) = &table {
            let (refused, surplus) = (self.refused(view), self.surplus(table));
            let has_file = files.is_some();
            let all = |give: &mut dyn FnMut(&[u8], &[Cell])| {
                // The record of a refused dead letter has no bytes.
                let mut is_refused = refused.matcher();
                let mut give = |key: &[u8], cells: &[Cell]| {
                    let mut without_bytes = cells.to_vec();
                    (without_bytes[letter::KEY], without_bytes[letter::PAYLOAD]) = (Cell::Null, Cell::Null);
                    if !is_refused(&without_bytes) {
                        give(key, cells);
                    }
                };
                rows(&mut give);
                others.iter().for_each(|cells| give(b"", cells));
            };
            let mut each = |each: Each<'_>| {
                self.table_rows(table, &mut |row| {
                    let line = topic.known(row.values);
                    if has_file || !is_of_views(&line, &dropping) {
                        each(1, row.id.unwrap_or(0), &line);
                    }
                })
            };
            compare::unordered(&table.place, &table.form, &all, &refused, surplus, &mut each)?;
        }
        Ok(describe(Some(letters.len() + others.len()), "letter", route))
    }

    fn letters_again(&self) -> Vec<DeadLetter> {
        let mut letters = self.input.letters.clone();
        if self.config.embedded {
            // The timestamps of the embedded broker cannot be reproduced.
            letters.iter_mut().for_each(|letter| letter.kafka_timestamp = None);
        }
        letters
    }

    fn topic(&self) -> Topic {
        let files = self.config.input.as_deref().filter(|_| !self.config.embedded);
        Topic {
            files: files.iter().map(|path| (full_path(path), (*path).to_owned())).collect(),
            forgets_time: self.config.embedded,
        }
    }
}

/// Whether a dead letter comes from one of the views that drop readings or from the database, not from a decoder.
pub(super) fn is_of_views(line: &Line, dropping: &[String]) -> bool {
    match line.field(letter::REASON) {
        b"refused_by_database" | b"late" => true,
        b"too_large" => dropping.iter().any(|view| view.as_bytes() == line.field(letter::FIELD)),
        _ => false,
    }
}

/// Maps the inputs of dead letters to their current names.
struct Topic {
    /// Full paths, and paths as configured.
    files: Vec<(String, String)>,
    forgets_time: bool,
}

impl Topic {
    fn known(&self, line: &Line) -> Line {
        let topic = String::from_utf8_lossy(line.field(letter::TOPIC));
        let path = full_path(&topic);
        let named = self.files.iter().find(|(full, given)| *full == path && *given != topic);
        if named.is_none() && !self.forgets_time {
            return line.clone();
        }
        let mut known = Line::default();
        for at in 0..line.len() {
            match (at, named) {
                (letter::TOPIC, Some((_, given))) => known.push(Some(given.as_bytes())),
                (letter::KAFKA_TIMESTAMP, _) if self.forgets_time && line.is_null(letter::KEY) => {
                    known.push(None)
                }
                (letter::KAFKA_TIMESTAMP, _) if self.forgets_time => known.push(Some(b"")),
                _ => known.push(Some(line.field(at))),
            }
        }
        known
    }
}
