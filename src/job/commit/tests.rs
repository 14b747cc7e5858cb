//! The commit thread on a model of a server that fails at random: every epoch is committed once, by itself, in its
//! order, with exactly its rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::unbounded;
use dataflows::Epoch;
use dataflows::item::ReadingId;
use dataflows::rows::{Column, Rows, Type, column};
use dataflows::schema::Schema;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Committer, Parts, Setup};
use crate::decode::Mapping;
use crate::job::graph::{Message, Route};
use crate::runtime::clock::{Clock, Limits};
use crate::runtime::folder::FolderLock;
use crate::runtime::metrics::Metrics;
use crate::sink::csv::CsvFiles;
use crate::state::StoredView;
use crate::store::{
    Adopted, Chunk, Commit, Finding, Form, LastCommit, Operation, Refused, Store, StoreError, StoredTable,
    Table,
};

const CONNECTIONS: usize = 3;
const EPOCHS: Epoch = 12;
/// Rows of this table may be inserted ahead, those of the other one may not.
const AHEAD: usize = 0;
const TABLES: usize = 2;

/// A row: its table and number.
type Row = (usize, i64);

/// What the server has.
#[derive(Default)]
struct Server {
    /// Rows of each commit.
    commits: BTreeMap<Epoch, Vec<Row>>,
    /// Rows of open transactions, by connection.
    open: BTreeMap<usize, Vec<Row>>,
    /// Connections that were lost while the server still has their transactions.
    lost: Vec<usize>,
    /// A COMMIT whose answer was lost: it takes effect, or not, when the transaction that has its locks ends.
    in_doubt: Option<(usize, Epoch, Vec<Row>)>,
    /// Failures that are still to come.
    failures: usize,
    /// How often the rows of two epochs were in open transactions.
    overlaps: usize,
}

impl Server {
    fn epoch(&self) -> Epoch {
        self.commits.keys().next_back().copied().unwrap_or(0)
    }

    fn resolve(&mut self, takes_effect: bool) {
        if let Some((_, epoch, rows)) = self.in_doubt.take()
            && takes_effect
        {
            self.commits.insert(epoch, rows);
        }
    }
}

fn epoch_of(row: Row) -> Epoch {
    row.1 as Epoch / 1000
}

fn away() -> StoreError {
    StoreError::Away { place: "the model".into(), reason: "at random".into() }
}

/// A connection.
struct Connection {
    number: usize,
    server: Arc<Mutex<Server>>,
    random: StdRng,
}

impl Connection {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// Fails at random. The connection is then lost, and its transaction stays open until it is [settled](Store::settle).
    fn may_fail(&mut self) -> Result<(), StoreError> {
        let fails = self.random.random_ratio(1, 12);
        let number = self.number;
        let mut server = self.server();
        if fails && server.failures > 0 {
            server.failures -= 1;
            server.lost.push(number);
            return Err(away());
        }
        Ok(())
    }

    /// A new connection, if this one was lost: its lock is free only when its transaction is rolled back.
    fn reconnect(&mut self) {
        let (number, takes_effect) = (self.number, self.random.random());
        let mut server = self.server();
        if server.lost.contains(&number) {
            server.lost.retain(|lost| *lost != number);
            server.open.remove(&number);
            if server.in_doubt.as_ref().is_some_and(|(of, ..)| *of == number) {
                server.resolve(takes_effect);
            }
        }
    }
}

