//! Dead letters of readings that an operator drops.
//!
//! An operator knows a dropped row by its group and time, or by its content. The workers keep the batches of an epoch
//! until it is complete, and look which readings these are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;

use crate::Epoch;
use crate::batch::Batch;
use crate::dead_letter::{DeadLetter, Reason};
use crate::effect::Effect;
use crate::views::lateness::letters_of_epochs;

/// The letters of dropped readings; `places` finds them in a batch.
pub(super) fn letters<'scope, D: ExchangeData + Clone + Ord>(
    records: StreamVec<'scope, Epoch, Batch>,
    dropped: StreamVec<'scope, Epoch, (Reason, D)>,
    view: Arc<str>,
    places: impl Fn(&Batch, &BTreeSet<D>) -> Vec<u32> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    letters_of_epochs(records, dropped.broadcast(), Pipeline, move |batches, dropped| {
        let mut all: BTreeMap<Reason, BTreeSet<D>> = BTreeMap::new();
        for (reason, dropped) in dropped {
            all.entry(reason).or_default().insert(dropped);
        }
        let mut letters = Vec::new();
        for batch in batches {
            for (reason, dropped) in &all {
                let letter =
                    |place: u32| Some(batch.origin.as_ref()?.dead_letter(place as usize, *reason, &view));
                letters.extend(places(batch, dropped).into_iter().filter_map(letter));
            }
        }
        letters
    })
}

/// The letters of dropped rows that are not readings: they have no bytes.
pub(super) fn letters_of_rows<'scope, D: ExchangeData + Clone>(
    dropped: StreamVec<'scope, Epoch, (Reason, D)>,
    view: Arc<str>,
) -> StreamVec<'scope, Epoch, Effect> {
    let one = Exchange::new(|_: &(Reason, D)| 0);
    dropped.unary::<CapacityContainerBuilder<_>, _, _, _>(one, "WriteDeadLetters", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let letters =
                    containers.flat_map(|container| container.drain(..)).map(|(reason, _)| DeadLetter {
                        topic: view.clone(),
                        partition: -1,
                        offset: -1,
                        kafka_timestamp: None,
                        key: None,
                        place: None,
                        payload: None,
                        reason,
                        field: view.to_string(),
                    });
                output.session(&cap).give(Effect::DeadLetters(letters.collect()));
            });
        }
    })
}
