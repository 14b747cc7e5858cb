//! FROM: relations, windows of time, joins.

use dataflows::expression::{Expression, Kind};
use dataflows::relation::{Bound, ColumnKind, From as Origin, Join, Relation, Window, WindowKind};
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, JoinConstraint, JoinOperator, Select, Spanned,
    TableAlias, TableFactor,
};
use sqlparser::tokenizer::Location;

use super::compiler::{Compiler, Named, WindowColumn};
use super::fault::Fault;
use super::interval::interval;
use super::script::{READINGS, name_of};
use super::selected::{Context, Selected};

/// The rows of FROM.
pub(super) struct From {
    pub selected: Selected,
    /// Names their columns.
    pub compiler: Compiler<'static>,
    pub window: Option<Window>,
    /// The names and definitions of what is read.
    pub definitions: Vec<(String, String)>,
}

impl From {
    /// Whether the rows are in sessions.
    pub fn is_session(&self) -> bool {
        matches!(&self.window, Some(window) if matches!(window.kind, WindowKind::Session { .. }))
    }
}

/// The rows of the FROM of a query.
pub(super) fn from(select: &Select, context: &Context<'_>) -> Result<From, Fault> {
    let at = select.span().start;
    let [from] = &select.from[..] else {
        return Err(match select.from.is_empty() {
            true => Fault::at(at, format!("it reads nothing; add FROM {READINGS}, or a view above")),
            false => Fault::at(at, "more than one relation in FROM is not supported; use JOIN"),
        });
    };
    let mut rows = factor(&from.relation, context)?;
    for join in &from.joins {
        let constraint = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => constraint,
            other => {
                let shown = match other {
                    JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => "LEFT JOIN",
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => "RIGHT JOIN",
                    JoinOperator::FullOuter(_) => "FULL JOIN",
                    JoinOperator::CrossJoin(_) => "CROSS JOIN",
                    _ => "this kind of JOIN",
                };
                let reason = format!("{shown} is not supported; use JOIN … ON with an equality");
                return Err(Fault::at(join.relation.span().start, reason));
            }
        };
        let right = factor(&join.relation, context)?;
        rows = joined(rows, right, constraint, join.relation.span().start, context)?;
    }
    Ok(rows)
}

/// A relation, a subquery or windows.
fn factor(factor: &TableFactor, context: &Context<'_>) -> Result<From, Fault> {
    let at = factor.span().start;
    let alias_of = |alias: &Option<TableAlias>| match alias {
        Some(alias) if !alias.columns.is_empty() => {
            Err(Fault::at(at, "a list of columns behind a name is not supported; use AS in SELECT"))
        }
        alias => Ok(alias.as_ref().map(|alias| alias.name.value.clone())),
    };
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let called = name_of(name).map_err(|reason| Fault::at(at, reason))?;
            let (own, selected) = relation(called, at, context)?;
            let name = alias_of(alias)?.unwrap_or_else(|| own.to_owned());
            Ok(plain(selected.clone(), Some(&name), own))
        }
        TableFactor::Table { name, alias, args: Some(args), .. } => {
            let called = name_of(name).map_err(|reason| Fault::at(at, reason))?.to_uppercase();
            windows(&called, &args.args, alias_of(alias)?, at, context)
        }
        TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
            let name = alias_of(alias)?;
            let selected = (context.subquery)(subquery, context)?;
            Ok(plain(selected, name.as_deref(), "subquery"))
        }
        other => {
            let shown: String = other.to_string().chars().take(40).collect();
            let reason = format!("`{shown}` is not supported; read {READINGS}, a view above or a subquery");
            Err(Fault::at(at, reason))
        }
    }
}

/// The relation with a name.
fn relation<'a>(name: &str, at: Location, context: &Context<'a>) -> Result<(&'a str, &'a Selected), Fault> {
    let found = context.known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    if let Some((name, _)) = found {
        context.reads.borrow_mut().insert(name.clone());
    }
    found.map(|(name, selected)| (&**name, selected)).ok_or_else(|| {
        let names: Vec<&str> = context.known.iter().map(|(name, _)| &**name).collect();
        let reason = format!(
            "unknown relation `{name}`; expected one of {}: a view sees those above it",
            names.join(", ")
        );
        Fault::at(at, reason)
    })
}

