//! The built-in views, SQL that ships in the binary, and those of a file, which can read them.

use std::collections::BTreeSet;

use dataflows::relation::PlannedView;
use dataflows::schema::Schema;
use dataflows::views::Settings;

use super::parameters::Parameters;
use super::script::{READINGS, Script, ViewStatement};
use super::selected::Reads;
use super::stack::with_stack;
use super::view::{Compiled, Known, one, readings};
use crate::config::error::ConfigError;

/// Their text.
pub const TEXT: &str = include_str!("builtin.sql");
/// The view of the phone's readings, which are a record of their own.
pub const ORIENTATION: &str = "orientation";

/// The statements, with the values of parameters.
pub fn script(parameters: &Parameters) -> Result<Script, ConfigError> {
    Script::built_in(TEXT, parameters)
}

/// Operations, fields and constants of all views of a file.
const MAX_OF_FILE: usize = 500_000;

/// A built-in view that is not built, because the record lacks fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The view.
    pub view: String,
    /// The fields that it lacks, or that have another type.
    pub fields: Vec<String>,
}

/// The built-in views over the fields of a record.
pub struct Builtin {
    /// Those whose fields the record has, in the order of their text.
    pub views: Vec<PlannedView>,
    /// The others.
    pub missing: Vec<Missing>,
    pub(super) known: Known,
    /// All of them, with the relations that each one reads.
    pub reads: Vec<(String, Reads)>,
}

impl Builtin {
    /// The views of a script.
    pub fn compile(script: &Script, settings: &Settings) -> Result<Self, ConfigError> {
        with_stack(|| {
            let mut built = Self {
                views: Vec::new(),
                missing: Vec::new(),
                known: vec![(READINGS.into(), readings(settings))],
                reads: Vec::new(),
            };
            for statement in &script.statements {
                match one(script, statement, &built.known) {
                    Ok(Compiled { view, selected, reads }) => {
                        built.views.extend(view);
                        built.known.push((statement.name.clone(), selected));
                        built.reads.push((statement.name.clone(), reads));
                    }
                    Err(error) => match lacking(&words(statement), &settings.schema) {
                        fields if fields.is_empty() => return Err(error),
                        fields => built.missing.push(Missing { view: statement.name.clone(), fields }),
                    },
                }
            }
            Ok(built)
        })
    }

    /// Keeps the views that a job has; others cannot be read either.
    pub fn retain(&mut self, has: impl Fn(&str) -> bool) {
        self.views.retain(|view| has(&view.name));
        self.known.retain(|(name, _)| name == READINGS || has(name));
    }
}

/// The views of a file.
#[derive(Debug, Default)]
pub struct Own {
    /// Those that have sinks, in its order.
    pub views: Vec<PlannedView>,
    /// All of them, with the relations that each one reads.
    pub reads: Vec<(String, Reads)>,
}

/// Compiles the views of a file. They can read the built-in views.
pub fn compile(script: &Script, builtin: &Builtin) -> Result<Own, ConfigError> {
    with_stack(|| {
        let (mut own, mut known, mut nodes) = (Own::default(), builtin.known.clone(), 0);
        for statement in &script.statements {
            if known.iter().any(|(name, _)| *name == statement.name) {
                let reason = format!("another view has the name `{}`; give each its own", statement.name);
                return Err(script.wrong(statement, reason));
            }
            let Compiled { view, selected, reads } = one(script, statement, &known)?;
            nodes += selected.nodes;
            if nodes > MAX_OF_FILE {
                let reason = format!(
                    "the views up to here have {nodes} operations; at most {MAX_OF_FILE} are supported"
                );
                return Err(script.wrong(statement, reason));
            }
            own.views.extend(view);
            own.reads.push((statement.name.clone(), reads));
            known.push((statement.name.clone(), selected));
        }
        Ok(own)
    })
}

/// The words of a statement.
fn words(statement: &ViewStatement) -> BTreeSet<String> {
    let text = statement.query.to_string();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
}

/// The fields among these words that a record lacks, or has with another type.
fn lacking(words: &BTreeSet<String>, schema: &Schema) -> Vec<String> {
    let mut lacking = Vec::new();
    for standard in [Schema::trucks(), Schema::orientation()] {
        for field in standard.fields().iter().filter(|field| words.contains(&*field.name)) {
            let is_there =
                schema.field(&field.name).is_some_and(|found| found.field_type == field.field_type);
            if !is_there && !lacking.contains(&field.name.to_string()) {
                lacking.push(field.name.to_string());
            }
        }
    }
    lacking
}
