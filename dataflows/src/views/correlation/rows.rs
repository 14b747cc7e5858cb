//! The rows of changed trucks.

use std::sync::Arc;

use super::axis::Axis;
use super::tally::{Extent, Tally};
use crate::accumulation::Accumulation;
use crate::batch::{Entity, NANO_SCALE};
use crate::rows::{Change, Changes, Column, NULL, Rows};
use crate::views::by_key::KeyChange;

/// The axes, and the kind of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub axes: (Axis, Axis),
    /// Whether a truck's row replaces the previous one.
    pub latest: bool,
    /// Whether readings can be retracted.
    pub upserts: bool,
}

/// The rows of changed trucks. The history of a truck whose readings are all retracted ends with a row of zero
/// samples.
pub(super) fn rows(changes: &[KeyChange<Entity, Tally>], form: Form) -> Rows {
    let mut kept: Vec<(&Entity, Option<&Tally>, Change)> = Vec::with_capacity(changes.len());
    for change in changes {
        if form.latest {
            let rows = change.rows(form.upserts);
            kept.extend(rows.map(|(tally, kind)| (&change.key, Some(tally), kind)));
        } else {
            kept.push((&change.key, change.new.as_ref(), Change::Insert));
        }
    }
    fn column<T>(
        kept: &[(&Entity, Option<&Tally>, Change)],
        null: T,
        value: impl Fn(&Accumulation, &Extent) -> T,
    ) -> Arc<Vec<T>>
    where
        T: Copy,
    {
        let value = |tally: Option<&Tally>| tally.map_or(null, |(sums, extent)| value(sums, extent));
        Arc::new(kept.iter().map(|(_, tally, _)| value(*tally)).collect())
    }
    let first = match form.axes.0 {
        Axis::Time => Column::Decimal {
            scale: 6, // microseconds as seconds
            values: column(&kept, NULL, |_, extent| extent.latest.0.saturating_sub(extent.earliest)),
        },
        _ => Column::Decimal { scale: NANO_SCALE, values: column(&kept, NULL, |_, extent| extent.latest.2) },
    };
    let columns = vec![
        Column::Decimal { scale: NANO_SCALE, values: column(&kept, NULL, |_, extent| extent.latest.1) },
        first,
        Column::Real(column(&kept, f64::NAN, |sums, _| sums.r().unwrap_or(f64::NAN))),
        Column::Name {
            names: Arc::new(kept.iter().map(|(truck, _, _)| (*truck).clone()).collect()),
            index: Arc::new((0u32..).take(kept.len()).collect()),
        },
        Column::Integer(column(&kept, 0, |sums, _| sums.samples())),
        Column::Timestamp(column(&kept, NULL, |_, extent| extent.latest.0)),
    ];
    let changes = form.latest.then(|| Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(truck, _, _)| truck.as_bytes().into()).collect()),
    });
    Rows { columns, changes }
}
