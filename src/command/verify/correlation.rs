//! Verifies a correlation: its last rows are recomputed, and the history before them only grows.

use std::collections::{HashMap, HashSet};

use dataflows::batch::Entity;
use dataflows::views::{Axis, CorrelationTables, View};

use super::cell::{Cell, Form};
use super::expected::{self, OfThings};
use super::trouble::Trouble;
use super::views::{Table, Views, cells, describe};
use crate::job::graph::Route;
use crate::store::reader::Line;

impl Views<'_> {
    pub(super) fn correlation(
        &mut self,
        view: &View,
        route: &Route,
        axes: (Axis, Axis),
    ) -> Result<String, Trouble> {
        let rows = expected::correlations(self.input, axes);
        let given =
            |give: &mut dyn FnMut(&[u8], &[Cell])| rows.iter().for_each(|(key, cells)| give(key, cells));
        let is_history = self.settings.correlation_tables == CorrelationTables::History;
        if !is_history && self.settings.upserts() {
            return self.rows(view, route, &given).map(|_| describe(Some(rows.len()), "truck", route));
        }
        if let Some(files) = self.files(view, route) {
            let mut history = History::new("file", Form::Csv, &rows, self.settings.upserts());
            files.each(&mut |_, line| history.add(line)).map_err(Trouble::Differs)?;
            history.end(&self.input.latest)?;
        }
        if let Some(table) = self.table(view, route)? {
            if is_history {
                self.history_table(view, route, &table, &rows)?;
            } else {
                self.table_against(view, &table, &given)?;
            }
        }
        Ok(describe(Some(rows.len()), "truck", route))
    }

    /// Verifies a history table: its last rows, and all rows against those of the file.
    fn history_table(
        &mut self,
        view: &View,
        route: &Route,
        table: &Table,
        rows: &OfThings,
    ) -> Result<(), Trouble> {
        // The last rows cannot be checked if other jobs write to the table, or if the last row may have been refused.
        let refused = self.refused(view);
        if table.found.id.is_some() && !self.has_others && refused.is_empty() {
            let mut history = History::new(&table.place, table.form.clone(), rows, self.settings.upserts());
            let latest = &self.input.latest;
            self.table_rows(table, &mut |row| history.add(row.values))?;
            history.end(latest)?;
        }
        let Some(files) = self.files(view, route) else { return Ok(()) };
        // The file has the expected rows of the table.
        let mut broken = None;
        let mut lines: Vec<Vec<Cell>> = Vec::new();
        files
            .each(&mut |_, line| match cells(line, view) {
                Some(cells) => lines.push(cells),
                None => broken = Some(line.to_string()),
            })
            .map_err(Trouble::Differs)?;
        if let Some(line) = broken {
            return Err(Trouble::Differs(format!("file has {line}, which is not a row of the view")));
        }
        let given = |give: &mut dyn FnMut(&[u8], &[Cell])| lines.iter().for_each(|cells| give(b"", cells));
        self.table_against(view, table, &given).map(drop)
    }
}

/// The rows of a history in the order of writing; the last row of each truck is current.
struct History<'a> {
    place: String,
    form: Form,
    rows: &'a OfThings,
    upserts: bool,
    last: HashMap<Vec<u8>, Line>,
    wrong: Option<String>,
}

/// Columns of a correlation.
const TRUCK: usize = 3;
const SAMPLES: usize = 4;

impl<'a> History<'a> {
    fn new(place: &str, form: Form, rows: &'a OfThings, upserts: bool) -> Self {
        Self { place: place.to_owned(), form, rows, upserts, last: HashMap::new(), wrong: None }
    }

    fn add(&mut self, line: &Line) {
        let samples = |line: &Line| std::str::from_utf8(line.field(SAMPLES)).ok()?.parse::<f64>().ok();
        let before = self.last.get(line.field(TRUCK));
        let grows = match (samples(line), before.and_then(samples)) {
            (None, _) => false,
            (Some(new), old) => self.upserts || new >= 1.0 && old.is_none_or(|old| new > old),
        };
        if !grows && self.wrong.is_none() {
            let before = before.map(|before| format!(" after {before}")).unwrap_or_default();
            self.wrong = Some(format!("{} has {line}{before}, but samples must increase", self.place));
        }
        self.last.insert(line.field(TRUCK).to_vec(), line.clone());
    }

    fn end(mut self, ever: &HashMap<Entity, i64>) -> Result<(), Trouble> {
        let place = &self.place;
        let mut should = Line::default();
        for (truck, cells) in self.rows {
            let found = self.last.remove(truck);
            if found.as_ref().is_some_and(|line| self.form.agrees(cells, line)) {
                continue;
            }
            self.form.line(cells, &mut should);
            return Err(Trouble::Differs(match found {
                Some(line) => format!("{place} has {line} as the last row, but expected {should}"),
                None => format!("{place} lacks {should}"),
            }));
        }
        // Trucks whose readings were all retracted.
        let known: HashSet<&[u8]> = ever.keys().map(|truck| truck.as_bytes()).collect();
        for (truck, line) in &self.last {
            let gone = expected::gone(&expected::name(truck));
            if !self.upserts || !known.contains(truck.as_slice()) || !self.form.agrees(&gone, line) {
                return Err(Trouble::Differs(format!("{place} has {line}, which is not a row of the view")));
            }
        }
        self.wrong.map_or(Ok(()), |wrong| Err(Trouble::Differs(wrong)))
    }
}
