//! The rows of a relation, computed from all readings at once: decimals and doubles as big rationals, each group from
//! all of its rows. It shares no code with the operators of [`crate::relation`].
//!
//! | file | contents |
//! |---|---|
//! | `cell` | values of result rows, and how found ones are judged |
//! | `groups` | groups, windows and sessions |
//! | `calls` | aggregate functions |

mod calls;
mod cell;
mod groups;
mod input;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::cell::{Cell, agree};

use self::cell::Ordered;
use self::input::Input;
use crate::batch::Record;
use crate::expression::Expression;
use crate::relation::plan::{Bound, From, Join, Relation, Source};

/// The rows of a relation over all current readings, in no particular order. Limits and patience are ignored: all rows
/// count, however late.
///
/// ```
/// use dataflows::batch::{NANO, Record};
/// use dataflows::expression::Expression;
/// use dataflows::oracle::relation::rows;
/// use dataflows::oracle::value::Datum;
/// use dataflows::relation::call::{Call, Function};
/// use dataflows::relation::plan::{Aggregate, From, Relation, Source};
/// use dataflows::schema::Schema;
///
/// // SELECT truck_id, AVG(engine_speed) … GROUP BY truck_id
/// let field = |name| Expression::field(Schema::trucks().field(name).unwrap());
/// let relation = Relation::Aggregate(Box::new(Aggregate {
///     source: Source { from: From::Readings, filter: None },
///     keys: vec![field("truck_id")],
///     is_whole: false,
///     window: None,
///     calls: vec![Call::new(Function::Avg, vec![field("engine_speed")], false, None).unwrap()],
///     time: None,
/// }));
/// let record = |speed: i64| Record {
///     entity: "a".into(),
///     time: 0,
///     units: vec![0, speed * NANO, 0],
///     texts: Vec::new(),
/// };
/// let found = rows(&relation, &[record(80), record(81)]);
/// assert!(found[0][1].agrees(&Datum::Real(80.5)));
/// ```
pub fn rows<'a>(relation: &Relation, readings: impl IntoIterator<Item = &'a Record>) -> Vec<Vec<Cell>> {
    rows_after(relation, readings.into_iter().map(|record| (record, i64::MIN)))
}

/// The same, where each reading counts only in windows of readings that end after the time next to it.
pub fn rows_after<'a>(
    relation: &Relation,
    readings: impl IntoIterator<Item = (&'a Record, i64)>,
) -> Vec<Vec<Cell>> {
    let readings: Vec<(&Record, i64)> = readings.into_iter().collect();
    computed(relation, &readings)
}

fn computed(relation: &Relation, readings: &[(&Record, i64)]) -> Vec<Vec<Cell>> {
    match relation {
        Relation::Select { source, columns } => {
            let rows = inputs(source, readings);
            rows.iter().map(|row| columns.iter().map(|column| row.cell(column)).collect()).collect()
        }
        Relation::Aggregate(aggregate) => groups::rows(aggregate, &inputs(&aggregate.source, readings)),
        Relation::Distinct(of) => {
            let mut seen = BTreeSet::new();
            let mut rows = computed(of, readings);
            rows.retain(|row| seen.insert(row.iter().map(|cell| Ordered(cell.datum())).collect::<Vec<_>>()));
            rows
        }
        Relation::Union(all) => all.iter().flat_map(|one| computed(one, readings)).collect(),
        Relation::Join(join) => joined(join, readings),
    }
}

fn inputs<'a>(source: &Source, readings: &[(&'a Record, i64)]) -> Vec<Input<'a>> {
    let mut rows: Vec<Input<'a>> = match &source.from {
        From::Readings => readings.iter().map(|(record, after)| Input::Reading(record, *after)).collect(),
        From::Relation(relation) => computed(relation, readings).into_iter().map(Input::of).collect(),
    };
    rows.retain(|row| row.satisfies(source.filter.as_ref()));
    rows
}

fn joined(join: &Join, readings: &[(&Record, i64)]) -> Vec<Vec<Cell>> {
    // The rows of a key with their times, which are in order; without a bound, the times are all the same.
    let mut rights: BTreeMap<Vec<Ordered>, Vec<(i128, Vec<Cell>)>> = BTreeMap::new();
    for cells in computed(&join.right, readings) {
        let right = Input::of(cells);
        let key = key(&right, join.keys.iter().map(|(_, right)| right));
        if let (Some(key), Some(time), Input::Row(cells, _)) =
            (key, time_of(join, &right, |bound| &bound.right), right)
        {
            rights.entry(key).or_default().push((time, cells));
        }
    }
    rights.values_mut().for_each(|rows| rows.sort_by_key(|(time, _)| *time));
    let (from, to) = join.bound.as_ref().map_or((0, 0), |bound| (bound.from.into(), bound.to.into()));
    let mut rows = Vec::new();
    for cells in computed(&join.left, readings) {
        let left = Input::of(cells);
        let of_key = key(&left, join.keys.iter().map(|(left, _)| left)).and_then(|key| rights.get(&key));
        let (Some(of_key), Some(time)) = (of_key, time_of(join, &left, |bound| &bound.left)) else {
            continue;
        };
        let Input::Row(one, _) = &left else { continue };
        let first = of_key.partition_point(|(other, _)| other - time < from);
        let within = of_key[first..].iter().take_while(|(other, _)| other - time <= to);
        rows.extend(within.map(|(_, other)| [one.clone(), other.clone()].concat()));
    }
    rows
}

/// The time of a row for the bound of a join; none if it is NULL.
fn time_of(join: &Join, row: &Input<'_>, side: impl Fn(&Bound) -> &Expression) -> Option<i128> {
    join.bound.as_ref().map_or(Some(0), |bound| row.time(side(bound)).map(i128::from))
}

/// The key of a row of a join; none with NULL, which equals nothing.
fn key<'e>(row: &Input<'_>, expressions: impl Iterator<Item = &'e Expression>) -> Option<Vec<Ordered>> {
    expressions.map(|one| Some(row.value(one)).filter(|value| !value.is_null()).map(Ordered)).collect()
}
