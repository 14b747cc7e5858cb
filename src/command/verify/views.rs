//! How each kind of view is compared with its table and its files.

use std::collections::{BTreeMap, HashMap, HashSet};

use dataflows::batch::{Measure, Truck};
use dataflows::dead_letter::DeadLetter;
use dataflows::rows::Type;
use dataflows::state::entries;
use dataflows::views::{Axis, CorrelationTables, DEAD_LETTERS, ORIENTATION, Settings, TopicTimes, View};

use super::cell::{Cell, Form};
use super::compare::{self, Refused, Rows, Surplus};
use super::expected::{self, GivenUp, OfThings, Times, Window};
use super::files::Files;
use super::input::{Input, Reading, fingerprint};
use super::trouble::Trouble;
use crate::command::error::Error;
use crate::config::Job;
use crate::config::sql;
use crate::job::graph::Route;
use crate::runtime::failure::Bug;
use crate::source::file::full_path;
use crate::state::{Owner, SealedFold};
use crate::store::LastCommit;
use crate::store::reader::{Found, Line, StoreReader, TableRow};

const FILTERED_JOIN: &str = "filtered_join";
const WINDOW_AVERAGES: &str = "window_averages";

/// Indexes of the columns of dead letters.
mod letter {
    pub const TOPIC: usize = 0;
    pub const PARTITION: usize = 1;
    pub const OFFSET: usize = 2;
    pub const KAFKA_TIMESTAMP: usize = 3;
    pub const KEY: usize = 4;
    pub const REASON: usize = 5;
    pub const FIELD: usize = 6;
    pub const PAYLOAD: usize = 7;
}

/// The job to verify.
pub struct Views<'a> {
    pub config: &'a Job,
    pub settings: &'a Settings,
    pub last: &'a LastCommit,
    pub input: &'a Input,
    pub reader: &'a mut dyn StoreReader,
    /// Whether other jobs commit to the database.
    pub has_others: bool,
    /// The facts recorded in the job's dead letters.
    pub recorded: Recorded,
}

/// Facts from dead letters that cannot be recomputed: the records that views dropped, and the rows that the database
/// refused.
#[derive(Debug, Default)]
pub struct Recorded {
    given_up: HashMap<String, GivenUp>,
    refused: HashMap<String, Refused>,
    /// The first problem with the dead letters of each view.
    wrong: HashMap<String, String>,
}

/// A view's table.
struct Table {
    place: String,
    found: Found,
    form: Form,
    /// The column of the truck's name, which is NULL only in rows of other programs.
    truck: Option<usize>,
}

/// Receives the change, the position and the values of a row.
type Each<'a> = &'a mut dyn FnMut(i64, i64, &Line);

