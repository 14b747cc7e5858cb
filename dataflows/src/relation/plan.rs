//! The logical plan of a view: a tree of relations, typed and checked.

use super::call::{Call, ColumnKind};
use crate::expression::{Decimal, Expression, Kind, MOST_PRODUCT_PLACES};
use crate::rows::Type;
use crate::schema::Place;

/// The most rows that a view without state makes of a reading.
const MOST_OF_READING: usize = 256;

/// A relation: rows, each with the same columns.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // a plan has few of them
pub enum Relation {
    /// The rows of another that satisfy a condition, with columns computed from them.
    Select {
        /// The rows.
        source: Source,
        /// The columns.
        columns: Vec<Expression>,
    },
    /// One row per group.
    Aggregate(Box<Aggregate>),
    /// Each row once.
    Distinct(Box<Relation>),
    /// All rows of all.
    Union(Vec<Relation>),
    /// The pairs of rows that match.
    Join(Box<Join>),
}

/// Rows that satisfy a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The rows.
    pub from: From,
    /// The condition; none: all rows.
    pub filter: Option<Expression>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// The readings: expressions are of their fields.
    Readings,
    /// Another relation: expressions are of its columns.
    Relation(Box<Relation>),
}

/// Groups of rows, and what is computed of each. Its columns are the keys, the window's start and end, and the calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The rows.
    pub source: Source,
    /// The values that the rows of a group have in common.
    pub keys: Vec<Expression>,
    /// Whether there is a group without rows, too: without GROUP BY.
    pub is_whole: bool,
    /// The windows of time that rows are also grouped by.
    pub window: Option<Window>,
    /// What is computed.
    pub calls: Vec<Call>,
    /// Event time, if a call needs it.
    pub time: Option<Expression>,
}

/// Windows of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The time of a row. A row without one is in no window.
    pub time: Expression,
    /// Their kind.
    pub kind: WindowKind,
    /// When they are closed, and when discarded.
    pub patience: Patience,
}

/// The kind of windows. All spans are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows of one size that begin at the multiples of `slide` since 1970.
    Hop {
        /// From the start of one to the start of the next.
        slide: i64,
        /// From the start to the end.
        size: i64,
    },
    /// Rows of a group that are less than this apart.
    Session {
        /// The gap that ends a session.
        gap: i64,
    },
}

/// How long state waits for late rows, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How far behind the time of its group a row may be.
    pub grace: i64,
    /// How far a group may be behind the topic before it follows the topic's time.
    pub idle: i64,
}

/// Pairs of rows with equal keys. Its columns are those of the left, then those of the right relation.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The left rows.
    pub left: Relation,
    /// The right rows.
    pub right: Relation,
    /// The values that have to be equal: of the left and of the right row.
    pub keys: Vec<(Expression, Expression)>,
    /// The bound on the difference of times.
    pub bound: Option<Bound>,
    /// How many rows of a side may have the same key; none: any number.
    pub limit: Option<u64>,
}

/// A bound on the difference of two times: `from <= right - left <= to`, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The time of the left row.
    pub left: Expression,
    /// The time of the right row.
    pub right: Expression,
    /// The least difference.
    pub from: i64,
    /// The greatest difference.
    pub to: i64,
    /// When rows are discarded.
    pub patience: Patience,
}

impl Relation {
    /// The types of its columns.
    pub fn columns(&self) -> Vec<ColumnKind> {
        match self {
            Self::Select { columns, .. } => columns.iter().map(of_expression).collect(),
            Self::Aggregate(aggregate) => aggregate.columns(),
            Self::Distinct(of) => of.columns(),
            Self::Union(all) => all.iter().map(Self::columns).reduce(united).unwrap_or_default(),
            Self::Join(join) => [join.left.columns(), join.right.columns()].concat(),
        }
    }

