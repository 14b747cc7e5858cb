//! Plans from random bytes, so that failing ones shrink with them.

use dataflows::expression::{Arithmetic, Comparison, Expression, Kind, Rounding, Test};
use dataflows::relation::{
    Aggregate, Bound, Call, Fraction, From, Function, Join, Patience, Population, Regression, Relation,
    Source, Window, WindowKind,
};

use crate::stream::{MINUTE, TEXTS, schema};

/// So that nothing is ever late.
const PATIENT: Patience = Patience { grace: i64::MAX / 2, idle: 5 * MINUTE };

/// A relation, and what limits the use of its columns.
#[derive(Clone)]
pub struct Plan {
    pub relation: Relation,
    scope: Scope,
}

/// The columns that expressions can use.
#[derive(Clone)]
struct Scope {
    all: Vec<Expression>,
    /// Standard deviations and correlations: they may be 2 ulp off, so that nothing is computed of them.
    roots: Vec<bool>,
    event_time: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Number,
    Text,
    Time,
    Truth,
}

fn is(expression: &Expression, wanted: Wanted) -> bool {
    match expression.kind() {
        Kind::Number(_) | Kind::Real => wanted == Wanted::Number,
        Kind::Text => wanted == Wanted::Text,
        Kind::Timestamp => wanted == Wanted::Time,
        Kind::Truth => wanted == Wanted::Truth,
        Kind::Null => false,
    }
}

impl Scope {
    fn readings() -> Self {
        let schema = schema();
        let all: Vec<_> = schema.fields().iter().map(Expression::field).collect();
        let event_time = all.iter().position(Expression::is_event_time);
        Self { roots: vec![false; all.len()], all, event_time }
    }

    /// The columns that can be used, of one type.
    fn of(&self, wanted: Wanted) -> Vec<&Expression> {
        let usable = self.all.iter().zip(&self.roots).filter(|(_, is_root)| !**is_root).map(|(one, _)| one);
        usable.filter(|one| is(one, wanted)).collect()
    }
}

impl Plan {
    fn new(relation: Relation, roots: Vec<bool>, event_time: Option<usize>) -> Self {
        let all = Expression::of_columns(&relation.columns());
        Self { relation, scope: Scope { all, roots, event_time } }
    }
}