impl Store for Connection {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.may_fail()?;
        self.reconnect();
        let number = self.number;
        assert!(self.server().open.insert(number, Vec::new()).is_none_or(|rows| rows.is_empty()));
        Ok(())
    }

    fn insert(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Refused>, StoreError> {
        self.may_fail()?;
        let number = self.number;
        let mut server = self.server();
        for chunk in chunks {
            let Column::Integer(values) = &chunk.rows.columns[0] else { panic!("rows have a number") };
            let rows = values.iter().map(|value| (chunk.table, *value));
            for row in rows {
                let mut others =
                    server.open.iter().filter(|(of, _)| **of != number).flat_map(|(_, rows)| rows);
                let is_turn = others.all(|other| epoch_of(*other) > epoch_of(row));
                assert!(chunk.table == AHEAD || is_turn, "{row:?} is written at its turn only");
                server.open.get_mut(&number).expect("a transaction is open").push(row);
            }
        }
        if server.open.values().filter(|rows| !rows.is_empty()).count() > 1 {
            server.overlaps += 1;
        }
        Ok(Vec::new())
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.may_fail()?;
        let number = self.number;
        let (is_lost, takes_effect) = (self.random.random_ratio(1, 8), self.random.random());
        let mut server = self.server();
        // It waits for the lock of the job's row.
        server.resolve(takes_effect);
        assert_eq!(Some(server.epoch()), commit.previous, "epochs are committed in their order");
        let rows = server.open.remove(&number).expect("a transaction is open");
        if is_lost && server.failures > 0 {
            server.failures -= 1;
            server.lost.push(number);
            server.in_doubt = Some((number, commit.epoch, rows));
            return Err(away());
        }
        server.commits.insert(commit.epoch, rows);
        Ok(())
    }

    fn committed_epoch(&mut self) -> Result<Epoch, StoreError> {
        self.reconnect();
        Ok(self.server().epoch())
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.may_fail()?;
        self.reconnect();
        Ok(())
    }

    fn abandon(&mut self) {
        let number = self.number;
        let mut server = self.server();
        if !server.lost.contains(&number) {
            server.open.remove(&number);
        }
    }

    fn more(&mut self) -> Result<Vec<Box<dyn Store>>, StoreError> {
        let another = |number: usize| -> Box<dyn Store> {
            let random = StdRng::seed_from_u64(self.random.random());
            Box::new(Self { number, server: self.server.clone(), random })
        };
        Ok((2..=CONNECTIONS).map(another).collect())
    }

    fn number(&self) -> usize {
        self.number
    }

    fn takes_ahead(&self, table: usize) -> bool {
        table == AHEAD
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn form(&self) -> Form {
        Form { job: "job".into(), text: None, lines: [].into() }
    }

    fn state(&mut self, _: &str, _: &mut dyn FnMut(Vec<u8>)) -> Result<(), StoreError> {
        Ok(())
    }

    fn claim(&mut self, _: &str, _: &str) -> Result<LastCommit, StoreError> {
        unreachable!("the job is claimed")
    }

    fn last_commit(&mut self) -> Result<LastCommit, StoreError> {
        unreachable!("it was read before")
    }

    fn prepare(&mut self, _: &[Table]) -> Result<(), StoreError> {
        unreachable!("tables are prepared")
    }

    fn in_the_future(&mut self) -> Result<Vec<ReadingId>, StoreError> {
        Ok(Vec::new())
    }

    fn views(&mut self) -> Result<Vec<StoredView>, StoreError> {
        Ok(Vec::new())
    }

    fn put_view(&mut self, _: &StoredView) -> Result<(), StoreError> {
        unreachable!("views are stored before")
    }

    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        Ok(Vec::new())
    }

    fn check_replaceable(&mut self, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        unreachable!("no view is replaced")
    }

    fn rename(&mut self, _: &str) -> Result<(), StoreError> {
        unreachable!("no view is replaced")
    }

    fn discard(&mut self, _: &str) -> Result<(), StoreError> {
        unreachable!("no view is replaced")
    }

    fn adopt(&mut self, _: &Adopted<'_>) -> Result<(), StoreError> {
        unreachable!("the job is not moved")
    }

    fn forget(&mut self, _: &str) -> Result<(), StoreError> {
        unreachable!("the job is not moved")
    }

    fn check(&mut self, _: &[Table]) -> Vec<Finding> {
        Vec::new()
    }
}

/// Rows of an epoch for a table, and their line in its file.
fn rows(epoch: Epoch, table: usize, number: i64) -> Message {
    let value = epoch as i64 * 1000 + number;
    let rows: Rows = vec![Column::Integer(Arc::new(vec![value]))].into();
    let operation = Operation::Append;
    let chunk =
        Chunk { table, operation, rows, keys: Vec::new(), text: Vec::new(), lines: Default::default() };
    Message::Rows {
        epoch,
        view: table,
        csv: format!("{value}\n").into_bytes(),
        csv_rows: 1,
        chunks: vec![chunk],
        table_rows: 1,
        forward: None,
        on_page: None,
        letters: None,
    }
}