/// Rows as they are, under a name.
fn plain(selected: Selected, name: Option<&str>, own: &str) -> From {
    let compiler =
        Compiler { columns: selected.named(name), of_record: own == READINGS, ..Compiler::default() };
    let text = match own {
        READINGS => String::new(),
        _ => format!("({})", selected.definition),
    };
    let definitions = vec![(own.to_owned(), text)];
    From { selected, compiler, window: None, definitions }
}

/// `TUMBLE`, `HOP` and `SESSION`.
fn windows(
    name: &str,
    arguments: &[FunctionArg],
    alias: Option<String>,
    at: Location,
    context: &Context<'_>,
) -> Result<From, Fault> {
    let wanted = match name {
        "TUMBLE" => "TUMBLE(relation, time, INTERVAL '…' of a window)",
        "HOP" => "HOP(relation, time, INTERVAL '…' from one window to the next, INTERVAL '…' of a window)",
        "SESSION" => "SESSION(relation, time, INTERVAL '…' of the gap)",
        _ => {
            let reason = format!("unknown function {name} in FROM; expected one of TUMBLE, HOP, SESSION");
            return Err(Fault::at(at, reason));
        }
    };
    let refused = || Fault::at(at, format!("{name} is written {wanted}"));
    let arguments = arguments.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        _ => Err(refused()),
    });
    let arguments: Vec<&Expr> = arguments.collect::<Result<_, _>>()?;
    let (&[of, time], spans) = arguments.split_first_chunk::<2>().ok_or_else(refused)?;
    let mut rows = match of {
        Expr::Identifier(called) => {
            let (own, selected) = relation(&called.value, of.span().start, context)?;
            let name = alias.unwrap_or_else(|| own.to_owned());
            plain(selected.clone(), Some(&name), own)
        }
        Expr::Subquery(of) => plain((context.subquery)(of, context)?, alias.as_deref(), "subquery"),
        _ => return Err(refused()),
    };
    let spans = spans.iter().map(|span| {
        let micros = interval(span)?.ok_or_else(refused)?;
        match micros {
            1.. => Ok(micros),
            _ => Err(Fault::of(span, format!("{name} takes an INTERVAL above 0"))),
        }
    });
    let spans: Vec<i64> = spans.collect::<Result<_, _>>()?;
    let kind = match (name, &spans[..]) {
        ("TUMBLE", &[size]) => WindowKind::Hop { slide: size, size },
        ("HOP", &[slide, size]) => WindowKind::Hop { slide, size },
        ("SESSION", &[gap]) => WindowKind::Session { gap },
        _ => return Err(refused()),
    };
    if let WindowKind::Hop { slide, size } = kind
        && size / slide > MAX_WINDOWS
    {
        let reason = format!(
            "a row would be in {} windows; make the first INTERVAL longer: at most {MAX_WINDOWS} are supported",
            size / slide
        );
        return Err(Fault::at(at, reason));
    }
    if let WindowKind::Session { .. } = kind
        && let Origin::Relation(of) = &rows.selected.from
        && of.retracts(false)
    {
        let reason = "SESSION reads readings and what is filtered, joined or united of them; the rows of an aggregate can be taken back";
        return Err(Fault::at(at, reason));
    }
    if let Some(column) = rows.compiler.columns.iter().find(|column| {
        [WindowColumn::Start, WindowColumn::End]
            .iter()
            .any(|taken| taken.name().eq_ignore_ascii_case(&column.name))
    }) {
        let reason = format!(
            "`{}` is a column of what {name} reads, and would be one of its windows; give the first another name in a view or subquery",
            column.name
        );
        return Err(Fault::at(at, reason));
    }
    let compiled = rows.compiler.expression(time, 0)?;
    if compiled.kind() != Kind::Timestamp {
        let reason = format!("{name} takes a time as its second argument, not {}", compiled.kind());
        return Err(Fault::of(time, reason));
    }
    rows.compiler.has_windows = true;
    rows.window = Some(Window { time: compiled, kind, patience: context.patience });
    Ok(rows)
}

