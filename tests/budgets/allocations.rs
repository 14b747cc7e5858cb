//! How many allocations each stage makes, counted by an allocator of its own: [`BUDGETS`] says what is
//! allowed, and why. What a record, a row or a truck costs on the heap is never by accident.

// What tests print is read by who runs them.
#![allow(clippy::print_stdout)]

#[path = "../../benches/work/mod.rs"]
mod work;

/// Batches a run: 32,768 records.
const BATCHES: usize = 8;
/// Runs before the one that is counted: buffers have grown then, and the join forgets as much as it takes.
const RUNS_BEFORE: usize = 2;

/// What the stages whose name begins so may allocate in a run; the longest name counts.
struct Budget {
    stages: &'static str,
    /// Allocations a batch.
    batch: u64,
    /// Allocations for each hundred records (or rows, or values).
    hundred: u64,
    /// Bytes a record, the allocations that grow a buffer among them.
    bytes: u64,
}

const fn of(stages: &'static str, batch: u64, hundred: u64, bytes: u64) -> Budget {
    Budget { stages, batch, hundred, bytes }
}

const BUDGETS: &[Budget] = &[
    // A batch has five columns and the names of its trucks, each with its count of owners.
    of("decode/", 24, 0, 40),
    // Of each name a batch has the text, and where it ends.
    of("decode/10000_trucks", 24, 0, 80),
    // Beside the columns, the messages' bytes and where they end.
    of("decode/with_origins", 80, 0, 480),
    // The general parser gives declared fields as lists.
    of("decode/declared_field", 24, 410, 400),
    // A text that differs from the field's last one is allocated.
    of("decode/mapped_", 24, 80, 70),
    // The values are a tree, with names, before fields are taken from it.
    of("decode/mapped_avro", 24, 780, 1700),
    of("decode/mapped_protobuf", 24, 780, 1700),
    // Sums are in place.
    of("accumulate/", 0, 0, 0),
    // Columns that are kept or made, and the batch's way through timely.
    of("view/", 50, 0, 70),
    // The columns of both of its queries, before they take turns, and the names of trucks for the rows.
    of("view/derived_metrics", 68, 0, 130),
    // What is held of each group of a batch: its sums, and its entries of the state.
    of("view/own_groups", 80, 0, 70),
    of("view/window_averages", 280, 0, 70),
    of("view/own_windows", 280, 0, 70),
    // Of each truck that an epoch changes: the key of its group, that of its entry, and the name in its row.
    of("many_trucks/", 50, 90, 1200),
    // The windows of a group are in trees, and so is what an epoch changes of them.
    of("many_trucks/window_averages", 100, 240, 2200),
    // The columns of both sides of each truck and stretch of time, and those of the pairs: of `own_join` there are six a reading.
    of("view/filtered_join", 50, 45, 450),
    of("view/own_join", 50, 65, 2400),
    of("many_trucks/filtered_join", 50, 2700, 3600),
    // The join's, and what the other views and their rows take for a batch.
    of("whole/", 400, 470, 4600),
    // The lines, or the values, of a batch in one buffer that is large enough at once or soon is.
    of("render/", 8, 0, 100),
    of("csv/", 8, 0, 400),
    of("sql/", 8, 0, 250),
    // A window's row has a key, and its hash.
    of("sql/window_averages", 24, 0, 800),
];

#[test]
fn stages_allocate_no_more_than_their_budgets() {
    let mut faults = Vec::new();
    for stage in work::stages() {
        let mut work = stage.set_up(BATCHES);
        for _ in 0..RUNS_BEFORE {
            work.prepare();
            work.run();
        }
        work.prepare();
        let counted = allocation_counter::measure(|| work.run());
        let (count, bytes) = (counted.count_total, counted.bytes_total);
        println!(
            "{:<32} {count:>8} allocations, {bytes:>10} bytes, {:>8} elements",
            stage.name,
            work.elements()
        );
        let budget = BUDGETS.iter().filter(|budget| stage.name.starts_with(budget.stages));
        let budget = budget.max_by_key(|budget| budget.stages.len()).expect("each stage has a budget");
        let allowed = budget.batch * BATCHES as u64 + budget.hundred * work.elements() / 100;
        if count > allowed {
            faults.push(format!("{} makes {count} allocations, and {allowed} are allowed", stage.name));
        }
        let allowed = budget.bytes * work.elements();
        if bytes > allowed {
            faults.push(format!("{} allocates {bytes} bytes, and {allowed} are allowed", stage.name));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {BATCHES} batches: save them or, if they are worth it, move BUDGETS in \
         tests/budgets/allocations.rs and say why there",
        faults.join("; ")
    );
}
