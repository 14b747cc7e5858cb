//! The expression of a tree: resolves fields, and refuses SQL that is not supported.

use dataflows::expression::{Arithmetic, Comparison, Expression, Kind, Mismatch, Rounding, Test};
use dataflows::schema::{Field, Schema};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Ident, InTarget,
    ObjectName, Spanned, UnaryOperator,
};
use sqlparser::tokenizer::Location;

use super::fault::{Fault, OPERATORS, mismatch, no_operator};
use super::interval::interval;
use super::literal::{literal, literal_text, text_of, time};
use super::parse::parse;
use crate::config::names::{RESERVED_COLUMNS, is_column_name};

/// Levels of operations.
const MAX_DEPTH: usize = 100;

/// A column that expressions can name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// The name of its relation, which may stand before its own.
    pub relation: Option<String>,
    pub name: String,
    pub expression: Expression,
}

/// The groups that a query makes of rows.
pub(super) trait Groups {
    /// Compiles what is said of single rows.
    fn rows(&self) -> &Compiler<'_>;

    /// The value of an expression that is a key, a call or a bound of the window; none of another, whose operands are
    /// looked at then.
    fn expression(&self, expr: &Expr) -> Result<Option<Expression>, Fault>;
}

/// Compiles expressions over the columns of relations.
#[derive(Clone, Default)]
pub(super) struct Compiler<'a> {
    pub columns: Vec<Named>,
    /// Whether the columns are the fields of the record.
    pub of_record: bool,
    /// The groups whose keys and aggregates expressions are of; none: of single rows.
    pub grouping: Option<&'a dyn Groups>,
    /// Whether the rows are in windows, which have a start and an end.
    pub has_windows: bool,
}

impl Compiler<'static> {
    /// A compiler over the fields of a record.
    pub fn of_record(schema: &Schema) -> Self {
        let named = |field: &Field| Named {
            relation: None,
            name: field.name.to_string(),
            expression: Expression::field(field),
        };
        let columns = schema.fields().iter().map(named).collect();
        Self { columns, of_record: true, ..Self::default() }
    }
}