/// The most windows that a row may be in.
const MAX_WINDOWS: i64 = 10_000;

/// A side of a join.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// A condition on the difference of two times: `right - left` is at least, or at most, so much.
struct Difference {
    left: Expression,
    right: Expression,
    from: Option<i64>,
    to: Option<i64>,
}

impl Difference {
    /// Whether it is of the same times.
    fn is_of(&self, other: &Self) -> bool {
        self.left == other.left && self.right == other.right
    }

    /// Holds where both do.
    fn narrow(&mut self, other: &Self) {
        self.from = [self.from, other.from].into_iter().flatten().max();
        self.to = [self.to, other.to].into_iter().flatten().min();
    }
}

/// The pairs of rows that match.
fn joined(
    left: From,
    right: From,
    constraint: &JoinConstraint,
    at: Location,
    context: &Context<'_>,
) -> Result<From, Fault> {
    if left.window.is_some() || right.window.is_some() {
        let reason = "a window is not joined; give it a view of its own, and join that";
        return Err(Fault::at(at, reason));
    }
    let JoinConstraint::On(condition) = constraint else {
        return Err(Fault::at(at, "JOIN needs ON with an equality of columns of both relations"));
    };
    let (left_relation, right_relation) = (left.selected.relation()?, right.selected.relation()?);
    if let Some(twice) = right.compiler.columns.iter().find_map(|column| {
        let name = column.relation.as_deref()?;
        left.compiler.is_of(name).then_some(name)
    }) {
        let reason =
            format!("both relations have the name `{twice}`; give one another, as in `{twice} AS other`");
        return Err(Fault::at(at, reason));
    }
    let over = |named: Vec<Named>, columns: &[ColumnKind]| Compiler {
        columns: named
            .into_iter()
            .zip(Expression::of_columns(columns))
            .map(|(column, expression)| Named { expression, ..column })
            .collect(),
        ..Compiler::default()
    };
    let (of_left, of_right) = (left_relation.columns(), right_relation.columns());
    let named = [&left, &right].map(|side| side.compiler.columns.clone());
    let both = over(named.concat(), &[&of_left[..], &of_right].concat());
    let [left_names, right_names] = named;
    // Of a side, expressions are of its own columns.
    let sides = [over(left_names, &of_left), over(right_names, &of_right)];
    // Checks all of it, with the names of both.
    both.condition(condition)?;
    let (mut keys, mut filters) = (Vec::new(), Vec::new());
    let (mut bound, mut of_bound) = (None::<Difference>, Vec::new());
    for one in conjuncts(condition) {
        if let Some(key) = equality(one, &sides)? {
            keys.push(key);
            continue;
        }
        let condition = both.condition(one)?;
        match (differences(one, &sides)?, &mut bound) {
            (Some(difference), None) => {
                bound = Some(difference);
                of_bound.push(condition);
            }
            (Some(difference), Some(bound)) if bound.is_of(&difference) => {
                bound.narrow(&difference);
                of_bound.push(condition);
            }
            _ => filters.push(condition),
        }
    }
    if keys.is_empty() {
        let reason = "JOIN needs an equality of columns of both relations, such as a.truck_id = b.truck_id";
        return Err(Fault::of(condition, reason));
    }
    let bound = match bound {
        Some(Difference { left, right, from: Some(from), to: Some(to) }) => {
            Some(Bound { left, right, from, to, patience: context.patience })
        }
        // A bound on one side bounds no state.
        _ => {
            filters.extend(of_bound);
            None
        }
    };
    let names = both.columns.iter().map(|column| column.name.clone()).collect();
    let join = Join { left: left_relation, right: right_relation, keys, bound, limit: context.join_limit };
    let mut selected = Selected::of(Relation::Join(Box::new(join)), names, None, &left.selected);
    selected.nodes = left.selected.nodes + right.selected.nodes;
    selected.filters = filters;
    let definitions = [left.definitions, right.definitions].concat();
    Ok(From { selected, compiler: both, window: None, definitions })
}

