//! Verifies a view that the job defines: its plan is interpreted over all readings, by big rationals.

use dataflows::dead_letter::Reason;
use dataflows::oracle::relation::{Cell as Expected, rows};
use dataflows::relation::{Emit, Keep, PlannedView, Relation, WindowKind};
use dataflows::rows::{ColumnSpec, Type};
use dataflows::views::View;

use super::cell::{Cell, Form};
use super::compare::{self, Refused, Surplus};
use super::expected::GivenUp;
use super::shown::shown;
use super::trouble::Trouble;
use super::views::{Each, Views, describe};
use crate::job::graph::Route;

impl Views<'_> {
    /// Compares a view with its sinks. `given_up` are the readings that it has dropped.
    pub(super) fn planned(
        &mut self,
        view: &View,
        route: &Route,
        planned: &PlannedView,
        given_up: &GivenUp,
    ) -> Result<String, Trouble> {
        if !given_up.is_empty() && overlaps(&planned.relation) {
            // A late reading counts in those of its windows that are still kept, and no record says which.
            return Ok(format!(
                "not compared, as {} late readings may count in some windows",
                given_up.len()
            ));
        }
        let counts = self.input.readings.iter().filter(|reading| !given_up.contains(&reading.place));
        let expected = rows(&planned.relation, counts.map(|reading| &reading.record));
        let expected: Vec<Vec<Cell>> = expected.into_iter().map(|row| cells(row, &view.columns)).collect();
        let given = |give: &mut dyn FnMut(&[u8], &[Cell])| expected.iter().for_each(|cells| give(&[], cells));
        let is_kept = planned.keep == Keep::History;
        if let Some(table) = self.table(view, route)? {
            let surplus = match (is_kept, view.keyed) {
                // Earlier rows of a history stay.
                (true, _) => Surplus::Others,
                (false, true) if self.has_others => Surplus::Others,
                (false, true) => Surplus::Wrong,
                (false, false) => self.surplus(&table),
            };
            let refused = self.refused(view);
            let is_keyed = view.keyed;
            let mut each = |each: Each<'_>| {
                self.table_rows(&table, &mut |row| {
                    // Rows without a key were written by others.
                    if !is_keyed || row.key.is_some() {
                        each(1, row.id.unwrap_or(0), row.values);
                    }
                })
            };
            compare::unordered(&table.place, &table.form, &given, &refused, surplus, &mut each)?;
        }
        let is_closed_only = planned.relation.is_windowed() && planned.emit != Some(Emit::Changes);
        if let Some(files) = self.files(view, route)
            && !is_closed_only
        {
            let mut each = |each: Each<'_>| {
                files.each(&mut |change, line| each(change, 0, line)).map_err(Trouble::Differs)
            };
            let adds_up = route.change || !planned.relation.retracts(self.settings.upserts());
            let surplus = if adds_up { Surplus::Wrong } else { Surplus::Others };
            compare::unordered("file", &Form::Csv, &given, &Refused::default(), surplus, &mut each)?;
        }
        Ok(describe(Some(expected.len()), "row", route))
    }
}

/// Whether a row can be in several windows.
fn overlaps(relation: &Relation) -> bool {
    relation.any(&|one| match one {
        Relation::Aggregate(aggregate) => aggregate
            .window
            .as_ref()
            .is_some_and(|window| matches!(window.kind, WindowKind::Hop { slide, size } if slide < size)),
        _ => false,
    })
}

/// Whether a view can drop a reading for this reason.
pub(super) fn drops(planned: &PlannedView, reason: Reason) -> bool {
    match reason {
        Reason::Late => planned.relation.drops_late(),
        Reason::TooLarge => planned.relation.drops_surplus(),
        _ => false,
    }
}

fn cells(row: Vec<Expected>, columns: &[ColumnSpec]) -> Vec<Cell> {
    row.into_iter().zip(columns).map(|(value, column)| cell(value, column.column_type)).collect()
}

fn cell(value: Expected, column_type: Type) -> Cell {
    match value {
        Expected::Root(root) => Cell::correlation(Some(root)),
        Expected::Datum(datum) => shown(datum, column_type),
    }
}
