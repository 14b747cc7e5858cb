//! The expression of a tree: resolves fields, and refuses SQL that is not supported.

use dataflows::expression::{Arithmetic, Comparison, Expression, Kind, Mismatch, Rounding, Test};
use dataflows::schema::Schema;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Ident, InTarget,
    ObjectName, Spanned, UnaryOperator,
};
use sqlparser::tokenizer::Location;

use super::fault::{Fault, OPERATORS, mismatch, no_operator};
use super::literal::{literal, literal_text, text_of, time};
use super::parse::parse;
use crate::config::names::{RESERVED_COLUMNS, is_column_name};

/// Levels of operations.
const MAX_DEPTH: usize = 100;

/// Compiles expressions over the columns of a relation.
pub(super) struct Compiler<'a> {
    /// The columns, each with its value for a reading.
    pub columns: Vec<(String, Expression)>,
    /// The relation's name, which a column may have before it.
    pub relation: Option<&'a str>,
    /// Whether the columns are the fields of the record.
    pub of_record: bool,
}

impl Compiler<'static> {
    /// A compiler over the fields of a record.
    pub fn of_record(schema: &Schema) -> Self {
        let fields = schema.fields().iter();
        let columns = fields.map(|field| (field.name.to_string(), Expression::field(field))).collect();
        Self { columns, relation: None, of_record: true }
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
        let name = match (name, self.column_of(expr)) {
            (Some(name), _) => name.value.clone(),
            (None, Some((name, _))) => name.clone(),
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

    /// The column, if the expression consists of nothing else.
    fn column_of(&self, expr: &Expr) -> Option<&(String, Expression)> {
        match expr {
            Expr::Identifier(ident) => self.named(&ident.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [relation, column] if self.is_of(&relation.value) => self.named(&column.value),
                _ => None,
            },
            Expr::Nested(expr) => self.column_of(expr),
            _ => None,
        }
    }

    /// A column by its name, which is case-insensitive in SQL.
    fn named(&self, name: &str) -> Option<&(String, Expression)> {
        self.columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name))
    }

    /// Whether the relation has this name.
    pub fn is_of(&self, name: &str) -> bool {
        self.relation.is_some_and(|relation| relation.eq_ignore_ascii_case(name))
    }

    pub fn no_relation(&self, name: &ObjectName) -> String {
        match self.relation {
            Some(relation) => format!("unknown relation `{name}`; expected `{relation}`"),
            None => format!("unknown relation `{name}`; leave it out"),
        }
    }

    fn no_column(&self, expr: &Expr) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| &**name).collect();
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
        let one = |expr: &Expr| self.expression(expr, depth);
        match expr {
            Expr::Nested(inner) => one(inner),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => match self.column_of(expr) {
                Some((_, expression)) => Ok(expression.clone()),
                None => Err(Fault::of(expr, self.no_column(expr))),
            },
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
                "subqueries are not supported; give an expression over the reading's own fields",
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
            let (a, b) = (self.expression(left, depth)?, self.expression(right, depth)?);
            Expression::arithmetic(op, a, b).map_err(|error| mismatch(error, &operands))
        };
        let compare = |op| {
            let operands = [left, right];
            let [a, b] = self.alike(operands, depth)?;
            Expression::compare(op, a, b).map_err(|error| mismatch(error, &operands))
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
