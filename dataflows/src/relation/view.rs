//! A view with a plan.

use std::borrow::Cow;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::build::{Build, Then, checks};
use super::content::{Content, Equals};
use super::delta::Key;
use super::entry::parsed;
use super::grouped::{restore, row_of};
use super::keyed::Operators;
use super::plan::{Aggregate, From, Relation};
use super::sink::{Emit, Keep, Sink};
use super::tally::Layout;
use super::value::Row;
use crate::Epoch;
use crate::effect::{Effect, Restored};
use crate::expression::Query;
use crate::rows::{Change, Changes, ColumnSpec, Rows, Type};
use crate::state::entries;
use crate::views::view::{View, keeps_nothing, render_stateless};
use crate::views::watermark::TopicTimes;
use crate::views::{Inputs, Settings};

/// A view that a job defines.
///
/// ```
/// use dataflows::expression::Expression;
/// use dataflows::relation::{From, PlannedView, Relation, Source};
/// use dataflows::views::Settings;
///
/// let settings = Settings::default();
/// let truck = Expression::field(settings.schema.field("truck_id").unwrap());
/// let source = Source { from: From::Readings, filter: None };
/// let relation = Relation::Select { source, columns: vec![truck] };
/// let planned = PlannedView::new("trucks", "TRUCKS", ["truck_id".to_owned()], relation);
/// assert_eq!(planned.view(&settings).columns[0].name, "truck_id");
/// ```
#[derive(Clone, Debug)]
pub struct PlannedView {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The names of its columns.
    pub names: Vec<String>,
    /// The plan.
    pub relation: Relation,
    /// The text of the definition: with another text it is another view.
    pub definition: String,
    /// The rows of its table.
    pub keep: Keep,
    /// When its windows have lines in its file; none: when they are closed.
    pub emit: Option<Emit>,
    /// Whether columns of decimals are doubles in its table. Its files keep their digits.
    pub doubles: bool,
    /// The columns of an index of its table.
    pub index: Vec<String>,
}

impl PlannedView {
    /// A view with default options.
    pub fn new(name: &str, table: &str, names: impl IntoIterator<Item = String>, relation: Relation) -> Self {
        Self {
            name: name.to_owned().into(),
            table: table.to_owned().into(),
            names: names.into_iter().collect(),
            relation,
            definition: String::new(),
            keep: Keep::Latest,
            emit: None,
            doubles: false,
            index: Vec::new(),
        }
    }