/// The operands of a chain of ANDs.
fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            [conjuncts(left), conjuncts(right)].concat()
        }
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

/// The side whose columns alone an expression uses, and the expression of them.
fn side_of(expr: &Expr, [left, right]: &[Compiler<'_>; 2]) -> Option<(Side, Expression)> {
    match (left.expression(expr, 0), right.expression(expr, 0)) {
        (Ok(of_left), Err(_)) => Some((Side::Left, of_left)),
        (Err(_), Ok(of_right)) => Some((Side::Right, of_right)),
        // A constant is of both, and a name of both is ambiguous.
        _ => None,
    }
}

/// The values of both sides that a condition says are equal.
fn equality(expr: &Expr, sides: &[Compiler<'_>; 2]) -> Result<Option<(Expression, Expression)>, Fault> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr else { return Ok(None) };
    let (Some((one, a)), Some((other, b))) = (side_of(left, sides), side_of(right, sides)) else {
        return Ok(None);
    };
    if one == other {
        return Ok(None);
    }
    let (a, b) = if one == Side::Left { (a, b) } else { (b, a) };
    // A decimal and a double are compared exactly, so neither can be a key as it is.
    if (a.kind() == Kind::Real) != (b.kind() == Kind::Real) {
        return Ok(None);
    }
    let [a, b] = Expression::alike(vec![a, b])
        .ok()
        .and_then(|both| <[Expression; 2]>::try_from(both).ok())
        .ok_or_else(|| Fault::of(expr, format!("`{expr}` compares values of different types")))?;
    // Two decimals without a common scale.
    Ok(((a.kind() == Kind::Real) == (b.kind() == Kind::Real)).then_some((a, b)))
}

/// A time of a side plus so many microseconds.
fn timed(expr: &Expr, sides: &[Compiler<'_>; 2]) -> Result<Option<(Side, Expression, i64)>, Fault> {
    if let Expr::Nested(inner) = expr {
        return timed(inner, sides);
    }
    if let Expr::BinaryOp { left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), right } = expr
        && let Some(by) = interval(right)?
    {
        let by = if *op == BinaryOperator::Plus { by } else { -by };
        return Ok(timed(left, sides)?.map(|(side, time, shift)| (side, time, shift.saturating_add(by))));
    }
    Ok(side_of(expr, sides)
        .filter(|(_, time)| time.kind() == Kind::Timestamp)
        .map(|(side, time)| (side, time, 0)))
}

/// What a condition says of the difference of two times.
fn differences(expr: &Expr, sides: &[Compiler<'_>; 2]) -> Result<Option<Difference>, Fault> {
    match expr {
        Expr::Between { expr: of, negated: false, low, high } => {
            let (Some(mut from), Some(to)) =
                (at_most(low, of, false, sides)?, at_most(of, high, false, sides)?)
            else {
                return Ok(None);
            };
            let is_same = from.is_of(&to);
            from.narrow(&to);
            Ok(is_same.then_some(from))
        }
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::LtEq => at_most(left, right, false, sides),
            BinaryOperator::Lt => at_most(left, right, true, sides),
            BinaryOperator::GtEq => at_most(right, left, false, sides),
            BinaryOperator::Gt => at_most(right, left, true, sides),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// What `a <= b`, or strictly `a < b`, says of the difference.
fn at_most(
    a: &Expr,
    b: &Expr,
    is_strict: bool,
    sides: &[Compiler<'_>; 2],
) -> Result<Option<Difference>, Fault> {
    let (Some((one, a, by)), Some((other, b, more))) = (timed(a, sides)?, timed(b, sides)?) else {
        return Ok(None);
    };
    let strict = i64::from(is_strict);
    Ok(match (one, other) {
        // left + by <= right + more
        (Side::Left, Side::Right) => {
            Some(Difference { left: a, right: b, from: Some(by - more + strict), to: None })
        }
        // right + by <= left + more
        (Side::Right, Side::Left) => {
            Some(Difference { left: b, right: a, from: None, to: Some(more - by - strict) })
        }
        _ => None,
    })
}
