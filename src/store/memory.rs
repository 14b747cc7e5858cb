//! A store in memory, for jobs that are run once to look at their results.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use csv::{ReaderBuilder, StringRecord};
use dataflows::Epoch;
use dataflows::item::ReadingId;

use super::api::{Finding, Store};
use super::chunk::{Chunk, Form, Operation};
use super::commit::{Adopted, Commit, LastCommit};
use super::error::StoreError;
use super::table::{Refused, StoredTable, Table};
use crate::render;
use crate::state::StoredView;

/// The tables of a job, which are shared with its store.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<MemoryTable>>>);

/// A table.
#[derive(Clone, Debug)]
pub struct MemoryTable {
    /// Its definition.
    pub table: Table,
    rows: BTreeMap<Key, StringRecord>,
    /// How many rows without a key there were.
    appended: u64,
}

/// Rows without a key come first, in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Appended(u64),
    Row(dataflows::rows::RowKey),
}

impl MemoryTable {
    /// Its rows, with the fields of a CSV file: NULL is empty.
    pub fn rows(&self) -> impl Iterator<Item = &StringRecord> {
        self.rows.values()
    }

    fn apply(&mut self, chunk: &Chunk) {
        if chunk.operation == Operation::Delete {
            chunk.keys.iter().for_each(|key| drop(self.rows.remove(&Key::Row(*key))));
            return;
        }
        let mut lines = Vec::new();
        render::csv(&chunk.rows, false, &mut lines);
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(&lines[..]);
        for (row, record) in reader.records().enumerate() {
            let key = match chunk.keys.get(row) {
                Some(key) => Key::Row(*key),
                None => {
                    self.appended += 1;
                    Key::Appended(self.appended)
                }
            };
            self.rows.insert(key, record.unwrap_or_default());
        }
    }
}

impl Memory {
    /// The store of these tables.
    pub fn store(&self) -> Box<dyn Store> {
        Box::new(MemoryStore { memory: self.clone(), staged: Vec::new(), job: Arc::default(), epoch: 0 })
    }

    /// The tables as of the last commit.
    pub fn tables(&self) -> Vec<MemoryTable> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MemoryTable>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct MemoryStore {
    memory: Memory,
    /// The rows of the open transaction.
    staged: Vec<Arc<Chunk>>,
    job: Arc<str>,
    epoch: Epoch,
}

impl MemoryStore {
    fn unsupported<T>() -> Result<T, StoreError> {
        Err(StoreError::Url("a store in memory ends with its job".into()))
    }
}

impl Store for MemoryStore {
    fn claim(&mut self, job: &str, source: &str) -> Result<LastCommit, StoreError> {
        self.job = job.into();
        Ok(LastCommit { generation: 1, source: source.to_owned(), ..LastCommit::default() })
    }

    fn last_commit(&mut self) -> Result<LastCommit, StoreError> {
        Ok(LastCommit { generation: 1, epoch: self.epoch, ..LastCommit::default() })
    }

    fn prepare(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let empty = |table: &Table| MemoryTable { table: table.clone(), rows: BTreeMap::new(), appended: 0 };
        *self.memory.lock() = tables.iter().map(empty).collect();
        Ok(())
    }

    fn state(&mut self, _: &str, _: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        Ok(())
    }

    fn in_the_future(&mut self) -> Result<Vec<ReadingId>, StoreError> {
        Ok(Vec::new())
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        Ok(Vec::new())
    }

    fn put_view(&mut self, _: &StoredView) -> Result<(), StoreError> {
        Ok(())
    }

    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        Ok(Vec::new())
    }

    fn check_replaceable(&mut self, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        Self::unsupported()
    }

    fn rename(&mut self, _: &str) -> Result<(), StoreError> {
        Self::unsupported()
    }

    fn discard(&mut self, _: &str) -> Result<(), StoreError> {
        Self::unsupported()
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.staged.clear();
        Ok(())
    }

    fn insert(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Refused>, StoreError> {
        self.staged.extend_from_slice(chunks);
        Ok(Vec::new())
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let mut tables = self.memory.lock();
        for chunk in self.staged.drain(..) {
            tables[chunk.table].apply(&chunk);
        }
        self.epoch = commit.epoch;
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        Ok(self.epoch)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn abandon(&mut self) {
        self.staged.clear();
    }

    fn adopt(&mut self, _: &Adopted<'_>) -> Result<(), StoreError> {
        Self::unsupported()
    }

    fn forget(&mut self, _: &str) -> Result<(), StoreError> {
        Self::unsupported()
    }

    fn form(&self) -> Form {
        Form { job: self.job.clone(), text: None, lines: [].into() }
    }

    fn check(&mut self, _: &[Table]) -> Vec<Finding> {
        Vec::new()
    }
}
