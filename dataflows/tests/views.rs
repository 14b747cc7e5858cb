//! The graph against the oracle: any stream, split into any batches and epochs, on 1, 2 and 3 workers, restarted
//! anywhere, has the same rows, with bit-identical correlations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;

use dataflows::Epoch;
use dataflows::batch::{Batch, FieldSpec, FieldType, Measure, NANO, Record, Truck, Value};
use dataflows::dead_letter::Reason;
use dataflows::effect::{Effect, Restored};
use dataflows::expression::{Arithmetic, Comparison, Expression, Field, Query};
use dataflows::item::{Item, Upsert};
use dataflows::oracle;
use dataflows::origin::Origin;
use dataflows::rows::{Change, Column, Rows};
use dataflows::state::Fold;
use dataflows::views::{
    Axis, Correlation, CorrelationTables, Inputs, Mode, Recovery, Settings, UserView, View, all,
    readings_view,
};
use proptest::prelude::*;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

/// A row of a view: its epoch, its change, its key, its cells.
type Row = (Epoch, Change, Vec<u8>, Vec<String>);

/// The output of a view.
#[derive(Clone, Debug, Default)]
struct Gave {
    table: Vec<Row>,
    file: Vec<Row>,
    state: Vec<Vec<u8>>,
    entries: i64,
    letters: BTreeSet<(i64, String, &'static str)>,
    moved: BTreeSet<(Epoch, Vec<u8>, (i32, i32))>,
}

fn cells(epoch: Epoch, rows: &Rows) -> Vec<Row> {
    let cell = |column: &Column, row: usize| match column {
        Column::Timestamp(values) | Column::Integer(values) | Column::Decimal { values, .. } => {
            values[row].to_string()
        }
        // Bits, as results are promised to be bit-identical.
        Column::Real(values) => format!("{:016x}", values[row].to_bits()),
        Column::Name { names, index } => names[index[row] as usize].to_string(),
        Column::Text(values) => format!("{:?}", values[row]),
        Column::Bytes(values) => format!("{:?}", values[row]),
    };
    let row = |row: usize| {
        let (change, key) = rows
            .changes
            .as_ref()
            .map_or((Change::Insert, Vec::new()), |all| (all.kinds[row], all.keys[row].to_vec()));
        (epoch, change, key, rows.columns.iter().map(|column| cell(column, row)).collect())
    };
    (0..rows.len()).map(row).collect()
}

/// A job: its settings, and its epochs of batches.
#[derive(Clone, Debug)]
struct Job {
    settings: Settings,
    epochs: Vec<Vec<Item>>,
    /// When its messages arrived: the time of the topic never exceeds it.
    arrived: i64,
}

fn views(settings: &Settings) -> Vec<View> {
    let mut views = all(settings);
    views.push(
        Correlation {
            name: "fuel_with_oil".into(),
            table: "FUEL_WITH_OIL".into(),
            x: Axis::Extra(0),
            y: Axis::Measure(Measure::FuelConsumed),
        }
        .view(settings),
    );
    views.push(hot().view(settings));
    if settings.mode == Mode::Upsert {
        views.push(readings_view(settings));
    }
    views
}

/// `oil_pressure * 2 > engine_speed`: timestamp, truck_id, distance_covered / engine_speed.
fn hot() -> UserView {
    let field = |field| Expression::field(field);
    let measure = |measure| field(Field::Measure(measure));
    let (two, oil) = (Expression::number(2, 0).expect("it is small"), Field::Extra(0, FieldType::Number));
    let doubled = Expression::arithmetic(Arithmetic::Multiply, field(oil), two).expect("numbers");
    let speed = measure(Measure::EngineSpeed);
    let filter = Expression::compare(Comparison::Greater, doubled, speed.clone()).expect("numbers");
    let ratio = Expression::arithmetic(Arithmetic::Divide, measure(Measure::DistanceCovered), speed);
    let columns = [
        ("timestamp", field(Field::Timestamp)),
        ("truck_id", field(Field::Truck)),
        ("ratio", ratio.expect("numbers")),
    ];
    let columns = columns.map(|(name, expression)| (name.to_owned(), expression));
    UserView {
        name: "hot".into(),
        table: "HOT".into(),
        definition: "hot".into(),
        query: Query::new(Some(filter), columns).expect("a condition"),
    }
}

/// Runs every view over some epochs of a job, on `workers` workers that take the batches in turn, after
/// the commit of `start`.
fn run(
    job: &Job,
    workers: usize,
    start: Epoch,
    restored: &BTreeMap<String, Vec<Vec<u8>>>,
    epochs: &[Vec<Item>],
) -> BTreeMap<String, Gave> {
    let (sender, receiver) = channel();
    let (restored, epochs, settings) = (restored.clone(), epochs.to_vec(), job.settings.clone());
    let arrived = job.arrived;
    let config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    let guards = timely::execute(config, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let probe = ProbeHandle::new();
        let mut items: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Item>>> =
            InputHandle::new();
        let mut state: InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<Restored>>> =
            InputHandle::new();
        worker.dataflow::<Epoch, _, _>(|scope| {
            let (items, state) = (scope.input_from(&mut items), scope.input_from(&mut state));
            let inputs = Inputs::new(items, state, start, &settings);
            for view in views(&settings) {
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
        worker.step_or_park_while(Some(std::time::Duration::from_millis(5)), || !probe.done());
    })
    .expect("workers start");
    guards.join().into_iter().for_each(|result| result.expect("a worker ends well"));
    let mut gave: BTreeMap<String, Gave> = BTreeMap::new();
    for (name, epoch, effect) in receiver {
        let gave = gave.entry(name).or_default();
        assert!(epoch > start, "an effect of an epoch that is already committed");
        match effect {
            Effect::Rows(rows) => {
                gave.table.extend(cells(epoch, &rows));
                gave.file.extend(cells(epoch, &rows));
            }
            Effect::TableRows(rows) => gave.table.extend(cells(epoch, &rows)),
            Effect::FileRows(rows) => gave.file.extend(cells(epoch, &rows)),
            Effect::State { bytes, added } => {
                gave.state.push(bytes);
                gave.entries += added;
            }
            Effect::KeyMoved { key, partitions } => {
                gave.moved.insert((epoch, key.to_vec(), partitions));
            }
            Effect::DeadLetters(letters) => {
                gave.letters.extend(letters.into_iter().map(|l| (l.offset, l.field.clone(), l.reason.name())))
            }
        }
    }
    for gave in gave.values_mut() {
        gave.table.sort();
        gave.file.sort();
    }
    gave
}

fn whole(job: &Job, workers: usize) -> BTreeMap<String, Gave> {
    run(job, workers, 0, &BTreeMap::new(), &job.epochs)
}

/// The output of a view; empty if it has none.
fn of(gave: &BTreeMap<String, Gave>, view: &str) -> Gave {
    gave.get(view).cloned().unwrap_or_default()
}

/// The content of a keyed table after these rows. Checks that each key has at most one row, and that updated and deleted
/// rows exist.
fn table_after(rows: &[Row]) -> BTreeMap<Vec<u8>, Vec<String>> {
    let mut table = BTreeMap::new();
    let mut by_epoch: Vec<&Row> = rows.iter().collect();
    // Within an epoch in the order of stores.
    by_epoch.sort_by_key(|(epoch, change, _, _)| (*epoch, matches!(change, Change::Insert)));
    for (_, change, key, cells) in by_epoch {
        match change {
            Change::Insert => assert!(table.insert(key.clone(), cells.clone()).is_none(), "twice: {cells:?}"),
            Change::Update => assert!(table.insert(key.clone(), cells.clone()).is_some(), "new: {cells:?}"),
            Change::Delete => assert_eq!(table.remove(key), Some(cells.clone())),
            Change::Before => {}
        }
    }
    table
}

/// The sum of the changes in a file.
fn sum_of(rows: &[Row]) -> BTreeMap<Vec<String>, i64> {
    let mut sum = BTreeMap::new();
    for (_, change, _, cells) in rows {
        *sum.entry(cells.clone()).or_default() += i64::from(change.sign());
    }
    sum.retain(|_, count| *count != 0);
    sum
}

fn counted<'a>(rows: impl IntoIterator<Item = &'a Vec<String>>) -> BTreeMap<Vec<String>, i64> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(row.clone()).or_default() += 1;
    }
    counted
}

