//! The statements of a file of views.

use std::path::Path;
use std::{fs, io};

use sqlparser::ast::{
    CreateTableOptions, CreateView, Expr, ObjectName, Query, Spanned, SqlOption, Statement, Value,
};
use sqlparser::tokenizer::Location;

use dataflows::relation::{Emit, Keep, Patience};

use super::fault::Fault;
use super::literal::literal_text;
use super::parameters::Parameters;
use super::parse;
use super::stack::with_stack;
use crate::config::error::ConfigError;
use crate::text::printable::printable;

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

/// How long windows and joins wait for late rows unless a view says otherwise.
pub(super) const DEFAULT_PATIENCE: Patience = Patience { grace: 24 * HOUR, idle: HOUR / 12 };

/// The relation of all readings.
pub const READINGS: &str = "readings";

/// A file of views.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file, as errors name it.
    file: String,
    text: String,
    /// Whether it is the text of the built-in views.
    is_built_in: bool,
    /// The views, in the order of the file: each one sees those above it.
    pub(super) statements: Vec<ViewStatement>,
}

/// `CREATE [MATERIALIZED] VIEW`.
#[derive(Clone, Debug)]
pub struct ViewStatement {
    /// The name, in lower case.
    pub name: String,
    /// Whether it has sinks. One without is only read by others.
    pub is_materialized: bool,
    /// The table; none: it is not written to one.
    pub table: Option<String>,
    /// Whether it is written to files.
    pub csv: bool,
    /// Whether it is filled from where the job began when it is added to an existing job.
    pub backfill: bool,
    /// Whether it is rebuilt if its definition has changed: `CREATE OR REPLACE`.
    pub replace: bool,
    /// The rows of its table.
    pub keep: Option<Keep>,
    /// When its windows have lines in its file.
    pub emit: Option<Emit>,
    /// How long its windows and joins wait for late rows.
    pub patience: Patience,
    /// How many rows of a side of a join may have the same key.
    pub join_limit: Option<u64>,
    /// Whether columns of numbers are doubles.
    pub doubles: bool,
    /// The columns of an index of its table.
    pub index: Vec<String>,
    /// Where its name is in the file.
    at: Location,
    pub(super) query: Query,
}

impl Script {
    /// Reads a file.
    pub fn read(path: &Path, parameters: &Parameters) -> Result<Self, ConfigError> {
        let text =
            text_of(path).map_err(|source| ConfigError::ReadViews { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text, parameters)
    }

    /// Parses the text of a file, which errors name.
    pub fn parse(file: &str, text: &str, parameters: &Parameters) -> Result<Self, ConfigError> {
        Self { file: file.to_owned(), text: text.to_owned(), is_built_in: false, statements: Vec::new() }
            .parsed(parameters)
    }

    /// Parses the text of the built-in views.
    pub(super) fn built_in(text: &str, parameters: &Parameters) -> Result<Self, ConfigError> {
        let file = "the built-in views".to_owned();
        Self { file, text: text.to_owned(), is_built_in: true, statements: Vec::new() }.parsed(parameters)
    }

    fn parsed(self, parameters: &Parameters) -> Result<Self, ConfigError> {
        let mut script = self;
        let parsed = with_stack(|| statements(&script.text, parameters));
        script.statements = parsed.map_err(|fault| script.located(fault))?;
        Ok(script)
    }

    /// The names of the views, and a checksum of the text.
    pub fn digest(&self) -> String {
        let names: Vec<&str> = self.statements.iter().map(|view| &*view.name).collect();
        format!("{} (checksum {:08x})", names.join(", "), crc32fast::hash(self.text.as_bytes()))
    }

    /// The views that have sinks.
    pub fn views(&self) -> impl Iterator<Item = &ViewStatement> {
        self.statements.iter().filter(|view| view.is_materialized)
    }

    /// The names of the views that are rebuilt if their definitions have changed.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter(|view| view.replace).map(|view| &*view.name)
    }

    /// An error of a view, at its name.
    pub fn wrong(&self, view: &ViewStatement, reason: impl Into<String>) -> ConfigError {
        self.located(Fault::at(view.at, reason))
    }

