//! Compiles the text of a user-defined view to the typed expressions that `dataflows` evaluates.
//!
//! The text is SQL in the dialect of MySQL (names in backquotes, strings in single or double quotes), because the
//! views are also written to MySQL tables. `sqlparser` parses it; this file resolves fields, refuses SQL that is
//! not supported, and reports the position of each error.

use std::fmt::Display;
use std::panic::resume_unwind;
use std::thread;

use dataflows::batch::Measure;
use dataflows::expression::{
    Arithmetic, Comparison, Expression, Field, Kind, MOST_PLACES, MOST_ROUNDED_PLACES, Mismatch, Query,
    Rounding, Test,
};
use dataflows::views::{Settings, UserView};
use sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, InTarget, Spanned, UnaryOperator, Value,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::config::defined::ViewDefinition;
use crate::config::error::ConfigError;
use crate::config::error::wrong;
use crate::config::names::{RESERVED_COLUMNS, STANDARD_FIELDS, is_column_name};
use crate::text::time;

// These limits bound the work and the recursion, and with it the stack.
const MAX_TOKENS: usize = 2_000;
const MAX_BYTES: usize = 64 << 10;
/// Levels of parentheses.
const MAX_NESTED: usize = 50;
/// Levels of operations.
const MAX_DEPTH: usize = 100;
/// Columns of a view: MySQL does not support many more in a table.
const MAX_COLUMNS: usize = 1_000;
/// Enough for a text within these limits, also without optimization, where the parser needs large stack frames.
const STACK: usize = 32 << 20;

/// The view that a definition says.
pub fn compile(own: &ViewDefinition, settings: &Settings) -> Result<UserView, ConfigError> {
    let compiled = thread::scope(|scope| {
        let compiling = thread::Builder::new().name("sql".into()).stack_size(STACK);
        Some(compiling.spawn_scoped(scope, || compile_here(own, settings)).ok()?.join())
    });
    match compiled {
        Some(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
        None => compile_here(own, settings),
    }
}

fn compile_here(own: &ViewDefinition, settings: &Settings) -> Result<UserView, ConfigError> {
    let view = format!("views.{}", own.name);
    let fault = |key: &str, fault: Fault| {
        let at = match fault.at {
            Location { line: 0, .. } => String::new(),
            Location { line: 1, column } => format!(", column {column}"),
            Location { line, column } => format!(", line {line}, column {column}"),
        };
        wrong(format!("{view} {key}{at}"), fault.reason)
    };
    let compiler = Compiler { settings };
    let filter = match &own.filter {
        None => None,
        Some(text) => Some(compiler.filter(text).map_err(|error| fault("where", error))?),
    };
    if !(1..=MAX_COLUMNS).contains(&own.columns.len()) {
        return Err(wrong(format!("{view} columns"), format!("give 1 to {MAX_COLUMNS} columns")));
    }
    let mut columns: Vec<(String, Expression)> = Vec::with_capacity(own.columns.len());
    for (place, text) in own.columns.iter().enumerate() {
        let key = format!("columns[{place}]");
        let (name, expression, at) = compiler.column(text).map_err(|error| fault(&key, error))?;
        if columns.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            let reason = format!("another column has the name `{name}`; rename one of them with AS");
            return Err(fault(&key, Fault::at(at, reason)));
        }
        columns.push((name, expression));
    }
    let query = Query::new(filter, columns).map_err(|error| wrong(&*view, error.reason))?;
    let condition = own.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    Ok(UserView {
        name: own.name.clone().into(),
        table: own.table().into(),
        definition: format!("SELECT {}{condition}", own.columns.join(", ")),
        query,
    })
}

/// An error and its position in the text.
#[derive(Debug)]
struct Fault {
    at: Location,
    reason: String,
}

