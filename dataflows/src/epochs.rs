//! Work that runs when an epoch is complete.
//!
//! The effect of an epoch on a truck, window or key must not depend on the order in which its records arrive. So it
//! is computed once, when the frontier has passed the epoch.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::Epoch;

/// Collects the data of each epoch, and passes it to `logic` when the epoch is complete, in the order of epochs.
/// `time` returns the epoch of data, given the epoch in which it was sent. The output of `logic` is sent in the same
/// epoch.
pub(crate) fn when_complete<'scope, D, O>(
    stream: StreamVec<'scope, Epoch, D>,
    pact: impl ParallelizationContract<Epoch, Vec<D>>,
    name: &str,
    time: impl Fn(&D, Epoch) -> Epoch + 'static,
    mut logic: impl FnMut(Epoch, Vec<D>) -> Vec<O> + 'static,
) -> StreamVec<'scope, Epoch, O>
where
    D: ExchangeData,
    O: Clone + 'static,
{
    folded(stream, pact, name, time, Vec::push, move |epoch, data| logic(epoch, data).into_iter())
}

/// Like [`when_complete`], but folds the data as it arrives. The output of `finish` is sent when the epoch is
/// complete.
pub(crate) fn folded<'scope, D, S, O, I>(
    stream: StreamVec<'scope, Epoch, D>,
    pact: impl ParallelizationContract<Epoch, Vec<D>>,
    name: &str,
    time: impl Fn(&D, Epoch) -> Epoch + 'static,
    mut fold: impl FnMut(&mut S, D) + 'static,
    mut finish: impl FnMut(Epoch, S) -> I + 'static,
) -> StreamVec<'scope, Epoch, O>
where
    D: 'static,
    S: Default + 'static,
    O: Clone + 'static,
    I: Iterator<Item = O>,
{
    stream.unary_frontier::<CapacityContainerBuilder<Vec<O>>, _, _, _>(pact, name, move |capability, _| {
        drop(capability);
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, S)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&sent_in) = cap.least() else { return };
                for data in containers.flat_map(|container| container.drain(..)) {
                    let epoch = time(&data, sent_in);
                    let fresh = || (cap.delayed(&epoch, 0), S::default());
                    fold(&mut open.entry(epoch).or_insert_with(fresh).1, data);
                }
            });
            while let Some(entry) = open.first_entry().filter(|entry| !frontier.less_equal(entry.key())) {
                let (epoch, (capability, state)) = entry.remove_entry();
                output.session(&capability).give_iterator(finish(epoch, state));
            }
        }
    })
}

/// Data belongs to the epoch in which it was sent.
pub(crate) fn stream_epoch<D>(_: &D, sent_in: Epoch) -> Epoch {
    sent_in
}