    pub(super) fn located(&self, fault: Fault) -> ConfigError {
        let (Location { line, column }, file) = (fault.at, printable(&self.file));
        let place = match line {
            0 => file.into_owned(),
            _ => format!("{file} line {line}, column {column}"),
        };
        let excerpt = excerpt(&self.text, fault.at);
        // Only what users set can be wrong.
        let set = if self.is_built_in { parameters_at(&self.text, fault.at) } else { String::new() };
        ConfigError::Views { place, reason: format!("{}{set}", printable(&fault.reason)), excerpt }
    }
}

/// The parameters in a line, for messages.
fn parameters_at(text: &str, at: Location) -> String {
    let line = usize::try_from(at.line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let names = line.unwrap_or_default().split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        format!("parameters.{}", &rest[..end])
    });
    match &names.collect::<Vec<_>>()[..] {
        [] => String::new(),
        names => format!("; it reads {}", names.join(" and ")),
    }
}

/// The most characters of a line before and behind a position.
const AROUND: usize = 60;

/// The line of a position, and a caret at it.
fn excerpt(text: &str, at: Location) -> Option<String> {
    let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
    let line = text.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
    let start = column.saturating_sub(AROUND);
    // A tab is one character, so that the caret is below its own.
    let shown: String =
        line.chars().skip(start).take(2 * AROUND).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let caret = " ".repeat(column - start);
    Some(format!("    {}\n    {caret}^", printable(&shown)))
}

/// The text of a file, which has an end.
fn text_of(path: &Path) -> io::Result<String> {
    match fs::metadata(path)?.is_file() {
        true => fs::read_to_string(path),
        false => Err(io::Error::other("it is not a file")),
    }
}

fn statements(text: &str, parameters: &Parameters) -> Result<Vec<ViewStatement>, Fault> {
    let mut views: Vec<ViewStatement> = Vec::new();
    for (statement, at) in parse::statements(text, parameters)? {
        let Statement::CreateView(create) = statement else {
            let verb = statement.to_string();
            let verb = verb.split(' ').next().unwrap_or_default();
            let reason =
                format!("`{verb}` is not supported here; give CREATE VIEW or CREATE MATERIALIZED VIEW");
            return Err(Fault::at(at, reason));
        };
        let view = view(create, at)?;
        if view.name == READINGS {
            return Err(Fault::at(view.at, "`readings` is the record; give the view another name"));
        }
        if views.iter().any(|other| other.name == view.name) {
            let reason = format!("another view has the name `{}`; give each its own", view.name);
            return Err(Fault::at(view.at, reason));
        }
        views.push(view);
    }
    if views.is_empty() {
        return Err(Fault::at(
            Location { line: 1, column: 1 },
            "it has no view; add CREATE MATERIALIZED VIEW",
        ));
    }
    Ok(views)
}

fn view(create: CreateView, start: Location) -> Result<ViewStatement, Fault> {
    let at = start_of(&create.name, start);
    let refused = |what: &str, instead: &str| Fault::at(at, format!("{what} is not supported; {instead}"));
    if create.or_alter {
        return Err(refused("CREATE OR ALTER", "write CREATE OR REPLACE"));
    }
    if create.if_not_exists || create.temporary {
        return Err(refused("IF NOT EXISTS or TEMPORARY", "leave it out"));
    }
    if !create.columns.is_empty() {
        return Err(refused("a list of columns behind the name", "name columns in the query, with AS"));
    }
    let name = name_of(&create.name).map_err(|reason| Fault::at(at, reason))?.to_lowercase();
    let mut view = ViewStatement {
        table: Some(name.to_uppercase()),
        name,
        is_materialized: create.materialized,
        csv: true,
        backfill: false,
        replace: create.or_replace,
        keep: None,
        emit: None,
        patience: DEFAULT_PATIENCE,
        join_limit: None,
        doubles: false,
        index: Vec::new(),
        at,
        query: *create.query,
    };
    let options = match create.options {
        CreateTableOptions::None => return Ok(view),
        CreateTableOptions::With(options) => options,
        _ => return Err(refused("this form of options", "write WITH (name = value, …) before AS")),
    };
    if !view.is_materialized {
        let reason = "only a view with sinks has options; write CREATE MATERIALIZED VIEW, or leave out WITH";
        return Err(Fault::at(at, reason));
    }
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(Fault::at(at, format!("`{option}` is not an option; write name = value")));
        };
        set(&mut view, &key, &value, at)?;
    }
    Ok(view)
}

