//! Runs views on workers, for the tests of both folders beside this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use dataflows::Epoch;
use dataflows::effect::{Effect, Restored};
use dataflows::item::Item;
use dataflows::views::{Inputs, Settings, View};
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

/// The views of a job, and when its messages arrived: the time of the topic never exceeds that.
pub struct Setup {
    pub settings: Settings,
    pub views: Vec<View>,
    pub arrived: i64,
}

/// Notes that its thread panics.
struct Panics(Arc<AtomicBool>);

impl Drop for Panics {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs views over some epochs, on `workers` workers that take the batches in turn, after the commit of `start`, which
/// `restored` is. Returns the effects in the order of epochs, each with the place of its view. A panic of a worker is
/// one here.
pub fn effects(
    setup: Setup,
    workers: usize,
    start: Epoch,
    restored: BTreeMap<String, Vec<Vec<u8>>>,
    epochs: &[Vec<Item>],
) -> Vec<(Epoch, usize, Effect)> {
    let (sender, receiver) = channel();
    let Setup { settings, views, arrived } = setup;
    let epochs = epochs.to_vec();
    let has_panicked = Arc::new(AtomicBool::new(false));
    let config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    let guards = timely::execute(config, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        // The others would wait for one that panics.
        let guard = Panics(has_panicked.clone());
        let probe = ProbeHandle::new();
        let mut items: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Item>>> =
            InputHandle::new();
        let mut state: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Restored>>> =
            InputHandle::new();
        worker.dataflow::<Epoch, _, _>(|scope| {
            let (items, state) = (scope.input_from(&mut items), scope.input_from(&mut state));
            let inputs = Inputs::new(items, state, start, &settings);
            for (place, view) in views.iter().enumerate() {
                let sender = sender.clone();
                (view.build)(&inputs)
                    .inspect_core(move |event| {
                        let Ok((stamp, effects)) = event else { return };
                        for effect in effects {
                            sender
                                .send((stamp.elements()[0], place, effect.clone()))
                                .expect("the receiver lives");
                        }
                    })
                    .probe_with(&probe);
            }
        });
        state.advance_to(start);
        if index == 0 {
            for (view, parts) in &restored {
                for bytes in parts {
                    state.send(Restored { view: view.as_str().into(), bytes: bytes.clone() });
                }
            }
        }
        state.close();
        items.advance_to(start + 1);
        if index == 0 {
            items.send(Item::Arrived(arrived));
        }
        for (epoch, batches) in (start + 1..).zip(&epochs) {
            for (_, item) in batches.iter().enumerate().filter(|(turn, _)| turn % peers == index) {
                items.send(item.clone());
                worker.step();
            }
            items.advance_to(epoch + 1);
        }
        items.close();
        worker.step_or_park_while(Some(std::time::Duration::from_millis(5)), || {
            assert!(!guard.0.load(Ordering::Relaxed), "another worker has panicked");
            !probe.done()
        });
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|result| result.expect("a worker ends well"));
    let mut effects: Vec<_> = receiver.into_iter().collect();
    effects.sort_by_key(|(epoch, ..)| *epoch);
    assert!(effects.iter().all(|(epoch, ..)| *epoch > start), "an effect of a committed epoch");
    effects
}
