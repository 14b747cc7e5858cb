//! The operations. Each checks the types of its operands, and determines the type of its result.

use ethnum::I256;

use super::compare::{Comparator, Comparison};
use super::pattern::Pattern;
use super::tree::{Constant, Expression, Node};
use super::types::{
    Arithmetic, Decimal, Kind, MOST_PRODUCT_PLACES, MOST_ROUNDED_PLACES, Mismatch, Rounding, Test, power,
};

/// Decimal places of seconds that are counted in microseconds.
const MICRO_SCALE: u8 = 6;

impl Expression {
    /// The nearest double to a number: `CAST(… AS DOUBLE)`.
    pub fn to_real(self) -> Result<Self, Mismatch> {
        match self.kind {
            Kind::Null => Ok(self.typed(Kind::Real)),
            Kind::Real => Ok(self),
            Kind::Number(decimal) => Ok(self.rounded(decimal)),
            other => Err(Mismatch::new(0, format!("{other} is not a number"))),
        }
    }

    fn rounded(self, decimal: Decimal) -> Self {
        Self::new(Kind::Real, Node::Rounded(decimal.scale, self.into()))
    }

    /// Checks that it is a number; returns its decimal, or none for a double.
    fn numeric(self, operand: usize, what: &str) -> Result<(Self, Option<Decimal>), Mismatch> {
        let this = self.typed(Kind::Number(Decimal::default()));
        match this.kind {
            Kind::Number(decimal) => Ok((this, Some(decimal))),
            Kind::Real => Ok((this, None)),
            other => Err(Mismatch::new(operand, format!("{what} takes numbers, not {other}"))),
        }
    }

    fn condition(self, operand: usize, what: &str) -> Result<Self, Mismatch> {
        let this = self.typed(Kind::Truth);
        match this.kind {
            Kind::Truth => Ok(this),
            other => Err(Mismatch::new(operand, format!("{what} takes a condition, not {other}"))),
        }
    }

    /// `a - b` of two times: seconds.
    pub fn elapsed(a: Self, b: Self) -> Result<Self, Mismatch> {
        for (place, one) in [&a, &b].into_iter().enumerate() {
            if one.kind != Kind::Timestamp {
                return Err(Mismatch::new(place, format!("`-` takes two times here, not {}", one.kind)));
            }
        }
        let bound = I256::from(i64::MAX);
        let kind = Kind::Number(Decimal { scale: MICRO_SCALE, bound, of_aggregates: false });
        Ok(Self::new(kind, Node::Elapsed(a.into(), b.into())))
    }

    /// A time plus so many microseconds.
    pub fn shifted(self, micros: i64) -> Result<Self, Mismatch> {
        match self.kind {
            Kind::Timestamp => Ok(Self::new(Kind::Timestamp, Node::Shifted(micros, self.into()))),
            other => Err(Mismatch::new(0, format!("an INTERVAL is added to a time, not to {other}"))),
        }
    }

    /// `-x`
    pub fn negated(self) -> Result<Self, Mismatch> {
        let (this, _) = self.numeric(0, "`-`")?;
        Ok(Self::new(this.kind, Node::Negated(this.into())))
    }

    /// `ABS(x)`
    pub fn absolute(self) -> Result<Self, Mismatch> {
        let (this, _) = self.numeric(0, "ABS")?;
        Ok(Self::new(this.kind, Node::Absolute(this.into())))
    }

    /// `a + b` and the like.
    pub fn arithmetic(op: Arithmetic, a: Self, b: Self) -> Result<Self, Mismatch> {
        let what = match op {
            Arithmetic::Add => "`+`",
            Arithmetic::Subtract => "`-`",
            Arithmetic::Multiply => "`*`",
            Arithmetic::Divide => "`/`",
            Arithmetic::Remainder => "`%`",
        };
        let ((a, x), (b, y)) = (a.numeric(0, what)?, b.numeric(1, what)?);
        if let (Some(x), Some(y)) = (x, y)
            && let Some((kind, by, other)) = exact(op, x, y)
        {
            return Ok(Self::new(kind, Node::Exact(op, (by, a.into()), (other, b.into()))));
        }
        let real = |one: Self, decimal: Option<Decimal>| match decimal {
            Some(decimal) => one.rounded(decimal),
            None => one,
        };
        Ok(Self::new(Kind::Real, Node::Real(op, real(a, x).into(), real(b, y).into())))
    }

