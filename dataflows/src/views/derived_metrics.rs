//! The union of the two derived measures, with a column that names the measure.

use std::sync::Arc;

use super::transformed::{RATIO, SCALED, ratios, scaled};
use super::view::{View, of_readings, places, render_stateless};
use super::wanted::{Measures, Missing, Wanted};
use crate::batch::Batch;
use crate::real::Factor;
use crate::rows::{Changes, Column, ColumnSpec, Rows, Type, column};

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("metric", Type::Text),
    column("value", Type::Real),
    column("truck_id", Type::Text),
];

/// The metrics, in the order of a record's rows.
const METRICS: [&str; 2] = [SCALED, RATIO];

const NAME: &str = "derived_metrics";

pub(super) fn view(mut wanted: Wanted<'_>) -> Result<View, Missing> {
    let (measures, factor) = (wanted.measures(), wanted.settings.speed_factor);
    let view = of_readings(wanted.settings, NAME, "TRUCK_DERIVED_METRICS", COLUMNS, move |inputs| {
        let names = Arc::new(METRICS.map(Arc::from).to_vec());
        render_stateless(inputs, "DerivedMetrics", move |batch| rows(&batch, measures, factor, &names))
    });
    wanted.found(NAME, view)
}

fn rows(batch: &Batch, measures: Measures, factor: Factor, names: &Arc<Vec<Arc<str>>>) -> Rows {
    fn twice<T: Copy>(values: &[T]) -> Arc<Vec<T>> {
        Arc::new(values.iter().flat_map(|&value| [value, value]).collect())
    }
    let values = scaled(batch, measures, factor)
        .zip(ratios(batch, measures))
        .flat_map(|(scaled, ratio)| [scaled, ratio]);
    let columns = vec![
        Column::Timestamp(twice(&batch.time)),
        Column::Name { names: names.clone(), index: Arc::new([0, 1].repeat(batch.len())) },
        Column::Real(Arc::new(values.collect())),
        Column::Name { names: batch.entities.clone(), index: twice(&batch.entity) },
    ];
    Rows { columns, changes: both_changes(batch) }
}

/// A reading has two rows, identified by its key and the metric.
fn both_changes(batch: &Batch) -> Option<Changes> {
    let places = places(batch);
    let [first, second] = METRICS.map(|metric| Changes::of(batch, &places, metric.as_bytes()));
    let (first, second) = (first?, second?);
    let keys = first.keys.iter().zip(second.keys.iter()).flat_map(|(a, b)| [a.clone(), b.clone()]);
    Some(Changes {
        kinds: Arc::new(first.kinds.iter().flat_map(|&kind| [kind, kind]).collect()),
        keys: Arc::new(keys.collect()),
    })
}