impl Compiler<'_> {
    /// The condition that a text says.
    pub fn filter(&self, text: &str) -> Result<Expression, Fault> {
        self.condition(&parse(text)?)
    }

    pub fn condition(&self, expr: &Expr) -> Result<Expression, Fault> {
        let filter = self.expression(expr, 0)?;
        match filter.kind() {
            Kind::Truth => Ok(filter),
            other => Err(Fault::of(expr, format!("{other} is not a condition; compare it with a value"))),
        }
    }

    /// The name of a column and its expression, and the position of the name.
    pub fn column(
        &self,
        expr: &Expr,
        name: Option<&Ident>,
    ) -> Result<((String, Expression), Location), Fault> {
        let at = name.map_or_else(|| expr.span().start, |name| name.span.start);
        let expression = self.expression(expr, 0)?;
        let name = match (name, self.name_of(expr)) {
            (Some(name), _) => name.value.clone(),
            (None, Some(name)) => name,
            (None, None) => return Err(Fault::at(at, "an expression needs a name; add AS and a name")),
        };
        if !is_column_name(&name) {
            let rule = "use letters, digits and `_`, at most 60, not starting with a digit";
            return Err(Fault::at(at, format!("`{name}` is not a valid column name; {rule}")));
        }
        if RESERVED_COLUMNS.iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
            let reason = format!("every table already has a column `{name}`; add AS and another name");
            return Err(Fault::at(at, reason));
        }
        match expression.kind() {
            Kind::Null => Err(Fault::of(expr, "it is always NULL; give an expression over the fields")),
            _ => Ok(((name, expression), at)),
        }
    }

    /// The name of the column that an expression consists of.
    fn name_of(&self, expr: &Expr) -> Option<String> {
        if let Some(window) = self.window_column(expr) {
            return Some(window.name().to_owned());
        }
        match self.grouping {
            Some(grouping) => grouping.rows().name_of(expr),
            None => self.column_of(expr).ok().flatten().map(|column| column.name.clone()),
        }
    }

    /// The bound of a window that an expression consists of.
    pub fn window_column(&self, expr: &Expr) -> Option<WindowColumn> {
        let name = match expr {
            Expr::Identifier(ident) => &ident.value,
            Expr::CompoundIdentifier(parts) => &parts.last()?.value,
            Expr::Nested(expr) => return self.window_column(expr),
            _ => return None,
        };
        let found = [WindowColumn::Start, WindowColumn::End];
        found.into_iter().find(|column| self.has_windows && column.name().eq_ignore_ascii_case(name))
    }

    /// The column, if the expression consists of nothing else.
    pub fn column_of(&self, expr: &Expr) -> Result<Option<&Named>, Fault> {
        let (relation, name) = match expr {
            Expr::Identifier(ident) => (None, &ident.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [relation, column] => (Some(&relation.value), &column.value),
                _ => return Ok(None),
            },
            Expr::Nested(expr) => return self.column_of(expr),
            _ => return Ok(None),
        };
        // Names are compared without case.
        let is_it = |column: &&Named| {
            column.name.eq_ignore_ascii_case(name)
                && relation.is_none_or(|relation| is_named(column.relation.as_deref(), relation))
        };
        let mut found = self.columns.iter().filter(is_it);
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => {
                let named = |column: &Named| match &column.relation {
                    Some(relation) => format!("{relation}.{}", column.name),
                    None => column.name.clone(),
                };
                let reason = format!("`{expr}` may be {} or {}; write which one", named(one), named(other));
                Err(Fault::of(expr, reason))
            }
            (found, _) => Ok(found),
        }
    }

    /// The names of the relations.
    fn relations(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.columns.iter().filter_map(|column| column.relation.as_deref()).collect();
        names.dedup();
        names
    }

    /// Whether a relation has this name.
    pub fn is_of(&self, name: &str) -> bool {
        self.columns.iter().any(|column| is_named(column.relation.as_deref(), name))
    }

    pub fn no_relation(&self, name: &ObjectName) -> String {
        match &self.relations()[..] {
            [] => format!("unknown relation `{name}`; leave it out"),
            names => format!("unknown relation `{name}`; expected `{}`", names.join("` or `")),
        }
    }

    pub fn no_column(&self, expr: &Expr) -> String {
        let mut names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        if self.has_windows {
            names.extend([WindowColumn::Start.name(), WindowColumn::End.name()]);
        }
        let (what, others) = match self.of_record {
            true => ("field", ", or a field declared in [record]"),
            false => ("column", ""),
        };
        format!("unknown {what} `{expr}`; expected one of {}{others}", names.join(", "))
    }

    /// The expression of a text that has no name.
    pub fn unnamed(&self, text: &str) -> Result<Expression, Fault> {
        self.expression(&parse(text)?, 0)
    }

    pub(super) fn expression(&self, expr: &Expr, depth: usize) -> Result<Expression, Fault> {
        if depth >= MAX_DEPTH {
            let reason = format!("operations are nested more than {MAX_DEPTH} deep; simplify it");
            return Err(Fault::of(expr, reason));
        }
        let depth = depth + 1;
        if let Some(grouping) = self.grouping
            && let Some(expression) = grouping.expression(expr)?
        {
            return Ok(expression);
        }
        let one = |expr: &Expr| self.expression(expr, depth);
        match expr {
            Expr::Nested(inner) => one(inner),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => match self.column_of(expr)? {
                Some(column) => Ok(column.expression.clone()),
                None if self.window_column(expr).is_some() => {
                    let reason = format!(
                        "`{expr}` can only be in GROUP BY, and in what SELECT and HAVING say of groups"
                    );
                    Err(Fault::of(expr, reason))
                }
                None => Err(Fault::of(expr, self.no_column(expr))),
            },
            Expr::Interval(_) => Err(Fault::of(expr, "an INTERVAL is added to a time, or taken from it")),
            Expr::Value(value) => literal(expr, &value.value),
            Expr::TypedString(string) => match (&string.data_type, text_of(&string.value.value)) {
                (DataType::Timestamp(..) | DataType::Datetime(_) | DataType::Date, Some(text)) => {
                    time(expr, text)
                }
                (other, _) => {
                    Err(Fault::of(expr, format!("{other} literals are not supported; give a timestamp")))
                }
            },
            Expr::UnaryOp { op, expr: inner } => {
                let operand = one(inner)?;
                match op {
                    UnaryOperator::Minus => operand.negated(),
                    // Also needs a number, which it does not change.
                    UnaryOperator::Plus => operand.clone().negated().map(|_| operand),
                    UnaryOperator::Not | UnaryOperator::BangNot => operand.negation(),
                    other => return Err(Fault::of(expr, no_operator(other))),
                }
                .map_err(|error| mismatch(error, &[inner]))
            }
            Expr::BinaryOp { left, op, right } => self.binary(expr, left, op, right, depth),
            Expr::IsNull(of) => self.is(of, Test::Null, true, depth),
            Expr::IsNotNull(of) => self.is(of, Test::Null, false, depth),
            Expr::IsTrue(of) => self.is(of, Test::True, true, depth),
            Expr::IsNotTrue(of) => self.is(of, Test::True, false, depth),
            Expr::IsFalse(of) => self.is(of, Test::False, true, depth),
            Expr::IsNotFalse(of) => self.is(of, Test::False, false, depth),
            Expr::Between { expr: of, negated, low, high } => {
                let operands: [&Expr; 3] = [of, low, high];
                let [of, low, high] = self.alike(operands, depth)?;
                negated_if(*negated, of.between(low, high)).map_err(|error| mismatch(error, &operands))
            }
            Expr::In { expr: of, target: InTarget::List(list), negated, .. } => {
                let operands: Vec<&Expr> = std::iter::once(&**of).chain(list).collect();
                let mut values = self.all_alike(&operands, depth)?;
                let of = values.remove(0);
                negated_if(*negated, of.is_in(values)).map_err(|error| mismatch(error, &operands))
            }
            Expr::Like { negated, any: false, expr: of, pattern, escape_char } => {
                let Some(text) = literal_text(pattern) else {
                    return Err(Fault::of(pattern, "LIKE takes a pattern in quotes, such as 'truck-%'"));
                };
                let escape = match escape_char.as_deref() {
                    None => Some('\\'),
                    Some(escape) => match literal_text(escape).map(|text| (text.chars().next(), text)) {
                        Some((char, text)) if text.chars().count() <= 1 => char,
                        _ => return Err(Fault::of(escape, "ESCAPE takes one character in quotes")),
                    },
                };
                let like = one(of)?.like(text, escape);
                negated_if(*negated, like).map_err(|error| mismatch(error, &[of, pattern]))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), depth)
            }
            Expr::Ceil { expr: of, field } => self.whole(expr, of, field, Rounding::Ceiling, depth),
            Expr::Floor { expr: of, field } => self.whole(expr, of, field, Rounding::Floor, depth),
            Expr::Function(function) => self.function(expr, function, depth),
            Expr::Cast { kind: CastKind::Cast, expr: of, data_type, format: None } => match data_type {
                DataType::Double(_) | DataType::DoublePrecision => {
                    one(of)?.to_real().map_err(|error| mismatch(error, &[of]))
                }
                other => {
                    Err(Fault::of(expr, format!("CAST to {other} is not supported; use CAST(… AS DOUBLE)")))
                }
            },
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::In { .. } => Err(Fault::of(
                expr,
                "subqueries in expressions are not supported; join the relations in FROM",
            )),
            // The parser sets no position for it.
            Expr::RLike { expr: of, .. } => {
                Err(Fault::of(of, "RLIKE and REGEXP are not supported; use LIKE"))
            }
            other => {
                let shown: String = other.to_string().chars().take(40).collect();
                Err(Fault::of(expr, format!("`{shown}` is not supported; expected one of {OPERATORS}")))
            }
        }
    }

    fn is(&self, of: &Expr, test: Test, holds: bool, depth: usize) -> Result<Expression, Fault> {
        let is = self.expression(of, depth)?.is(test);
        negated_if(!holds, is).map_err(|error| mismatch(error, &[of]))
    }

    fn binary(
        &self,
        expr: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        depth: usize,
    ) -> Result<Expression, Fault> {
        let arithmetic = |op| {
            let operands = [left, right];
            if let Some(shifted) = self.shifted(left, op, right, depth)? {
                return Ok(shifted);
            }
            let [a, b] = match op {
                // A text that is taken from a time, or the other way round, is a time.
                Arithmetic::Subtract => self.alike(operands, depth)?,
                _ => [self.expression(left, depth)?, self.expression(right, depth)?],
            };
            if op == Arithmetic::Subtract && [&a, &b].iter().all(|one| one.kind() == Kind::Timestamp) {
                return Expression::elapsed(a, b).map_err(|error| mismatch(error, &operands));
            }
            Expression::arithmetic(op, a, b).map_err(|error| mismatch(error, &operands))
        };
        let compare = |op| {
            let operands = [left, right];
            let [a, b] = self.alike(operands, depth)?;
            Expression::compare(op, a, b).map_err(|mut error| {
                let shown: String = expr.to_string().chars().take(60).collect();
                error.reason = format!("{} in `{shown}`", error.reason);
                mismatch(error, &operands)
            })
        };
        match op {
            BinaryOperator::Plus => arithmetic(Arithmetic::Add),
            BinaryOperator::Minus => arithmetic(Arithmetic::Subtract),
            BinaryOperator::Multiply => arithmetic(Arithmetic::Multiply),
            BinaryOperator::Divide => arithmetic(Arithmetic::Divide),
            BinaryOperator::Modulo => arithmetic(Arithmetic::Remainder),
            BinaryOperator::Eq => compare(Comparison::Equal),
            BinaryOperator::NotEq => compare(Comparison::NotEqual),
            BinaryOperator::Lt => compare(Comparison::Less),
            BinaryOperator::LtEq => compare(Comparison::LessOrEqual),
            BinaryOperator::Gt => compare(Comparison::Greater),
            BinaryOperator::GtEq => compare(Comparison::GreaterOrEqual),
            BinaryOperator::And | BinaryOperator::Or => {
                // A long chain counts as one operation, however deep the parser's tree is.
                let operands = chain(left, op, right);
                let all = operands.iter().map(|one| self.expression(one, depth)).collect::<Result<_, _>>()?;
                match op {
                    BinaryOperator::And => Expression::and(all),
                    _ => Expression::or(all),
                }
                .map_err(|error| mismatch(error, &operands))
            }
            other => Err(Fault::of(expr, no_operator(other))),
        }
    }

    /// A time plus or minus an INTERVAL.
    fn shifted(
        &self,
        left: &Expr,
        op: Arithmetic,
        right: &Expr,
        depth: usize,
    ) -> Result<Option<Expression>, Fault> {
        let (of, by) = match (interval(left)?, interval(right)?, op) {
            (None, Some(by), Arithmetic::Add) => (left, by),
            (None, Some(by), Arithmetic::Subtract) => (left, -by),
            (Some(by), None, Arithmetic::Add) => (right, by),
            _ => return Ok(None),
        };
        let shifted = self.expression(of, depth)?.shifted(by);
        shifted.map(Some).map_err(|error| mismatch(error, &[of]))
    }

    /// `FLOOR(x)`, `CEIL(x)`.
    fn whole(
        &self,
        expr: &Expr,
        of: &Expr,
        field: &CeilFloorKind,
        rounding: Rounding,
        depth: usize,
    ) -> Result<Expression, Fault> {
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {
                let of_number = self.expression(of, depth)?.round(rounding, 0);
                of_number.map_err(|error| mismatch(error, &[of]))
            }
            _ => Err(Fault::of(expr, "FLOOR and CEIL take one number and return an integer")),
        }
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        depth: usize,
    ) -> Result<Expression, Fault> {
        let whens: Vec<&Expr> = conditions.iter().map(|branch| &branch.condition).collect();
        let thens: Vec<&Expr> = conditions.iter().map(|branch| &branch.result).chain(otherwise).collect();
        let mut results = self.all_alike(&thens, depth)?;
        let last = if otherwise.is_some() { results.pop().unwrap_or_default() } else { Expression::null() };
        let branches = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
        let operands: Vec<&Expr> = operand.into_iter().chain(branches).chain(otherwise).collect();
        match operand {
            None => {
                let whens = whens.into_iter().map(|when| self.expression(when, depth));
                let whens = whens.collect::<Result<Vec<_>, _>>()?;
                Expression::case(whens.into_iter().zip(results).collect(), last)
            }
            Some(of) => {
                let compared: Vec<&Expr> = std::iter::once(of).chain(whens).collect();
                let mut values = self.all_alike(&compared, depth)?;
                let of = values.remove(0);
                of.switch(values.into_iter().zip(results).collect(), last)
            }
        }
        .map_err(|error| mismatch(error, &operands))
    }

    fn alike<const N: usize>(&self, operands: [&Expr; N], depth: usize) -> Result<[Expression; N], Fault> {
        let values = self.all_alike(&operands, depth)?;
        Ok(values.try_into().unwrap_or_else(|_| unreachable!("one for each")))
    }

    /// Expressions that are compared with each other or are alternatives of each other. If one is a timestamp, string
    /// literals among them become timestamps.
    pub(super) fn all_alike(&self, operands: &[&Expr], depth: usize) -> Result<Vec<Expression>, Fault> {
        let mut values =
            operands.iter().map(|one| self.expression(one, depth)).collect::<Result<Vec<_>, _>>()?;
        if values.iter().any(|value| value.kind() == Kind::Timestamp) {
            for (value, expr) in values.iter_mut().zip(operands) {
                if let Some(text) = literal_text(expr) {
                    *value = time(expr, text)?;
                }
            }
        }
        Ok(values)
    }
}

/// A bound of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowColumn {
    Start,
    End,
}

impl WindowColumn {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "window_start",
            Self::End => "window_end",
        }
    }
}

/// Whether a relation has this name.
fn is_named(relation: Option<&str>, name: &str) -> bool {
    relation.is_some_and(|relation| relation.eq_ignore_ascii_case(name))
}

fn negated_if(negated: bool, result: Result<Expression, Mismatch>) -> Result<Expression, Mismatch> {
    if negated { result.and_then(Expression::negation) } else { result }
}

/// The operands of a chain of ANDs or ORs.
fn chain<'a>(left: &'a Expr, op: &BinaryOperator, right: &'a Expr) -> Vec<&'a Expr> {
    let mut operands = vec![right];
    let mut rest = left;
    while let Expr::BinaryOp { left, op: other, right } = rest
        && other == op
    {
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    operands
}
