//! The values of a view's rows, compared and joined whatever the columns that have them.

use std::cmp::Ordering;
use std::sync::Arc;

use dataflows::rows::{Changes, Column, NULL, Rows};
use dataflows::wide::Wide;

use super::limits::VALUE;
use super::order::by_numbers;

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Null,
    /// A time, an integer, or units of a decimal.
    Whole(i64),
    /// Units of a decimal.
    Wide(Wide),
    Real(f64),
    Text(&'a Arc<str>),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn of(column: &'a Column, row: usize) -> Self {
        let optional = |value: Option<Self>| value.unwrap_or(Self::Null);
        match column {
            Column::Timestamp(values) | Column::Decimal { values, .. } | Column::Integer(values) => {
                optional(Some(values[row]).filter(|value| *value != NULL).map(Self::Whole))
            }
            Column::Wide { values, .. } => optional(values[row].map(Self::Wide)),
            Column::Real(values) => {
                optional(Some(values[row]).filter(|value| !value.is_nan()).map(Self::Real))
            }
            Column::Name { names, index } => Self::Text(&names[index[row] as usize]),
            Column::Text(values) => optional(values[row].as_ref().map(Self::Text)),
            Column::Bytes(values) => optional(values[row].as_deref().map(Self::Bytes)),
        }
    }

    fn wide(self) -> Option<Wide> {
        match self {
            Self::Whole(value) => Some(value.into()),
            Self::Wide(value) => Some(value),
            _ => None,
        }
    }

    fn whole(self) -> i64 {
        match self {
            Self::Whole(value) => value,
            _ => NULL,
        }
    }

    /// The order of two values of a column; NULL is last, also if the order is descending.
    pub fn compare(self, other: Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Null, Self::Null) => return Ordering::Equal,
            (Self::Null, _) => return Ordering::Greater,
            (_, Self::Null) => return Ordering::Less,
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(&b),
            (Self::Text(a), Self::Text(b)) => by_numbers(a, b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (a, b) => a.wide().cmp(&b.wide()),
        };
        if descending { order.reverse() } else { order }
    }
}

/// The approximate size of rows in bytes, with the names of dictionaries.
pub(super) fn weight(rows: &Rows) -> usize {
    let names = rows.columns.iter().map(|column| match column {
        Column::Name { names, .. } => names.iter().map(|name| name.len()).sum(),
        _ => 0,
    });
    rows.weight() + names.sum::<usize>()
}