    /// `a = b` and the like.
    pub fn compare(op: Comparison, a: Self, mut b: Self) -> Result<Self, Mismatch> {
        if a.kind == Kind::Null || b.kind == Kind::Null {
            return Ok(Self::constant(Kind::Truth, Constant::Null));
        }
        // A constant goes to the right, where it can be rescaled to the other's scale.
        if a.is_constant() && !b.is_constant() && comparator(&a, &mut b).is_ok() {
            return Self::compare(op.flipped(), b, a);
        }
        let comparator = comparator(&a, &mut b)?;
        Ok(Self::new(Kind::Truth, Node::Compare(op, comparator, a.into(), b.into())))
    }

    /// `a AND b AND …`
    pub fn and(all: Vec<Self>) -> Result<Self, Mismatch> {
        let all = all.into_iter().enumerate().map(|(i, one)| one.condition(i, "AND"));
        Ok(Self::new(Kind::Truth, Node::And(all.collect::<Result<_, _>>()?)))
    }

    /// `a OR b OR …`
    pub fn or(all: Vec<Self>) -> Result<Self, Mismatch> {
        let all = all.into_iter().enumerate().map(|(i, one)| one.condition(i, "OR"));
        Ok(Self::new(Kind::Truth, Node::Or(all.collect::<Result<_, _>>()?)))
    }

    /// `NOT x`
    pub fn negation(self) -> Result<Self, Mismatch> {
        let this = self.condition(0, "NOT")?;
        Ok(Self::new(Kind::Truth, Node::Not(this.into())))
    }

    /// `x IS NULL` and the like.
    pub fn is(self, test: Test) -> Result<Self, Mismatch> {
        let this = match test {
            Test::Null => self.typed(Kind::Truth),
            Test::True | Test::False => self.condition(0, "IS TRUE and IS FALSE")?,
        };
        Ok(Self::new(Kind::Truth, Node::Is(test, this.into())))
    }

    /// `x BETWEEN low AND high`
    pub fn between(self, low: Self, high: Self) -> Result<Self, Mismatch> {
        let this = typed_by(self, [&low, &high]);
        let (mut low, mut high) = (low.typed(this.kind), high.typed(this.kind));
        let from = comparator(&this, &mut low)?;
        let to = comparator(&this, &mut high).map_err(|error| Mismatch::new(2, error.reason))?;
        Ok(Self::new(Kind::Truth, Node::Between(this.into(), (from, low.into()), (to, high.into()))))
    }

    /// `x IN (a, b, …)`
    pub fn is_in(self, list: Vec<Self>) -> Result<Self, Mismatch> {
        let this = typed_by(self, &list);
        let mut items = Vec::with_capacity(list.len());
        for (place, item) in list.into_iter().enumerate() {
            let mut item = item.typed(this.kind);
            items.push((
                comparator(&this, &mut item).map_err(|error| Mismatch::new(place + 1, error.reason))?,
                item,
            ));
        }
        Ok(Self::new(Kind::Truth, Node::In(this.into(), items)))
    }

    /// `x LIKE pattern`: `%` matches any characters, `_` matches one; after `escape` either matches itself.
    pub fn like(self, pattern: &str, escape: Option<char>) -> Result<Self, Mismatch> {
        let this = self.typed(Kind::Text);
        if this.kind != Kind::Text {
            return Err(Mismatch::new(0, format!("LIKE takes a text, not {}", this.kind)));
        }
        let pattern = Pattern::new(pattern, escape)
            .ok_or_else(|| Mismatch::new(1, "the pattern ends with its escape character"))?;
        Ok(Self::new(Kind::Truth, Node::Like(this.into(), pattern)))
    }

