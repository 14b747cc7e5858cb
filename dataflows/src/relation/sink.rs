//! Turns the changes of a view into rows for its table and file.

use std::sync::Arc;

use super::call::ColumnKind;
use super::column::Column as Values;
use super::delta::{Delta, Deltas, To};
use super::value::{Real, Value};
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

/// The most decimal places of a column of 64 bits.
const MOST_NARROW: u8 = 18;

/// The number of rows passed on at once, so that they are rendered and written while the next ones are found.
const ROWS_AT_ONCE: usize = 1 << 14;

impl Sink {
    /// The rows for table and file.
    pub fn effects(&self, mut deltas: Deltas) -> Vec<Effect> {
        if self.appends
            && let Some(inserted) = deltas.take_inserted()
        {
            let columns = inserted.columns.into_iter().zip(&self.columns);
            let columns = columns.map(|(values, of)| inserted_column(values, inserted.len, *of));
            return vec![Effect::Rows(Rows { columns: columns.collect(), changes: None })];
        }
        let mut effects = Vec::new();
        let mut deltas = deltas.iter().peekable();
        while deltas.peek().is_some() {
            self.chunk(deltas.by_ref().take(ROWS_AT_ONCE).collect(), &mut effects);
        }
        effects
    }

    fn chunk(&self, all: Vec<Delta<'_>>, effects: &mut Vec<Effect>) {
        if self.appends {
            let rows: Vec<&[Value]> = all.iter().filter_map(|delta| delta.new).collect();
            effects.push(Effect::Rows(self.rows(&rows, None)));
            return;
        }
        if all.iter().all(|delta| delta.to == To::All) {
            effects.push(Effect::Rows(self.shown(&all)));
            return;
        }
        let is_in = |delta: &Delta<'_>, file: bool| match (delta.to, self.emit) {
            (To::All, _) => true,
            (To::Table, Emit::Changes) => true,
            (To::File, Emit::Changes) => false,
            (To::Table, Emit::Close) => !file,
            (To::File, Emit::Close) => file,
        };
        let of = |file: bool| -> Vec<Delta<'_>> {
            all.iter().copied().filter(|delta| is_in(delta, file)).collect()
        };
        let (for_table, for_file) = (self.shown(&of(false)), self.shown(&of(true)));
        if !for_table.is_empty() {
            effects.push(Effect::TableRows(for_table));
        }
        if !for_file.is_empty() {
            effects.push(Effect::FileRows(for_file));
        }
    }

    /// What a table or file is given of changes. A history only grows.
    fn shown(&self, deltas: &[Delta<'_>]) -> Rows {
        match self.keep {
            Keep::Latest => self.changes(deltas),
            Keep::History => {
                let rows = deltas.iter().filter_map(|delta| delta.new.or(delta.end));
                self.rows(&rows.collect::<Vec<_>>(), None)
            }
        }
    }

    /// The rows of changes; if lines of files have a sign, replaced ones have a row, too.
    fn changes(&self, deltas: &[Delta<'_>]) -> Rows {
        let (mut rows, mut kinds, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for delta in deltas {
            let old = delta.old.map(|old| match delta.new {
                Some(_) => (old, Change::Before),
                None => (old, Change::Delete),
            });
            let new = delta.new.map(|new| match delta.had_row {
                true => (new, Change::Update),
                false => (new, Change::Insert),
            });
            let is_shown = |(_, kind): &(&[Value], Change)| self.has_change || *kind == Change::Delete;
            for (row, kind) in old.filter(is_shown).into_iter().chain(new) {
                rows.push(row);
                kinds.push(kind);
                keys.push(delta.key.clone());
            }
        }
        self.rows(&rows, Some(Changes { kinds: Arc::new(kinds), keys: Arc::new(keys) }))
    }

    /// The columns of rows.
    pub fn rows(&self, rows: &[&[Value]], changes: Option<Changes>) -> Rows {
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(place, (kind, shown))| column(rows, place, *kind, *shown)).collect();
        Rows { columns, changes }
    }
}

/// The same column, in a table's column of type `shown`.
fn inserted_column(values: Values, rows: usize, (kind, shown): (ColumnKind, Type)) -> Column {
    match (values, kind.0, shown) {
        (Values::Times(times), Kind::Timestamp, _) => Column::Timestamp(Arc::new(times)),
        (Values::Numbers(units), Kind::Number(_), Type::Integer) => Column::Integer(Arc::new(units)),
        (Values::Numbers(units), Kind::Number(decimal), Type::Decimal | Type::Exact { .. })
            if decimal.scale <= MOST_NARROW =>
        {
            Column::Decimal { scale: decimal.scale, values: Arc::new(units) }
        }
        (Values::Named(values, index), Kind::Text, _) if values.iter().all(|value| !value.is_null()) => {
            let text = |value: &Value| match value {
                Value::Text(text) => text.clone(),
                _ => Arc::default(),
            };
            Column::Name { names: Arc::new(values.iter().map(text).collect()), index: Arc::new(index) }
        }
        (values, ..) => {
            let values: Vec<Value> = (0..rows).map(|row| values.value(row)).collect();
            column(&values.chunks(1).collect::<Vec<_>>(), 0, kind, shown)
        }
    }
}

/// A column of rows, in a table's column of type `shown`.
fn column(rows: &[&[Value]], place: usize, (kind, _): ColumnKind, shown: Type) -> Column {
    fn of<T>(rows: &[&[Value]], place: usize, value: impl Fn(&Value) -> T) -> Arc<Vec<T>> {
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
        (Kind::Text, _) => {
            let texts = of(rows, place, |value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            });
            match texts.iter().cloned().collect::<Option<Vec<_>>>() {
                Some(names) => {
                    Column::Name { names: Arc::new(names), index: Arc::new((0..rows.len() as u32).collect()) }
                }
                None => Column::Text(texts),
            }
        }
        (Kind::Truth, _) => Column::Integer(of(rows, place, |value| match value {
            Value::Truth(holds) => (*holds).into(),
            _ => NULL,
        })),
        (Kind::Number(_), Type::Integer) => {
            Column::Integer(of(rows, place, |value| narrow(value).unwrap_or(NULL)))
        }
        (Kind::Number(_), Type::Decimal | Type::Exact { .. }) => {
            let of_64_bits = |row: &&[Value]| match &row[place] {
                Value::Null => Some(NULL),
                value => narrow(value).filter(|units| *units != NULL),
            };
            match rows.iter().map(of_64_bits).collect::<Option<Vec<i64>>>().filter(|_| scale <= MOST_NARROW) {
                Some(values) => Column::Decimal { scale, values: Arc::new(values) },
                None => Column::Wide { scale, values: of(rows, place, units) },
            }
        }
        _ => Column::Real(of(rows, place, |value| match value {
            Value::Real(Real(value)) => *value,
            Value::Number(units) => units.to_real(scale),
            _ => f64::NAN,
        })),
    }
}