/// Makes plans of bytes.
pub struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % n
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn any(&mut self) -> Wanted {
        self.one(&[Wanted::Number, Wanted::Number, Wanted::Text, Wanted::Time, Wanted::Truth])
    }

    fn leaf(&mut self, scope: &Scope, wanted: Wanted) -> Expression {
        let columns = scope.of(wanted);
        if !columns.is_empty() && self.below(5) < 4 {
            return self.one(&columns).clone();
        }
        match wanted {
            Wanted::Number => {
                let (units, scale) = self.one(&[(1, 0), (0, 0), (2, 0), (-5, 1), (82, 0), (3, 9), (1, 12)]);
                Expression::number(units, scale).unwrap()
            }
            Wanted::Text => Expression::text(self.one(&TEXTS)),
            Wanted::Time => Expression::timestamp(self.one(&[0, -MINUTE, crate::stream::DAY + 5 * MINUTE])),
            Wanted::Truth => {
                let holds = self.below(2) == 0;
                Expression::truth(holds)
            }
        }
    }

    fn expression(&mut self, scope: &Scope, wanted: Wanted, depth: usize) -> Expression {
        if depth == 0 {
            return self.leaf(scope, wanted);
        }
        let depth = depth - 1;
        let shared = match self.below(12) {
            0 => {
                let when = self.expression(scope, Wanted::Truth, depth);
                let then = self.leaf(scope, wanted);
                let last = if self.below(2) == 0 { Expression::null() } else { self.leaf(scope, wanted) };
                Expression::case(vec![(when, then)], last)
            }
            1 => Expression::coalesce(vec![self.leaf(scope, wanted), self.leaf(scope, wanted)]),
            2 => self.leaf(scope, wanted).null_if(self.leaf(scope, wanted)),
            3 => Expression::greatest(vec![self.leaf(scope, wanted), self.leaf(scope, wanted)]),
            other if other < 8 => return self.leaf(scope, wanted),
            _ => self.typed(scope, wanted, depth),
        };
        shared.unwrap_or_else(|_| self.leaf(scope, wanted))
    }

    fn typed(
        &mut self,
        scope: &Scope,
        wanted: Wanted,
        depth: usize,
    ) -> Result<Expression, dataflows::expression::Mismatch> {
        match wanted {
            Wanted::Number => match self.below(9) {
                0 => self.expression(scope, wanted, depth).negated(),
                1 => self.expression(scope, wanted, depth).absolute(),
                2 => self.expression(scope, wanted, depth).to_real(),
                3 => {
                    let (rounding, places) = self.one(&[(Rounding::Floor, 0), (Rounding::Nearest, 2)]);
                    self.expression(scope, wanted, depth).round(rounding, places)
                }
                4 => {
                    let (a, b) = (self.leaf(scope, Wanted::Time), self.leaf(scope, Wanted::Time));
                    Expression::elapsed(a, b)
                }
                _ => {
                    let op = self.one(&[
                        Arithmetic::Add,
                        Arithmetic::Subtract,
                        Arithmetic::Multiply,
                        Arithmetic::Divide,
                        Arithmetic::Remainder,
                    ]);
                    let a = self.expression(scope, wanted, depth);
                    Expression::arithmetic(op, a, self.expression(scope, wanted, depth))
                }
            },
            Wanted::Text => Ok(self.leaf(scope, wanted)),
            Wanted::Time => {
                let by = self.one(&[MINUTE, -3 * MINUTE, 1]);
                self.leaf(scope, wanted).shifted(by)
            }
            Wanted::Truth => match self.below(8) {
                0 => Expression::and(vec![
                    self.expression(scope, wanted, depth),
                    self.expression(scope, wanted, depth),
                ]),
                1 => Expression::or(vec![
                    self.expression(scope, wanted, depth),
                    self.expression(scope, wanted, depth),
                ]),
                2 => self.expression(scope, wanted, depth).negation(),
                3 => {
                    let of = self.any();
                    self.expression(scope, of, depth).is(Test::Null)
                }
                _ => {
                    let of = self.any();
                    let op = self.one(&[
                        Comparison::Greater,
                        Comparison::LessOrEqual,
                        Comparison::Equal,
                        Comparison::NotEqual,
                    ]);
                    let a = self.expression(scope, of, depth);
                    Expression::compare(op, a, self.expression(scope, of, depth))
                }
            },
        }
    }

    fn filter(&mut self, scope: &Scope) -> Option<Expression> {
        match self.below(3) {
            0 => self.typed(scope, Wanted::Truth, 1).ok().filter(|one| is(one, Wanted::Truth)),
            _ => None,
        }
    }

    /// Rows, and their columns.
    fn source(&mut self, depth: usize, joins: bool) -> (Source, Scope) {
        if depth == 0 || self.below(3) == 0 {
            let scope = Scope::readings();
            let filter = self.filter(&scope);
            return (Source { from: From::Readings, filter }, scope);
        }
        let Plan { relation, scope } = self.plan(depth - 1, joins);
        let filter = self.filter(&scope);
        (Source { from: From::Relation(Box::new(relation)), filter }, scope)
    }

    /// A plan of at most so many levels more.
    pub fn plan(&mut self, depth: usize, joins: bool) -> Plan {
        match self.below(10) {
            _ if depth == 0 => self.select(0, joins),
            0 => self.select(depth, joins),
            1 => {
                let of = self.plan(depth - 1, joins);
                match of.scope.roots.contains(&true) {
                    true => of,
                    false => Plan { relation: Relation::Distinct(Box::new(of.relation)), scope: of.scope },
                }
            }
            2 => self.union(depth, joins),
            3 | 4 if joins => self.join(depth),
            _ => self.aggregate(depth, joins),
        }
    }

    fn select(&mut self, depth: usize, joins: bool) -> Plan {
        let (source, scope) = self.source(depth, joins);
        let (mut columns, mut roots, mut event_time) = (Vec::new(), Vec::new(), None);
        for place in 0..1 + self.below(4) {
            if self.below(3) > 0 {
                // The time and the truck are the most useful ones.
                let often = if place < 2 && scope.all.len() > 4 { [0, 4][place] } else { 0 };
                let of = if self.below(2) == 0 { often } else { self.below(scope.all.len()) };
                columns.push(scope.all[of].clone());
                roots.push(scope.roots[of]);
                if scope.event_time == Some(of) {
                    event_time = Some(columns.len() - 1);
                }
            } else {
                let wanted = self.any();
                columns.push(self.expression(&scope, wanted, 2));
                roots.push(false);
            }
        }
        Plan::new(Relation::Select { source, columns }, roots, event_time)
    }

    /// Relations with columns of the same types.
    fn union(&mut self, depth: usize, joins: bool) -> Plan {
        let first = self.plan(depth - 1, joins);
        let mut all = vec![first.relation.clone()];
        for _ in 0..1 + self.below(2) {
            all.push(match &first.relation {
                Relation::Select { source: Source { from: From::Readings, .. }, columns } => {
                    let scope = Scope::readings();
                    let filter = self.filter(&scope);
                    let mut other = |one: &Expression| {
                        let type_of = |one: &Expression| (one.kind(), one.column_type());
                        let same = scope.all.iter().filter(|other| type_of(other) == type_of(one));
                        let same: Vec<_> = same.cloned().collect();
                        // Event time has to stay at its place.
                        let stays = one.is_event_time() || same.is_empty();
                        if stays { one.clone() } else { self.one(&same) }
                    };
                    let columns = columns.iter().map(&mut other).collect();
                    Relation::Select { source: Source { from: From::Readings, filter }, columns }
                }
                of => {
                    let filter = self.filter(&first.scope);
                    let source = Source { from: From::Relation(Box::new(of.clone())), filter };
                    Relation::Select { source, columns: first.scope.all.clone() }
                }
            });
        }
        Plan { relation: Relation::Union(all), ..first }
    }

    fn join(&mut self, depth: usize) -> Plan {
        let left = self.plan(depth - 1, false);
        let right = if self.below(3) == 0 { left.clone() } else { self.plan(depth - 1, false) };
        let pairs = |left: &Scope, right: &Scope| -> Vec<(Expression, Expression)> {
            let is_usable = |one: &Expression, scope: &Scope| {
                one.kind() != Kind::Null && one.place().is_some_and(|place| !scope.roots[place])
            };
            // Numbers are compared as their units.
            let same = |a: &Expression, b: &Expression| match (a.kind(), b.kind()) {
                (Kind::Number(a), Kind::Number(b)) => a.scale == b.scale,
                (a, b) => a == b,
            };
            let lefts = left.all.iter().filter(|one| is_usable(one, left));
            let of_left = |a: &Expression| {
                let rights = right.all.iter().filter(|b| is_usable(b, right) && same(a, b));
                rights.map(|b| (a.clone(), b.clone())).collect::<Vec<_>>()
            };
            lefts.flat_map(of_left).collect()
        };
        let pairs = pairs(&left.scope, &right.scope);
        let keys = match pairs.is_empty() {
            true => Vec::new(),
            false => (0..1 + self.below(2)).map(|_| self.one(&pairs)).collect(),
        };
        let times = [left.scope.of(Wanted::Time), right.scope.of(Wanted::Time)];
        let bound = match times.iter().any(Vec::is_empty) || self.below(2) == 0 {
            true => None,
            false => {
                let (from, to) = self.one(&[
                    (-MINUTE, MINUTE),
                    (0, 0),
                    (0, 5 * MINUTE),
                    (-3 * MINUTE, 0),
                    (MINUTE, 2 * MINUTE),
                    (-9 * MINUTE, -2 * MINUTE),
                    (2 * MINUTE, MINUTE),
                ]);
                let (left, right) = (self.one(&times[0]).clone(), self.one(&times[1]).clone());
                Some(Bound { left, right, from, to, patience: PATIENT })
            }
        };
        let roots = [left.scope.roots, right.scope.roots].concat();
        let join = Join { left: left.relation, right: right.relation, keys, bound, limit: None };
        Plan::new(Relation::Join(Box::new(join)), roots, None)
    }

    fn aggregate(&mut self, depth: usize, joins: bool) -> Plan {
        let (source, scope) = self.source(depth, joins);
        let keys: Vec<Expression> = (0..self.below(4))
            .map(|place| match self.below(4) {
                3 => {
                    let wanted = self.any();
                    self.expression(&scope, wanted, 1)
                }
                _ if place == 0 && !scope.of(Wanted::Text).is_empty() => scope.of(Wanted::Text)[0].clone(),
                _ => {
                    let wanted = self.any();
                    self.leaf(&scope, wanted)
                }
            })
            .collect();
        let of_readings = match &source.from {
            From::Readings => true,
            From::Relation(of) => of.is_stateless(),
        };
        let times = scope.of(Wanted::Time);
        let kind = match self.below(6) {
            _ if times.is_empty() => None,
            0 | 1 => {
                let (slide, size) = self.one(&[(5, 5), (1, 1), (1, 3), (2, 5), (3, 2), (10, 10), (7, 2)]);
                Some(WindowKind::Hop { slide: slide * MINUTE, size: size * MINUTE })
            }
            2 if of_readings && !keys.is_empty() => {
                let gap = self.one(&[2 * MINUTE, MINUTE, 3 * MINUTE + 1, 1]);
                Some(WindowKind::Session { gap })
            }
            _ => None,
        };
        let window = kind.map(|kind| Window { time: self.one(&times).clone(), kind, patience: PATIENT });
        let calls: Vec<Call> = (0..1 + self.below(4)).map(|_| self.call(&scope)).collect();
        let needs_time = calls.iter().any(|call| matches!(call.function, Function::First | Function::Last));
        let time = scope.event_time.filter(|_| needs_time).map(|place| scope.all[place].clone());
        let before = keys.len() + if window.is_some() { 2 } else { 0 };
        let roots = (0..before).map(|_| false);
        let roots = roots
            .chain(calls.iter().map(|call| matches!(call.function, Function::Stddev(_) | Function::Corr)));
        let roots = roots.collect();
        let is_whole = keys.is_empty() && window.is_none();
        let aggregate = Aggregate { source, keys, is_whole, window, calls, time };
        Plan::new(Relation::Aggregate(Box::new(aggregate)), roots, None)
    }

    fn call(&mut self, scope: &Scope) -> Call {
        let population = self.one(&[Population::Whole, Population::Sample]);
        let fraction = self.one(&[(5, 1), (0, 0), (1, 0), (25, 2), (9, 1), (333, 3)]);
        let fraction = Fraction { units: fraction.0, scale: fraction.1 };
        let function = self.one(&[
            Function::Count,
            Function::Sum,
            Function::Avg,
            Function::Min,
            Function::Max,
            Function::Sum,
            Function::Var(population),
            Function::Stddev(population),
            Function::Median,
            Function::PercentileCont(fraction),
            Function::PercentileDisc(fraction),
            Function::First,
            Function::Last,
            Function::First,
            Function::Last,
            Function::Covar(population),
            Function::Corr,
            Function::Regr(Regression::Slope),
            Function::Regr(Regression::Intercept),
            Function::Regr(Regression::R2),
            Function::Regr(Regression::Count),
            Function::Regr(Regression::AvgX),
            Function::Regr(Regression::AvgY),
            Function::Regr(Regression::Sxx),
            Function::Regr(Regression::Syy),
            Function::Regr(Regression::Sxy),
        ]);
        let filter = if self.below(4) == 0 { self.filter(scope) } else { None };
        let measure = if self.below(5) == 0 { Wanted::Time } else { Wanted::Number };
        let (arguments, distinct) = match function {
            Function::Count if self.below(2) == 0 => (Vec::new(), false),
            Function::First | Function::Last if scope.event_time.is_none() => {
                return Call::new(Function::Count, Vec::new(), false, filter).unwrap();
            }
            Function::First | Function::Last | Function::PercentileDisc(_) => {
                let wanted = self.any();
                (vec![self.expression(scope, wanted, 1)], false)
            }
            Function::Count | Function::Min | Function::Max => {
                let wanted = self.any();
                (vec![self.expression(scope, wanted, 1)], self.below(2) == 0)
            }
            Function::Sum | Function::Avg | Function::Var(_) | Function::Stddev(_) => {
                (vec![self.expression(scope, measure, 1)], self.below(3) == 0)
            }
            Function::Median | Function::PercentileCont(_) => {
                (vec![self.expression(scope, measure, 1)], false)
            }
            _ => {
                let y = self.expression(scope, measure, 1);
                (vec![y, self.expression(scope, Wanted::Number, 1)], false)
            }
        };
        let call = Call::new(function, arguments, distinct, filter.clone());
        call.unwrap_or_else(|_| Call::new(Function::Count, Vec::new(), false, filter).unwrap())
    }
}
