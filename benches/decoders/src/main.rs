//! The decoder of truckflow compared with what a library needs for the same bytes, on one core. Prints a table in Markdown.
//!
//! truckflow makes batches of columns. A library makes a struct of the same four values, or the value that it has for a
//! message whose schema is not known when it is compiled. Times in text are only text for the libraries.

// Both are shared with the stages, which use more of them.
#[allow(dead_code)]
#[path = "../../work/mapped.rs"]
mod mapped;
#[allow(dead_code)]
#[path = "../../work/messages.rs"]
mod messages;

mod libraries;

use std::hint::black_box;
use std::time::{Duration, Instant};

use codec::decode::{Decode, Decoder, Mapping, Message};
use libraries::{Library, libraries};
use messages::{Form, Messages, Shape};

/// Records a batch, as a source takes them.
const BATCH: usize = 4096;
/// Enough that neither the caches nor the branch predictor know them by heart.
const COUNT: usize = 48 * BATCH;
const ROUNDS: usize = 15;

/// Messages of one format, and truckflow's decoder for them.
struct Case {
    format: &'static str,
    messages: Messages,
    decoder: Decoder,
}

fn main() {
    let shape = Shape { trucks: 10, ..Shape::of(Form::Json) };
    let readings = Case {
        format: "JSON, five values",
        messages: Messages::new(&shape, 0, COUNT),
        decoder: mapped::of(Mapping::trucks()),
    };
    let mapped = mapped::ALL.into_iter().map(|mapped| Case {
        format: match mapped.name {
            "mapped_json" => "JSON, 20 values",
            "mapped_csv" => "CSV, 20 values",
            "mapped_avro" => "Avro, 20 values",
            "mapped_protobuf" => "Protobuf, 20 values",
            other => panic!("{other} has no title"),
        },
        messages: (mapped.messages)(COUNT),
        decoder: (mapped.decoder)(),
    });
    println!("| messages | bytes | truckflow, ns a record | library | ns a record | ratio |");
    println!("|---|---|---|---|---|---|");
    for mut case in [readings].into_iter().chain(mapped) {
        let bytes: usize = case.messages.batches(BATCH).flatten().map(<[u8]>::len).sum();
        for library in libraries(case.format) {
            let (ours, theirs) = compare(&mut case, &library);
            let ratio = theirs / ours;
            println!(
                "| {} | {} | {ours:.0} | {} | {theirs:.0} | {ratio:.2} |",
                case.format,
                bytes / COUNT,
                library.title
            );
        }
    }
}

/// The medians of alternating rounds, in nanoseconds a record.
fn compare(case: &mut Case, library: &Library) -> (f64, f64) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let input = library.input(&case.messages);
    // The first round fills the caches and is not counted.
    for _ in 0..=ROUNDS {
        ours.push(timed(|| decode(&mut case.decoder, &case.messages)));
        theirs.push(timed(|| {
            let sum = (library.decode)(&input);
            assert_eq!(sum.records, COUNT, "{}", library.title);
            black_box(sum);
        }));
    }
    (median(&mut ours[1..]), median(&mut theirs[1..]))
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(rounds: &mut [Duration]) -> f64 {
    rounds.sort_unstable();
    rounds[rounds.len() / 2].as_nanos() as f64 / COUNT as f64
}

/// Decodes all messages, batch after batch.
fn decode(decoder: &mut Decoder, messages: &Messages) {
    let mut items = Vec::new();
    for batch in messages.batches(BATCH) {
        for (offset, payload) in (0..).zip(batch) {
            decoder.decode(&Message { offset, payload: Some(payload), ..Message::default() });
        }
        assert_eq!(decoder.records(), BATCH, "{:?}", decoder.take_dead_letters().first());
        decoder.take(&mut items);
        black_box(&mut items).clear();
    }
}