    /// `CASE WHEN condition THEN result … ELSE otherwise END`. Operands are numbered in that order.
    pub fn case(branches: Vec<(Self, Self)>, otherwise: Self) -> Result<Self, Mismatch> {
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for (place, (when, then)) in branches.into_iter().enumerate() {
            conditions.push(when.condition(2 * place, "WHEN")?);
            results.push(then);
        }
        let (kind, mut results) = results_of_one_type(results, otherwise, 0)?;
        let last = results.pop().unwrap_or_default();
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Self::new(kind, Node::Case(branches, last.into())))
    }

    /// `CASE x WHEN value THEN result … ELSE otherwise END`. Operands are numbered in that order.
    pub fn switch(self, branches: Vec<(Self, Self)>, otherwise: Self) -> Result<Self, Mismatch> {
        let this = typed_by(self, branches.iter().map(|(when, _)| when));
        let mut values = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        for (place, (when, then)) in branches.into_iter().enumerate() {
            let mut when = when.typed(this.kind);
            let way =
                comparator(&this, &mut when).map_err(|error| Mismatch::new(2 * place + 1, error.reason))?;
            values.push((way, when));
            results.push(then);
        }
        let (kind, mut results) = results_of_one_type(results, otherwise, 1)?;
        let last = results.pop().unwrap_or_default();
        let branches = values.into_iter().zip(results).map(|((way, when), then)| (way, when, then)).collect();
        Ok(Self::new(kind, Node::Switch(this.into(), branches, last.into())))
    }

    /// `COALESCE(a, b, …)`: the first that is not NULL.
    pub fn coalesce(all: Vec<Self>) -> Result<Self, Mismatch> {
        let (kind, all) = of_one_type(all)?;
        Ok(Self::new(kind, Node::Coalesce(all)))
    }

    /// `NULLIF(a, b)`: a, or NULL if they are equal.
    pub fn null_if(self, other: Self) -> Result<Self, Mismatch> {
        if self.kind == Kind::Null {
            return Ok(self);
        }
        let mut other = other.typed(self.kind);
        let comparator = comparator(&self, &mut other)?;
        Ok(Self::new(self.kind, Node::NullIf(self.into(), comparator, other.into())))
    }

    /// `GREATEST(a, b, …)`; NULL if any value is.
    pub fn greatest(all: Vec<Self>) -> Result<Self, Mismatch> {
        Self::extreme(Comparison::Greater, all)
    }

    /// `LEAST(a, b, …)`; NULL if any value is.
    pub fn least(all: Vec<Self>) -> Result<Self, Mismatch> {
        Self::extreme(Comparison::Less, all)
    }

    fn extreme(op: Comparison, all: Vec<Self>) -> Result<Self, Mismatch> {
        let (kind, all) = of_one_type(all)?;
        let comparator = match kind {
            Kind::Number(decimal) if decimal.is_wide() => Comparator::Scaled(1, 1),
            Kind::Number(_) | Kind::Timestamp => Comparator::Units,
            Kind::Real => Comparator::Reals,
            Kind::Text => Comparator::Texts,
            Kind::Truth | Kind::Null => Comparator::Truths,
        };
        Ok(Self::new(kind, Node::Extreme(op, comparator, all)))
    }

    /// `ROUND(x, places)`, `FLOOR(x)`, `CEIL(x)`. A double is rounded by its exact value. At most
    /// [`MOST_ROUNDED_PLACES`].
    pub fn round(self, rounding: Rounding, places: u8) -> Result<Self, Mismatch> {
        let what = match rounding {
            Rounding::Nearest => "ROUND",
            Rounding::Floor => "FLOOR",
            Rounding::Ceiling => "CEIL",
        };
        let places = places.min(MOST_ROUNDED_PLACES);
        let (this, decimal) = self.numeric(0, what)?;
        let kind = match decimal {
            Some(decimal) if decimal.scale <= places => return Ok(this),
            Some(decimal) => {
                let bound = decimal.bound / I256::from(power(decimal.scale - places)) + I256::ONE;
                Kind::Number(Decimal { scale: places, bound, ..decimal })
            }
            None => Kind::Real,
        };
        Ok(Self::new(kind, Node::Round(rounding, places, this.into())))
    }
}

/// The comparator for two expressions; a constant may be rescaled to the other's scale.
fn comparator(left: &Expression, right: &mut Expression) -> Result<Comparator, Mismatch> {
    Ok(match (left.kind, right.kind) {
        (Kind::Number(mut l), Kind::Number(mut r)) => {
            l.of_aggregates |= r.of_aggregates;
            r.of_aggregates = l.of_aggregates;
            if r.scale < l.scale
                && right.is_constant()
                && let Some(same) = r.at(l.scale)
            {
                *right = std::mem::take(right).rescaled(r, same);
                r = same;
            }
            if l.scale == r.scale && !l.is_wide() && !r.is_wide() {
                return Ok(Comparator::Units);
            }
            let scale = l.scale.max(r.scale);
            match (l.at(scale), r.at(scale)) {
                (Some(_), Some(_)) => Comparator::Scaled(power(scale - l.scale), power(scale - r.scale)),
                _ => Comparator::Parts(power(l.scale.abs_diff(r.scale)), l.scale > r.scale),
            }
        }
        (Kind::Number(l), Kind::Real) => Comparator::Mixed(l.scale, true),
        (Kind::Real, Kind::Number(r)) => Comparator::Mixed(r.scale, false),
        (Kind::Real, Kind::Real) => Comparator::Reals,
        (Kind::Text, Kind::Text) => Comparator::Texts,
        (Kind::Timestamp, Kind::Timestamp) => Comparator::Units,
        (Kind::Truth, Kind::Truth) => Comparator::Truths,
        (l, r) => return Err(Mismatch::new(1, format!("{r} cannot be compared with {l}"))),
    })
}