/// The messages of a job: of three epochs at a time, in any order, and the frontier behind them.
fn messages(random: &mut StdRng) -> (Vec<Message>, BTreeMap<Epoch, Vec<Row>>) {
    let (mut messages, mut expected) = (Vec::new(), BTreeMap::<Epoch, Vec<Row>>::new());
    let mut passed = 2;
    for number in 0.. {
        if passed > EPOCHS {
            break;
        }
        let epoch = random.random_range(passed..=EPOCHS.min(passed + 2));
        let table = random.random_range(0..TABLES);
        messages.push(rows(epoch, table, number));
        expected.entry(epoch).or_default().push((table, epoch as i64 * 1000 + number));
        if random.random_ratio(1, 6) {
            passed += if random.random_ratio(1, 5) { 2 } else { 1 };
            messages.push(Message::Frontier(passed));
        }
    }
    messages.push(Message::Done);
    (messages, expected)
}

fn run(seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    let columns = [column("n", Type::Integer)];
    let views: Vec<(&str, Option<&[_]>)> = ["a", "b"].map(|name| (name, Some(&columns[..]))).into();
    let files = CsvFiles::open(folder.path(), "job", &views, &BTreeMap::new(), None).unwrap();
    let route = |(table, name): (usize, &str)| Route {
        name: name.into(),
        csv: true,
        change: false,
        table: Some(table),
        forwarded: false,
        shown: None,
        listed: false,
    };
    let server = Arc::new(Mutex::new(Server { failures: random.random_range(0..4), ..Server::default() }));
    let store = Connection { number: 1, server: server.clone(), random: StdRng::seed_from_u64(seed) };
    let (sender, receiver) = unbounded();
    let (sent, expected) = messages(&mut random);
    let clock = Arc::new(Clock::new(Limits::NONE, 1));
    let setup = Setup {
        messages: receiver,
        routes: ["a", "b"].into_iter().enumerate().map(route).collect(),
        clock: clock.clone(),
        metrics: Metrics::new(&Schema::trucks()).unwrap(),
        health: Arc::default(),
        weights: vec![Default::default(); TABLES],
        followers: Vec::new(),
        committed: Vec::new(),
        starts: Vec::new(),
        discovered: Arc::default(),
        changed: BTreeMap::new(),
        forward: None,
        page: None,
        events: None,
        topic: "topic".into(),
        mapping: Arc::new(Mapping::trucks()),
        filled: None,
        done: Vec::new(),
    };
    let committer = Committer::new(Parts { store: Box::new(store), files, lock }, setup).unwrap();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| committer.run());
        for message in sent {
            clock.queue(0, message.weight());
            sender.send(message).unwrap();
            if random.random_ratio(1, 4) {
                std::thread::yield_now();
            }
        }
        let (parts, _) = committing.join().unwrap().unwrap();
        assert_eq!(parts.store.number(), 1, "the connection that claimed the job comes back");
    });
    let server = server.lock().unwrap();
    let mut lines = [Vec::new(), Vec::new()];
    let mut left = expected;
    for (epoch, rows) in &server.commits {
        // Epochs between two commits are one.
        let rest = left.split_off(&(epoch + 1));
        let (mut rows, mut wanted) = (rows.clone(), Vec::new());
        wanted.extend(std::mem::replace(&mut left, rest).into_values().flatten());
        wanted.iter().for_each(|(table, value)| lines[*table].push(*value));
        rows.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(rows, wanted, "seed {seed}: epoch {epoch}");
    }
    assert!(left.is_empty(), "seed {seed}: {left:?} are not committed");
    for (name, mut lines) in ["a", "b"].into_iter().zip(lines) {
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.csv"))).unwrap();
        let mut written: Vec<i64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        written.sort_unstable();
        lines.sort_unstable();
        assert_eq!(written, lines, "seed {seed}: {name}.csv");
    }
    assert_eq!(clock.bytes_in_flight(), 0, "seed {seed}: all bytes are released");
    server.overlaps
}

#[test]
fn every_epoch_is_committed_once_in_its_order_whatever_fails() {
    let overlaps: usize = (0..40).map(run).sum();
    assert!(overlaps > 0, "epochs overlapped");
}
