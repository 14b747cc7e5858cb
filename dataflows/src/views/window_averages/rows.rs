//! The columns, and the rows of changed windows.

use std::sync::Arc;

use super::stored::window_key;
use super::sums::{Sums, Window, average};
use crate::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use crate::views::by_key::KeyChange;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    column("truck_id", Type::Text),
    column("window_start", Type::Timestamp),
    column("window_end", Type::Timestamp),
    column("samples", Type::Integer),
    column("average_distance_covered", Type::Real),
    column("average_engine_speed", Type::Real),
    column("average_fuel_consumed", Type::Real),
    column("distance_correlation", Type::Real),
    column("engine_speed_correlation", Type::Real),
];

/// The rows of changed windows; with `all`, replaced values have a row, too.
pub(super) fn rows(changes: &[KeyChange<Window, Sums>], all: bool, length: i64) -> Rows {
    let kept: Vec<(&Window, &Sums, Change)> = changes
        .iter()
        .flat_map(|change| change.rows(all).map(|(sums, kind)| (&change.key, sums, kind)))
        .collect();
    fn column<T>(kept: &[(&Window, &Sums, Change)], value: impl Fn(i64, &Sums) -> T) -> Arc<Vec<T>> {
        Arc::new(kept.iter().map(|((_, start), sums, _)| value(*start, sums)).collect())
    }
    let columns = vec![
        Column::Name {
            names: Arc::new(kept.iter().map(|((truck, _), _, _)| truck.clone()).collect()),
            index: Arc::new((0u32..).take(kept.len()).collect()),
        },
        Column::Timestamp(column(&kept, |start, _| start)),
        Column::Timestamp(column(&kept, |start, _| start.saturating_add(length))),
        Column::Integer(column(&kept, |_, sums| sums.samples)),
        Column::Real(column(&kept, |_, sums| average(sums.distance.samples(), sums.distance.sum_y()))),
        Column::Real(column(&kept, |_, sums| average(sums.speed.samples(), sums.speed.sum_y()))),
        Column::Real(column(&kept, |_, sums| average(sums.fuel.0, sums.fuel.1))),
        Column::Real(column(&kept, |_, sums| sums.distance.r().unwrap_or(f64::NAN))),
        Column::Real(column(&kept, |_, sums| sums.speed.r().unwrap_or(f64::NAN))),
    ];
    let changes = Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(window, _, _)| window_key(window).into()).collect()),
    };
    Rows { columns, changes: Some(changes) }
}