/// The approximate size of a row in bytes.
pub(super) fn weight_of(rows: &Rows, row: usize) -> usize {
    let key = rows.changes.as_ref().map_or(0, |changes| size_of::<Arc<[u8]>>() + changes.keys[row].len());
    let values = rows.columns.iter().map(|column| {
        let text = match Value::of(column, row) {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        text + match column {
            Column::Wide { .. } => size_of::<Option<Wide>>(),
            Column::Bytes(_) => size_of::<Option<Vec<u8>>>(),
            Column::Name { .. } | Column::Text(_) => size_of::<Option<Arc<str>>>(),
            _ => size_of::<i64>(),
        }
    });
    key + values.sum::<usize>()
}

/// The last rows of those without changes. Each batch of readings passes here, so whole columns are copied, and dictionaries
/// are shared.
pub(super) fn last(rows: &Rows, number: usize) -> Rows {
    fn of<T: Clone>(values: &[T], number: usize) -> Arc<Vec<T>> {
        Arc::new(values[values.len().saturating_sub(number)..].to_vec())
    }
    let last = |column: &Column| match column {
        Column::Timestamp(values) => Column::Timestamp(of(values, number)),
        Column::Decimal { scale, values } => Column::Decimal { scale: *scale, values: of(values, number) },
        Column::Wide { scale, values } => Column::Wide { scale: *scale, values: of(values, number) },
        Column::Real(values) => Column::Real(of(values, number)),
        Column::Integer(values) => Column::Integer(of(values, number)),
        Column::Name { names, index } => Column::Name { names: names.clone(), index: of(index, number) },
        Column::Text(values) => Column::Text(of(values, number)),
        Column::Bytes(values) => Column::Bytes(of(values, number)),
    };
    rows.columns.iter().map(last).collect::<Vec<_>>().into()
}

/// Rows of the same columns as one: of each, those at these indices. Dictionaries are left behind, and long bytes are cut.
pub(super) fn joined(parts: &[(&Rows, Vec<u32>)]) -> Rows {
    let width = parts.first().map_or(0, |(rows, _)| rows.columns.len());
    let columns = (0..width).map(|place| {
        let columns: Vec<(&Column, &[u32])> =
            parts.iter().filter_map(|(rows, places)| Some((rows.columns.get(place)?, &places[..]))).collect();
        column(&columns)
    });
    let all = || parts.iter().flat_map(|(rows, places)| places.iter().map(|&place| (*rows, place as usize)));
    let are_changes = parts.iter().all(|(rows, _)| rows.changes.is_some());
    let changes = are_changes.then(|| {
        let changes = || all().filter_map(|(rows, row)| Some((rows.changes.as_ref()?, row)));
        Changes {
            kinds: Arc::new(changes().map(|(changes, row)| changes.kinds[row]).collect()),
            keys: Arc::new(changes().map(|(changes, row)| changes.keys[row].clone()).collect()),
        }
    });
    Rows { columns: columns.collect(), changes }
}

fn column(parts: &[(&Column, &[u32])]) -> Column {
    fn of<'a, T>(parts: &[(&'a Column, &[u32])], value: impl Fn(Value<'a>) -> T) -> Arc<Vec<T>> {
        let rows = parts.iter().map(|(column, places)| {
            places.iter().map(|&place| value(Value::of(column, place as usize))).collect::<Vec<T>>()
        });
        Arc::new(rows.flatten().collect())
    }
    match parts.first().map(|(column, _)| *column) {
        None => Column::Integer(Arc::default()),
        Some(Column::Timestamp(_)) => Column::Timestamp(of(parts, Value::whole)),
        Some(Column::Integer(_)) => Column::Integer(of(parts, Value::whole)),
        Some(Column::Decimal { scale, .. } | Column::Wide { scale, .. }) => {
            let are_narrow = parts.iter().all(|(column, _)| matches!(column, Column::Decimal { .. }));
            match are_narrow {
                true => Column::Decimal { scale: *scale, values: of(parts, Value::whole) },
                false => Column::Wide { scale: *scale, values: of(parts, Value::wide) },
            }
        }
        Some(Column::Real(_)) => Column::Real(of(parts, |value| match value {
            Value::Real(value) => value,
            _ => f64::NAN,
        })),
        Some(Column::Name { .. } | Column::Text(_)) => Column::Text(of(parts, |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })),
        Some(Column::Bytes(_)) => Column::Bytes(of(parts, |value| match value {
            Value::Bytes(bytes) => Some(bytes[..bytes.len().min(VALUE)].to_vec()),
            _ => None,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(column: Column) -> Rows {
        vec![column].into()
    }

    #[test]
    fn columns_of_other_forms_are_joined() {
        let narrow = rows(Column::Decimal { scale: 2, values: Arc::new(vec![150, NULL, 7]) });
        let wide = rows(Column::Wide { scale: 2, values: Arc::new(vec![Some(3_i64.into())]) });
        let all = joined(&[(&narrow, vec![1, 0]), (&wide, vec![0])]);
        let expected = vec![None, Some(150_i64.into()), Some(3_i64.into())];
        assert_eq!(all.columns, [Column::Wide { scale: 2, values: Arc::new(expected) }]);

        let names =
            rows(Column::Name { names: Arc::new(vec!["a".into(), "b".into()]), index: Arc::new(vec![1]) });
        let texts = rows(Column::Text(Arc::new(vec![None])));
        let all = joined(&[(&names, vec![0]), (&texts, vec![0])]);
        assert_eq!(all.columns, [Column::Text(Arc::new(vec![Some("b".into()), None]))]);

        let bytes = rows(Column::Bytes(Arc::new(vec![Some(vec![7; 10 * VALUE])])));
        let all = joined(&[(&bytes, vec![0])]);
        assert_eq!(all.columns, [Column::Bytes(Arc::new(vec![Some(vec![7; VALUE])]))]);
    }

    #[test]
    fn the_last_rows_have_the_values_of_every_column() {
        let rows: Rows = vec![
            Column::Timestamp(Arc::new(vec![1, 2, 3])),
            Column::Decimal { scale: 1, values: Arc::new(vec![4, 5, NULL]) },
            Column::Wide { scale: 1, values: Arc::new(vec![None, Some(7_i64.into()), None]) },
            Column::Real(Arc::new(vec![0.5, 1.5, 2.5])),
            Column::Name { names: Arc::new(vec!["a".into(), "b".into()]), index: Arc::new(vec![0, 1, 0]) },
            Column::Text(Arc::new(vec![None, Some("c".into()), None])),
        ]
        .into();
        let text = |rows: &Rows, row: usize| -> Vec<_> {
            let text = |column: &Column| crate::render::value(column, row).map(|text| text.into_owned());
            rows.columns.iter().map(text).collect()
        };
        let two = last(&rows, 2);
        assert_eq!([0, 1].map(|row| text(&two, row)), [1, 2].map(|row| text(&rows, row)));
        assert_eq!(last(&rows, 9), rows);
    }

    #[test]
    fn null_is_last_in_both_orders() {
        let column = Column::Real(Arc::new(vec![f64::NAN, 2.0, -1.0]));
        let sorted = |descending| {
            let mut places = [0, 1, 2];
            places.sort_by(|a, b| Value::of(&column, *a).compare(Value::of(&column, *b), descending));
            places
        };
        assert_eq!([sorted(false), sorted(true)], [[2, 1, 0], [1, 2, 0]]);
        let narrow = Column::Decimal { scale: 0, values: Arc::new(vec![5]) };
        let wide = Column::Wide { scale: 0, values: Arc::new(vec![Some(i128::MAX.into())]) };
        assert_eq!(Value::of(&narrow, 0).compare(Value::of(&wide, 0), false), Ordering::Less);
    }
}
