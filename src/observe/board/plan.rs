//! The dataflow of a job as data: what `truckflow explain` draws and the live page shows.

use serde::Serialize;

/// The dataflow that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The operators, in the order in which they were made.
    pub operators: Vec<Operator>,
    /// The channels between them.
    pub channels: Vec<Channel>,
    /// The views, in the job's order.
    pub views: Vec<ViewPlan>,
    /// What the graph is fed from.
    pub sources: Vec<Source>,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// The worker's number for it.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// The path to it from the worker's root, as timely's own logs have it.
    pub address: Vec<usize>,
    /// The view that it belongs to; none for those that the views share.
    pub view: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// The worker's number for it.
    pub id: usize,
    /// The operator that sends.
    pub from: usize,
    /// Its output.
    pub from_port: usize,
    /// The operator that receives.
    pub to: usize,
    /// Its input.
    pub to_port: usize,
    /// What the containers are that go over it.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A view, and where its rows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewPlan {
    /// The name.
    pub name: String,
    /// The operator that hands its rows over.
    pub deliver: Option<usize>,
    /// The CSV file, if it has one.
    pub file: Option<String>,
    /// The table, if it has one.
    pub table: Option<String>,
    /// The topic, if its rows go to one.
    pub topic: Option<String>,
}

/// What an input of the graph is fed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What it is.
    pub name: String,
    /// The operator.
    pub operator: usize,
}

impl Plan {
    /// One more than the highest number of an operator or channel.
    pub fn ids(&self) -> usize {
        let operators = self.operators.iter().map(|operator| operator.id);
        operators.chain(self.channels.iter().map(|channel| channel.id)).max().map_or(0, |id| id + 1)
    }
}
