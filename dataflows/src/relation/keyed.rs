//! Operators with state by key: what they receive, and what becomes of what they give.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::OkErr;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::entry::{Changes, Entry, parsed};
use crate::Epoch;
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::state::entries;
use crate::views::Inputs;
use crate::views::watermark::{TOPIC, WatermarkUpdate, updates};

/// The input of a keyed operator, with the worker that it goes to.
pub(super) type Routed<P> = (u64, Keyed<P>);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Keyed<P> {
    Part(P),
    Entry(Vec<u8>, Vec<u8>),
    Watermark(WatermarkUpdate),
}

impl<P> Keyed<P> {
    pub fn is_entry(&self) -> bool {
        matches!(self, Self::Entry(..))
    }
}

/// The output of a keyed operator.
#[derive(Clone, Debug)]
pub(super) enum Out<O, D> {
    Passed(O),
    State(Vec<u8>, i64),
    Dropped(Reason, D),
}

/// The operators of a view.
pub(super) struct Operators<'a, 'scope> {
    pub inputs: &'a Inputs<'scope>,
    pub view: Arc<str>,
    pub upserts: bool,
    /// The number of the next operator.
    next: u8,
    /// Changes of state, and dead letters.
    pub effects: Vec<StreamVec<'scope, Epoch, Effect>>,
}

impl<'a, 'scope> Operators<'a, 'scope> {
    pub fn new(inputs: &'a Inputs<'scope>, view: Arc<str>, upserts: bool) -> Self {
        Self { inputs, view, upserts, next: 0, effects: Vec::new() }
    }

    /// The number of an operator with state.
    pub fn number(&mut self) -> u8 {
        self.next += 1;
        self.next - 1
    }

    /// The committed entries of an operator; `route` says whose they are.
    pub fn entries<P: Clone + 'static>(
        &self,
        operator: u8,
        route: impl Fn(Entry, &[u8]) -> u64 + 'static,
    ) -> StreamVec<'scope, Epoch, Routed<P>> {
        let view = self.view.clone();
        self.inputs.restored.clone().flat_map(move |restored| {
            let is_ours = restored.view == view;
            let entries = entries(&restored.bytes).filter(|_| is_ours).flatten();
            let entries = entries.filter_map(|(key, value)| {
                let (entry, _, rest) = parsed(key).filter(|(_, of, _)| *of == operator)?;
                Some((route(entry, rest), Keyed::Entry(key.to_vec(), value.to_vec())))
            });
            entries.collect::<Vec<_>>()
        })
    }

    /// The times of the topic, for all workers.
    pub fn updates<P: Clone + 'static>(&self, operator: u8) -> StreamVec<'scope, Epoch, Routed<P>> {
        updates(self.inputs, &self.view, topic_key(operator))
            .map(|(worker, update)| (worker, Keyed::Watermark(update)))
    }

    /// Splits the output of an operator. Effects begin after `start`.
    pub fn split<O: Clone + 'static, D: Clone + 'static>(
        &mut self,
        out: StreamVec<'scope, Epoch, Out<O, D>>,
        start: Epoch,
    ) -> (StreamVec<'scope, Epoch, O>, StreamVec<'scope, Epoch, (Reason, D)>) {
        let (passed, others) = out.ok_err::<Vec<_>, _, Vec<_>, _, _>(|out| match out {
            Out::Passed(passed) => Ok(passed),
            other => Err(other),
        });
        let (dropped, state) = others.ok_err::<Vec<_>, _, Vec<_>, _, _>(|out| match out {
            Out::Dropped(reason, dropped) => Ok((reason, dropped)),
            other => Err(other),
        });
        let state = state.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "State", move |_, _| {
            move |input, output| {
                input.for_each_stamp(|cap, containers| {
                    let due = cap.least().is_some_and(|epoch| *epoch > start);
                    let mut session = output.session(&cap);
                    for out in containers.flat_map(|container| container.drain(..)).filter(|_| due) {
                        if let Out::State(bytes, added) = out {
                            session.give(Effect::State { bytes, added });
                        }
                    }
                });
            }
        });
        self.effects.push(state);
        (passed, dropped)
    }
}

/// The key of the topic's times that an operator keeps.
pub(super) fn topic_key(operator: u8) -> Vec<u8> {
    [TOPIC, &[operator]].concat()
}

pub(super) fn outs<O, D>(passed: Vec<O>, changes: Changes) -> impl Iterator<Item = Out<O, D>> {
    let state = Some(changes).filter(|changes| !changes.bytes.is_empty());
    let state = state.map(|changes| Out::State(changes.bytes, changes.added));
    passed.into_iter().map(Out::Passed).chain(state)
}

/// Restores the committed entries among the inputs of an epoch; returns the others.
pub(super) fn taken<P>(
    inputs: Vec<Routed<P>>,
    mut restore: impl FnMut(Entry, &[u8], &[u8]),
) -> (Vec<P>, Vec<WatermarkUpdate>) {
    let (mut parts, mut updates) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (_, input) in inputs {
        match input {
            Keyed::Part(part) => parts.push(part),
            Keyed::Watermark(update) => updates.push(update),
            Keyed::Entry(key, value) => {
                let (entry, _, rest) = parsed(&key).expect("validated state parses");
                restore(entry, rest, &value);
            }
        }
    }
    (parts, updates)
}