const FIELDS: [&str; 2] = ["oil_pressure", "driver"];

fn settings(mode: Mode) -> Settings {
    let field = |(name, field_type): (&str, FieldType)| FieldSpec { name: name.into(), field_type };
    Settings {
        mode,
        fields: FIELDS.into_iter().zip([FieldType::Number, FieldType::Text]).map(field).collect(),
        ..Settings::default()
    }
}

/// A batch of records, with consecutive offsets starting at `from`.
fn batch(records: &[Record], from: usize) -> Item {
    let mut builder = dataflows::batch::BatchBuilder::new(&settings(Mode::Append).fields);
    let mut origin = Origin::new("topic".into());
    for (place, record) in records.iter().enumerate() {
        builder.push_record(record.clone());
        origin.push(0, (from + place) as i64, None, None, b"");
    }
    Item::Records(Batch { origin: Some(Arc::new(origin)), ..builder.take() })
}

fn measure() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => -9_200_000_000_000_000_000i64..9_200_000_000_000_000_000,
        4 => 0i64..200_000_000_000,
        1 => Just(0),
    ]
}

/// Records that are never late, as their times are within the shortest retention. Many are equal.
fn record() -> impl Strategy<Value = Record> {
    let time = prop_oneof![
        1_681_088_547_000_000i64..1_681_088_548_000_000,
        1_681_088_100_000_000i64..1_681_088_600_000_000,
        prop::sample::select(vec![1_681_088_400_000_000i64, 1_681_088_399_999_999, 1_681_088_547_000_000]),
    ];
    let oil = prop_oneof![Just(Value::Null), measure().prop_map(Value::Number)];
    (0u8..4, time, [measure(), measure(), measure()], oil).prop_map(|(truck, time, measures, oil)| {
        let truck: Truck = ["", "a", "b", "truck-3"][usize::from(truck)].into();
        Record { truck, time, measures, extras: vec![oil, Value::Text("x".into())] }
    })
}

/// Records, split into epochs of batches.
fn epochs() -> impl Strategy<Value = Vec<Vec<Vec<Record>>>> {
    let batch = prop::collection::vec(record(), 1..12);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..5)
}

