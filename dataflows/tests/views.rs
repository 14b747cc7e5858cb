//! The graph against the oracle: any stream, cut into batches and epochs in any way, on 1, 2 and 3
//! workers, restarted anywhere, gives the same rows, and correlations the same to the last bit.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use dataflows::Epoch;
use dataflows::batch::{Measure, Record, Truck};
use dataflows::item::Item;
use dataflows::oracle;
use dataflows::rows::{Column, Rows};
use dataflows::state::fold;
use dataflows::views::{Effect, Inputs, Restored, Settings, View, all};
use proptest::prelude::*;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

/// What a view gave: rows as text with their epoch, and state changes.
#[derive(Clone, Debug, Default)]
struct Gave {
    rows: Vec<(Epoch, Vec<String>)>,
    state: Vec<Vec<u8>>,
    entries: i64,
}

fn cells(rows: &Rows) -> Vec<Vec<String>> {
    (0..rows.len())
        .map(|row| {
            rows.columns
                .iter()
                .map(|column| match column {
                    Column::Timestamp(values) | Column::Integer(values) | Column::Decimal { values, .. } => {
                        values[row].to_string()
                    }
                    // Bits, as equal to the last one is what is promised.
                    Column::Real(values) => format!("{:016x}", values[row].to_bits()),
                    Column::Name { names, index } => names[index[row] as usize].to_string(),
                    Column::Text(values) => format!("{:?}", values[row]),
                    Column::Bytes(values) => format!("{:?}", values[row]),
                })
                .collect()
        })
        .collect()
}

/// Runs every view over epochs of batches, on `workers` workers that take the batches in turn,
/// after the commit of `start`.
fn run(
    workers: usize,
    start: Epoch,
    restored: &BTreeMap<String, Vec<Vec<u8>>>,
    epochs: &[Vec<Vec<Record>>],
) -> BTreeMap<String, Gave> {
    let (sender, receiver) = channel();
    let (restored, epochs) = (restored.clone(), epochs.to_vec());
    let config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    let guards = timely::execute(config, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let probe = ProbeHandle::new();
        let mut items: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Item>>> =
            InputHandle::new();
        let mut state: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Restored>>> =
            InputHandle::new();
        worker.dataflow::<Epoch, _, _>(|scope| {
            let inputs = Inputs::new(scope.input_from(&mut items), scope.input_from(&mut state), start);
            for view in all(&Settings::default()) {
                let (name, sender) = (view.name.clone(), sender.clone());
                (view.build)(&inputs)
                    .inspect_core(move |event| {
                        let Ok((stamp, effects)) = event else { return };
                        let epoch = stamp.elements()[0];
                        for effect in effects {
                            sender
                                .send((name.to_string(), epoch, effect.clone()))
                                .expect("the receiver lives");
                        }
                    })
                    .probe_with(&probe);
            }
        });
        state.advance_to(start);
        if index == 0 {
            for (view, changes) in &restored {
                for bytes in changes {
                    state.send(Restored { view: view.as_str().into(), bytes: bytes.clone() });
                }
            }
        }
        state.close();
        items.advance_to(start + 1);
        for (epoch, batches) in (start + 1..).zip(&epochs) {
            for (_, records) in batches.iter().enumerate().filter(|(turn, _)| turn % peers == index) {
                items.send(Item::Records(records.iter().cloned().collect()));
                worker.step();
            }
            items.advance_to(epoch + 1);
        }
        items.close();
        worker.step_or_park_while(Some(std::time::Duration::from_millis(5)), || !probe.done());
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|result| result.expect("a worker ends well"));
    let mut gave: BTreeMap<String, Gave> = BTreeMap::new();
    for (name, epoch, effect) in receiver {
        let gave = gave.entry(name).or_default();
        match effect {
            Effect::DeadLetters(_) => {}
            Effect::Rows(rows) | Effect::TableRows(rows) | Effect::FileRows(rows) => {
                gave.rows.extend(cells(&rows).into_iter().map(|row| (epoch, row)))
            }
            Effect::State { bytes, added } => {
                gave.state.push(bytes);
                gave.entries += added;
            }
        }
    }
    gave.values_mut().for_each(|gave| gave.rows.sort());
    gave
}

fn view(name: &str) -> View {
    all(&Settings::default()).into_iter().find(|view| view.name == name).expect("a view of that name")
}

/// The last row of each truck.
fn latest(gave: &Gave, view: &View) -> BTreeMap<String, Vec<String>> {
    let truck = view.columns.iter().position(|column| column.name == "truck_id").expect("it names trucks");
    gave.rows.iter().map(|(_, row)| (row[truck].clone(), row.clone())).collect()
}

fn expected(records: &[Record], measure: Measure) -> BTreeMap<String, Vec<String>> {
    oracle::correlations(records, measure)
        .into_iter()
        .map(|(truck, row)| {
            let cells = vec![
                row.latest.1.to_string(),
                (row.latest.0 - row.earliest).to_string(),
                row.correlation.map_or(f64::NAN, |r| r.nearest()).to_bits().to_string(),
                truck.to_string(),
                row.samples.to_string(),
                row.latest.0.to_string(),
            ];
            (truck.to_string(), cells)
        })
        .collect()
}

