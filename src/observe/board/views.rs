//! The views of a job, of any shape, with the rows that changed last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataflows::rows::{ColumnSpec, Type};
use serde::Serialize;

use super::limits::bytes_of_each;
use super::recent::Recent;

/// What the rows of a view are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A row for each row of what it reads.
    Rows,
    /// One per group, updated in place.
    Groups,
    /// One per group and window, updated in place.
    Windows,
    /// One per group and epoch that changed it.
    History,
}

/// A view.
#[derive(Clone, Debug)]
pub struct ViewInfo {
    /// The name.
    pub name: String,
    /// What its rows are.
    pub shape: Shape,
    /// The columns; none if it has no rows.
    pub columns: Vec<ColumnSpec>,
    /// The columns whose values name the subject of a row: the keys of its group, without its window.
    pub key: Vec<usize>,
    /// The column with the time of a row, if it has one.
    pub time: Option<usize>,
    /// The table, if it has one.
    pub table: Option<String>,
    /// The CSV file, if it has one.
    pub file: Option<String>,
}

impl ViewInfo {
    /// A view with these columns, whose rows are named by their texts and have the time of their first time.
    pub fn new(name: &str, shape: Shape, columns: &[ColumnSpec]) -> Self {
        let of = |wanted: Type| {
            let are = move |(_, column): &(usize, &ColumnSpec)| column.column_type == wanted;
            columns.iter().enumerate().filter(are).map(|(place, _)| place)
        };
        Self {
            name: name.to_owned(),
            shape,
            columns: columns.to_vec(),
            key: of(Type::Text).collect(),
            time: of(Type::Timestamp).next().filter(|_| shape != Shape::Groups),
            table: None,
            file: None,
        }
    }

    /// The place of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A view with its rows.
#[derive(Clone, Debug)]
pub struct ViewRows {
    /// The view.
    pub info: Arc<ViewInfo>,
    /// The rows that changed last.
    pub recent: Recent,
    /// The version of the board at the last change.
    pub version: u64,
    /// The time of the commit with the last change, in milliseconds since 1970.
    pub changed: Option<u64>,
    /// Whether it has had no other rows: none from before the start that are not among these.
    pub is_complete: bool,
}

/// Changes of views.
#[derive(Debug, Default)]
pub struct ViewChanges {
    /// The rows by view, with the times of the last commits.
    rows: BTreeMap<usize, (Recent, Option<u64>)>,
    /// Views with rows from before the start.
    incomplete: BTreeSet<usize>,
}

impl ViewChanges {
    /// Adds changes of a view, with the time of their commit. `views` is the number of views.
    pub fn add(&mut self, view: usize, recent: Recent, at: Option<u64>, views: usize) {
        let (rows, last) = self.rows.entry(view).or_default();
        rows.extend(recent, bytes_of_each(views));
        *last = at.or(*last);
    }

    /// Adds later changes, with the time of their commit.
    pub fn extend(&mut self, later: Self, at: Option<u64>, views: usize) {
        self.incomplete.extend(later.incomplete);
        for (view, (recent, before)) in later.rows {
            self.add(view, recent, at.or(before), views);
        }
    }

    /// A view has rows from before the start that are not among these.
    pub fn is_incomplete(&mut self, view: usize) {
        self.incomplete.insert(view);
    }
}

/// The views, by their index.
#[derive(Debug, Default)]
pub struct Views(Vec<ViewRows>);

impl Views {
    /// Views without rows.
    pub fn new(infos: impl IntoIterator<Item = ViewInfo>) -> Self {
        let view = |info| ViewRows {
            info: Arc::new(info),
            recent: Recent::nothing(),
            version: 0,
            changed: None,
            is_complete: true,
        };
        Self(infos.into_iter().map(view).collect())
    }

    /// The number of views, also of those without rows.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that have rows.
    pub fn all(&self) -> impl Iterator<Item = &ViewRows> {
        self.0.iter().filter(|view| !view.info.columns.is_empty())
    }

    /// The view called `name`.
    pub fn get(&self, name: &str) -> Option<&ViewRows> {
        self.all().find(|view| view.info.name == name)
    }

    /// Applies changes.
    pub fn take(&mut self, changes: ViewChanges, version: u64) {
        let bytes = bytes_of_each(self.0.len());
        for (view, (recent, at)) in changes.rows {
            let Some(view) = self.0.get_mut(view) else { continue };
            view.recent.extend(recent, bytes);
            (view.version, view.changed) = (version, at.or(view.changed));
        }
        for view in changes.incomplete {
            if let Some(view) = self.0.get_mut(view) {
                view.is_complete = false;
            }
        }
    }
}