impl Fault {
    fn at(at: Location, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    fn of(expr: &Expr, reason: impl Into<String>) -> Self {
        Self::at(expr.span().start, reason)
    }
}

/// Parses an expression and the name after AS, if there is one.
fn parse(text: &str) -> Result<(Expr, Option<Ident>), Fault> {
    let start = Location { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(Fault::at(start, format!("{} bytes are too many; give at most {MAX_BYTES}", text.len())));
    }
    let dialect = MySqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| Fault::at(error.location, format!("{}; close or quote it", error.message)))?;
    let is_space = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    if let Some(token) = tokens.iter().filter(|token| !is_space(token)).nth(MAX_TOKENS) {
        let reason = format!("it has more than {MAX_TOKENS} tokens; make it shorter");
        return Err(Fault::at(token.span.start, reason));
    }
    let end = tokens.last().map_or(start, |token| token.span.end);
    if tokens.iter().all(|token| is_space(&token)) {
        return Err(Fault::at(start, "the text is empty; give an expression over the fields"));
    }
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(MAX_NESTED).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|error| of_parser(error, end))?;
    let name = match parser.parse_keyword(Keyword::AS) {
        true => Some(parser.parse_identifier().map_err(|error| of_parser(error, end))?),
        false => None,
    };
    match parser.peek_token() {
        TokenWithSpan { token: Token::EOF, .. } => Ok((expr, name)),
        behind => Err(Fault::at(
            behind.span.start,
            format!("unexpected `{behind}`; expected an operator, or AS and a name"),
        )),
    }
}

/// The error of the parser, whose position is only in the text of its message.
fn of_parser(error: ParserError, end: Location) -> Fault {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            let reason = "it is nested too deeply; use at most 50 levels of parentheses";
            return Fault::at(Location { line: 0, column: 0 }, reason);
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (said, at) = match message.rsplit_once(" at Line: ") {
        Some((said, place)) => {
            let numbers = place.split_once(", Column: ");
            let at = numbers.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
            (said, at.map_or(end, |(line, column)| Location { line, column }))
        }
        None => (message.as_str(), end),
    };
    let reason = match said.strip_prefix("Expected: ").and_then(|said| said.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("the text ends too early; expected {expected}"),
        Some((expected, found)) => format!("unexpected `{found}`; expected {expected}"),
        None => format!("{said}; give an SQL expression"),
    };
    Fault::at(at, reason)
}

/// Supported operators and functions, for messages.
const OPERATORS: &str = "+ - * / %, = <> < <= > >=, AND OR NOT, IS, BETWEEN, IN, LIKE, CASE";
const FUNCTIONS: &str = "ABS, CEIL, COALESCE, FLOOR, GREATEST, IF, IFNULL, LEAST, MOD, NULLIF, ROUND";
const AGGREGATES: [&str; 12] = [
    "AVG",
    "SUM",
    "COUNT",
    "MIN",
    "MAX",
    "STD",
    "STDDEV",
    "VARIANCE",
    "CORR",
    "GROUP_CONCAT",
    "FIRST_VALUE",
    "LAST_VALUE",
];

struct Compiler<'a> {
    settings: &'a Settings,
}

