//! Verifies the lines of closed windows.

use std::collections::HashMap;

use dataflows::oracle::relation::rows;
use dataflows::oracle::value::Datum;
use dataflows::relation::{Aggregate, Call, Function, PlannedView, Relation, Window};
use dataflows::state::entries;
use dataflows::views::{TopicTimes, View};

use super::cell::{Cell, Form};
use super::files::Files;
use super::late::{Unknown, of_columns};
use super::shown::cells;
use super::trouble::Trouble;
use super::views::Views;
use crate::command::error::Error;
use crate::runtime::failure::Bug;
use crate::state::{Owner, SealedFold};
use crate::store::reader::Line;

/// The progress of time in the groups of windows.
pub(super) struct Times {
    /// The latest time of each group, by the line of its keys.
    latest: HashMap<Line, i64>,
    /// That of all of them.
    of_all: i64,
    idle: i64,
}

impl Times {
    /// The time up to which a group's windows are closed, if the topic's time is limited to `arrived`.
    fn of(&self, group: &Line, arrived: i64) -> i64 {
        let topic = self.of_all.min(arrived).saturating_sub(self.idle);
        self.latest.get(group).copied().unwrap_or(i64::MIN).max(topic)
    }

    /// Windows of a group that end later have not been discarded.
    pub(super) fn horizon(&self, group: &Line, grace: i64) -> i64 {
        let latest = self.latest.get(group).copied().unwrap_or(i64::MIN);
        self.of(group, i64::MAX).saturating_sub(grace).min(latest)
    }
}

impl Views<'_> {
    /// Compares the lines of closed windows with rows: for each window the last line or, where lines have a sign, their
    /// sum.
    pub(super) fn closed(
        &mut self,
        view: &View,
        planned: &PlannedView,
        files: &Files,
        expected: &[Vec<Cell>],
        unknown: &Unknown,
        has_sign: bool,
    ) -> Result<(), Trouble> {
        let Some((aggregate, window, keys)) = windowed(planned) else { return Ok(()) };
        let topic = self.topic_times(view)?;
        let times = self.times(aggregate, window)?;
        let arrived = topic.map_or(i64::MIN, |topic| topic.arrived);
        // If times were set back, some closed windows are open again. Of rows that are none of readings, a window that
        // was closed by a row stays closed without it.
        let is_of_readings = aggregate.source.relation().is_none();
        let is_all = self.input.is_all && topic.is_none_or(|topic| topic.set_back == i64::MIN);
        let upserts = self.settings.upserts();
        let mut lines = lines(files, &keys, has_sign)?;
        let is_unknown = unknown.matcher(&Form::Csv);
        lines.retain(|_, line| !is_unknown(line));
        let mut should = Line::default();
        for row in expected {
            Form::Csv.line(row, &mut should);
            let [of_group @ .., _, end] = &keys[..] else { continue };
            let (group, Cell::Time(end)) = (of_columns(&should, of_group), &row[*end]) else { continue };
            let end = *end;
            match lines.remove(&of_columns(&should, &keys)) {
                Some(line) if !Form::Csv.agrees(row, &line) => {
                    return Err(Trouble::Differs(format!("file has {line}, but expected {should}")));
                }
                Some(line) if is_of_readings && !upserts && end > times.of(&group, i64::MAX) => {
                    return Err(Trouble::Differs(format!("file has {line}, whose window is not closed yet")));
                }
                None if is_all && is_of_readings && end <= times.of(&group, arrived) => {
                    return Err(Trouble::Differs(format!("file lacks {should}")));
                }
                Some(_) | None => {}
            }
        }
        match lines.into_values().min() {
            Some(line) => Err(Trouble::Differs(format!("file has {line}, which is not a row of the view"))),
            None => Ok(()),
        }
    }

    /// The topic's times from a view's committed state, which depend on a clock. None if the view has read nothing.
    fn topic_times(&mut self, view: &View) -> Result<Option<TopicTimes>, Trouble> {
        let owner = Owner { job: &self.config.job, view: &view.name };
        let mut fold = SealedFold::new(owner);
        self.reader.state(owner.job, owner.view, &mut |part| fold.older(&part))?;
        let parts = fold.finish().map_err(Error::from)?;
        let mut entries = parts.iter().flat_map(|part| entries(part)).flatten();
        Ok(entries.find_map(|(key, value)| TopicTimes::of_entry(key, value)))
    }

    /// The latest times of the groups of windows, by the same interpreter.
    pub(super) fn times(&self, aggregate: &Aggregate, window: &Window) -> Result<Times, Trouble> {
        let latest = Call::new(Function::Max, vec![window.time.clone()], false, None);
        let latest = latest.map_err(|_| Error::from(Bug("windows of what is no time")))?;
        let groups = Relation::Aggregate(Box::new(Aggregate {
            calls: vec![latest],
            window: None,
            time: None,
            ..aggregate.clone()
        }));
        let columns = groups.columns();
        let keys: Vec<usize> = (0..aggregate.keys.len()).collect();
        let mut times = Times { latest: HashMap::new(), of_all: i64::MIN, idle: window.patience.idle };
        let mut line = Line::default();
        for row in rows(&groups, self.input.readings.iter().map(|reading| &reading.record)) {
            let Some(Datum::Time(time)) = row.last().map(|cell| cell.clone().datum()) else { continue };
            Form::Csv.line(&cells(row, columns.iter().map(|(_, column_type)| *column_type)), &mut line);
            times.latest.insert(of_columns(&line, &keys), time);
            times.of_all = times.of_all.max(time);
        }
        // Readings of any group advance the topic.
        times.of_all = times.of_all.max(self.input.latest.values().max().copied().unwrap_or(i64::MIN));
        Ok(times)
    }
}

/// The windows of a view, and the columns that show the group's keys, the start and the end.
fn windowed(planned: &PlannedView) -> Option<(&Aggregate, &Window, Vec<usize>)> {
    let aggregate = planned.aggregate()?;
    Some((aggregate, aggregate.window.as_ref()?, planned.key_columns()?))
}

/// The line of each window.
fn lines(files: &Files, keys: &[usize], has_sign: bool) -> Result<HashMap<Line, Line>, Trouble> {
    let mut found: HashMap<Line, (i64, Line)> = HashMap::new();
    files
        .each(&mut |change, line| {
            let what = if has_sign { line.clone() } else { of_columns(line, keys) };
            let (sum, last) = found.entry(what).or_insert_with(|| (0, line.clone()));
            *sum += change;
            last.clone_from(line);
        })
        .map_err(Trouble::Differs)?;
    let mut lines: HashMap<Line, Line> = HashMap::new();
    for (sum, line) in found.into_values().filter(|(sum, _)| !has_sign || *sum != 0) {
        let other = lines.insert(of_columns(&line, keys), line.clone());
        if has_sign && (sum != 1 || other.is_some()) {
            return Err(Trouble::Differs(format!("file has lines of {line} that do not add up to one row")));
        }
    }
    Ok(lines)
}
