//! Which readings of a sample a configuration accepts.

use std::collections::BTreeMap;

use std::sync::Arc;

use codec::decode::Schemas;
use dataflows::item::Item;

use crate::config::Job;
use crate::decode::Decode as _;
use crate::job::options::{decoder, file_options};
use crate::source::file::{LineReader, Lines, Options};
use crate::source::sample::{Bounds, Sample, of_reader};

/// The number of accepted readings of each message, by its offset.
pub(super) fn accepted(config: &str, sample: &Sample) -> BTreeMap<i64, usize> {
    accepted_with(config, sample, None)
}

/// The same with the schemas of a registry.
pub(super) fn accepted_with(
    config: &str,
    sample: &Sample,
    schemas: Option<Arc<dyn Schemas>>,
) -> BTreeMap<i64, usize> {
    let job = job(config);
    let mut decoder = decoder(&job, "t");
    if let Some(schemas) = schemas {
        decoder = decoder.with_schemas(schemas);
    }
    if let Some(header) = &sample.header {
        decoder.header(header);
    }
    let mut accepted = BTreeMap::new();
    for sampled in &sample.messages {
        decoder.decode(&sampled.message());
        let mut items = Vec::new();
        decoder.take(&mut items);
        let count = |item: &Item| match item {
            Item::Records(batch) => batch.len(),
            Item::Upserts(upserts) => upserts.len(),
            _ => 0,
        };
        let count: usize = items.iter().map(count).sum();
        if count > 0 {
            accepted.insert(sampled.offset, count);
        }
    }
    accepted
}

/// The messages of a file, as the job would read them.
pub(super) fn sample_as(config: &str, bytes: &[u8]) -> Sample {
    let job = job(config);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let options = Options { follow: false, ..file_options(&job) };
    let lines = Lines::open(file.path().to_str().unwrap(), &[], options).unwrap();
    of_reader(LineReader::new(lines), Bounds { messages: 100_000, ..Bounds::default() }).unwrap()
}

fn job(config: &str) -> Job {
    let read = Job::read(config, "job.toml", std::iter::empty(), Vec::new());
    read.unwrap_or_else(|error| panic!("{error}\n{config}"))
}
