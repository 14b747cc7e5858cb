//! Work that is due when an epoch is complete.
//!
//! What an epoch does to a truck, a window or a key must not depend on the order in which its records
//! came, so it is decided once, when the frontier says that nothing more of the epoch comes.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::Epoch;

/// Collects what belongs to each epoch, which `time` tells (given the data and the epoch it travelled
/// in), and gives it to `logic` when the epoch is complete, epoch after epoch. What `logic` returns goes
/// out in that epoch.
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

/// Folds what belongs to each epoch, as [`when_complete`] collects it, but as it comes, and gives what
/// `finish` makes of it when the epoch is complete.
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
                let Some(&travelled) = cap.least() else { return };
                for data in containers.flat_map(|container| container.drain(..)) {
                    let epoch = time(&data, travelled);
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

/// The epoch that data travelled in is the one it belongs to.
pub(crate) fn as_travelled<D>(_: &D, travelled: Epoch) -> Epoch {
    travelled
}
