//! Calls of aggregate functions: their types.

use std::fmt;

use ethnum::I256;

use crate::expression::{Decimal, Expression, Kind, Mismatch};
use crate::rows::Type;

/// A function of the rows of a group. All ignore NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The number of rows, or of those where an expression is not NULL.
    Count,
    /// The sum.
    Sum,
    /// The mean.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// A variance.
    Var(Population),
    /// A standard deviation.
    Stddev(Population),
    /// A covariance.
    Covar(Population),
    /// Pearson's correlation coefficient.
    Corr,
    /// A linear regression of the first on the second expression.
    Regr(Regression),
    /// The least value at the earliest event time.
    First,
    /// The greatest value at the latest event time.
    Last,
    /// The value between the lower and the upper half, interpolated.
    Median,
    /// An interpolated percentile.
    PercentileCont(Fraction),
    /// The first value that has at least this part of the values up to it.
    PercentileDisc(Fraction),
}

/// Whether rows are all that there are, or a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// All: divides by n.
    Whole,
    /// A sample: divides by n - 1.
    Sample,
}

/// What is computed of a regression of y on x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regression {
    /// The slope of the line.
    Slope,
    /// Its y at x = 0.
    Intercept,
    /// The coefficient of determination.
    R2,
    /// The number of pairs.
    Count,
    /// The mean of x.
    AvgX,
    /// The mean of y.
    AvgY,
    /// The sum of squares of x's deviations.
    Sxx,
    /// The sum of squares of y's deviations.
    Syy,
    /// The sum of products of both.
    Sxy,
}

/// A decimal from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// The digits.
    pub units: i64,
    /// Decimal places.
    pub scale: u8,
}

impl Fraction {
    /// That of the median.
    pub const HALF: Self = Self { units: 5, scale: 1 };
}

/// The type of a column.
pub type ColumnKind = (Kind, Type);

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// What it is called with: nothing for `COUNT(*)`, two for functions of pairs.
    pub arguments: Vec<Expression>,
    /// Whether each value counts once.
    pub distinct: bool,
    /// The rows that count; none: all.
    pub filter: Option<Expression>,
    kind: ColumnKind,
}

const INTEGER: Decimal =
    Decimal { scale: 0, bound: I256::from_words(0, i64::MAX as i128), of_aggregates: true };
/// A group has fewer rows.
pub(super) const MOST_ROWS: I256 = I256::from_words(0, 1 << 62);

impl Call {
    /// A call, if its arguments have the types that it takes.
    pub fn new(
        function: Function,
        arguments: Vec<Expression>,
        distinct: bool,
        filter: Option<Expression>,
    ) -> Result<Self, Mismatch> {
        let kind = kind(function, &arguments)?;
        // The least and the greatest are the same of distinct values.
        let distinct = distinct && !matches!(function, Function::Min | Function::Max);
        Ok(Self { function, arguments, distinct, filter, kind })
    }

    /// Whether it is `COUNT(*)` of all rows, so that it changes whenever a row is added.
    pub(super) fn is_number_of_rows(&self) -> bool {
        self.function == Function::Count && self.arguments.is_empty() && self.filter.is_none()
    }

    /// The type of its value.
    pub fn column(&self) -> ColumnKind {
        self.kind
    }
}

fn kind(function: Function, arguments: &[Expression]) -> Result<ColumnKind, Mismatch> {
    let real = (Kind::Real, Type::Real);
    let integer = (Kind::Number(INTEGER), Type::Integer);
    for (operand, argument) in arguments.iter().enumerate() {
        let is_measured = !matches!(
            function,
            Function::Count
                | Function::Min
                | Function::Max
                | Function::First
                | Function::Last
                | Function::PercentileDisc(_)
        );
        if is_measured && !matches!(argument.kind(), Kind::Number(_) | Kind::Real | Kind::Timestamp) {
            let reason = format!("{function} takes numbers, not {}", argument.kind());
            return Err(Mismatch { operand, reason });
        }
        if argument.kind() == Kind::Null {
            return Err(Mismatch { operand, reason: format!("{function} takes an expression, not NULL") });
        }
    }
    Ok(match function {
        Function::Count | Function::Regr(Regression::Count) => integer,
        Function::Sum => match arguments[0].kind() {
            Kind::Number(decimal) => {
                let bound = decimal.bound.checked_mul(MOST_ROWS).unwrap_or(I256::MAX);
                let is_integer = arguments[0].column_type() == Type::Integer;
                let scale = decimal.scale;
                let column = match is_integer {
                    true => Type::Exact { digits: 38, scale: 0 },
                    false if scale <= 30 => Type::Exact { digits: 65, scale },
                    false => Type::Real,
                };
                (Kind::Number(Decimal { scale, bound, of_aggregates: true }), column)
            }
            _ => real,
        },
        Function::Min | Function::Max | Function::First | Function::Last | Function::PercentileDisc(_) => {
            let argument = &arguments[0];
            let kind = match argument.kind() {
                Kind::Number(decimal) => Kind::Number(Decimal { of_aggregates: true, ..decimal }),
                kind => kind,
            };
            (kind, argument.column_type())
        }
        _ => real,
    })
}

impl Function {
    /// All functions; a percentile is the median.
    pub const ALL: [Self; 26] = [
        Self::Count,
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Var(Population::Whole),
        Self::Var(Population::Sample),
        Self::Stddev(Population::Whole),
        Self::Stddev(Population::Sample),
        Self::Covar(Population::Whole),
        Self::Covar(Population::Sample),
        Self::Corr,
        Self::Regr(Regression::Slope),
        Self::Regr(Regression::Intercept),
        Self::Regr(Regression::R2),
        Self::Regr(Regression::Count),
        Self::Regr(Regression::AvgX),
        Self::Regr(Regression::AvgY),
        Self::Regr(Regression::Sxx),
        Self::Regr(Regression::Syy),
        Self::Regr(Regression::Sxy),
        Self::First,
        Self::Last,
        Self::Median,
        Self::PercentileCont(Fraction::HALF),
        Self::PercentileDisc(Fraction::HALF),
    ];

    /// The function with this name, in capitals.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.to_string() == name)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |population: &Population| match population {
            Population::Whole => "POP",
            Population::Sample => "SAMP",
        };
        f.write_str(match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Avg => "AVG",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Var(population) => return write!(f, "VAR_{}", of(population)),
            Self::Stddev(population) => return write!(f, "STDDEV_{}", of(population)),
            Self::Covar(population) => return write!(f, "COVAR_{}", of(population)),
            Self::Corr => "CORR",
            Self::Regr(Regression::Slope) => "REGR_SLOPE",
            Self::Regr(Regression::Intercept) => "REGR_INTERCEPT",
            Self::Regr(Regression::R2) => "REGR_R2",
            Self::Regr(Regression::Count) => "REGR_COUNT",
            Self::Regr(Regression::AvgX) => "REGR_AVGX",
            Self::Regr(Regression::AvgY) => "REGR_AVGY",
            Self::Regr(Regression::Sxx) => "REGR_SXX",
            Self::Regr(Regression::Syy) => "REGR_SYY",
            Self::Regr(Regression::Sxy) => "REGR_SXY",
            Self::First => "FIRST_VALUE",
            Self::Last => "LAST_VALUE",
            Self::Median => "MEDIAN",
            Self::PercentileCont(_) => "PERCENTILE_CONT",
            Self::PercentileDisc(_) => "PERCENTILE_DISC",
        })
    }
}