impl Compiler<'_> {
    fn filter(&self, text: &str) -> Result<Expression, Fault> {
        let (expr, name) = parse(text)?;
        if let Some(name) = name {
            return Err(Fault::at(name.span.start, "a condition has no name; leave out AS"));
        }
        let filter = self.expression(&expr, 0)?;
        match filter.kind() {
            Kind::Truth => Ok(filter),
            other => Err(Fault::of(&expr, format!("{other} is not a condition; compare it with something"))),
        }
    }

    /// The name of a column, its expression, and the position of the name.
    fn column(&self, text: &str) -> Result<(String, Expression, Location), Fault> {
        let (expr, name) = parse(text)?;
        let at = name.as_ref().map_or_else(|| expr.span().start, |name| name.span.start);
        let expression = self.expression(&expr, 0)?;
        let name = match (&name, self.field_of(&expr)) {
            (Some(name), _) => name.value.clone(),
            (None, Some((field, _))) => field.to_owned(),
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
            Kind::Null => Err(Fault::of(&expr, "it is always NULL; give an expression over the fields")),
            _ => Ok((name, expression, at)),
        }
    }

    /// The field, if the expression consists of nothing else.
    fn field_of(&self, expr: &Expr) -> Option<(&str, Field)> {
        match expr {
            Expr::Identifier(ident) => self.field(&ident.value),
            Expr::Nested(expr) => self.field_of(expr),
            _ => None,
        }
    }

    /// A field by its name, which is case-insensitive in SQL.
    fn field(&self, name: &str) -> Option<(&str, Field)> {
        let is_it = |field: &str| field.eq_ignore_ascii_case(name);
        if let Some(&field) = STANDARD_FIELDS.iter().find(|field| is_it(field)) {
            let measure = Measure::ALL.into_iter().find(|measure| measure.name() == field);
            let other = if field == "timestamp" { Field::Timestamp } else { Field::Truck };
            return Some((field, measure.map_or(other, Field::Measure)));
        }
        let (place, field) = self.settings.fields.iter().enumerate().find(|(_, field)| is_it(&field.name))?;
        Some((&field.name, Field::Extra(place, field.field_type)))
    }

    fn no_field(&self, name: impl Display) -> String {
        let declared = self.settings.fields.iter().map(|field| &*field.name);
        let fields: Vec<&str> = STANDARD_FIELDS.into_iter().chain(declared).collect();
        format!(
            "unknown field `{name}`; expected one of {}, or a field declared in [record]",
            fields.join(", ")
        )
    }

    fn expression(&self, expr: &Expr, depth: usize) -> Result<Expression, Fault> {
        if depth >= MAX_DEPTH {
            let reason = format!("operations are nested more than {MAX_DEPTH} deep; simplify it");
            return Err(Fault::of(expr, reason));
        }
        let depth = depth + 1;
        let one = |expr: &Expr| self.expression(expr, depth);
        match expr {
            Expr::Nested(inner) => one(inner),
            Expr::Identifier(ident) => match self.field(&ident.value) {
                Some((_, field)) => Ok(Expression::field(field)),
                None => Err(Fault::of(expr, self.no_field(&ident.value))),
            },
            Expr::CompoundIdentifier(_) => Err(Fault::of(expr, self.no_field(expr))),
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
        conditions: &[sqlparser::ast::CaseWhen],
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

    fn function(&self, expr: &Expr, function: &Function, depth: usize) -> Result<Expression, Fault> {
        let name = function.name.to_string().to_uppercase();
        if AGGREGATES.contains(&&*name) || function.over.is_some() {
            let reason =
                format!("{name} aggregates readings, but each row comes from a single reading; leave it out");
            return Err(Fault::of(expr, reason));
        }
        const KNOWN: [&str; 12] = [
            "ABS", "CEIL", "CEILING", "COALESCE", "FLOOR", "GREATEST", "IF", "IFNULL", "LEAST", "MOD",
            "NULLIF", "ROUND",
        ];
        if !KNOWN.contains(&&*name) {
            return Err(Fault::of(expr, format!("unknown function {name}; expected one of {FUNCTIONS}")));
        }
        let plain = || Fault::of(expr, format!("{name} takes expressions, separated by commas"));
        let FunctionArguments::List(list) = &function.args else { return Err(plain()) };
        if list.duplicate_treatment.is_some()
            || !list.clauses.is_empty()
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
        {
            return Err(plain());
        }
        let operands = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(plain()),
        });
        let operands: Vec<&Expr> = operands.collect::<Result<_, _>>()?;
        let count =
            |wanted: &str| Err(Fault::of(expr, format!("{name} takes {wanted}, not {}", operands.len())));
        let all = || self.all_alike(&operands, depth);
        let each = || operands.iter().map(|one| self.expression(one, depth));
        let two = |values: Vec<Expression>| <[Expression; 2]>::try_from(values).unwrap_or_default();
        let result = match (&*name, operands.len()) {
            ("COALESCE", 1..) => Expression::coalesce(all()?),
            ("IFNULL", 2) => Expression::coalesce(all()?),
            ("GREATEST", 1..) => Expression::greatest(all()?),
            ("LEAST", 1..) => Expression::least(all()?),
            ("NULLIF", 2) => {
                let [a, b] = two(all()?);
                a.null_if(b)
            }
            ("MOD", 2) => {
                let [a, b] = two(each().collect::<Result<_, _>>()?);
                Expression::arithmetic(Arithmetic::Remainder, a, b)
            }
            ("IF", 3) => {
                let condition = self.expression(operands[0], depth)?;
                let [then, otherwise] = two(self.all_alike(&operands[1..], depth)?);
                Expression::case(vec![(condition, then)], otherwise)
            }
            ("ABS", 1) => self.expression(operands[0], depth)?.absolute(),
            ("CEIL" | "CEILING", 1) => self.expression(operands[0], depth)?.round(Rounding::Ceiling, 0),
            ("FLOOR", 1) => self.expression(operands[0], depth)?.round(Rounding::Floor, 0),
            ("ROUND", 1 | 2) => {
                let places = match operands.get(1) {
                    None => 0,
                    Some(places) => places_of(places)?,
                };
                self.expression(operands[0], depth)?.round(Rounding::Nearest, places)
            }
            ("COALESCE" | "GREATEST" | "LEAST", _) => return count("at least one expression"),
            ("IFNULL" | "NULLIF" | "MOD", _) => return count("two expressions"),
            ("IF", _) => return count("a condition and two expressions"),
            ("ROUND", _) => return count("a number and optionally decimal places"),
            _ => return count("one number"),
        };
        result.map_err(|error| mismatch(error, &operands))
    }

    fn alike<const N: usize>(&self, operands: [&Expr; N], depth: usize) -> Result<[Expression; N], Fault> {
        let values = self.all_alike(&operands, depth)?;
        Ok(values.try_into().unwrap_or_else(|_| unreachable!("one for each")))
    }

    /// Expressions that are compared with each other or are alternatives of each other. If one is a timestamp, string
    /// literals among them become timestamps.
    fn all_alike(&self, operands: &[&Expr], depth: usize) -> Result<Vec<Expression>, Fault> {
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

fn mismatch(error: Mismatch, operands: &[&Expr]) -> Fault {
    let at = operands.get(error.operand).map_or(Location { line: 0, column: 0 }, |expr| expr.span().start);
    Fault::at(at, error.reason)
}

fn no_operator(op: impl Display) -> String {
    format!("unknown operator `{op}`; expected one of {OPERATORS}")
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

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// The text, if the expression is a string literal.
fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => text_of(&value.value),
        Expr::Nested(expr) => literal_text(expr),
        _ => None,
    }
}