/// The type of an operation on decimals, and the factors for the units of each operand; none if a value could exceed
/// the bits that there are.
pub(super) fn exact(op: Arithmetic, x: Decimal, y: Decimal) -> Option<(Kind, i128, i128)> {
    let scale = x.scale.max(y.scale);
    let of_aggregates = x.of_aggregates || y.of_aggregates;
    let (x, y) = (Decimal { of_aggregates, ..x }, Decimal { of_aggregates, ..y });
    let (by, other) = (power(scale - x.scale), power(scale - y.scale));
    let bound = match op {
        Arithmetic::Add | Arithmetic::Subtract => x.at(scale)?.bound.checked_add(y.at(scale)?.bound)?,
        Arithmetic::Remainder => x.at(scale)?.bound.min(y.at(scale)?.bound),
        Arithmetic::Divide => {
            x.at(scale)?;
            y.at(scale)?;
            return Some((Kind::Real, by, other));
        }
        Arithmetic::Multiply => {
            let scale = Some(x.scale + y.scale).filter(|scale| *scale <= MOST_PRODUCT_PLACES)?;
            let bound = x.bound.checked_mul(y.bound)?;
            return Some((Kind::Number(Decimal { scale, bound, of_aggregates }.fitting()?), 1, 1));
        }
    };
    Some((Kind::Number(Decimal { scale, bound, of_aggregates }.fitting()?), by, other))
}

/// Gives NULL the type of the first other expression that has one.
fn typed_by<'a>(this: Expression, others: impl IntoIterator<Item = &'a Expression>) -> Expression {
    let kind = others.into_iter().map(|other| other.kind).find(|kind| *kind != Kind::Null);
    this.typed(kind.unwrap_or(Kind::Truth)).typed(Kind::Truth)
}

/// The results of branches and the last one, all converted to one type; `before` operands precede the first.
fn results_of_one_type(
    mut results: Vec<Expression>,
    otherwise: Expression,
    before: usize,
) -> Result<(Kind, Vec<Expression>), Mismatch> {
    let branches = results.len();
    results.push(otherwise);
    of_one_type(results).map_err(|error| {
        // A condition precedes each result except the last.
        let operand = if error.operand == branches { 2 * branches } else { 2 * error.operand + 1 };
        Mismatch::new(before + operand, error.reason)
    })
}

impl Expression {
    /// The same expressions, converted to one type: numbers to decimals of one scale, or to doubles.
    pub fn alike(all: Vec<Self>) -> Result<Vec<Self>, Mismatch> {
        of_one_type(all).map(|(_, all)| all)
    }
}

/// Converts alternatives to one type: numbers to decimals of one scale, or to doubles.
fn of_one_type(all: Vec<Expression>) -> Result<(Kind, Vec<Expression>), Mismatch> {
    let mut kind = Kind::Null;
    for (place, one) in all.iter().enumerate() {
        kind = match (kind, one.kind) {
            (known, Kind::Null) => known,
            (Kind::Null, new) => new,
            (Kind::Number(x), Kind::Number(y)) => {
                let scale = x.scale.max(y.scale);
                let of_aggregates = x.of_aggregates || y.of_aggregates;
                let (x, y) = (Decimal { of_aggregates, ..x }, Decimal { of_aggregates, ..y });
                match (x.at(scale), y.at(scale)) {
                    (Some(x), Some(y)) => Kind::Number(Decimal { bound: x.bound.max(y.bound), ..x }),
                    _ => Kind::Real,
                }
            }
            (Kind::Number(_) | Kind::Real, Kind::Number(_) | Kind::Real) => Kind::Real,
            (known, new) if known == new => known,
            (known, new) => {
                return Err(Mismatch::new(place, format!("{new} cannot be combined with {known}")));
            }
        };
    }
    let convert = |one: Expression| match (kind, one.kind) {
        // Its own bound stays, as it decides whether its units are wide.
        (Kind::Number(to), Kind::Number(from)) => {
            match (Decimal { of_aggregates: to.of_aggregates, ..from }).at(to.scale) {
                Some(same) => one.rescaled(from, same),
                None => one.rounded(from), // unreachable: `kind` would be a double
            }
        }
        (Kind::Real, Kind::Number(decimal)) => one.rounded(decimal),
        _ => one.typed(kind),
    };
    Ok((kind, all.into_iter().map(convert).collect()))
}
