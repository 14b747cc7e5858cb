//! Lines a second of the decoder, for each form of message, on one core.
//!
//! `general` is the same lines after one blank, which the fast path does not take.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use truckflow::decode::{Decoder, Message};

/// Enough that neither the caches nor the branch predictor know them by heart.
const LINES: usize = 1 << 17;
/// Records a batch, as a source takes them.
const BATCH: usize = 4096;

/// A fixed number for each index that looks random.
fn scrambled(index: usize) -> usize {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

/// The `index`-th line as Python prints it: readings 0.36 s apart on average, as the producer's are.
fn line(index: usize, numpy: bool) -> String {
    let micros = index * 360_007;
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (distance, speed, fuel) = (index / 125, 7800 + scrambled(index) % 400, index / 1000);
    let number = |hundredths: usize| {
        // Python prints no trailing zeros.
        let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let text = text.strip_suffix('0').unwrap_or(&text);
        if numpy { format!("np.float64({text})") } else { text.to_owned() }
    };
    format!(
        "{{'timestamp': '2023-04-10 {:02}:{:02}:{:02}.{fraction:06}', 'distance_covered': {}, 'engine_speed': {}, \
         'fuel_consumed': {}}}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        number(distance),
        number(speed),
        number(fuel),
    )
}

fn decode(criterion: &mut Criterion) {
    let python: Vec<String> = (0..LINES).map(|index| line(index, false)).collect();
    let json: Vec<String> = python.iter().map(|line| line.replace('\'', "\"")).collect();
    let numpy: Vec<String> = (0..LINES).map(|index| line(index, true)).collect();
    let named: Vec<String> = (python.iter().enumerate())
        .map(|(index, line)| {
            line.replace('}', &format!(", 'truck_id': 'truck-{:04}'}}", scrambled(index) % 500))
        })
        .collect();

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(LINES as u64));
    for (form, lines) in [("json", json), ("python", python), ("numpy", numpy), ("named", named)] {
        for (path, lead) in [("fast", ""), ("general", " ")] {
            let lines: Vec<String> = lines.iter().map(|line| format!("{lead}{line}")).collect();
            let mut decoder = Decoder::new("Truck-Data".into());
            group.bench_function(format!("{form}/{path}"), |bencher| {
                bencher.iter(|| {
                    for lines in lines.chunks(BATCH) {
                        for line in lines {
                            let payload = Some(line.as_bytes());
                            decoder.decode(&Message {
                                partition: 0,
                                offset: 0,
                                timestamp: None,
                                key: None,
                                payload,
                            });
                        }
                        assert_eq!(black_box(decoder.take_batch()).len(), BATCH);
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