fn append_job(epochs: &[Vec<Vec<Record>>], latest: bool) -> Job {
    let mut from = 0;
    let mut item = |records: &Vec<Record>| {
        from += records.len();
        batch(records, from - records.len())
    };
    let epochs = epochs.iter().map(|batches| batches.iter().map(&mut item).collect()).collect();
    let mut settings = settings(Mode::Append);
    if latest {
        settings.correlation_tables = CorrelationTables::Latest;
    }
    Job { settings, epochs, arrived: i64::MAX }
}

/// Messages of an upsert job: a key and its new reading.
type Messages = Vec<(u8, Option<Record>)>;

/// Messages of a few keys: readings that replace others, and tombstones.
fn upserts() -> impl Strategy<Value = Vec<Vec<Messages>>> {
    let message = (0u8..8, prop::option::weighted(0.75, record()));
    let batch = prop::collection::vec(message, 1..10);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..6)
}

fn upsert_job(epochs: &[Vec<Messages>], latest: bool) -> Job {
    let mut offset = 0;
    let mut upsert = |(key, record): &(u8, Option<Record>)| {
        offset += 1;
        Upsert { key: Arc::from([*key]), partition: 0, offset, record: record.clone() }
    };
    let mut item = |messages: &Messages| Item::Upserts(messages.iter().map(&mut upsert).collect());
    let epochs = epochs.iter().map(|batches| batches.iter().map(&mut item).collect()).collect();
    let mut settings = settings(Mode::Upsert);
    if latest {
        settings.correlation_tables = CorrelationTables::Latest;
    }
    Job { settings, epochs, arrived: i64::MAX }
}