fn record() -> impl Strategy<Value = Record> {
    let measure =
        || prop_oneof![-9_200_000_000_000_000_000i64..9_200_000_000_000_000_000, 0i64..200_000_000_000];
    let time = prop_oneof![
        1_681_088_547_000_000i64..1_681_088_548_000_000,
        1_500_000_000_000_000i64..1_800_000_000_000_000,
        Just(1_681_088_547_000_000i64),
    ];
    (0u8..4, time, [measure(), measure(), measure()]).prop_map(|(truck, time, measures)| {
        let truck: Truck = ["", "a", "b", "truck-3"][usize::from(truck)].into();
        Record { truck, time, measures, extras: vec![] }
    })
}

/// Cuts records into epochs of batches.
fn epochs() -> impl Strategy<Value = Vec<Vec<Vec<Record>>>> {
    let batch = prop::collection::vec(record(), 1..12);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..5)
}

fn correlation_bits(row: &[String]) -> u64 {
    u64::from_str_radix(&row[2], 16).expect("hexadecimal bits")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_view_equals_the_recomputation(epochs in epochs()) {
        let records: Vec<Record> = epochs.iter().flatten().flatten().cloned().collect();
        let one = run(1, 0, &BTreeMap::new(), &epochs);
        for (name, measure) in
            [("distance_correlation", Measure::DistanceCovered), ("engine_speed_correlation", Measure::EngineSpeed)]
        {
            let none = Gave::default();
            let got = latest(one.get(name).unwrap_or(&none), &view(name));
            let want = expected(&records, measure);
            prop_assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
            for (truck, got) in &got {
                let want = &want[truck];
                prop_assert_eq!(&got[..2], &want[..2]);
                prop_assert_eq!(&got[3..], &want[3..]);
                let (bits, truth) = (correlation_bits(got), want[2].parse::<u64>().expect("bits"));
                // Both NaN (NULL), or at most the neighbour of the nearest double.
                prop_assert!(bits == truth || bits.abs_diff(truth) <= 1, "{bits:x} {truth:x}");
            }
        }
        let above = records.iter().filter(|r| r.measures[1] > 80_000_000_000).count();
        prop_assert_eq!(one.get("above_speed").map_or(0, |gave| gave.rows.len()), above);
        for name in ["parameter_map", "transformed"] {
            prop_assert_eq!(one.get(name).map_or(0, |gave| gave.rows.len()), records.len());
        }
    }

    #[test]
    fn every_worker_count_gives_the_same_rows_in_the_same_epochs(epochs in epochs()) {
        let one = run(1, 0, &BTreeMap::new(), &epochs);
        for workers in [2, 3] {
            let more = run(workers, 0, &BTreeMap::new(), &epochs);
            prop_assert_eq!(one.keys().collect::<Vec<_>>(), more.keys().collect::<Vec<_>>());
            for (name, gave) in &one {
                prop_assert_eq!(&gave.rows, &more[name].rows, "{} on {} workers", name, workers);
            }
        }
    }

    #[test]
    fn order_and_batches_do_not_change_a_bit(epochs in epochs(), seed in any::<u64>()) {
        let mut records: Vec<Record> = epochs.iter().flatten().flatten().cloned().collect();
        let mut state = seed;
        for i in (1..records.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            records.swap(i, (state >> 33) as usize % (i + 1));
        }
        let shuffled = vec![records.chunks(5).map(<[Record]>::to_vec).collect()];
        let (one, other) = (run(1, 0, &BTreeMap::new(), &epochs), run(2, 0, &BTreeMap::new(), &shuffled));
        for name in ["distance_correlation", "engine_speed_correlation"] {
            let none = Gave::default();
            let last = |gave: &BTreeMap<String, Gave>| latest(gave.get(name).unwrap_or(&none), &view(name));
            prop_assert_eq!(last(&one), last(&other));
        }
    }

    #[test]
    fn a_restart_anywhere_with_another_number_of_workers_gives_the_same_rows(
        epochs in epochs(), cut in 0usize..5, before in 1usize..=3, after in 1usize..=3, fold_first in any::<bool>(),
    ) {
        let cut = cut.min(epochs.len());
        let whole = run(1, 0, &BTreeMap::new(), &epochs);
        let first = run(before, 0, &BTreeMap::new(), &epochs[..cut]);
        let restored = first.iter().filter(|(_, gave)| !gave.state.is_empty()).map(|(name, gave)| {
            // Changes are folded before they are fed: the graph adds what it is given.
            let parts = fold(gave.state.iter().map(Vec::as_slice), if fold_first { 1 } else { 1 << 20 });
            (name.clone(), parts.expect("what was written parses"))
        }).collect();
        let second = run(after, cut as Epoch, &restored, &epochs[cut..]);
        for (name, gave) in &whole {
            let mut rows = Vec::new();
            let mut entries = 0;
            for part in [&first, &second].into_iter().filter_map(|part| part.get(name)) {
                rows.extend(part.rows.clone());
                entries += part.entries;
            }
            rows.sort();
            prop_assert_eq!(&gave.rows, &rows, "{}", name);
            prop_assert_eq!(gave.entries, entries, "{}", name);
        }
    }
}