fn literal(expr: &Expr, value: &Value) -> Result<Expression, Fault> {
    match value {
        Value::Null => Ok(Expression::null()),
        Value::Boolean(holds) => Ok(Expression::truth(*holds)),
        Value::Number(digits, _) => number(digits).ok_or_else(|| {
            let rule = format!("give at most {MOST_PLACES} digits and no more decimal places");
            Fault::of(expr, format!("{digits} is out of range; {rule}"))
        }),
        other => match text_of(other) {
            Some(text) => Ok(Expression::text(text)),
            None => Err(Fault::of(
                expr,
                format!("unsupported literal `{other}`; give a number or a string in quotes"),
            )),
        },
    }
}

/// The exact value of a decimal literal, possibly with an exponent.
fn number(text: &str) -> Option<Expression> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Expression::number(0, 0);
    }
    let places = places - (all.len() - all.trim_end_matches('0').len()) as i64;
    let units: i128 = digits.parse().ok()?;
    match u8::try_from(places) {
        Ok(places) => Expression::number(units, places),
        Err(_) if places < 0 => {
            let power = 10i128.checked_pow(u32::try_from(-places).ok()?)?;
            Expression::number(units.checked_mul(power)?, 0)
        }
        Err(_) => None,
    }
}

/// A time in the format of the field `timestamp`, or a date, which is its midnight.
fn time(expr: &Expr, text: &str) -> Result<Expression, Fault> {
    time::parse(text)
        .or_else(|| time::parse(&format!("{text} 00:00:00")))
        .map(Expression::timestamp)
        .ok_or_else(|| {
            Fault::of(
                expr,
                format!("'{text}' is not a time; give 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS[.ffffff]'"),
            )
        })
}

/// The decimal places of ROUND.
fn places_of(expr: &Expr) -> Result<u8, Fault> {
    let places = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok().filter(|places| *places <= MOST_ROUNDED_PLACES),
            _ => None,
        },
        _ => None,
    };
    places.ok_or_else(|| {
        Fault::of(expr, format!("ROUND takes 0 to {MOST_ROUNDED_PLACES} decimal places, as a number"))
    })
}

#[cfg(test)]
mod tests;