/// Sets an option of WITH.
fn set(view: &mut ViewStatement, key: &ObjectName, value: &Expr, at: Location) -> Result<(), Fault> {
    let at = start_of(key, at);
    let truth = match value {
        Expr::Value(value) => match value.value {
            Value::Boolean(truth) => Some(truth),
            _ => None,
        },
        _ => None,
    };
    let name = key.to_string().to_lowercase();
    let wrong = |takes: &str| Err(Fault::at(at, format!("`{name}` takes {takes}, not `{value}`")));
    match (&*name, literal_text(value), truth) {
        ("table", Some(table), _) => view.table = Some(table.to_owned()),
        ("table", _, Some(false)) => view.table = None,
        ("table", ..) => return wrong("the name of a table in quotes, or false for none"),
        ("csv", _, Some(truth)) => view.csv = truth,
        ("backfill", _, Some(truth)) => view.backfill = truth,
        ("csv" | "backfill", ..) => return wrong("true or false"),
        ("keep", Some("latest"), _) => view.keep = Some(Keep::Latest),
        ("keep", Some("history"), _) => view.keep = Some(Keep::History),
        ("keep", ..) => return wrong("'latest' or 'history'"),
        ("emit", Some("changes"), _) => view.emit = Some(Emit::Changes),
        ("emit", Some("close"), _) => view.emit = Some(Emit::Close),
        ("emit", ..) => return wrong("'changes' or 'close'"),
        ("grace" | "idle", text, _) => match (text.and_then(span), &*name) {
            (Some(span), "grace") => view.patience.grace = span,
            (Some(span), _) => view.patience.idle = span,
            (None, _) => return wrong("a duration in quotes, such as '24h' or '5m'"),
        },
        ("numbers", Some("double"), _) => view.doubles = true,
        ("numbers", Some("decimal"), _) => view.doubles = false,
        ("numbers", ..) => return wrong("'decimal' or 'double'"),
        ("index", Some(text), _) => view.index = text.split(',').map(|name| name.trim().to_owned()).collect(),
        ("index", ..) => return wrong("names of columns in quotes, separated by commas"),
        ("join_limit", ..) => match number_of(value) {
            Some(limit) => view.join_limit = Some(limit),
            None => return wrong("a number of rows above 0"),
        },
        _ => {
            let reason = format!("unknown option `{name}`; expected one of {OPTIONS}");
            return Err(Fault::at(at, reason));
        }
    }
    Ok(())
}

/// The options of WITH, for messages.
const OPTIONS: &str = "table, csv, keep, emit, grace, idle, join_limit, numbers, index, backfill";

/// A duration, in microseconds, of which it has a whole number.
fn span(text: &str) -> Option<i64> {
    let span = humantime::parse_duration(text).ok()?;
    i64::try_from(span.as_micros()).ok().filter(|_| span.subsec_nanos().is_multiple_of(1000))
}

fn number_of(value: &Expr) -> Option<u64> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok().filter(|number| *number > 0),
            _ => None,
        },
        _ => None,
    }
}

impl ViewStatement {
    /// The options on which its state and the form of its table depend, as far as they are not the default ones.
    pub fn state_options(&self) -> String {
        let mut options = String::new();
        if self.keep == Some(Keep::History) {
            options.push_str("; history");
        }
        if let Some(limit) = self.join_limit {
            options.push_str(&format!("; join_limit {limit}"));
        }
        options
    }
}

/// Where a name is; `otherwise`, if the parser has no position for it.
fn start_of(name: &ObjectName, otherwise: Location) -> Location {
    match name.span().start {
        Location { line: 0, .. } => otherwise,
        at => at,
    }
}

/// The name of a view or relation, which has one part.
pub(super) fn name_of(name: &ObjectName) -> Result<&str, String> {
    match &name.0[..] {
        [part] => part.as_ident().map(|ident| &*ident.value),
        _ => None,
    }
    .ok_or_else(|| format!("`{name}` is not a name; give one without dots"))
}
