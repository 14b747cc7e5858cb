//! The dataflow graph of a job as data, for `truckflow explain` and the live page.

use serde::Serialize;

/// The dataflow graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The operators, in the order of their creation.
    pub operators: Vec<Operator>,
    /// The channels between them.
    pub channels: Vec<Channel>,
    /// The views, in the job's order.
    pub views: Vec<ViewPlan>,
    /// The sources of the graph.
    pub sources: Vec<Source>,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// The worker's id for it.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// The path to it from the worker's root, as in timely's log.
    pub address: Vec<usize>,
    /// The view that it belongs to; None if it is shared.
    pub view: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// The worker's id for it.
    pub id: usize,
    /// The sending operator.
    pub from: usize,
    /// Its output.
    pub from_port: usize,
    /// The receiving operator.
    pub to: usize,
    /// Its input.
    pub to_port: usize,
    /// The container type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A view and its sinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewPlan {
    /// The name.
    pub name: String,
    /// Its logical plan: a line for each relation, those that it reads indented below it. None of views that are not SQL.
    pub plan: Vec<String>,
    /// The operator that delivers its rows.
    pub deliver: Option<usize>,
    /// The CSV file, if it has one.
    pub file: Option<String>,
    /// The table, if it has one.
    pub table: Option<String>,
    /// The topic, if its rows go to one.
    pub topic: Option<String>,
}

/// A source of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The name.
    pub name: String,
    /// The operator.
    pub operator: usize,
}

impl Plan {
    /// The highest id of an operator or channel, plus one.
    pub fn ids(&self) -> usize {
        let operators = self.operators.iter().map(|operator| operator.id);
        operators.chain(self.channels.iter().map(|channel| channel.id)).max().map_or(0, |id| id + 1)
    }
}
