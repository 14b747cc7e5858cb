//! Plans and their SQL from random bytes, so that failing ones shrink with them.
//!
//! A plan and its text are made together, by the same choices: the text is what a user would write for the plan. The
//! compiler may make another plan of it, whose rows have to be the same.
//!
//! | file | contents |
//! |---|---|
//! | this one | choices, the columns that expressions can use, views |
//! | `scalars` | expressions of rows |
//! | `calls` | aggregate functions |
//! | `relations` | filters, aggregates, windows, unions |
//! | `joins` | joins |

mod calls;
mod joins;
mod relations;
mod scalars;

use dataflows::expression::{Expression, Kind};
use dataflows::relation::{Emit, Keep, Patience, PlannedView, Relation};
use dataflows::schema::{Field, Schema};

use self::relations::Plan;

/// So that nothing is ever late: 100 years, and five minutes.
pub const PATIENT: Patience = Patience { grace: 36_500 * 86_400_000_000, idle: 300_000_000 };

/// An expression, and its text.
#[derive(Clone, Debug)]
struct Said {
    it: Expression,
    text: String,
}

/// A column that expressions can use.
#[derive(Clone)]
struct Column {
    name: String,
    said: Said,
    /// Standard deviations and correlations: they may be 2 ulp off, so that nothing is computed of them.
    is_root: bool,
}

/// The columns that expressions can use.
#[derive(Clone)]
struct Scope {
    columns: Vec<Column>,
    event_time: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Number,
    Text,
    Time,
    Truth,
}

fn is(expression: &Expression, wanted: Wanted) -> bool {
    wanted_of(expression.kind()) == Some(wanted)
}

fn wanted_of(kind: Kind) -> Option<Wanted> {
    match kind {
        Kind::Number(_) | Kind::Real => Some(Wanted::Number),
        Kind::Text => Some(Wanted::Text),
        Kind::Timestamp => Some(Wanted::Time),
        Kind::Truth => Some(Wanted::Truth),
        Kind::Null => None,
    }
}

impl Scope {
    /// The columns that can be used, of one type.
    fn of(&self, wanted: Wanted) -> Vec<&Said> {
        let usable = self.columns.iter().filter(|column| !column.is_root);
        usable.map(|column| &column.said).filter(|said| is(&said.it, wanted)).collect()
    }

    fn expressions(&self) -> Vec<Expression> {
        self.columns.iter().map(|column| column.said.it.clone()).collect()
    }

    fn roots(&self) -> Vec<bool> {
        self.columns.iter().map(|column| column.is_root).collect()
    }
}

/// Makes plans of bytes.
pub struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
    schema: Schema,
    patience: Patience,
    /// How many rows of a side of a join may have the same key.
    limit: Option<u64>,
    /// Names that no relation and no column has yet.
    names: usize,
    /// The statements so far, and the views that they make.
    statements: Vec<String>,
    known: Vec<(String, Plan)>,
}

impl<'a> Choices<'a> {
    /// Views over readings of a schema; their windows and joins wait so long.
    pub fn new(bytes: &'a [u8], schema: &Schema, patience: Patience) -> Self {
        Self {
            bytes: bytes.iter(),
            schema: schema.clone(),
            patience,
            limit: None,
            names: 0,
            statements: Vec::new(),
            known: Vec::new(),
        }
    }

    /// The same with so many rows of a key in joins.
    pub fn limited_to(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// So many views, each of groups with its history.
    pub fn views(&mut self, number: usize) -> Vec<PlannedView> {
        let mut views = Vec::new();
        for place in 0..number {
            let view = self.view(place);
            let history = self.history(&view);
            views.push(view);
            views.extend(history);
        }
        views
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % n
    }

    /// Whether one of `n` chances has come; not when there are no bytes left.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn any(&mut self) -> Wanted {
        self.one(&[Wanted::Number, Wanted::Number, Wanted::Text, Wanted::Time, Wanted::Truth])
    }

    fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// A name as it may be written.
    fn written(&mut self, name: &str) -> String {
        match self.below(8) {
            // A keyword has quotes.
            0..5 if name == "select" => format!("\"{name}\""),
            5 => format!("\"{name}\""),
            6 => format!("`{name}`"),
            7 if name != "select" => name.to_uppercase(),
            7 => format!("`{}`", name.to_uppercase()),
            _ => name.to_owned(),
        }
    }

    /// The fields of readings, behind the name of the relation if one is given.
    fn fields(&mut self, alias: Option<&str>) -> Scope {
        let fields: Vec<Field> = self.schema.fields().to_vec();
        let columns: Vec<Column> = fields
            .iter()
            .map(|field| {
                let text = self.qualified(alias, &field.name);
                let said = Said { it: Expression::field(field), text };
                Column { name: field.name.to_string(), said, is_root: false }
            })
            .collect();
        let event_time = columns.iter().position(|column| column.said.it.is_event_time());
        Scope { columns, event_time }
    }

    fn qualified(&mut self, alias: Option<&str>, name: &str) -> String {
        let name = self.written(name);
        alias.map_or_else(|| name.clone(), |alias| format!("{alias}.{name}"))
    }

    /// A view with sinks, which later ones may read.
    fn view(&mut self, place: usize) -> PlannedView {
        let doubles = self.once_in(8);
        let emit = [None, None, Some(Emit::Changes), Some(Emit::Close)][self.below(4)];
        let depth = 1 + self.below(3);
        let plan = self.plan(depth, true);
        let name = format!("v{place}");
        let names = plan.scope.columns.iter().map(|column| column.name.clone());
        let mut view = PlannedView::new(&name, &name.to_uppercase(), names, plan.relation.clone());
        (view.doubles, view.emit) = (doubles, emit.filter(|_| plan.relation.is_windowed()));
        let Patience { grace, idle } = self.patience;
        let emit = match view.emit {
            None => "",
            Some(Emit::Changes) => ", emit = 'changes'",
            Some(Emit::Close) => ", emit = 'close'",
        };
        let limit = self.limit.map_or_else(String::new, |limit| format!(", join_limit = {limit}"));
        let numbers = if doubles { ", numbers = 'double'" } else { "" };
        self.statements.push(format!(
            "CREATE MATERIALIZED VIEW {name} WITH (grace = '{grace}us', idle = '{idle}us'{emit}{numbers}{limit}) AS\n{};",
            plan.query
        ));
        self.known.push((name, plan));
        view
    }

    /// The same view of groups with a history.
    fn history(&mut self, view: &PlannedView) -> Option<PlannedView> {
        let name = format!("{}_history", view.name);
        let statement =
            self.statements.iter().find(|one| one.contains(&format!(" VIEW {} WITH", view.name)))?;
        let of = statement.replacen(
            &format!("VIEW {} WITH (", view.name),
            &format!("VIEW {name} WITH (keep = 'history', "),
            1,
        );
        if !view.relation.is_of_groups() {
            return None;
        }
        self.statements.push(of);
        Some(PlannedView {
            table: name.to_uppercase().into(),
            name: name.into(),
            keep: Keep::History,
            ..view.clone()
        })
    }

    /// The text of all views.
    pub fn script(&self) -> String {
        self.statements.join("\n\n")
    }
}

/// Whether a relation joins others.
fn joins(relation: &Relation) -> bool {
    relation.any(&|one| matches!(one, Relation::Join(_)))
}
