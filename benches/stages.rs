//! Elements a second of each stage of a record's way, on one core.
//!
//! Elements are records where messages or records go in, rows or values where rows are rendered.

mod work;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Enough that neither the caches nor the branch predictor know them by heart: 196,608 records.
const BATCHES: usize = 48;

fn stages(criterion: &mut Criterion) {
    for stage in work::stages() {
        let (group, name) = stage.name.split_once('/').expect("a stage's name has its group");
        let mut work = stage.set_up(BATCHES);
        work.prepare();
        work.run();
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(work.elements()));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|runs| {
                let mut took = Duration::ZERO;
                for _ in 0..runs {
                    work.prepare();
                    let began = Instant::now();
                    work.run();
                    took += began.elapsed();
                }
                took
            });
        });
    }
}

/// Few and short: all stages together take about two minutes.
fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group!(name = benches; config = config(); targets = stages);
criterion_main!(benches);