    /// The relations that it reads; readings are none.
    pub fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Select { source, .. } => source.relation().into_iter().collect(),
            Self::Aggregate(aggregate) => aggregate.source.relation().into_iter().collect(),
            Self::Distinct(of) => vec![of],
            Self::Union(all) => all.iter().collect(),
            Self::Join(join) => vec![&join.left, &join.right],
        }
    }

    /// Whether its rows are those of readings, each of one.
    pub fn is_of_readings(&self) -> bool {
        matches!(self, Self::Select { source, .. } if source.from == From::Readings)
    }

    /// Whether it is made of each reading alone: the columns of some readings, or several of these.
    pub fn is_stateless(&self) -> bool {
        match self {
            Self::Union(all) => all.len() <= MOST_OF_READING && all.iter().all(Self::is_of_readings),
            one => one.is_of_readings(),
        }
    }

    /// Whether its rows are those of groups, or of some of them.
    pub fn is_of_groups(&self) -> bool {
        match self {
            Self::Select { source, .. } => matches!(source.relation(), Some(Self::Aggregate(_))),
            relation => matches!(relation, Self::Aggregate(_)),
        }
    }

    /// Whether rows that were inserted can be taken back, if readings can (`upserts`).
    pub fn retracts(&self, upserts: bool) -> bool {
        match self {
            Self::Select { source, .. } => source.retracts(upserts),
            Self::Aggregate(_) => true,
            _ => self.inputs().iter().any(|one| one.retracts(upserts)),
        }
    }

    /// Whether a row can disappear without another one in its place.
    pub fn loses_rows(&self, upserts: bool) -> bool {
        match self {
            Self::Select { source: Source { from: From::Relation(of), filter }, .. } => match &**of {
                Self::Aggregate(_) => filter.is_some() || of.loses_rows(upserts),
                _ => of.retracts(upserts),
            },
            Self::Aggregate(aggregate) => {
                let is_session = matches!(&aggregate.window, Some(window) if matches!(window.kind, WindowKind::Session { .. }));
                is_session || aggregate.source.retracts(upserts)
            }
            _ => self.retracts(upserts),
        }
    }

    /// Whether it has windows.
    pub fn is_windowed(&self) -> bool {
        match self {
            Self::Select { source: Source { from: From::Relation(of), .. }, .. } => of.is_windowed(),
            Self::Aggregate(aggregate) => aggregate.window.is_some(),
            _ => false,
        }
    }

    /// Whether it, or one that it reads, uses a field of readings.
    pub fn uses(&self, field: Place) -> bool {
        let uses = |expression: &Expression| expression.uses(field);
        let own = match self {
            Self::Select { source, columns } => source.filter.iter().chain(columns).any(uses),
            Self::Aggregate(aggregate) => aggregate.expressions().any(uses),
            // Their expressions are of the columns of others.
            Self::Distinct(_) | Self::Union(_) | Self::Join(_) => false,
        };
        own || self.inputs().into_iter().any(|one| one.uses(field))
    }

    /// The longest time from the start of one of its windows to the next.
    pub fn slide(&self) -> Option<i64> {
        let own = match self {
            Self::Aggregate(aggregate) => aggregate.window.as_ref().map(|window| match window.kind {
                WindowKind::Hop { slide, .. } => slide,
                WindowKind::Session { gap } => gap,
            }),
            _ => None,
        };
        self.inputs().into_iter().map(Self::slide).fold(own, Option::max)
    }

    /// Whether its operator keeps rows, or what is known of them.
    pub fn keeps_rows(&self) -> bool {
        !matches!(self, Self::Select { .. } | Self::Union(_))
    }

    /// The relations in it that keep rows: each once, in the order of the numbers of their operators, then those that it
    /// has more than once.
    pub fn keeping(&self) -> (Vec<&Self>, Vec<&Self>) {
        fn find<'a>(one: &'a Relation, once: &mut Vec<&'a Relation>, again: &mut Vec<&'a Relation>) {
            if one.keeps_rows() {
                if once.contains(&one) {
                    again.push(one);
                    return;
                }
                once.push(one);
            }
            one.inputs().into_iter().for_each(|one| find(one, once, again));
        }
        let (mut once, mut again) = (Vec::new(), Vec::new());
        find(self, &mut once, &mut again);
        (once, again)
    }

    /// Whether it, or one that it reads, satisfies a condition.
    pub fn any(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        holds(self) || self.inputs().iter().any(|one| one.any(holds))
    }

    /// Whether it drops rows that are late.
    pub fn drops_late(&self) -> bool {
        self.any(&|one| match one {
            Self::Aggregate(aggregate) => aggregate.window.is_some(),
            Self::Join(join) => join.bound.is_some(),
            _ => false,
        })
    }

    /// Whether it drops rows beyond a limit.
    pub fn drops_surplus(&self) -> bool {
        self.any(&|one| matches!(one, Self::Join(join) if join.limit.is_some()))
    }

    /// Whether a reading that it drops counts nowhere in it: one operator drops readings, and all of them go through it.
    /// Of overlapping windows a reading may still be in some.
    pub fn drops_whole_readings(&self) -> bool {
        fn go_around(one: &Relation, dropping: &Relation) -> bool {
            let reads = match one {
                Relation::Select { source, .. } => source.from == From::Readings,
                Relation::Aggregate(aggregate) => aggregate.source.from == From::Readings,
                _ => false,
            };
            one != dropping && (reads || one.inputs().into_iter().any(|one| go_around(one, dropping)))
        }
        let is_dropping = |one: &&&Self| match one {
            Self::Aggregate(aggregate) => aggregate.window.is_some(),
            Self::Join(join) => join.may_drop(),
            _ => false,
        };
        let (keeping, _) = self.keeping();
        let mut dropping = keeping.iter().filter(is_dropping);
        let (Some(one), None) = (dropping.next(), dropping.next()) else { return false };
        let is_whole = match one {
            Self::Aggregate(aggregate) => match aggregate.window.as_ref().map(|window| window.kind) {
                Some(WindowKind::Hop { slide, size }) => size <= slide,
                _ => true,
            },
            Self::Join(join) => join.is_with_itself(),
            _ => false,
        };
        is_whole && !go_around(self, one)
    }
}