    /// The columns of its table.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        let types = self.relation.columns().into_iter().map(|(_, column_type)| match column_type {
            Type::Exact { .. } if self.doubles => Type::Decimal,
            other => other,
        });
        let names = self.names.iter().cloned();
        names.zip(types).map(|(name, column_type)| ColumnSpec { name: name.into(), column_type }).collect()
    }

    /// The groups whose rows it shows, if it shows those of groups.
    pub fn aggregate(&self) -> Option<&Aggregate> {
        match &self.relation {
            Relation::Aggregate(aggregate) => Some(aggregate),
            Relation::Select { source, .. } => match source.relation()? {
                Relation::Aggregate(aggregate) => Some(aggregate),
                _ => None,
            },
            _ => None,
        }
    }

    /// The places of the columns that show the keys of groups, then the start and the end of their windows. None if rows
    /// are not those of groups, or if not all of them are shown.
    pub fn key_columns(&self) -> Option<Vec<usize>> {
        let aggregate = self.aggregate()?;
        let keys = 0..aggregate.keys.len() + if aggregate.window.is_some() { 2 } else { 0 };
        keys.map(|key| self.column_of(key)).collect()
    }

    /// The places of the columns that show the keys of groups, without those of windows; none if rows are not those of
    /// groups. Keys that are not shown are left out.
    pub fn group_columns(&self) -> Vec<usize> {
        let keys = 0..self.aggregate().map_or(0, |aggregate| aggregate.keys.len());
        keys.filter_map(|key| self.column_of(key)).collect()
    }

    /// The place of the column that shows a column of what the view selects from.
    fn column_of(&self, place: usize) -> Option<usize> {
        match &self.relation {
            Relation::Select { columns, .. } => {
                columns.iter().position(|column| column.place() == Some(place))
            }
            _ => Some(place),
        }
    }

    /// The queries of a view that is made of each reading alone: several of a union.
    pub fn queries(&self) -> Option<Vec<Query>> {
        let specs = self.columns();
        let of = |relation: &Relation| match relation {
            Relation::Select { source, columns } if source.from == From::Readings => {
                let columns = specs.iter().cloned().zip(columns.iter().cloned()).collect();
                Some(Query { filter: source.filter.clone(), columns })
            }
            _ => None,
        };
        if !self.relation.is_stateless() {
            return None;
        }
        match &self.relation {
            Relation::Union(all) => all.iter().map(of).collect(),
            relation => of(relation).map(|query| vec![query]),
        }
    }

    /// The view itself.
    pub fn view(self, settings: &Settings) -> View {
        let columns = self.columns();
        let upserts = settings.upserts();
        let (drops_late, drops_surplus) = (self.relation.drops_late(), self.relation.drops_surplus());
        let name: Arc<str> = (*self.name).into();
        let mut view = View {
            name: self.name.clone(),
            table: self.table.clone(),
            columns: columns.into(),
            keyed: self.relation.retracts(upserts) && self.keep == Keep::Latest,
            of_readings: true,
            has_change: self.relation.loses_rows(upserts),
            keeps_times: drops_late,
            slide: self.relation.slide().unwrap_or(1),
            drops_readings: (drops_late || drops_surplus) && !upserts,
            definition: self.definition.clone(),
            index: self.index.clone(),
            keeps: keeps_nothing(),
            build: Arc::new(|_| unreachable!("set below")),
        };
        if let Some(queries) = self.queries() {
            let queries: Arc<[Query]> = queries.into();
            view.build = Arc::new(move |inputs| {
                let queries = queries.clone();
                render_stateless(inputs, &name, move |batch| Query::rows_of_all(&queries, &batch))
            });
            return view;
        }
        let numbers_rows = self.numbers_rows(upserts);
        let mut all = checks(&self.relation, upserts);
        if numbers_rows {
            all.push(Box::new(Content::keeps));
        }
        view.keeps = Arc::new(move |key, value| {
            TopicTimes::of_entry(key, value).is_some()
                || parsed(key).is_some_and(|(entry, operator, rest)| {
                    all.get(usize::from(operator)).is_some_and(|check| check(entry, rest, value))
                })
        });
        let planned = Arc::new(self);
        view.build = Arc::new(move |inputs| planned.build(inputs, &name, upserts, numbers_rows));
        view
    }

    /// The rows of groups that a part of its committed state has, at most `most`; none of other views, and of those that
    /// keep more than sums and extremes.
    pub fn committed_rows(&self, restored: &Restored, settings: &Settings, most: usize) -> Option<Rows> {
        let aggregate = self.aggregate().filter(|aggregate| aggregate.window.is_none())?;
        let layout = Layout::new(&aggregate.calls, aggregate.source.retracts(settings.upserts()));
        if settings.upserts() || !layout.bags.is_empty() {
            return None;
        }
        let of_group = |(key, value): (&[u8], &[u8])| {
            let (entry, 0, rest) = parsed(key)? else { return None };
            let mut tally = layout.places.empty().to_owned();
            let mut group = Key::default();
            restore(&layout, entry, rest, value, |of, _| {
                group = of.into();
                tally.get_mut()
            })?;
            let row: Row = row_of(&layout, &group, None, tally.get()).collect();
            let row = match &self.relation {
                Relation::Select { source, columns } => {
                    let passes = source.filter.as_ref().is_none_or(|filter| filter.holds_for(&row));
                    passes.then(|| columns.iter().map(|column| column.of_row(&row)).collect())?
                }
                _ => row,
            };
            Some((row, group))
        };
        let found = entries(&restored.bytes).flatten().filter_map(of_group).take(most);
        let (rows, keys): (Vec<Row>, Vec<Key>) = found.unzip();
        let kinds = Arc::new(vec![Change::Insert; keys.len()]);
        let is_keyed = self.keep == Keep::Latest;
        let changes = is_keyed.then(|| Changes { kinds, keys: Arc::new(keys) });
        Some(self.sink(settings.upserts()).rows(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), changes))
    }

    /// Whether rows need numbers among equals, because they can be taken back and nothing else identifies them.
    fn numbers_rows(&self, upserts: bool) -> bool {
        let is_keyed = self.relation.is_of_groups() || matches!(self.relation, Relation::Distinct(_));
        self.relation.retracts(upserts) && !is_keyed
    }

    fn sink(&self, upserts: bool) -> Sink {
        let default = if self.relation.is_windowed() { Emit::Close } else { Emit::Changes };
        let types = self.columns().into_iter().map(|spec| spec.column_type);
        Sink {
            keep: self.keep,
            emit: self.emit.unwrap_or(default),
            has_change: self.relation.loses_rows(upserts),
            appends: !self.relation.retracts(upserts),
            columns: self.relation.columns().into_iter().zip(types).collect(),
        }
    }

    fn build<'scope>(
        &self,
        inputs: &Inputs<'scope>,
        name: &Arc<str>,
        upserts: bool,
        numbers_rows: bool,
    ) -> StreamVec<'scope, Epoch, Effect> {
        let mut build = Build::new(&self.relation, Operators::new(inputs, name.clone(), upserts));
        let has_change = self.relation.loses_rows(upserts);
        let tells_old = has_change && self.keep == Keep::Latest;
        let sink = self.sink(upserts);
        let rows: Then<Effect> = Box::new(move |deltas| sink.effects(deltas));
        let rows = match numbers_rows {
            true => {
                let deltas = build.deltas(&self.relation);
                let operator = build.operators.number();
                build.content(deltas, Equals::Numbered, operator).flat_map(rows)
            }
            false => build.changes(&self.relation, tells_old, rows),
        };
        let start = inputs.start;
        let rows = rows.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Rows", move |_, _| {
            move |input, output| {
                input.for_each_stamp(|cap, containers| {
                    let due = cap.least().is_some_and(|epoch| *epoch > start);
                    let rows = containers.flat_map(|container| container.drain(..)).filter(|_| due);
                    output.session(&cap).give_iterator(rows);
                });
            }
        });
        build.operators.effects.push(rows);
        inputs.records.scope().concatenate(build.operators.effects)
    }
}
