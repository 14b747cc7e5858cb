//! Verifies lines of which the last one of each group is current: those of histories, and of files without a sign.

use std::collections::HashMap;

use super::cell::{Cell, Form};
use super::trouble::Trouble;
use crate::store::reader::Line;

/// The last line of each group, in the order of writing.
pub(super) struct History<'a> {
    place: &'a str,
    form: &'a Form,
    /// The columns of a group's keys, which are texts.
    keys: &'a [usize],
    last: HashMap<Vec<Vec<u8>>, Line>,
}

impl<'a> History<'a> {
    pub fn new(place: &'a str, form: &'a Form, keys: &'a [usize]) -> Self {
        Self { place, form, keys, last: HashMap::new() }
    }

    fn key(&self, line: &Line) -> Vec<Vec<u8>> {
        self.keys.iter().map(|&at| line.field(at).to_vec()).collect()
    }

    /// Takes the next line.
    pub fn add(&mut self, line: &Line) {
        self.last.insert(self.key(line), line.clone());
    }

    /// Compares the last lines with the rows that there should be. With `may_end`, groups without a row end in zeros and
    /// NULL.
    pub fn end(mut self, rows: &[Vec<Cell>], may_end: bool) -> Result<(), Trouble> {
        let place = self.place;
        let mut should = Line::default();
        for cells in rows {
            self.form.line(cells, &mut should);
            let found = self.last.remove(&self.key(&should));
            if found.as_ref().is_some_and(|line| self.form.agrees(cells, line)) {
                continue;
            }
            return Err(Trouble::Differs(match found {
                Some(line) => format!("{place} has {line} as the last row, but expected {should}"),
                None => format!("{place} lacks {should}"),
            }));
        }
        let is_nothing =
            |line: &Line, at: usize| line.is_null(at) || matches!(line.field(at), b"" | b"0" | b"0.0");
        let has_ended = |line: &Line| {
            let mut others = (0..line.len()).filter(|at| !self.keys.contains(at));
            may_end && others.all(|at| is_nothing(line, at))
        };
        match self.last.values().filter(|line| !has_ended(line)).min() {
            Some(line) => {
                Err(Trouble::Differs(format!("{place} has {line}, which is not a row of the view")))
            }
            None => Ok(()),
        }
    }
}
