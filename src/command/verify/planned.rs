//! Verifies a view that the job defines: its plan is interpreted over all readings, by big rationals.

use dataflows::dead_letter::Reason;
use dataflows::oracle::relation::rows;
use dataflows::relation::{Emit, Keep, PlannedView};
use dataflows::rows::Type;
use dataflows::views::View;

use super::cell::{Cell, Form};
use super::compare::{self, Refused, Surplus};
use super::expected::GivenUp;
use super::files::Files;
use super::history::History;
use super::late::{Known, Unknown};
use super::shown::cells;
use super::trouble::Trouble;
use super::views::{Each, Table, Views, describe};
use crate::job::graph::Route;
use crate::store::reader::{Line, TableRow};
use crate::text::printable::quantity;

impl Views<'_> {
    /// Compares a view with its sinks. `given_up` are the readings that it has dropped.
    pub(super) fn planned(
        &mut self,
        view: &View,
        route: &Route,
        planned: &PlannedView,
        given_up: &GivenUp,
    ) -> Result<String, Trouble> {
        if let Some(&number) = self.recorded.of_rows.get(&*view.name) {
            // No record says which rows these are.
            let letters = quantity(number, "dead letter");
            return Ok(format!("not compared, because of {letters} for rows that are not readings"));
        }
        let is_history = planned.keep == Keep::History;
        let in_parts = !given_up.is_empty() && !planned.relation.drops_whole_readings();
        let known = if in_parts && !is_history { self.known(view, planned, given_up)? } else { None };
        let types = || view.columns.iter().map(|column| column.column_type);
        let (rows, unknown) = match known {
            Some(Known { rows, unknown }) => (rows, unknown),
            None if in_parts => {
                let letters = quantity(given_up.len(), "dropped reading");
                return Ok(format!("not compared, as {letters} may count in some of its windows or steps"));
            }
            // A group of everything begins with the first reading.
            None if self.input.readings.is_empty() && !self.settings.upserts() => {
                (Vec::new(), Unknown::default())
            }
            None => {
                let counts = self.input.readings.iter();
                let counts = counts.filter(|reading| !given_up.contains(&reading.place));
                (rows(&planned.relation, counts.map(|reading| &reading.record)), Unknown::default())
            }
        };
        let mut expected: Vec<Vec<Cell>> = rows.into_iter().map(|row| cells(row, types())).collect();
        unknown.remove_from(&mut expected);
        let given = |give: &mut dyn FnMut(&[u8], &[Cell])| expected.iter().for_each(|cells| give(&[], cells));
        // What identifies a line, if it looks the same everywhere.
        let is_text = |keys: &Vec<usize>| keys.iter().all(|&at| view.columns[at].column_type == Type::Text);
        let keys = planned.key_columns().filter(is_text);
        let may_end = planned.relation.loses_rows(self.settings.upserts());
        let files = self.files(view, route);
        if let Some(table) = self.table(view, route)? {
            if let (true, Some(keys)) = (is_history, &keys) {
                self.history_table(view, &table, files.as_ref(), keys, &expected, may_end)?;
            } else {
                let surplus = match (is_history, view.keyed) {
                    // Earlier rows of a history stay.
                    (true, _) => Surplus::Others,
                    (false, true) if self.has_others => Surplus::Others,
                    (false, true) => Surplus::Wrong,
                    (false, false) => self.surplus(&table),
                };
                let refused = self.refused(view);
                let is_keyed = view.keyed;
                let is_unknown = unknown.matcher(&table.form);
                let mut each = |each: Each<'_>| {
                    self.table_rows(&table, &mut |row| {
                        // Rows without a key were written by others.
                        if (!is_keyed || row.key.is_some()) && !is_unknown(row.values) {
                            each(1, row.id.unwrap_or(0), row.values);
                        }
                    })
                };
                compare::unordered(&table.place, &table.form, &given, &refused, surplus, &mut each)?;
                if is_keyed && !self.has_others {
                    let mut each = |each: &mut dyn FnMut(TableRow<'_>)| self.table_rows(&table, each);
                    compare::no_copies(&table.place, &mut each)?;
                }
            }
        }
        let mut shown = describe(Some(expected.len()), "row", route);
        if unknown.len() > 0 {
            let windows = quantity(unknown.len(), "window");
            shown += &format!("; {windows} not compared, in which late readings may count");
        }
        let Some(files) = files else { return Ok(shown) };
        let has_sign = route.change && !is_history;
        let is_closed_only = planned.relation.is_windowed() && planned.emit != Some(Emit::Changes);
        let adds_up = has_sign || !planned.relation.retracts(self.settings.upserts());
        match keys {
            _ if is_closed_only => self.closed(view, planned, &files, &expected, &unknown, has_sign)?,
            Some(keys) if !adds_up => {
                let mut history = History::new("file", &Form::Csv, &keys);
                files.each(&mut |_, line| history.add(line)).map_err(Trouble::Differs)?;
                history.end(&expected, may_end)?;
            }
            _ => {
                let is_unknown = unknown.matcher(&Form::Csv);
                let mut each = |each: Each<'_>| {
                    let mut each = |change, line: &Line| {
                        if !is_unknown(line) {
                            each(change, 0, line);
                        }
                    };
                    files.each(&mut each).map_err(Trouble::Differs)
                };
                let surplus = if adds_up { Surplus::Wrong } else { Surplus::Others };
                compare::unordered("file", &Form::Csv, &given, &Refused::default(), surplus, &mut each)?;
            }
        }
        Ok(shown)
    }

    /// Verifies the table of a history: its last rows, and all rows against those of the file.
    fn history_table(
        &mut self,
        view: &View,
        table: &Table,
        files: Option<&Files>,
        keys: &[usize],
        expected: &[Vec<Cell>],
        may_end: bool,
    ) -> Result<(), Trouble> {
        // The last rows cannot be checked if other jobs write to the table, or if the last row may have been refused.
        if table.found.id.is_some() && !self.has_others && self.refused(view).is_empty() {
            let mut history = History::new(&table.place, &table.form, keys);
            self.table_rows(table, &mut |row| history.add(row.values))?;
            history.end(expected, may_end)?;
        }
        let Some(files) = files else { return Ok(()) };
        // The file has the rows of the table.
        let mut broken = None;
        let mut lines: Vec<Vec<Cell>> = Vec::new();
        files
            .each(&mut |_, line| match super::views::cells_of_line(line, view) {
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

/// Whether a view can drop a reading for this reason.
pub(super) fn drops(planned: &PlannedView, reason: Reason) -> bool {
    match reason {
        Reason::Late => planned.relation.drops_late(),
        Reason::TooLarge => planned.relation.drops_surplus(),
        _ => false,
    }
}
