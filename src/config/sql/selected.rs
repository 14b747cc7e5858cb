//! What a query selects.

use std::cell::RefCell;
use std::collections::BTreeSet;

use dataflows::expression::Expression;
use dataflows::relation::{From, Patience, Relation, Source};
use sqlparser::ast::Query;

use super::compiler::Named;
use super::fault::{Fault, mismatch};

/// The rows that a query selects, with columns computed from what these rows come from.
#[derive(Clone)]
pub(super) struct Selected {
    /// The readings, or the rows of a relation.
    pub from: From,
    /// The conditions of all queries on the way.
    pub filters: Vec<Expression>,
    pub columns: Vec<(String, Expression)>,
    /// Event time, if rows have one.
    pub event_time: Option<Expression>,
    /// The text that defines it, without blanks and comments.
    pub definition: String,
    /// Operations, fields and constants of columns and conditions.
    pub nodes: usize,
}

/// The names of the relations that a view reads.
pub type Reads = BTreeSet<String>;

/// What a query is compiled in.
pub(super) struct Context<'a> {
    /// Compiles a subquery.
    pub subquery: fn(&Query, &Context<'_>) -> Result<Selected, Fault>,
    /// The relations that can be named.
    pub known: &'a [(String, Selected)],
    /// Those that were named so far.
    pub reads: RefCell<Reads>,
    /// How long windows and joins wait for late rows.
    pub patience: Patience,
    /// How many rows of a side of a join may have the same key.
    pub join_limit: Option<u64>,
}

impl Selected {
    /// The rows that satisfy all conditions.
    pub fn source(&self) -> Result<Source, Fault> {
        let filter = match &self.filters[..] {
            [] => None,
            [filter] => Some(filter.clone()),
            // Each of them is a condition.
            filters => Some(Expression::and(filters.to_vec()).map_err(|error| mismatch(error, &[]))?),
        };
        Ok(Source { from: self.from.clone(), filter })
    }

    /// The relation of these rows and columns.
    pub fn relation(&self) -> Result<Relation, Fault> {
        let source = self.source()?;
        let columns: Vec<Expression> = self.columns.iter().map(|(_, column)| column.clone()).collect();
        // All columns of another relation as they are.
        if let Source { from: From::Relation(of), filter: None } = &source
            && Expression::of_columns(&of.columns()) == columns
        {
            return Ok((**of).clone());
        }
        Ok(Relation::Select { source, columns })
    }

    /// The rows of a relation, whose columns have these names; `event_time` is the place of one of them.
    pub fn of(relation: Relation, names: Vec<String>, event_time: Option<usize>, like: &Self) -> Self {
        let columns = Expression::of_columns(&relation.columns());
        let event_time = event_time.map(|place| columns[place].clone());
        Self {
            from: From::Relation(Box::new(relation)),
            filters: Vec::new(),
            columns: names.into_iter().zip(columns).collect(),
            event_time,
            definition: like.definition.clone(),
            nodes: like.nodes,
        }
    }

    /// The place of event time among the columns.
    pub fn place_of_time(&self) -> Option<usize> {
        let time = self.event_time.as_ref()?;
        self.columns.iter().position(|(_, column)| column == time)
    }

    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Its columns, as those of a relation with this name.
    pub fn named(&self, relation: Option<&str>) -> Vec<Named> {
        let named = |(name, expression): &(String, Expression)| Named {
            relation: relation.map(str::to_owned),
            name: name.clone(),
            expression: expression.clone(),
        };
        self.columns.iter().map(named).collect()
    }
}