impl Views<'_> {
    /// Compares a view with its sinks. Returns a description of what was compared.
    pub fn verify(&mut self, view: &View, route: &Route) -> Result<String, Trouble> {
        if let Some(wrong) = self.recorded.wrong.get(&*view.name) {
            return Err(Trouble::Differs(wrong.clone()));
        }
        let (input, name) = (self.input, &*view.name);
        let given_up = self.recorded.given_up.get(name).cloned().unwrap_or_default();
        if let Some(rows) = expected::of_readings(name, input, self.settings) {
            return self.rows(view, route, &*rows);
        }
        match name {
            DEAD_LETTERS => self.dead_letters(view, route),
            ORIENTATION => self.rows(view, route, &*expected::phone(input)),
            FILTERED_JOIN => self.rows(view, route, &*expected::joined(input, self.settings, &given_up)),
            WINDOW_AVERAGES => self.windows(view, route, &given_up),
            _ => match self.axes(name)? {
                Some(axes) => self.correlation(view, route, axes),
                None => {
                    let own = self.config.view_definitions().find(|own| own.name == name);
                    let own = own.ok_or(Bug("a view without a recomputation"))?;
                    let query = sql::compile(own, self.settings).map_err(Error::from)?.query;
                    self.rows(view, route, &*expected::own(input, query))
                }
            },
        }
    }

    /// The axes of a correlation.
    fn axes(&self, view: &str) -> Result<Option<(Axis, Axis)>, Error> {
        let measure = |measure| Ok(Some((Axis::Time, Axis::Measure(measure))));
        match view {
            "distance_correlation" => measure(Measure::DistanceCovered),
            "engine_speed_correlation" => measure(Measure::EngineSpeed),
            _ => match self.config.correlations.iter().find(|own| own.name == view) {
                Some(own) => Ok(Some(own.axes(self.settings)?)),
                None => Ok(None),
            },
        }
    }

    fn files(&self, view: &View, route: &Route) -> Option<Files> {
        let committed: BTreeMap<String, u64> = self.last.files.iter().cloned().collect();
        let columns = view.columns.iter().map(|column| column.name.to_string()).collect();
        let rotates = self.config.csv.max_records.is_some();
        let files = Files::of(&self.config.out, &view.name, &committed, rotates, columns, route.change);
        route.csv.then_some(files)
    }

    fn table(&mut self, view: &View, route: &Route) -> Result<Option<Table>, Trouble> {
        if route.table.is_none() {
            return Ok(None);
        }
        let place = format!("table {}", view.table);
        let Some(found) = self.reader.columns(&view.table, &view.columns)? else {
            return Err(Trouble::Differs(format!("{place} does not exist")));
        };
        let mut keeps = Vec::new();
        for column in &found.columns {
            match column {
                Ok((_, kept)) => keeps.push(*kept),
                Err(name) => return Err(Trouble::Differs(format!("{place} has no column {name}"))),
            }
        }
        if view.keyed && !found.has_key {
            return Err(Trouble::Differs(format!("{place} has no column {}", crate::store::ROW_KEY)));
        }
        let truck = view.columns.iter().position(|column| column.name == "truck_id");
        Ok(Some(Table { place, found, form: Form::Table(keeps), truck }))
    }

    fn table_rows(&mut self, table: &Table, each: &mut dyn FnMut(TableRow<'_>)) -> Result<(), Trouble> {
        let is_ours = |row: &TableRow<'_>| !table.truck.is_some_and(|truck| row.values.is_null(truck));
        self.reader.rows(&table.found, &mut |row| {
            if is_ours(&row) {
                each(row);
            }
        })?;
        Ok(())
    }

    fn surplus(&self, table: &Table) -> Surplus {
        match (self.has_others, table.found.has_id) {
            (true, _) => Surplus::Others,
            (false, true) => Surplus::WrongAfterFirst,
            (false, false) => Surplus::WrongIfTwice,
        }
    }

    fn refused(&self, view: &View) -> Refused {
        self.recorded.refused.get(&*view.name).cloned().unwrap_or_default()
    }

    /// Verifies a view whose rows are all known.
    fn rows(&mut self, view: &View, route: &Route, rows: &Rows<'_>) -> Result<String, Trouble> {
        let mut count = None;
        if let Some(files) = self.files(view, route) {
            let mut each = |each: Each<'_>| {
                files.each(&mut |change, line| each(change, 0, line)).map_err(Trouble::Differs)
            };
            count = Some(compare::unordered(
                "file",
                &Form::Csv,
                rows,
                &Refused::default(),
                Surplus::Wrong,
                &mut each,
            )?);
        }
        if let Some(table) = self.table(view, route)? {
            let found = self.table_against(view, &table, rows)?;
            count = count.or(Some(found));
        }
        Ok(describe(count, "rows", route))
    }

    fn table_against(&mut self, view: &View, table: &Table, rows: &Rows<'_>) -> Result<usize, Trouble> {
        let refused = self.refused(view);
        if view.keyed {
            let (job, has_others) = (self.config.job.clone(), self.has_others);
            let mut each = |each: &mut dyn FnMut(TableRow<'_>)| self.table_rows(table, each);
            return compare::keyed(&table.place, &table.form, &job, rows, &refused, has_others, &mut each);
        }
        let surplus = self.surplus(table);
        let mut each =
            |each: Each<'_>| self.table_rows(table, &mut |row| each(1, row.id.unwrap_or(0), row.values));
        compare::unordered(&table.place, &table.form, rows, &refused, surplus, &mut each)
    }

    fn correlation(&mut self, view: &View, route: &Route, axes: (Axis, Axis)) -> Result<String, Trouble> {
        let rows = expected::correlations(self.input, axes);
        let given =
            |give: &mut dyn FnMut(&[u8], &[Cell])| rows.iter().for_each(|(key, cells)| give(key, cells));
        let is_history = self.settings.correlation_tables == CorrelationTables::History;
        if !is_history && self.settings.upserts() {
            return self.rows(view, route, &given).map(|_| describe(Some(rows.len()), "trucks", route));
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
        Ok(describe(Some(rows.len()), "trucks", route))
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
        if table.found.has_id && !self.has_others && refused.is_empty() {
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

    fn windows(&mut self, view: &View, route: &Route, given_up: &GivenUp) -> Result<String, Trouble> {
        let windows = expected::windows(self.input, self.settings.window, given_up);
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
        Ok(describe(Some(windows.len()), "windows", route))
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

    /// Verifies the dead letters: recomputes those of the decoders, and compares the others between table and file.
    fn dead_letters(&mut self, view: &View, route: &Route) -> Result<String, Trouble> {
        let letters = self.letters_again();
        let rows = expected::letters(&letters);
        let (files, table) = (self.files(view, route), self.table(view, route)?);
        let topic = self.topic();
        let mut others: Vec<Vec<Cell>> = Vec::new();
        if let Some(files) = &files {
            let mut each = |each: Each<'_>| {
                let mut each = |change, line: &Line| {
                    let line = topic.known(line);
                    if !is_of_views(&line) {
                        each(change, 0, &line);
                    }
                };
                files.each(&mut each).map_err(Trouble::Differs)
            };
            compare::unordered("file", &Form::Csv, &*rows, &Refused::default(), Surplus::Wrong, &mut each)?;
            let mut keep = |_, line: &Line| {
                if is_of_views(line) {
                    // Normalized like the rows of the table.
                    others.extend(cells(&topic.known(line), view));
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
                    if has_file || !is_of_views(&line) {
                        each(1, row.id.unwrap_or(0), &line);
                    }
                })
            };
            compare::unordered(&table.place, &table.form, &all, &refused, surplus, &mut each)?;
        }
        Ok(describe(Some(letters.len() + others.len()), "letters", route))
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
        let files = [self.config.input.as_deref(), self.config.orientation.input.as_deref()];
        let files = files.into_iter().flatten().filter(|_| !self.config.embedded);
        Topic {
            files: files.map(|path| (full_path(path), path.to_owned())).collect(),
            forgets_time: self.config.embedded,
        }
    }

    /// Reads the job's dead letters, and checks them for plausibility.
    pub fn read_dead_letters(&mut self, view: &View, route: &Route) -> Result<(), Trouble> {
        let mut recorded = Recorded::default();
        let mut of_views: Vec<Line> = Vec::new();
        let mut take = |line: &Line| {
            if line.field(letter::REASON) == b"refused_by_database" {
                let row = csv_fields(line.field(letter::PAYLOAD));
                let name = String::from_utf8_lossy(line.field(letter::TOPIC)).into_owned();
                recorded.refused.entry(name).or_default().push(row);
            } else if is_of_views(line) {
                of_views.push(line.clone());
            }
        };
        if let Some(files) = self.files(view, route) {
            // Problems with the file are reported by the verification of the view.
            let _ = files.each(&mut |_, line| take(line));
        } else if let Ok(Some(table)) = self.table(view, route) {
            self.table_rows(&table, &mut |row| take(row.values))?;
        }
        let places: HashMap<(i32, i64), &Reading> = if of_views.is_empty() {
            HashMap::new()
        } else {
            self.input.readings.iter().map(|reading| (reading.place, reading)).collect()
        };
        let times = Times::new(&self.input.latest, self.settings.window_idle);
        for line in of_views {
            let name = String::from_utf8_lossy(line.field(letter::FIELD)).into_owned();
            match self.given_up(&line, &name, &places, &times) {
                Ok(Some(place)) => {
                    recorded.given_up.entry(name).or_default().insert(place);
                }
                Ok(None) => {}
                Err(why) => {
                    recorded.wrong.entry(name).or_insert_with(|| format!("dead letter {line} {why}"));
                }
            }
        }
        self.check_too_many(&mut recorded);
        self.recorded = recorded;
        Ok(())
    }

    /// The record that a view dropped, if that is plausible; None for a dead letter without a record.
    fn given_up(
        &self,
        line: &Line,
        view: &str,
        places: &HashMap<(i32, i64), &Reading>,
        times: &Times<'_>,
    ) -> Result<Option<(i32, i64)>, &'static str> {
        let is_too_large = line.field(letter::REASON) == b"too_large";
        if self.settings.upserts() {
            // It names a key, and keys determine which readings are beyond the limit now.
            return if is_too_large {
                Ok(None)
            } else {
                Err("is late, but an upsert job has no late readings")
            };
        }
        let number = |at| std::str::from_utf8(line.field(at)).ok()?.parse::<i64>().ok();
        let place = (number(letter::PARTITION).unwrap_or(-1) as i32, number(letter::OFFSET).unwrap_or(-1));
        let reading = places.get(&place).ok_or("does not belong to a reading")?;
        let payload = match Cell::of_csv(line.field(letter::PAYLOAD), Type::Bytes) {
            Some(Cell::Bytes(bytes)) if self.files_hold_letters() => bytes,
            _ => line.field(letter::PAYLOAD).into(),
        };
        if fingerprint(&payload) != reading.bytes {
            return Err("differs from its message");
        }
        if is_too_large {
            return if view == FILTERED_JOIN {
                Ok(Some(place))
            } else {
                Err("is too_large, but this view has no limit of readings")
            };
        }
        let (truck, time) = (&reading.record.truck, reading.record.time);
        let (latest, bound) = (times.latest(truck), times.of(truck));
        let length = self.settings.window;
        let start = |time: i64| time.div_euclid(length).saturating_mul(length);
        let is_late = match view {
            FILTERED_JOIN => time < bound.saturating_sub(self.settings.join_retention).min(latest),
            _ => {
                let horizon = start(bound.saturating_sub(self.settings.window_retention)).min(start(latest));
                start(time).saturating_add(length) <= horizon
            }
        };
        if is_late {
            Ok(Some(place))
        } else {
            Err("is late, but its reading is not older than the retention")
        }
    }

    fn files_hold_letters(&self) -> bool {
        self.config.csv.takes(DEAD_LETTERS)
    }

    /// Checks that readings were dropped as too many only if the limit for their truck and time was reached.
    fn check_too_many(&self, recorded: &mut Recorded) {
        let limit = self.settings.join_limit;
        let Some(given_up) = recorded.given_up.get(FILTERED_JOIN) else { return };
        let mut kept: HashMap<(&Truck, i64), (usize, bool)> = HashMap::new();
        let times = Times::new(&self.input.latest, self.settings.window_idle);
        let is_late = |reading: &Reading| {
            let truck = &reading.record.truck;
            let bound = times.of(truck).saturating_sub(self.settings.join_retention).min(times.latest(truck));
            reading.record.time < bound
        };
        for reading in &self.input.readings {
            let (count, is_short) = kept.entry((&reading.record.truck, reading.record.time)).or_default();
            match given_up.contains(&reading.place) {
                true => *is_short |= !is_late(reading),
                false => *count += 1,
            }
        }
        if let Some(((truck, _), (count, _))) =
            kept.iter().find(|(_, (count, given_up))| *given_up && *count < limit)
        {
            let wrong = format!(
                "dead letters too_large of truck `{truck}` leave only {count} readings at a time, below the limit of {limit}"
            );
            recorded.wrong.entry(FILTERED_JOIN.into()).or_insert(wrong);
        }
    }
}

/// Describes what was compared.
fn describe(count: Option<usize>, things: &str, route: &Route) -> String {
    let places = match (route.table.is_some(), route.csv) {
        (true, true) => "table and file",
        (true, false) => "table",
        (false, true) => "file",
        (false, false) => return "no table or file".into(),
    };
    format!("{} {things}, {places}", count.unwrap_or(0))
}

/// Whether a dead letter comes from a view or the database, not from a decoder.
fn is_of_views(line: &Line) -> bool {
    let is_views = || matches!(line.field(letter::FIELD), b"filtered_join" | b"window_averages");
    match line.field(letter::REASON) {
        b"refused_by_database" => true,
        b"late" | b"too_large" => is_views(),
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

/// The fields of a row in a dead letter.
fn csv_fields(record: &[u8]) -> Line {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(record);
    let mut fields = csv::ByteRecord::new();
    // Invalid CSV matches no expected row.
    let _ = reader.read_byte_record(&mut fields);
    fields.iter().collect()
}

/// The values of a line of a file; None if it is not a row of the view.
fn cells(line: &Line, view: &View) -> Option<Vec<Cell>> {
    let columns = view.columns.iter().enumerate();
    columns.map(|(at, column)| Cell::of_csv(line.field(at), column.column_type)).collect()
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

    fn end(mut self, ever: &HashMap<Truck, i64>) -> Result<(), Trouble> {
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