/// Both NULL (NaN), or within one double of the nearest.
fn is_close(bits: &str, truth: &Option<oracle::Correlation>) -> bool {
    let bits = u64::from_str_radix(bits, 16).expect("hexadecimal bits");
    let truth = truth.as_ref().map_or(f64::NAN, oracle::Correlation::nearest);
    if truth.is_nan() { f64::from_bits(bits).is_nan() } else { bits.abs_diff(truth.to_bits()) <= 1 }
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// Checks the rows of a correlation against the recomputation.
fn assert_correlation(rows: &BTreeMap<String, Vec<String>>, records: &[Record], (x, y): (Axis, Axis)) {
    let truth = oracle::correlations(records, x, y);
    assert_eq!(
        rows.keys().collect::<Vec<_>>(),
        truth.keys().map(|k| k.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    for (truck, want) in truth {
        let got = &rows[&*truck];
        let first = if x == Axis::Time { want.latest.0 - want.earliest } else { want.latest.2 };
        let expected = [want.latest.1, first].map(|number| number.to_string());
        assert_eq!(got[..2], expected);
        assert_eq!(got[3..], [truck.to_string(), want.samples.to_string(), want.latest.0.to_string()]);
        assert!(is_close(&got[2], &want.correlation), "{got:?} {want:?}");
    }
}

/// Checks all correlations against the recomputation, for both kinds of tables.
fn assert_correlations(gave: &BTreeMap<String, Gave>, records: &[Record], latest: bool) {
    for (name, axes) in CORRELATIONS {
        let rows = of(gave, name).table;
        let rows = match latest {
            true => table_after(&rows).into_values().map(|cells| (cells[3].clone(), cells)).collect(),
            false => latest_of_history(&rows),
        };
        assert_correlation(&rows, records, axes);
    }
}

/// The axes of each correlation among the views.
const CORRELATIONS: [(&str, (Axis, Axis)); 3] = [
    ("distance_correlation", (Axis::Time, Axis::Measure(Measure::DistanceCovered))),
    ("engine_speed_correlation", (Axis::Time, Axis::Measure(Measure::EngineSpeed))),
    ("fuel_with_oil", (Axis::Extra(0), Axis::Measure(Measure::FuelConsumed))),
];

fn assert_windows(rows: &BTreeMap<Vec<u8>, Vec<String>>, records: &[Record], length: i64) {
    let truth = oracle::windows(records, length);
    assert_eq!(rows.len(), truth.len());
    for got in rows.values() {
        let start: i64 = got[1].parse().expect("a time");
        let want = &truth[&(got[0].as_str().into(), start)];
        assert_eq!(got[2..4], [(start + length).to_string(), want.samples.to_string()]);
        let averages: Vec<_> = want.averages.iter().map(|average| bits(oracle::nearest(average))).collect();
        assert_eq!(got[4..7], averages);
        assert!(is_close(&got[7], &want.correlations[0]) && is_close(&got[8], &want.correlations[1]));
    }
}

fn stateless_rows(records: &[Record], view: &str) -> Vec<Vec<String>> {
    let number = |value: i64| value.to_string();
    let ratio = |n: i64, d: i64| bits(dataflows::real::ratio(n.into(), d.into()).unwrap_or(f64::NAN));
    let scaled = |speed: i64| bits(dataflows::real::ratio(i128::from(speed) * 12, 10i128.pow(10)).unwrap());
    let mut rows = Vec::new();
    for record in records {
        let [distance, speed, fuel] = record.measures;
        let (time, truck) = (number(record.time), record.truck.to_string());
        let reading = vec![time.clone(), number(distance), number(speed), number(fuel)];
        match view {
            "parameter_map" => rows.push([reading, vec![truck]].concat()),
            "transformed" => {
                rows.push([reading, vec![scaled(speed), ratio(distance, speed), truck]].concat());
            }
            "derived_metrics" => {
                for (name, value) in [
                    ("engine_speed_scaled", scaled(speed)),
                    ("distance_engine_ratio", ratio(distance, speed)),
                ] {
                    rows.push(vec![time.clone(), name.into(), value, truck.clone()]);
                }
            }
            "hot" => {
                let oil = record.extras.first().cloned().unwrap_or_default();
                if let Value::Number(oil) = oil
                    && i128::from(oil) * 2 > i128::from(speed)
                {
                    rows.push(vec![time, truck, ratio(distance, speed)]);
                }
            }
            "above_speed" if speed > 80 * NANO => {
                rows.push(vec![time, number(distance), number(speed), truck]);
            }
            _ => {}
        }
    }
    rows
}

const STATELESS: [&str; 5] = ["parameter_map", "transformed", "derived_metrics", "above_speed", "hot"];

fn joined_rows(records: &[Record]) -> Vec<Vec<String>> {
    let row = |(time, distance, speed, truck): (i64, i64, i64, Truck)| {
        vec![time.to_string(), distance.to_string(), speed.to_string(), truck.to_string()]
    };
    oracle::joined(records, 80 * NANO).into_iter().map(row).collect()
}

fn all_cells(rows: &[Row]) -> BTreeMap<Vec<String>, i64> {
    counted(rows.iter().map(|(_, _, _, cells)| cells))
}

/// The last row of each truck in a history.
fn latest_of_history(rows: &[Row]) -> BTreeMap<String, Vec<String>> {
    let mut latest: BTreeMap<String, Vec<String>> =
        rows.iter().map(|(_, _, _, cells)| (cells[3].clone(), cells.clone())).collect();
    // The last row of a truck without readings.
    latest.retain(|_, cells| cells[4] != "0");
    latest
}

/// A simple model of `lateness`: the expected windows and join of a job with retention.
#[derive(Default)]
struct Forgetful {
    topic: i64,
    latest: BTreeMap<Truck, i64>,
    late: [BTreeSet<i64>; 2],
    kept: [Vec<Record>; 2],
}

impl Forgetful {
    fn of(job: &Job, epochs: &[Vec<Vec<Record>>]) -> Self {
        let settings = &job.settings;
        let mut model = Self { topic: i64::MIN, ..Self::default() };
        let mut offset = 0;
        for epoch in epochs {
            let records: Vec<&Record> = epoch.iter().flatten().collect();
            for record in &records {
                let end = record.time - record.time.rem_euclid(settings.window) + settings.window;
                let horizons = model.latest.get(&record.truck).map_or([i64::MIN; 2], |&latest| {
                    let bound = latest.max(model.topic - settings.window_idle);
                    let last = latest - latest.rem_euclid(settings.window);
                    [
                        (bound - settings.window_retention).min(last),
                        (bound - settings.join_retention).min(latest),
                    ]
                });
                for (view, late) in [end <= horizons[0], record.time < horizons[1]].into_iter().enumerate() {
                    if late {
                        model.late[view].insert(offset);
                    } else {
                        model.kept[view].push((*record).clone());
                    }
                }
                offset += 1;
            }
            for record in records {
                model.topic = model.topic.max(record.time);
                let latest = model.latest.entry(record.truck.clone()).or_insert(record.time);
                *latest = record.time.max(*latest);
            }
        }
        model
    }
}

/// Epochs of records that span three days.
fn wide_epochs() -> impl Strategy<Value = Vec<Vec<Vec<Record>>>> {
    let start = prop_oneof![Just(0i64), 0i64..3 * 24 * 60];
    let spread = (record(), prop_oneof![0i64..15, 0i64..24 * 60]);
    let epoch = (start, prop::collection::vec(prop::collection::vec(spread, 1..8), 0..3));
    let epoch = epoch.prop_map(|(start, batches)| {
        let moved = |(mut record, minutes): (Record, i64)| {
            record.time += (start + minutes) * MINUTE;
            record
        };
        batches.into_iter().map(|records| records.into_iter().map(moved).collect()).collect()
    });
    prop::collection::vec(epoch, 1..7)
}

/// Folded state changes.
fn folded(changes: Vec<Vec<u8>>, part_size: usize) -> Vec<Vec<u8>> {
    let mut fold = Fold::new(part_size);
    changes.iter().rev().for_each(|change| fold.older(change).expect("state that was written parses"));
    fold.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn retention_matches_a_simple_model(epochs in wide_epochs(), workers in 1usize..=3, cut in 0usize..7) {
        let job = append_job(&epochs, false);
        let model = Forgetful::of(&job, &epochs);
        let cut = cut.min(job.epochs.len());
        let first = run(&job, workers, 0, &BTreeMap::new(), &job.epochs[..cut]);
        let state = |gave: &Gave| {
            folded(gave.state.clone(), 1 << 20)
        };
        let restored = first.iter().map(|(name, gave)| (name.clone(), state(gave))).collect();
        let second = run(&job, 4 - workers, cut as Epoch, &restored, &job.epochs[cut..]);
        let rows = |view| [of(&first, view).table, of(&second, view).table].concat();
        let letters = |view| -> BTreeSet<i64> {
            let letters = [of(&first, view).letters, of(&second, view).letters];
            letters.into_iter().flatten().map(|(offset, _, _)| offset).collect()
        };
        prop_assert_eq!(letters("window_averages"), model.late[0].clone());
        prop_assert_eq!(letters("filtered_join"), model.late[1].clone());
        prop_assert_eq!(all_cells(&rows("filtered_join")), counted(&joined_rows(&model.kept[1])));
        assert_windows(&table_after(&rows("window_averages")), &model.kept[0], job.settings.window);
        // The state has only the windows within the retention, and the times of each truck.
        let kept = |view: &str| {
            let gave = [&first, &second].map(|gave| of(gave, view));
            let parts = folded(gave.iter().flat_map(|gave| gave.state.clone()).collect(), 1 << 20);
            (parts.iter().flat_map(|part| dataflows::state::entries(part)).count() as i64, gave[0].entries + gave[1].entries)
        };
        for view in ["window_averages", "filtered_join"] {
            let (found, counted) = kept(view);
            prop_assert_eq!(found, counted, "{}", view);
        }
    }

    #[test]
    fn every_view_equals_the_recomputation(epochs in epochs(), workers in 1usize..=3, latest: bool) {
        let records: Vec<Record> = epochs.iter().flatten().flatten().cloned().collect();
        let job = append_job(&epochs, latest);
        let gave = whole(&job, workers);
        assert_correlations(&gave, &records, latest);
        for name in STATELESS {
            prop_assert_eq!(all_cells(&of(&gave, name).table), counted(&stateless_rows(&records, name)), "{}", name);
        }
        prop_assert_eq!(all_cells(&of(&gave, "filtered_join").file), counted(&joined_rows(&records)));
        assert_windows(&table_after(&of(&gave, "window_averages").table), &records, job.settings.window);
        prop_assert!(gave.values().all(|gave| gave.letters.is_empty()));
    }

    #[test]
    fn every_view_equals_the_recomputation_over_the_current_readings(
        epochs in upserts(), workers in 1usize..=3, latest: bool,
    ) {
        let mut left = BTreeMap::new();
        for (key, record) in epochs.iter().flatten().flatten() {
            left.insert(*key, record.clone());
        }
        let records: Vec<Record> = left.into_values().flatten().collect();
        let job = upsert_job(&epochs, latest);
        let gave = whole(&job, workers);
        assert_correlations(&gave, &records, latest);
        // Bit-identical to a job that received only these readings.
        let plain = whole(&append_job(&[vec![records.clone()]], true), 1);
        for (name, _) in CORRELATIONS.into_iter().filter(|_| latest) {
            let held = |gave| counted(table_after(&of(gave, name).table).values());
            prop_assert_eq!(held(&gave), held(&plain), "{}", name);
        }
        let stateless = STATELESS.map(|name| (name, stateless_rows(&records, name)));
        for (name, expected) in stateless.into_iter().chain([("filtered_join", joined_rows(&records))]) {
            let gave = of(&gave, name);
            prop_assert_eq!(counted(table_after(&gave.table).values()), counted(&expected), "{}", name);
            prop_assert_eq!(sum_of(&gave.file), counted(&expected), "{}", name);
        }
        let windows = of(&gave, "window_averages");
        let table = table_after(&windows.table);
        assert_windows(&table, &records, job.settings.window);
        // The changes in the file add up to the closed windows.
        for (cells, count) in sum_of(&windows.file) {
            prop_assert_eq!(count, 1);
            prop_assert!(table.values().any(|row| *row == cells), "{:?}", cells);
        }
    }

    #[test]
    fn every_number_of_workers_has_the_same_rows_in_the_same_epochs(epochs in epochs(), upserts in upserts()) {
        for job in [append_job(&epochs, false), upsert_job(&upserts, true)] {
            let one = whole(&job, 1);
            for workers in [2, 3] {
                let more = whole(&job, workers);
                prop_assert_eq!(one.keys().collect::<Vec<_>>(), more.keys().collect::<Vec<_>>());
                for (name, gave) in &one {
                    prop_assert_eq!(&gave.table, &more[name].table, "{} on {} workers", name, workers);
                    prop_assert_eq!(&gave.file, &more[name].file, "{} on {} workers", name, workers);
                }
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
        let one = whole(&append_job(&epochs, false), 1);
        let other = whole(&append_job(&shuffled, false), 2);
        for (name, _) in CORRELATIONS {
            let last = |gave| latest_of_history(&of(gave, name).table);
            prop_assert_eq!(last(&one), last(&other));
        }
        let windows = |gave| table_after(&of(gave, "window_averages").table);
        prop_assert_eq!(windows(&one), windows(&other));
        prop_assert_eq!(all_cells(&of(&one, "filtered_join").table), all_cells(&of(&other, "filtered_join").table));
    }

    #[test]
    fn a_restart_anywhere_with_another_number_of_workers_has_the_same_rows(
        epochs in epochs(), upserts in upserts(), cut in 0usize..6, before in 1usize..=3, after in 1usize..=3,
        fold_first in any::<bool>(), latest: bool,
    ) {
        for job in [append_job(&epochs, latest), upsert_job(&upserts, latest)] {
            let cut = cut.min(job.epochs.len());
            let whole = whole(&job, 1);
            let first = run(&job, before, 0, &BTreeMap::new(), &job.epochs[..cut]);
            let restored = first.iter().filter(|(_, gave)| !gave.state.is_empty()).map(|(name, gave)| {
                // State is folded before it is fed, as the graph adds up its input.
                (name.clone(), folded(gave.state.clone(), if fold_first { 1 } else { 1 << 20 }))
            }).collect();
            let second = run(&job, after, cut as Epoch, &restored, &job.epochs[cut..]);
            for (name, gave) in &whole {
                let mut both = Gave::default();
                for part in [&first, &second].into_iter().filter_map(|part| part.get(name)) {
                    both.table.extend(part.table.clone());
                    both.file.extend(part.file.clone());
                    both.entries += part.entries;
                }
                both.table.sort();
                both.file.sort();
                prop_assert_eq!(&gave.table, &both.table, "{}", name);
                prop_assert_eq!(&gave.file, &both.file, "{}", name);
                prop_assert_eq!(gave.entries, both.entries, "{}", name);
            }
        }
    }
}

const MINUTE: i64 = 60_000_000;
/// 2023-04-10 00:00:00.
const DAY: i64 = 1_681_084_800_000_000;

fn at(truck: &str, time: i64) -> Record {
    Record { truck: truck.into(), time, measures: [NANO, 81 * NANO, NANO], extras: vec![] }
}

/// One batch per epoch.
fn job_of(epochs: &[&[Record]]) -> Job {
    append_job(&epochs.iter().map(|records| vec![records.to_vec()]).collect::<Vec<_>>(), false)
}

/// The windows in a file, in order: the epoch, the truck, the start in minutes, the samples.
fn closed(gave: &Gave) -> Vec<(Epoch, String, i64, String)> {
    let row = |(epoch, _, _, cells): &Row| {
        let start: i64 = cells[1].parse().expect("a time");
        (*epoch, cells[0].clone(), (start - DAY) / MINUTE, cells[3].clone())
    };
    let mut closed: Vec<_> = gave.file.iter().map(row).collect();
    closed.sort();
    closed
}

#[test]
fn a_window_closes_when_its_truck_has_passed_it_and_again_when_it_is_corrected() {
    let job = job_of(&[
        &[at("a", DAY), at("a", DAY + 4 * MINUTE)],
        &[at("a", DAY + 5 * MINUTE)],
        &[at("a", DAY + MINUTE)],
    ]);
    for workers in [1, 2, 3] {
        let gave = of(&whole(&job, workers), "window_averages");
        assert_eq!(closed(&gave), [(2, "a".into(), 0, "2".into()), (3, "a".into(), 0, "3".into())]);
    }
}

#[test]
fn the_window_of_an_idle_truck_closes_by_the_time_of_the_topic() {
    let job = job_of(&[
        &[at("idle", DAY)],
        &[at("a", DAY + 9 * MINUTE)],
        // A window of five minutes, and five minutes until the truck is idle.
        &[at("a", DAY + 10 * MINUTE)],
        // The truck returns with buffered readings, and none of them is late.
        &[at("a", DAY + 3 * 24 * 60 * MINUTE)],
        &[at("idle", DAY + MINUTE), at("idle", DAY + 5 * MINUTE)],
    ]);
    let gave = whole(&job, 2);
    let windows = of(&gave, "window_averages");
    let of_idle: Vec<_> = closed(&windows).into_iter().filter(|(_, truck, _, _)| truck == "idle").collect();
    assert_eq!(of_idle[0], (3, "idle".into(), 0, "1".into()));
    assert_eq!(of_idle[1..], [(5, "idle".into(), 0, "2".into()), (5, "idle".into(), 5, "1".into())]);
    assert!(windows.letters.is_empty());
}

#[test]
fn a_reading_in_the_future_closes_no_window_of_another_truck_early() {
    let mut job = job_of(&[
        &[at("idle", DAY), at("a", DAY + 4 * MINUTE)],
        &[at("ahead", DAY + 20 * 60 * MINUTE)],
        &[at("a", DAY + 9 * MINUTE)],
        &[at("a", DAY + 9 * MINUTE)],
    ]);
    job.arrived = DAY + 10 * MINUTE - 1;
    job.epochs[3].push(Item::Arrived(DAY + 10 * MINUTE));
    for workers in [1, 3] {
        let gave = whole(&job, workers);
        let windows = closed(&of(&gave, "window_averages"));
        assert_eq!(windows, [(3, "a".into(), 0, "1".into()), (4, "idle".into(), 0, "1".into())]);
        assert!(gave.values().all(|gave| gave.letters.is_empty()));
    }
}

#[test]
fn times_in_the_future_are_reset_at_a_start() {
    let (ten_years, day) = (3653 * 24 * 60 * MINUTE, 24 * 60 * MINUTE);
    let poisoned = job_of(&[
        &[at("a", DAY), at("b", DAY)],
        &[at("a", DAY + ten_years)],
        &[at("a", DAY + MINUTE), at("b", DAY + 2 * MINUTE)],
    ]);
    let before = whole(&poisoned, 2);
    let late = |gave: &BTreeMap<String, Gave>, view| of(gave, view).letters.len();
    assert_eq!((late(&before, "window_averages"), late(&before, "filtered_join")), (1, 1));
    let mut restored: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let recovery = Recovery::at(DAY + 7 * MINUTE, day, 5 * MINUTE);
    for view in views(&poisoned.settings) {
        let gave = of(&before, &view.name);
        let mut parts = folded(gave.state, 1);
        if view.keeps_times {
            let (_, set_back) = recovery.apply(&mut parts);
            let trucks: Vec<_> = set_back.iter().map(|set_back| set_back.truck.as_deref()).collect();
            let b = (view.name == "window_averages").then_some(Some("b"));
            assert_eq!(trucks, [None, Some("a")].into_iter().chain(b).collect::<Vec<_>>(), "{}", view.name);
        }
        restored.insert(view.name.to_string(), parts);
    }
    // The clock is at 7 minutes: windows before the end of its window stay closed, and are late for `a`.
    let mut after = append_job(
        &[
            vec![vec![at("a", DAY + 9 * MINUTE), at("a", DAY + 11 * MINUTE), at("b", DAY + 11 * MINUTE)]],
            vec![vec![at("a", DAY + 14 * MINUTE), at("b", DAY + 14 * MINUTE)]],
            vec![vec![at("a", DAY + 16 * MINUTE), at("b", DAY + 16 * MINUTE)]],
        ],
        false,
    );
    after.arrived = DAY + 16 * MINUTE;
    for workers in [1, 2] {
        let gave = run(&after, workers, 3, &restored, &after.epochs);
        let windows = of(&gave, "window_averages");
        assert_eq!(closed(&windows), [(6, "a".into(), 10, "2".into()), (6, "b".into(), 10, "2".into())]);
        for view in ["window_averages", "filtered_join"] {
            let letters: Vec<_> = of(&gave, view).letters.into_iter().map(|(offset, ..)| offset).collect();
            assert_eq!(letters, [0], "{view}");
        }
        assert_eq!(of(&gave, "filtered_join").table.len(), 6);
    }
}

#[test]
fn times_of_an_upsert_job_are_reset_although_it_keeps_the_reading() {
    let (ten_years, day) = (3653 * 24 * 60 * MINUTE, 24 * 60 * MINUTE);
    let epochs = |all: &[&[(u8, Record)]]| {
        let message = |(key, record): &(u8, Record)| (*key, Some(record.clone()));
        let epoch = |messages: &&[(u8, Record)]| vec![messages.iter().map(message).collect()];
        upsert_job(&all.iter().map(epoch).collect::<Vec<_>>(), false)
    };
    let mut job = epochs(&[
        &[(1, at("a", DAY)), (2, at("b", DAY))],
        &[(3, at("a", DAY + ten_years))],
        &[(4, at("a", DAY + 11 * MINUTE)), (5, at("b", DAY + 11 * MINUTE))],
        &[(6, at("a", DAY + 16 * MINUTE)), (7, at("b", DAY + 16 * MINUTE))],
    ]);
    let before = run(&job, 2, 0, &BTreeMap::new(), &job.epochs[..2]);
    let mut restored: BTreeMap<String, Vec<Vec<u8>>> =
        before.iter().map(|(view, gave)| (view.clone(), folded(gave.state.clone(), 1 << 20))).collect();
    let recovery = Recovery::at(DAY + 7 * MINUTE, day, 5 * MINUTE);
    recovery.apply(restored.get_mut("window_averages").unwrap());
    job.arrived = DAY + 16 * MINUTE;
    for workers in [1, 3] {
        let gave = run(&job, workers, 2, &restored, &job.epochs[2..]);
        let windows = closed(&of(&gave, "window_averages"));
        assert_eq!(windows, [(4, "a".into(), 10, "1".into()), (4, "b".into(), 10, "1".into())]);
    }
}

#[test]
fn a_key_from_another_partition_is_rejected_wherever_epochs_end() {
    let message = |(key, partition, offset): (u8, i32, i64)| Upsert {
        key: Arc::from([key]),
        partition,
        offset,
        record: Some(at("a", DAY + offset * MINUTE)),
    };
    let job = |epochs: &[&[(u8, i32, i64)]], one_after_another| {
        let items = |messages: &&[(u8, i32, i64)]| {
            messages.iter().map(|id| Item::Upserts(vec![message(*id)])).collect::<Vec<_>>()
        };
        let settings = Settings { one_after_another, ..settings(Mode::Upsert) };
        Job { settings, epochs: epochs.iter().map(items).collect(), arrived: i64::MAX }
    };
    let moved = |gave: BTreeMap<String, Gave>| of(&gave, "readings").moved.into_iter().collect::<Vec<_>>();
    for workers in [1, 3] {
        // In one epoch, in either order, or in several; the key 2 stays where it is.
        let other = (2, 1, 5);
        let at_once = moved(whole(&job(&[&[(1, 0, 7), (1, 1, 2), other]], false), workers));
        assert_eq!(at_once, [(1, vec![1], (0, 1))]);
        let at_once = moved(whole(&job(&[&[(1, 1, 2), (1, 0, 7), other]], false), workers));
        assert_eq!(at_once, [(1, vec![1], (0, 1))]);
        let later = moved(whole(&job(&[&[(1, 1, 2), other], &[other], &[(1, 0, 7)]], false), workers));
        assert_eq!(later, [(3, vec![1], (1, 0))]);
        // After a restart, too.
        let job_later = job(&[&[(1, 1, 2), other], &[(1, 0, 7), (2, 1, 6)]], false);
        let before = run(&job_later, workers, 0, &BTreeMap::new(), &job_later.epochs[..1]);
        let restored = before.iter().map(|(view, gave)| (view.clone(), folded(gave.state.clone(), 1 << 20)));
        let after = run(&job_later, workers, 1, &restored.collect(), &job_later.epochs[1..]);
        assert_eq!(moved(after), [(2, vec![1], (1, 0))]);
        // The parts of a file are read one after another.
        let gave = whole(&job(&[&[(1, 0, 7)], &[(1, 1, 2)]], true), workers);
        let rows = table_after(&of(&gave, "parameter_map").table);
        assert_eq!(
            rows.into_values().map(|cells| cells[0].clone()).collect::<Vec<_>>(),
            [(DAY + 2 * MINUTE).to_string()]
        );
        assert!(moved(gave).is_empty());
    }
}

#[test]
fn readings_older_than_the_retention_are_dead_letters_and_their_state_is_discarded() {
    let day = 24 * 60 * MINUTE;
    let job = job_of(&[
        &[at("a", DAY), at("a", DAY + 11 * MINUTE)],
        // Late for the join, but a correction for the windows. Exactly on the join's horizon is not late.
        &[at("a", DAY + MINUTE - 1), at("a", DAY + MINUTE)],
        &[at("a", DAY + day + 11 * MINUTE)],
        &[at("a", DAY + 4 * MINUTE), at("a", DAY + 10 * MINUTE), at("b", DAY)],
    ]);
    for workers in [1, 3] {
        let gave = whole(&job, workers);
        let letters = |view: &str| {
            of(&gave, view)
                .letters
                .into_iter()
                .map(|(offset, field, reason)| {
                    assert_eq!((field.as_str(), reason), (view, Reason::Late.name()));
                    offset
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(letters("filtered_join"), [2, 5, 6]);
        // The window from 0 to 5 minutes ends before the horizon, that from 10 to 15 does not.
        assert_eq!(letters("window_averages"), [5]);
        // Two windows of one truck and one of another, the times of both, and the topic's time.
        let kept = |view: &str| of(&gave, view).entries;
        assert_eq!(kept("window_averages"), 2 + 1 + 2 + 1);
        assert_eq!(kept("filtered_join"), 1 + 1 + 2 + 1);
        // The four that were not late are joined with themselves.
        assert_eq!(of(&gave, "filtered_join").table.len(), 8 - 3);
        // The other views include the late ones.
        assert_eq!(of(&gave, "parameter_map").table.len(), 8);
    }
}

#[test]
fn a_partition_that_is_behind_holds_the_horizon_back() {
    let mut job = job_of(&[&[at("a", DAY)], &[at("a", DAY + 60 * MINUTE)], &[at("a", DAY)], &[]]);
    job.epochs[1].push(Item::Behind(DAY));
    job.epochs[3].push(Item::Behind(i64::MAX));
    let gave = whole(&job, 1);
    assert!(gave.values().all(|gave| gave.letters.is_empty()));
    // When the partition has caught up, the window closes, although the truck has no input.
    assert_eq!(closed(&of(&gave, "window_averages")), [(4, "a".into(), 0, "2".into())]);
}

#[test]
fn readings_that_would_explode_the_join_are_dead_letters() {
    let mut job = job_of(&[&[at("a", DAY), at("a", DAY)], &[at("a", DAY), at("a", DAY), at("b", DAY)]]);
    job.settings.join_limit = 3;
    for workers in [1, 2] {
        let gave = of(&whole(&job, workers), "filtered_join");
        assert_eq!(gave.table.len(), 9 + 1);
        let letters: Vec<_> = gave.letters.iter().map(|(offset, _, reason)| (*offset, *reason)).collect();
        assert_eq!(letters, [(3, Reason::TooLarge.name())]);
    }
}

#[test]
fn a_correction_moves_a_reading_to_another_truck_window_and_below_the_threshold() {
    let mut slow = at("b", DAY + 7 * MINUTE);
    slow.measures[1] = 80 * NANO;
    let messages = |records: Vec<(u8, Option<Record>)>| vec![records];
    let job = upsert_job(
        &[
            messages(vec![(1, Some(at("a", DAY))), (2, Some(at("a", DAY)))]),
            messages(vec![(1, Some(slow)), (9, None)]),
            messages(vec![(2, None)]),
        ],
        true,
    );
    let gave = whole(&job, 2);
    assert_eq!(table_after(&of(&gave, "filtered_join").table).len(), 0);
    assert_eq!(table_after(&of(&gave, "above_speed").table).len(), 0);
    assert_eq!(table_after(&of(&gave, "parameter_map").table).len(), 1);
    let windows = table_after(&of(&gave, "window_averages").table);
    assert_eq!(windows.into_values().map(|cells| cells[0].clone()).collect::<Vec<_>>(), ["b"]);
    let trucks = table_after(&of(&gave, "distance_correlation").table);
    assert_eq!(trucks.into_values().map(|cells| cells[3].clone()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(of(&gave, "readings").entries, 1);
}
