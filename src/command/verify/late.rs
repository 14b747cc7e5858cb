//! Late readings of overlapping windows: each counts in those of its windows that were kept when it came.
//!
//! A dead letter says that a reading was late for at least the first of its windows. How far the time of its group had
//! come then depends on past epochs. It cannot have been further than it is now, so a reading surely counts in
//! windows that are kept now. Windows between these two are not compared, and are counted.

use std::collections::HashSet;

use dataflows::batch::Record;
use dataflows::oracle::relation::{Cell as Expected, rows_after};
use dataflows::oracle::value::Datum;
use dataflows::relation::{Aggregate, Call, From, Function, PlannedView, Relation, Window, WindowKind};
use dataflows::rows::Type;
use dataflows::views::View;

use super::cell::{Cell, Form};
use super::expected::GivenUp;
use super::shown::cells;
use super::trouble::Trouble;
use super::views::Views;
use crate::command::error::Error;
use crate::runtime::failure::Bug;
use crate::store::reader::Line;

/// The rows of windows that are known, and the windows whose rows are not.
pub(super) struct Known {
    pub rows: Vec<Vec<Expected>>,
    pub unknown: Unknown,
}

/// Windows that are not compared.
#[derive(Default)]
pub(super) struct Unknown {
    /// The columns of the view that identify a window.
    keys: Vec<usize>,
    /// The cells of these columns, in rows of the view's width.
    rows: Vec<Vec<Cell>>,
}

impl Unknown {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Removes the rows of these windows.
    pub fn remove_from(&self, rows: &mut Vec<Vec<Cell>>) {
        let (is_unknown, mut line) = (self.matcher(&Form::Csv), Line::default());
        rows.retain(|row| {
            Form::Csv.line(row, &mut line);
            !is_unknown(&line)
        });
    }

    /// Whether a line in a form is of such a window.
    pub fn matcher(&self, form: &Form) -> impl Fn(&Line) -> bool + use<> {
        let mut line = Line::default();
        let key = |row: &Vec<Cell>| {
            form.line(row, &mut line);
            of_columns(&line, &self.keys)
        };
        let unknown: HashSet<Line> = self.rows.iter().map(key).collect();
        let keys = self.keys.clone();
        move |line| !unknown.is_empty() && unknown.contains(&of_columns(line, &keys))
    }
}

/// The windows of readings of a view, if it has no others and drops nothing else, and they overlap.
fn overlapping(planned: &PlannedView) -> Option<(&Aggregate, &Window, i64, i64)> {
    let aggregate = planned.aggregate().filter(|aggregate| aggregate.source.from == From::Readings)?;
    let window = aggregate.window.as_ref()?;
    match window.kind {
        WindowKind::Hop { slide, size } if slide < size => Some((aggregate, window, slide, size)),
        _ => None,
    }
}

/// The columns of a view that show the keys of groups and a bound of their windows, and whether that is the end; none
/// if it shows too few.
fn key_columns(planned: &PlannedView, keys: usize) -> Option<(Vec<usize>, bool)> {
    let shown = |key: usize| match &planned.relation {
        Relation::Select { columns, .. } => columns.iter().position(|column| column.place() == Some(key)),
        _ => Some(key),
    };
    let mut columns = (0..keys).map(shown).collect::<Option<Vec<usize>>>()?;
    // Either bound tells which window it is.
    let start = shown(keys);
    columns.push(start.or_else(|| shown(keys + 1))?);
    Some((columns, start.is_none()))
}

impl Views<'_> {
    /// The rows of overlapping windows of readings, some of which are late; none if these cannot be told apart.
    pub(super) fn known(
        &self,
        view: &View,
        planned: &PlannedView,
        late: &GivenUp,
    ) -> Result<Option<Known>, Trouble> {
        let Some((aggregate, window, slide, size)) = overlapping(planned) else { return Ok(None) };
        let Some((keys, ends)) = key_columns(planned, aggregate.keys.len()) else { return Ok(None) };
        let times = self.times(aggregate, window)?;
        let (mut surely, mut maybe) = (Vec::new(), Vec::new());
        let count = Call::new(Function::Count, Vec::new(), false, None);
        let count = count.map_err(|_| Error::from(Bug("COUNT takes nothing")))?;
        let counted = Aggregate { calls: vec![count], time: None, ..aggregate.clone() };
        let counted = Relation::Aggregate(Box::new(counted));
        let types: Vec<Type> = counted.columns().into_iter().map(|(_, column_type)| column_type).collect();
        let mut line = Line::default();
        for reading in &self.input.readings {
            let (mut least, mut most) = (i64::MIN, i64::MIN);
            if late.contains(&reading.place)
                && let Datum::Time(time) = window.time.value(&reading.record)
            {
                let of_group = aggregate.keys.iter().map(|key| Expected::Datum(key.value(&reading.record)));
                Form::Csv.line(&cells(of_group.collect(), types.iter().copied()), &mut line);
                // Up to where windows have been discarded.
                most = times.horizon(&line, window.patience.grace);
                let last = time.div_euclid(slide).saturating_mul(slide);
                least = last.saturating_sub((size - 1 - (time - last)) / slide * slide).saturating_add(size);
                if least > most {
                    let why =
                        format!("dead letter of {line} is late, but its reading is not older than the grace");
                    return Err(Trouble::Differs(why));
                }
            }
            surely.push((&reading.record, most));
            maybe.push((&reading.record, least));
        }
        // Windows with as many readings in both cases are known.
        let lines = |readings: &[(&Record, i64)]| -> Vec<(Vec<Cell>, Line)> {
            let rows = rows_after(&counted, readings.iter().copied()).into_iter();
            let line = |row| {
                let (row, mut line) = (cells(row, types.iter().copied()), Line::default());
                Form::Csv.line(&row, &mut line);
                (row, line)
            };
            rows.map(line).collect()
        };
        let sure: HashSet<Line> = lines(&surely).into_iter().map(|(_, line)| line).collect();
        let unknown = lines(&maybe).into_iter().filter(|(_, line)| !sure.contains(line));
        // The same cells, where the view shows them.
        let groups = aggregate.keys.len();
        let (&bound, of_groups) = keys.split_last().ok_or(Error::from(Bug("windows have a bound")))?;
        let of_view = |(row, _): (Vec<Cell>, Line)| {
            let mut shown = vec![Cell::Null; view.columns.len()];
            row.iter().zip(of_groups).for_each(|(cell, &at)| shown[at] = cell.clone());
            shown[bound] = row[groups + usize::from(ends)].clone();
            shown
        };
        let rows: Vec<Vec<Cell>> = unknown.map(of_view).collect();
        let expected = rows_after(&planned.relation, maybe);
        Ok(Some(Known { rows: expected, unknown: Unknown { keys, rows } }))
    }
}

/// Some of the values of a line.
pub(super) fn of_columns(line: &Line, columns: &[usize]) -> Line {
    columns.iter().map(|&at| line.field(at).to_vec()).collect()
}
