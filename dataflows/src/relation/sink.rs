//! Turns the changes of a view into rows for its table and file.

use std::sync::Arc;

use super::call::ColumnKind;
use super::delta::{Delta, To};
use super::value::{Real, Row, Value};
use crate::effect::Effect;
use crate::expression::Kind;
use crate::rows::{Change, Changes, Column, NULL, Rows, Type};
use crate::wide::Wide;

/// The rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// One per group, updated in place.
    #[default]
    Latest,
    /// One per group and epoch that changed it.
    History,
}

/// When a window has a line in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// When it is closed, and when it changes after that.
    Close,
    /// When it changes.
    Changes,
}

/// The sinks of a view.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub keep: Keep,
    pub emit: Emit,
    /// Whether lines of files have a sign.
    pub has_change: bool,
    /// Whether rows are only inserted, and never change.
    pub appends: bool,
    /// The columns, and whether numbers are doubles.
    pub columns: Vec<(ColumnKind, Type)>,
}

/// The number of rows passed on at once, so that they are rendered and written while the next ones are found.
const ROWS_AT_ONCE: usize = 1 << 14;

impl Sink {
    /// The rows for table and file.
    pub fn effects(&self, deltas: Vec<Delta>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for deltas in deltas.chunks(ROWS_AT_ONCE) {
            self.chunk(deltas, &mut effects);
        }
        effects
    }

    fn chunk(&self, deltas: &[Delta], effects: &mut Vec<Effect>) {
        if self.appends {
            let rows: Vec<&Row> = deltas.iter().filter_map(|delta| delta.new.as_ref()).collect();
            effects.push(Effect::Rows(self.rows(&rows, None)));
            return;
        }
        let is_in = |delta: &Delta, file: bool| match (delta.to, self.emit) {
            (To::All, _) => true,
            (To::Table, Emit::Changes) => true,
            (To::File, Emit::Changes) => false,
            (To::Table, Emit::Close) => !file,
            (To::File, Emit::Close) => file,
        };
        let of_file: Vec<&Delta> = deltas.iter().filter(|delta| is_in(delta, true)).collect();
        let of_table: Vec<&Delta> = deltas.iter().filter(|delta| is_in(delta, false)).collect();
        let for_table = match self.keep {
            Keep::Latest => self.changes(&of_table, false),
            Keep::History => {
                let rows = of_table.iter().filter_map(|delta| delta.new.as_ref().or(delta.end.as_ref()));
                self.rows(&rows.collect::<Vec<_>>(), None)
            }
        };
        let for_file = self.changes(&of_file, self.has_change);
        if !for_table.is_empty() {
            effects.push(Effect::TableRows(for_table));
        }
        if !for_file.is_empty() {
            effects.push(Effect::FileRows(for_file));
        }
    }

    /// The rows of changes; with `all`, replaced ones have a row, too.
    fn changes(&self, deltas: &[&Delta], all: bool) -> Rows {
        let (mut rows, mut kinds, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for delta in deltas {
            let old = delta.old.as_ref().map(|old| match delta.new {
                Some(_) => (old, Change::Before),
                None => (old, Change::Delete),
            });
            let new = delta.new.as_ref().map(|new| match delta.old {
                Some(_) => (new, Change::Update),
                None => (new, Change::Insert),
            });
            for (row, kind) in old.filter(|(_, kind)| all || *kind == Change::Delete).into_iter().chain(new) {
                rows.push(row);
                kinds.push(kind);
                keys.push(delta.key.clone());
            }
        }
        self.rows(&rows, Some(Changes { kinds: Arc::new(kinds), keys: Arc::new(keys) }))
    }

    fn rows(&self, rows: &[&Row], changes: Option<Changes>) -> Rows {
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(place, (kind, shown))| column(rows, place, *kind, *shown)).collect();
        Rows { columns, changes }
    }
}

/// A column of rows, in a table's column of type `shown`.
fn column(rows: &[&Row], place: usize, (kind, _): ColumnKind, shown: Type) -> Column {
    fn of<T>(rows: &[&Row], place: usize, value: impl Fn(&Value) -> T) -> Arc<Vec<T>> {
        Arc::new(rows.iter().map(|row| value(&row[place])).collect())
    }
    let scale = match kind {
        Kind::Number(decimal) => decimal.scale,
        _ => 0,
    };
    let units = |value: &Value| match value {
        Value::Number(units) => Some(*units),
        _ => None,
    };
    let narrow =
        |value: &Value| units(value).and_then(Wide::narrow).and_then(|units| i64::try_from(units).ok());
    match (kind, shown) {
        (Kind::Timestamp, _) => Column::Timestamp(of(rows, place, |value| match value {
            Value::Time(time) => *time,
            _ => NULL,
        })),
        (Kind::Text, _) => Column::Text(of(rows, place, |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })),
        (Kind::Truth, _) => Column::Integer(of(rows, place, |value| match value {
            Value::Truth(holds) => (*holds).into(),
            _ => NULL,
        })),
        (Kind::Number(_), Type::Integer) => {
            Column::Integer(of(rows, place, |value| narrow(value).unwrap_or(NULL)))
        }
        (Kind::Number(_), Type::Decimal | Type::Exact { .. }) => {
            Column::Wide { scale, values: of(rows, place, units) }
        }
        _ => Column::Real(of(rows, place, |value| match value {
            Value::Real(Real(value)) => *value,
            Value::Number(units) => units.to_real(scale),
            _ => f64::NAN,
        })),
    }
}
