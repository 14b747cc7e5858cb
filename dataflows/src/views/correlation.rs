//! The correlation of two axes per truck, the implementation of all correlation views.
//!
//! ```text
//! append  records -> sums of the epoch -> (truck; difference = sums and extent) -> totals -> rows, state
//!         restored state -----------------^
//! upsert  corrections -> pre-aggregate -> (truck; difference = sums) -> count_total --.
//!                     `-> extremes: the earliest and latest readings of each truck -- join -> rows
//! ```
//!
//! The accumulation is the difference of the collection, so that differential dataflow's addition merges batches,
//! workers and restarts. For each epoch that changed a truck, the arrangement returns the old and the new total; the
//! new one is the row and the state entry.
//!
//! Sums can be retracted, the latest reading cannot: if readings are retracted, the latest of the remaining ones has
//! to be found.

mod append;
mod axis;
mod rows;
mod stored;
mod tally;
mod upsert;

use std::borrow::Cow;
use std::sync::Arc;

use super::by_key::KeyChange;
use super::settings::{CorrelationTables, Settings};
use super::view::View;
use crate::effect::Restored;
use crate::rows::{ColumnSpec, Rows, Type, column};
use rows::{Form, rows};
use stored::{read, restore};

pub use axis::Axis;

/// A correlation per truck, over the records that have both values.
///
/// ```
/// use dataflows::views::{Axis, Correlation, Settings};
///
/// let settings = Settings::default();
/// let fuel = settings.schema.number("fuel_consumed").unwrap();
/// let of_fuel = Correlation {
///     name: "fuel_correlation".into(),
///     table: "TRUCK_FUEL_CORRELATION".into(),
///     x: Axis::Time,
///     y: Axis::Number(fuel),
/// };
/// let columns = of_fuel.view(&settings).columns;
/// assert_eq!([&*columns[0].name, &*columns[1].name], ["fuel_consumed", "time_elapsed"]);
/// ```
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The first axis.
    pub x: Axis,
    /// The second axis, which is not [`Axis::Time`].
    pub y: Axis,
}

impl Correlation {
    /// The view of this correlation.
    pub fn view(self, settings: &Settings) -> View {
        let decimal =
            |axis: Axis| ColumnSpec { name: axis.name(&settings.schema), column_type: Type::Decimal };
        let (x, y) = (decimal(self.x), decimal(self.y));
        let definition = format!("{} with {}", y.name, x.name);
        let columns = vec![
            y,
            x,
            column("correlation", Type::Real),
            column("truck_id", Type::Text),
            column("samples", Type::Integer),
            column("timestamp", Type::Timestamp),
        ];
        let form = Form {
            axes: (self.x, self.y),
            latest: settings.correlation_tables == CorrelationTables::Latest,
            upserts: settings.upserts(),
        };
        let name = self.name.clone();
        View {
            name: self.name,
            table: self.table,
            columns: columns.into(),
            keyed: form.latest,
            of_readings: true,
            has_change: settings.upserts(),
            keeps_times: false,
            drops_readings: false,
            definition,
            index: Vec::new(),
            keeps: Arc::new(move |key, value| read(key, value, form.axes).is_some()),
            build: Arc::new(move |inputs| match form.upserts {
                false => append::build(inputs, &name, form),
                true => upsert::build(inputs, &name, form),
            }),
        }
    }
}

/// The rows of a committed state, one per truck, with the columns of [`Correlation::view`].
pub fn committed_rows(restored: &Restored, axes: (Axis, Axis)) -> Rows {
    let form = Form { axes, latest: false, upserts: false };
    let change = |(key, tally)| KeyChange { key, old: None, new: Some(tally) };
    rows(&restore(restored, axes).map(change).collect::<Vec<_>>(), form)
}
