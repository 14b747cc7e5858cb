//! Verifies the windows: those of the table, and the lines of closed ones.

use std::collections::{BTreeMap, HashMap};

use dataflows::state::entries;
use dataflows::views::{TopicTimes, View};

use super::cell::{Cell, Form};
use super::expected::{self, GivenUp, Times, Window};
use super::files::Files;
use super::trouble::Trouble;
use super::views::{Views, describe};
use crate::command::error::Error;
use crate::job::graph::Route;
use crate::state::{Owner, SealedFold};
use crate::store::reader::Line;

impl Views<'_> {
    pub(super) fn windows(
        &mut self,
        view: &View,
        route: &Route,
        given_up: &GivenUp,
    ) -> Result<String, Trouble> {
        let windows = expected::windows(self.input, self.measures(), self.settings.window, given_up);
        let given = |give: &mut dyn FnMut(&[u8], &[Cell])| {
            windows.iter().for_each(|(key, window)| give(key, &window.cells));
        };
        if let Some(table) = self.table(view, route)? {
            self.table_against(view, &table, &given)?;
        }
        if let Some(files) = self.files(view, route) {
            let topic = self.topic_times(view)?;
            self.windows_file(&files, &windows, topic)?;
        }
        Ok(describe(Some(windows.len()), "window", route))
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

    /// Verifies the lines of closed windows: for each window the last line or, in an upsert job, the sum of its lines.
    fn windows_file(
        &self,
        files: &Files,
        windows: &BTreeMap<Vec<u8>, Window>,
        topic: Option<TopicTimes>,
    ) -> Result<(), Trouble> {
        let idle = self.settings.window_idle;
        let left = expected::latest_left(self.input);
        // A window that was closed by a reading stays closed if that reading is retracted in a later epoch.
        let arrived = topic.map_or(i64::MIN, |topic| topic.arrived);
        let (surely, maybe) = (Times::arrived(&left, idle, arrived), Times::new(&self.input.latest, idle));
        // If times were set back, some closed windows are open again.
        let is_all = self.input.is_all && topic.is_none_or(|topic| topic.set_back == i64::MIN);
        let mut found: HashMap<Line, (i64, Line)> = HashMap::new();
        let upserts = self.settings.upserts();
        let identity = |line: &Line| [0, 1].map(|at| line.field(at).to_vec()).into_iter().collect::<Line>();
        let whole = |line: &Line| if upserts { line.clone() } else { identity(line) };
        files
            .each(&mut |change, line| {
                let (sum, last) = found.entry(whole(line)).or_insert_with(|| (0, line.clone()));
                *sum += change;
                last.clone_from(line);
            })
            .map_err(Trouble::Differs)?;
        let mut lines: HashMap<Line, Line> = HashMap::new();
        for (sum, line) in found.into_values().filter(|(sum, _)| !upserts || *sum != 0) {
            let other = lines.insert(identity(&line), line.clone());
            if upserts && (sum != 1 || other.is_some()) {
                return Err(Trouble::Differs(format!(
                    "file has lines of {line} that do not add up to one row"
                )));
            }
        }
        let mut should = Line::default();
        for window in windows.values() {
            Form::Csv.line(&window.cells, &mut should);
            match lines.remove(&identity(&should)) {
                Some(line) if !Form::Csv.agrees(&window.cells, &line) => {
                    return Err(Trouble::Differs(format!("file has {line}, but expected {should}")));
                }
                Some(line) if window.end > maybe.of(&window.truck) => {
                    return Err(Trouble::Differs(format!("file has {line}, whose window is not closed yet")));
                }
                None if is_all && window.end <= surely.of(&window.truck) => {
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
}