impl Join {
    /// The keys of a side (0: left, 1: right), and the time of the bound.
    pub fn of_side(&self, side: usize) -> (Vec<&Expression>, Option<&Expression>) {
        let keys = self.keys.iter().map(|(left, right)| if side == 0 { left } else { right });
        let time = self.bound.as_ref().map(|bound| if side == 0 { &bound.left } else { &bound.right });
        (keys.collect(), time)
    }

    /// Whether the rows of both sides are readings with the same key and time.
    pub fn is_with_itself(&self) -> bool {
        let of_readings = |relation: &Relation, side: usize| match relation {
            Relation::Select { source, columns } if source.from == From::Readings => {
                let (keys, time) = self.of_side(side);
                let of = keys.into_iter().chain(time);
                of.map(|one| one.place().map(|place| columns[place].clone())).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let left = of_readings(&self.left, 0);
        left.is_some() && left == of_readings(&self.right, 1)
    }

    /// Whether it may drop rows.
    pub fn may_drop(&self) -> bool {
        self.bound.is_some() || self.limit.is_some()
    }

    /// Whether the times of matching rows are equal. A limit then is one of the rows with the same key and time.
    pub fn is_at_once(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| (bound.from, bound.to) == (0, 0))
    }

    /// Whether rows of a side can be taken back.
    pub fn retracts(&self, upserts: bool) -> bool {
        self.left.retracts(upserts) || self.right.retracts(upserts)
    }
}

impl Source {
    /// All rows of a relation.
    pub fn of(relation: Relation) -> Self {
        Self { from: From::Relation(Box::new(relation)), filter: None }
    }

    /// The relation that rows are of; none: readings.
    pub fn relation(&self) -> Option<&Relation> {
        match &self.from {
            From::Readings => None,
            From::Relation(of) => Some(of),
        }
    }

    /// Whether its rows can be taken back.
    pub fn retracts(&self, upserts: bool) -> bool {
        self.relation().map_or(upserts, |of| of.retracts(upserts))
    }
}

impl Aggregate {
    /// The expressions of its rows.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let calls = self.calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
        let window = self.window.iter().map(|window| &window.time);
        self.source.filter.iter().chain(&self.keys).chain(window).chain(&self.time).chain(calls)
    }

    /// The types of its columns.
    pub fn columns(&self) -> Vec<ColumnKind> {
        let keys = self.keys.iter().map(of_expression);
        let bounds = [(Kind::Timestamp, Type::Timestamp); 2];
        let window = self.window.iter().flat_map(|_| bounds);
        keys.chain(window).chain(self.calls.iter().map(Call::column)).collect()
    }
}

/// The types of columns that have the values of both. Those are of the same kind and scale.
fn united(one: Vec<ColumnKind>, other: Vec<ColumnKind>) -> Vec<ColumnKind> {
    let both = |((kind, column_type), (other, other_type)): (ColumnKind, ColumnKind)| {
        let kind = match (kind, other) {
            (Kind::Number(x), Kind::Number(y)) => {
                let of_aggregates = x.of_aggregates || y.of_aggregates;
                Kind::Number(Decimal { bound: x.bound.max(y.bound), of_aggregates, ..x })
            }
            (Kind::Null, other) => other,
            (kind, _) => kind,
        };
        let column_type = match (kind, column_type == other_type) {
            (_, true) => column_type,
            (Kind::Number(Decimal { scale, .. }), false) if scale <= MOST_PRODUCT_PLACES => {
                Type::Exact { digits: 65, scale }
            }
            (Kind::Number(_) | Kind::Real, false) => Type::Real,
            (_, false) => column_type,
        };
        (kind, column_type)
    };
    one.into_iter().zip(other).map(both).collect()
}

fn of_expression(expression: &Expression) -> ColumnKind {
    (expression.kind(), expression.column_type())
}

impl Expression {
    /// The columns of a relation.
    pub fn of_columns(columns: &[ColumnKind]) -> Vec<Self> {
        let columns = columns.iter().enumerate();
        columns.map(|(place, (kind, column_type))| Self::of_column(place, *kind, *column_type)).collect()
    }
}
