//! Verifies a view: finds its table and files, and the rule for its kind.

use std::collections::{BTreeMap, HashMap};

use dataflows::views::{DEAD_LETTERS, Settings, View};

use super::cell::{Cell, Form};
use super::compare::{self, Refused, Rows, Surplus};
use super::expected::{self, GivenUp};
use super::files::Files;
use super::input::Input;
use super::trouble::Trouble;
use crate::config::Job;
use crate::job::graph::Route;
use crate::runtime::failure::Bug;
use crate::store::LastCommit;
use crate::store::reader::{Found, Line, StoreReader, TableRow};
use crate::text::printable::quantity;

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
    pub(super) given_up: HashMap<String, GivenUp>,
    /// How many letters of each view are of rows that are not readings.
    pub(super) of_rows: HashMap<String, usize>,
    pub(super) refused: HashMap<String, Refused>,
    /// The first problem with the dead letters of each view.
    pub(super) wrong: HashMap<String, String>,
}

/// A view's table.
pub(super) struct Table {
    pub place: String,
    pub found: Found,
    pub form: Form,
    /// The column of the truck's name, which is NULL only in rows of other programs.
    pub truck: Option<usize>,
}

/// Receives the change, the position and the values of a row.
pub(super) type Each<'a> = &'a mut dyn FnMut(i64, i64, &Line);

impl Views<'_> {
    /// Compares a view with its sinks. Returns a description of what was compared.
    pub fn verify(&mut self, view: &View, route: &Route) -> Result<String, Trouble> {
        if let Some(wrong) = self.recorded.wrong.get(&*view.name) {
            return Err(Trouble::Differs(wrong.clone()));
        }
        let (input, name) = (self.input, &*view.name);
        let given_up = self.recorded.given_up.get(name).cloned().unwrap_or_default();
        match name {
            DEAD_LETTERS => self.dead_letters(view, route),
            _ => {
                let planned = self.config.planned.iter().find(|planned| planned.name == name);
                let planned = planned.ok_or(Bug("a view without a recomputation"))?;
                if !planned.relation.is_stateless() {
                    return self.planned(view, route, planned, &given_up);
                }
                let rows = expected::of_each(input, &planned.relation, &view.columns);
                self.rows(view, route, &*rows)
            }
        }
    }

    /// The views that may drop readings.
    pub(super) fn dropping(&self) -> Vec<String> {
        let dropping = self.config.active_views.iter().filter(|view| view.drops_readings);
        dropping.map(|view| view.name.to_string()).collect()
    }

    pub(super) fn files(&self, view: &View, route: &Route) -> Option<Files> {
        let committed: BTreeMap<String, u64> = self.last.files.iter().cloned().collect();
        route.csv.then(|| self.files_up_to(view, route, &committed))
    }

    /// The files of a view up to the `committed` numbers.
    pub(super) fn files_up_to(&self, view: &View, route: &Route, committed: &BTreeMap<String, u64>) -> Files {
        let columns = view.columns.iter().map(|column| column.name.to_string()).collect();
        let rotates = self.config.csv.max_records.is_some();
        Files::of(&self.config.out, &view.name, committed, rotates, columns, route.change)
    }

    pub(super) fn table(&mut self, view: &View, route: &Route) -> Result<Option<Table>, Trouble> {
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

    pub(super) fn table_rows(
        &mut self,
        table: &Table,
        each: &mut dyn FnMut(TableRow<'_>),
    ) -> Result<(), Trouble> {
        let is_ours = |row: &TableRow<'_>| !table.truck.is_some_and(|truck| row.values.is_null(truck));
        self.reader.rows(&table.found, &mut |row| {
            if is_ours(&row) {
                each(row);
            }
        })?;
        Ok(())
    }

    pub(super) fn surplus(&self, table: &Table) -> Surplus {
        match (self.has_others, table.found.id.is_some()) {
            (true, _) => Surplus::Others,
            (false, true) => Surplus::WrongAfterFirst,
            (false, false) => Surplus::WrongIfTwice,
        }
    }

    pub(super) fn refused(&self, view: &View) -> Refused {
        self.recorded.refused.get(&*view.name).cloned().unwrap_or_default()
    }

    /// Verifies a view whose rows are all known.
    pub(super) fn rows(&mut self, view: &View, route: &Route, rows: &Rows<'_>) -> Result<String, Trouble> {
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
        Ok(describe(count, "row", route))
    }

    pub(super) fn table_against(
        &mut self,
        view: &View,
        table: &Table,
        rows: &Rows<'_>,
    ) -> Result<usize, Trouble> {
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
}

/// Describes what was compared.
pub(super) fn describe(count: Option<usize>, thing: &str, route: &Route) -> String {
    let places = match (route.table.is_some(), route.csv) {
        (true, true) => "table and file",
        (true, false) => "table",
        (false, true) => "file",
        (false, false) => return "no table or file".into(),
    };
    format!("{}, {places}", quantity(count.unwrap_or(0), thing))
}

/// The values of a line of a file; None if it is not a row of the view.
pub(super) fn cells_of_line(line: &Line, view: &View) -> Option<Vec<Cell>> {
    let columns = view.columns.iter().enumerate();
    columns.map(|(at, column)| Cell::of_csv(line.field(at), column.column_type)).collect()
}
