//! Searches and sorts the rows of a view.

use std::borrow::Cow;

use super::recent::Place;
use super::value::Value;
use super::views::ViewRows;
use crate::render;

/// A query for rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowsQuery {
    /// A text that one of their values contains, case-insensitive.
    pub search: String,
    /// The subject of the rows: see [`FoundRow::id`].
    pub id: Option<String>,
    /// The column to sort by; without, the rows that changed last are first.
    pub sort: Option<usize>,
    /// Whether the order is descending; NULL is always last.
    pub descending: bool,
    /// How many to skip.
    pub offset: usize,
    /// How many to return.
    pub limit: usize,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// The values of the key columns, as a JSON array: the subject of the row. Several windows of a group have the same.
    pub id: String,
    /// The values, as in a CSV file; None is NULL.
    pub values: Vec<Option<String>>,
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of rows that are kept.
    pub kept: usize,
    /// The number of those that match.
    pub matching: usize,
    /// The requested ones of these.
    pub rows: Vec<FoundRow>,
}

impl ViewRows {
    /// The requested rows.
    pub fn find(&self, query: &RowsQuery) -> Found {
        let mut places = self.recent.current();
        let kept = places.len();
        let search = query.search.to_lowercase();
        if !search.is_empty() {
            places.retain(|&place| self.has(place, &search));
        }
        if let Some(id) = &query.id {
            places.retain(|&place| self.id(place) == *id);
        }
        let matching = places.len();
        if let Some(column) = query.sort {
            let value = |&(batch, row): &Place| {
                let column = self.recent.batch(batch).columns.get(column);
                column.map_or(Value::Null, |column| Value::of(column, row as usize))
            };
            places.sort_by(|a, b| value(a).compare(value(b), query.descending));
        }
        let rows = places.into_iter().skip(query.offset).take(query.limit).map(|place| FoundRow {
            id: self.id(place),
            values: self.values(place).map(|value| value.map(Cow::into_owned)).collect(),
        });
        Found { kept, matching, rows: rows.collect() }
    }

    fn values(&self, (batch, row): Place) -> impl Iterator<Item = Option<Cow<'_, str>>> {
        self.recent.batch(batch).columns.iter().map(move |column| render::value(column, row as usize))
    }

    fn has(&self, place: Place, search: &str) -> bool {
        self.values(place).flatten().any(|value| value.to_lowercase().contains(search))
    }

    fn id(&self, (batch, row): Place) -> String {
        let columns = &self.recent.batch(batch).columns;
        let value =
            |place: &usize| columns.get(*place).and_then(|column| render::value(column, row as usize));
        serde_json::json!(self.info.key.iter().map(value).collect::<Vec<_>>()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::recent::Recent;
    use super::super::views::{Shape, ViewChanges, ViewInfo, Views};
    use super::*;
    use dataflows::rows::{Change, Changes, Column, NULL, Rows, Type, column};
    use std::sync::Arc;

    /// Windows of `bär`, `a2` and `a10`.
    fn windows() -> Views {
        let columns =
            [column("who", Type::Text), column("start", Type::Timestamp), column("n", Type::Integer)];
        let mut views = Views::new([ViewInfo::new("windows", Shape::Windows, &columns)]);
        let all = [("bär", 0, 5), ("a10", 0, 7), ("a2", 0, NULL), ("bär", 60, 6)];
        let rows = Rows {
            columns: vec![
                Column::Text(Arc::new(all.map(|(who, ..)| Some(who.into())).to_vec())),
                Column::Timestamp(Arc::new(all.map(|(_, start, _)| start * 1_000_000).to_vec())),
                Column::Integer(Arc::new(all.map(|(.., n)| n).to_vec())),
            ],
            changes: Some(Changes {
                kinds: Arc::new(vec![Change::Insert; all.len()]),
                keys: Arc::new((0..all.len() as u8).map(|key| [key][..].into()).collect()),
            }),
        };
        let mut changes = ViewChanges::default();
        changes.add(0, Recent::of(&rows), Some(17), 1);
        views.take(changes, 1);
        views
    }

    fn found(query: RowsQuery) -> (Vec<String>, usize) {
        let views = windows();
        let found = views.get("windows").unwrap().find(&query);
        assert_eq!(found.kept, 4);
        (found.rows.into_iter().map(|row| row.id).collect(), found.matching)
    }

    #[test]
    fn rows_are_searched_sorted_and_paged() {
        let all = RowsQuery { limit: 9, ..RowsQuery::default() };
        let (bär, a2, a10) = (r#"["bär"]"#, r#"["a2"]"#, r#"["a10"]"#);
        let is = |query: RowsQuery, ids: &[&str], matching| {
            assert_eq!(found(query), (ids.iter().map(|id| (*id).to_owned()).collect(), matching));
        };
        is(all.clone(), &[bär, a2, a10, bär], 4);
        is(RowsQuery { sort: Some(0), ..all.clone() }, &[a2, a10, bär, bär], 4);
        is(RowsQuery { sort: Some(2), ..all.clone() }, &[bär, bär, a10, a2], 4);
        is(RowsQuery { sort: Some(2), descending: true, ..all.clone() }, &[a10, bär, bär, a2], 4);
        is(RowsQuery { sort: Some(0), offset: 1, limit: 2, ..all.clone() }, &[a10, bär], 4);
        is(RowsQuery { search: "BÄR".into(), ..all.clone() }, &[bär, bär], 2);
        is(RowsQuery { search: "00:01:00".into(), ..all.clone() }, &[bär], 1);
        is(RowsQuery { id: Some(a2.into()), ..all.clone() }, &[a2], 1);
        is(RowsQuery { sort: Some(99), offset: 9, ..all }, &[], 4);
    }

    #[test]
    fn values_are_those_of_a_file() {
        let views = windows();
        let view = views.get("windows").unwrap();
        assert_eq!((view.info.time, &view.info.key[..], view.changed), (Some(1), &[0][..], Some(17)));
        let query = RowsQuery { search: "a2".into(), limit: 1, ..RowsQuery::default() };
        let values = [Some("a2".into()), Some("1970-01-01 00:00:00.000000".into()), None];
        assert_eq!(view.find(&query).rows[0].values, values);
    }
}
