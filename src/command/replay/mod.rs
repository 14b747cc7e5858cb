//! `truckflow replay`: the lines of a file, or the dead letters of an earlier run, into a topic.
//!
//! ```text
//! file or standard input --> lines ------------------------> key, partition --> producer --> summary
//!     folder, file       --> dead letters --> left out? -----^
//! ```
//!
//! Dead letters whose reading counts already, but in the view that gave it up, are left out: sent again, it
//! would count twice there. So are rows that a database refused, which are no messages.

mod dead_letters;
mod key;
mod lines;
mod read;

pub use read::{Sent, dead_letters_of, lines_of};

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataflows::dead_letter::Reason;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use memchr::memmem::Finder;

use self::key::KeyField;
use self::lines::{Key, Lines};
use crate::cli::replay::ReplayArgs;
use crate::kafka::producer::{ProduceError, Producer};
use crate::observe::progress;
use crate::runtime::failure::SystemError;
use crate::runtime::pace::Pace;
use crate::runtime::print::{self, PrintError};
use crate::runtime::stop::{Hangup, Stop};
use crate::sink::csv::numbered;
use crate::source::file::{TextLines, Unfinished, is_separator};

/// Longer than a message may be on its way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(90);
/// Where there is no terminal, progress is a line each.
const REPORT_EACH: Duration = Duration::from_secs(10);
/// Messages between two looks at the clock for progress.
const MESSAGES_PER_LOOK: u64 = 256;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka did not take the messages.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// What was sent cannot be printed.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The input could not be opened or read.
    #[error("{path} cannot be read ({source}): mend FILE")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The input is no text of lines.
    #[error("{path} cannot be read: {reason}; give lines of UTF-8 as FILE")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The dead letters are not a CSV file of the expected shape.
    #[error("{path} is no file of dead letters at line {line} ({reason}): mend the line or take it out")]
    DeadLetter {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder is not one of dead letters, or a file in it is not.
    #[error(
        "{path} holds no dead letters: name a file, or the folder `dead_letters` that csv.max_records makes"
    )]
    NoDeadLetters {
        /// The folder, or the file in it.
        path: PathBuf,
    },
    /// Lines do not know their topic.
    #[error("the lines of {path} do not say where they go: name the topic with --topic")]
    NoTopic {
        /// The file.
        path: PathBuf,
    },
    /// Standard input has no start to go back to.
    #[error("--loop cannot start standard input over: name a file")]
    LoopOverStdin,
    /// A loop over nothing would never end.
    #[error("--loop over {path}, which holds nothing to send, would never end: name another file")]
    LoopOverNothing {
        /// The file.
        path: PathBuf,
    },
    /// A dead letter has its own key.
    #[error("dead letters are sent with the keys that they had: leave out {flag}")]
    KeyOfDeadLetters {
        /// The flag that asks for other keys.
        flag: &'static str,
    },
    /// A message has one key.
    #[error("--key and --key-separator each say what a line's key is: leave out one of them")]
    TwoKeys,
    /// No line holds the separator, or each begins with it.
    #[error(
        "--key-separator {separator:?} ends no key within a line: give a text that lines do not end with, such as $'\\t'"
    )]
    KeySeparator {
        /// What was given.
        separator: String,
    },
    /// Signals cannot be listened to.
    #[error(transparent)]
    Signals(#[from] SystemError),
}

impl ReplayError {
    /// Whether the command line, not the run, is wrong: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Self::Produce(_)
                | Self::Print(_)
                | Self::Read { .. }
                | Self::Text { .. }
                | Self::DeadLetter { .. }
                | Self::Signals(_)
        )
    }
}

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Messages that the brokers acknowledged.
    pub sent: u64,
    /// Messages that they did not.
    pub failed: u64,
    /// Dead letters that were not to be sent.
    pub left_out: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// As one object: messages `sent`, `failed` and `left_out`, and `seconds`.
    pub fn to_json(self) -> serde_json::Value {
        let Self { sent, failed, left_out, elapsed } = self;
        let seconds = elapsed.as_secs_f64();
        serde_json::json!({ "sent": sent, "failed": failed, "left_out": left_out, "seconds": seconds })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.sent as f64 / seconds.max(1e-9);
        write!(f, "sent {} messages, {} failed, in {seconds:.1} s ({rate:.0}/s)", self.sent, self.failed)
    }
}

/// One message on its way from the input to Kafka; its buffers are used again.
#[derive(Default)]
struct Message {
    /// Empty where the input does not say.
    topic: String,
    /// The partition that it came from, if it did.
    partition: Option<i32>,
    has_key: bool,
    key: Vec<u8>,
    has_payload: bool,
    payload: Vec<u8>,
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Message,
    /// A dead letter that is not to be sent, for its reason.
    LeftOut(Reason),
    End,
}

/// How many dead letters of each reason were left out.
#[derive(Default)]
struct LeftOut(BTreeMap<Reason, u64>);

impl LeftOut {
    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out {} dead letters", self.total())?;
        for (place, (reason, count)) in self.0.iter().enumerate() {
            let why = match reason {
                Reason::RefusedByDatabase => "a row, not a message",
                _ => "counted already in the other views",
            };
            write!(f, "{} {count} {} ({why})", if place == 0 { ':' } else { ',' }, reason.name())?;
        }
        Ok(())
    }
}

/// Where messages come from.
trait Input {
    /// Reads what comes next, if it is a message into `message`.
    fn read(&mut self, message: &mut Message) -> Result<Next, ReplayError>;

    /// How many bytes of the input were read.
    fn position(&self) -> u64;

    /// The number of the last line, from 1, and its bytes, if it was left as it has no end.
    fn unfinished(&self) -> Option<(i64, u64)> {
        None
    }
}

/// Sends everything in the file, or until SIGINT or SIGTERM; what was queued is flushed. The last line on
/// standard error is the [`Summary`], also when deliveries failed; before it stands what was left out.
pub fn run(args: &ReplayArgs) -> Result<Summary, ReplayError> {
    run_until(args, &Stop::on_signals(Hangup::Stops)?)
}

fn run_until(args: &ReplayArgs, stop: &Stop) -> Result<Summary, ReplayError> {
    if args.repeat && args.file == Path::new("-") {
        return Err(ReplayError::LoopOverStdin);
    }
    if args.key.is_some() && args.key_separator.is_some() {
        return Err(ReplayError::TwoKeys);
    }
    if let Some(separator) = args.key_separator.clone().filter(|separator| !is_separator(separator)) {
        return Err(ReplayError::KeySeparator { separator });
    }
    // Opened first: a wrong name is found without a broker.
    let mut input = open(args)?;
    let mut producer =
        Producer::new(&args.brokers, &args.properties.iter().chain(&args.property_files).cloned().collect())?;
    let mut progress = Progress::new(args);
    let mut left_out = LeftOut::default();
    let started = Instant::now();
    let result = send_all(args, &mut input, &mut producer, &mut progress, &mut left_out, stop)
        .and_then(|()| producer.flush(FLUSH_TIMEOUT).map_err(Into::into));
    progress.finish();
    let failed = producer.sent() - producer.delivered();
    let (sent, total) = (producer.delivered(), left_out.total());
    let summary = Summary { sent, failed, left_out: total, elapsed: started.elapsed() };
    if total > 0 {
        print::note(&left_out);
    }
    if let Some((line, bytes)) = input.unfinished() {
        let path = args.file.display().to_string();
        print::note(Unfinished { path, line, bytes });
    }
    if result.is_ok() || producer.sent() > 0 {
        match args.json {
            true => print::line(summary.to_json())?,
            false => print::note(summary),
        }
    }
    result.map(|()| summary)
}

fn open(args: &ReplayArgs) -> Result<Box<dyn Input>, ReplayError> {
    let path = &args.file;
    let read_error = |source| ReplayError::Read { path: path.clone(), source };
    if let Some(letters) = dead_letters::open(path)? {
        let flags = [("--key", &args.key), ("--key-separator", &args.key_separator)];
        return match flags.into_iter().find(|(_, given)| given.is_some()) {
            Some((flag, _)) => Err(ReplayError::KeyOfDeadLetters { flag }),
            None => Ok(letters),
        };
    }
    let lines = TextLines::open(path, args.key_separator.as_deref()).map_err(read_error)?;
    if args.topic.is_none() {
        return Err(ReplayError::NoTopic { path: path.clone() });
    }
    let key = match (&args.key, &args.key_separator) {
        (Some(field), _) => Key::Field(Box::new(KeyField::new(field))),
        (None, Some(separator)) => Key::Before(Box::new(Finder::new(separator).into_owned())),
        (None, None) => Key::None,
    };
    Ok(Box::new(Lines::new(lines, path, key)))
}

fn send_all(
    args: &ReplayArgs,
    input: &mut Box<dyn Input>,
    producer: &mut Producer,
    progress: &mut Progress,
    left_out: &mut LeftOut,
    stop: &Stop,
) -> Result<(), ReplayError> {
    let mut topics = Topics::default();
    if let Some(topic) = &args.topic {
        topics.partitions(topic, producer)?;
    }
    let pace = Pace::start(args.rate);
    let mut message = Message::default();
    let mut bytes_before = 0;
    let (mut sent, mut read) = (0_u64, 0_u64);
    while !stop.requested() {
        if let Some(wait) = pace.wait(sent) {
            producer.poll()?;
            progress.at(sent, bytes_before + input.position());
            stop.wait(wait);
            continue;
        }
        let next = input.read(&mut message)?;
        read += 1;
        if read.is_multiple_of(MESSAGES_PER_LOOK) {
            progress.at(sent, bytes_before + input.position());
        }
        match next {
            Next::Message => {}
            Next::LeftOut(reason) => {
                *left_out.0.entry(reason).or_default() += 1;
                continue;
            }
            Next::End if !args.repeat => break,
            Next::End if sent == 0 => {
                return Err(ReplayError::LoopOverNothing { path: args.file.clone() });
            }
            Next::End => {
                bytes_before += input.position();
                *input = open(args)?;
                continue;
            }
        }
        let topic = args.topic.as_ref().unwrap_or(&message.topic);
        let partitions = topics.partitions(topic, producer)?;
        let key = message.has_key.then_some(&message.key[..]);
        let partition = match message.partition {
            // Back where it came from, whatever partitioner chose that.
            Some(partition) if args.topic.is_none() && (0..partitions).contains(&partition) => {
                Some(partition)
            }
            _ if key.is_some() => None,
            _ => Some((sent % u64::from(partitions.unsigned_abs())) as i32),
        };
        producer.send(topic, partition, key, message.has_payload.then_some(&message.payload[..]))?;
        sent += 1;
    }
    Ok(())
}

/// How many partitions each topic has; asked once a topic.
#[derive(Default)]
struct Topics {
    partitions: HashMap<String, i32>,
}

impl Topics {
    fn partitions(&mut self, topic: &str, producer: &Producer) -> Result<i32, ReplayError> {
        if let Some(count) = self.partitions.get(topic) {
            return Ok(*count);
        }
        let count = producer.partitions(topic)?;
        self.partitions.insert(topic.to_owned(), count);
        Ok(count)
    }
}

/// The bytes of a file, or of a folder's numbered files, where these are known.
fn size(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() {
        return numbered(path).ok()?.iter().map(|(_, file)| size(file)).sum();
    }
    metadata.is_file().then_some(metadata.len())
}

/// What a person sees on the way: a bar on a terminal, else a line now and then.
struct Progress {
    bar: ProgressBar,
    /// Bytes of the whole input, where that is known and ends.
    total: Option<u64>,
    started: Instant,
    reported: Instant,
}

impl Progress {
    fn new(args: &ReplayArgs) -> Progress {
        let total = if args.repeat || args.file == Path::new("-") { None } else { size(&args.file) };
        let template = match total {
            Some(_) => "{bar:30} {bytes} of {total_bytes}, {msg}, {eta} left",
            None => "{spinner} {bytes}, {msg}",
        };
        let bar = match (print::notes_are_on_terminal(), total) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(total)) => ProgressBar::new(total),
            (true, None) => ProgressBar::new_spinner(),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        let now = Instant::now();
        Progress { bar: bar.with_style(style), total, started: now, reported: now }
    }

    fn at(&mut self, messages: u64, bytes: u64) {
        let each = if self.bar.is_hidden() { REPORT_EACH } else { Duration::from_millis(100) };
        if self.reported.elapsed() < each {
            return;
        }
        self.reported = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = messages as f64 / seconds;
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{messages} messages, {rate:.0}/s"));
            self.bar.set_position(bytes);
            return;
        }
        let left = self.total.filter(|_| bytes > 0).map_or(String::new(), |total| {
            let share = (bytes as f64 / total as f64).min(1.0);
            format!(" of {}, {} left", HumanBytes(total), progress::left(share, self.started.elapsed()))
        });
        print::note(format_args!("{messages} messages, {rate:.0}/s, {}{left}", HumanBytes(bytes)));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use clap::Parser;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::producer::tests::{Seen, cluster, read};

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn replay(file: &Path, flags: &[&str]) -> Result<Summary, ReplayError> {
        let args = [&["replay", file.to_str().unwrap()], flags].concat();
        let args = Command::try_parse_from(args).unwrap_or_else(|error| panic!("{error}")).args;
        run_until(&args, &Stop::default())
    }

    fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn some(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_go_out_as_they_are_over_the_partitions_in_turn() {
        let cluster = cluster("t", 2);
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("in.jsonl", "{\"a\": 1}\nnot json \r\n\n{'a': 'ü'}");
        let summary = replay(&path, &["--topic", "t", "--brokers", &brokers]).unwrap();
        assert_eq!((summary.sent, summary.failed), (3, 0));
        let expected: Vec<Seen> =
            vec![(0, None, some("{\"a\": 1}")), (0, None, some("{'a': 'ü'}")), (1, None, some("not json "))];
        assert_eq!(read(&brokers, "t", 2, 3), expected);
    }

    #[test]
    fn a_field_of_the_line_becomes_the_key() {
        let cluster = cluster("t", 4);
        let brokers = cluster.bootstrap_servers();
        let lines: String = (0..40).map(|n| format!("{{'truck_id': 'truck-{}'}}\n", n % 5)).collect();
        let (_folder, path) = file("in.txt", &(lines + "none\n"));
        replay(&path, &["--topic", "t", "--brokers", &brokers, "--key", "truck_id"]).unwrap();
        let seen = read(&brokers, "t", 4, 41);
        let partitions_of_keys: BTreeSet<_> =
            seen.iter().filter_map(|(partition, key, _)| key.clone().map(|key| (key, *partition))).collect();
        assert_eq!(partitions_of_keys.len(), 5);
        assert_eq!(seen.iter().filter(|(_, key, _)| key.is_none()).count(), 1);
    }

    #[test]
    fn what_stands_before_the_separator_becomes_the_key_and_nothing_behind_it_a_tombstone() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("in.txt", "k\t{\"a\": \"\t\"}\r\n{}\nk\t\nk\t\r\n\t1\nl\t\nm\t{\"a\":");
        replay(&path, &["--topic", "t", "--brokers", &brokers, "--key-separator", "\t"]).unwrap();
        let expected: Vec<Seen> = vec![
            (0, some("k"), some("{\"a\": \"\t\"}")),
            (0, None, some("{}")),
            (0, some("k"), None),
            (0, some("k"), None),
            (0, some(""), some("1")),
            (0, some("l"), None),
        ];
        assert_eq!(read(&brokers, "t", 1, 6), expected);
    }

    const LETTERS: &str = "topic,partition,offset,kafka_timestamp,message_key,reason,field,payload\n\
        a,1,7,2023-04-10 01:02:27.000000,k,wrong_type,engine_speed,\"{\"\"engine_speed\"\": \"\"x\"\"}\"\n\
        b,0,8,,base64:/w==,not_an_object,,\"two\nlines\"\n\
        a,0,9,,k,null_value,,\n\
        a,9,10,,,not_an_object,,base64:AP8=\n\
        a,0,11,,,not_an_object,,\n";

    #[test]
    fn dead_letters_go_back_where_they_came_from() {
        let cluster = cluster("a", 2);
        cluster.create_topic("b", 1, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("dead_letters.csv", LETTERS);
        let summary = replay(&path, &["--brokers", &brokers]).unwrap();
        assert_eq!(summary.sent, 5);
        let a: Vec<Seen> = vec![
            (0, some("k"), None),
            (0, None, some("")),
            (1, some("k"), some("{\"engine_speed\": \"x\"}")),
            (1, None, Some(vec![0, 255])),
        ];
        assert_eq!(read(&brokers, "a", 2, 4), a);
        assert_eq!(read(&brokers, "b", 1, 1), [(0, Some(vec![255]), some("two\nlines"))]);
    }

    #[test]
    fn dead_letters_go_to_a_named_topic() {
        let cluster = cluster("mended", 1);
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("dead_letters.csv", LETTERS);
        replay(&path, &["--brokers", &brokers, "--topic", "mended"]).unwrap();
        let payloads: Vec<_> =
            read(&brokers, "mended", 1, 5).into_iter().map(|(.., payload)| payload).collect();
        assert_eq!(payloads[2], None);
        assert_eq!(payloads[3], Some(vec![0, 255]));
    }

    const HEADER: &str = "topic,partition,offset,kafka_timestamp,message_key,reason,field,payload\n";

    #[test]
    fn what_counted_already_and_what_is_no_message_is_left_out() {
        let cluster = cluster("a", 1);
        let brokers = cluster.bootstrap_servers();
        let letters = [
            "late,window_averages,1",
            "wrong_type,engine_speed,2",
            "late,filtered_join,3",
            "too_large,filtered_join,4",
            "too_large,truck_id,5",
            "too_large,key,6",
            "too_large,,7",
            "refused_by_database,distance_covered,8",
            "null_value,,",
        ];
        let text: String = letters.iter().map(|letter| format!("a,0,1,,,{letter}\n")).collect();
        let (folder, path) = file("dead_letters.csv", &(HEADER.to_owned() + &text));
        let summary = replay(&path, &["--brokers", &brokers]).unwrap();
        assert_eq!((summary.sent, summary.left_out), (5, 4));
        let payloads: Vec<_> = read(&brokers, "a", 1, 5).into_iter().map(|(.., payload)| payload).collect();
        assert_eq!(payloads, [some("2"), some("5"), some("6"), some("7"), None]);

        let path = folder.path().join("all.csv");
        fs::write(&path, HEADER.to_owned() + "a,0,1,,,late,window_averages,1\n").unwrap();
        let summary = replay(&path, &["--brokers", &brokers]).unwrap();
        assert_eq!((summary.sent, summary.left_out), (0, 1));
        let looped = replay(&path, &["--brokers", &brokers, "--loop"]);
        assert!(matches!(looped, Err(ReplayError::LoopOverNothing { .. })));
    }

    #[test]
    fn one_line_says_what_was_left_out_and_why() {
        let left_out = LeftOut([(Reason::RefusedByDatabase, 1), (Reason::Late, 2)].into());
        assert_eq!(
            left_out.to_string(),
            "left out 3 dead letters: 2 late (counted already in the other views), \
             1 refused_by_database (a row, not a message)"
        );
    }

    #[test]
    fn the_numbered_files_of_a_folder_are_sent_in_order() {
        let cluster = cluster("a", 1);
        let brokers = cluster.bootstrap_servers();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("1000000.csv", &format!("{HEADER}a,0,1,,,not_an_object,,5\n"));
        write("000010.csv", &format!("{HEADER}a,0,1,,,not_an_object,,4\n"));
        write("000002.csv", &format!("{HEADER}a,0,1,,,not_an_object,,2\na,0,1,,,not_an_object,,3\n"));
        write("000001.csv", &format!("{HEADER}a,0,1,,,not_an_object,,1\na,0,1,,,late,filtered_join,0\n"));
        // Begun, and nothing was committed to it.
        write("1000001.csv", "");
        write("1000002.csv", HEADER);
        write("notes.csv", "not one of them\n");
        let summary = replay(folder.path(), &["--brokers", &brokers]).unwrap();
        assert_eq!((summary.sent, summary.left_out), (5, 1));
        let payloads: Vec<_> = read(&brokers, "a", 1, 5).into_iter().map(|(.., payload)| payload).collect();
        assert_eq!(payloads, ["1", "2", "3", "4", "5"].map(some));

        write("000002.csv", &format!("{HEADER}a,0,1\n"));
        let error = replay(folder.path(), &["--brokers", &brokers]).unwrap_err().to_string();
        assert!(error.contains("000002.csv is no file of dead letters at line 2"), "{error}");
        let keyed = replay(folder.path(), &["--key", "truck_id"]);
        assert!(matches!(keyed, Err(ReplayError::KeyOfDeadLetters { .. })));
    }

    #[test]
    fn a_folder_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || replay(folder.path(), &["--topic", "t"]).unwrap_err();
        assert!(matches!(refused(), ReplayError::NoDeadLetters { path } if path == folder.path()));
        let file = folder.path().join("000001.csv");
        fs::write(&file, "timestamp,engine_speed\n").unwrap();
        let error = refused();
        assert!(matches!(&error, ReplayError::NoDeadLetters { path } if *path == file));
        assert!(error.is_usage() && error.to_string().contains("000001.csv"), "{error}");
    }

    #[test]
    fn a_csv_file_without_payloads_is_lines() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("Orientation.csv", "time,qz\n1,0.5\n");
        assert_eq!(replay(&path, &["--brokers", &brokers, "--topic", "t"]).unwrap().sent, 2);
    }

    #[test]
    fn a_broken_dead_letter_is_named_by_its_line() {
        let cluster = cluster("a", 1);
        let brokers = cluster.bootstrap_servers();
        for (row, reason) in [
            ("a,0,1,,,wrong_type,,base64:%", "its payload is no base64"),
            ("a,x,1,,,wrong_type,,p", "its partition is no number"),
            ("a,0", "it has 2 fields instead of 8"),
        ] {
            let text = format!("{HEADER}a,0,11,,,null_value,,x\n{row}\n");
            let (_folder, path) = file("dead_letters.csv", &text);
            let error = replay(&path, &["--brokers", &brokers]).unwrap_err().to_string();
            assert!(error.contains("at line 3") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn wrong_usage_is_found_before_a_broker_is_needed() {
        let (_folder, path) = file("in.jsonl", "");
        assert!(matches!(replay(&path, &[]), Err(error) if error.is_usage()));
        assert!(matches!(replay(Path::new("-"), &["--loop"]), Err(error) if error.is_usage()));
        assert!(matches!(replay(Path::new("/no/such"), &["--topic", "t"]), Err(ReplayError::Read { .. })));
        let (_folder, path) = file("in.jsonl", "");
        let two = replay(&path, &["--topic", "t", "--key", "truck_id", "--key-separator", "\t"]);
        assert!(matches!(two, Err(ReplayError::TwoKeys)));
        for separator in ["", "\n", "\t\r\n"] {
            let error = replay(&path, &["--topic", "t", "--key-separator", separator]).unwrap_err();
            assert!(matches!(error, ReplayError::KeySeparator { .. }) && error.is_usage(), "{error}");
        }
        let (_folder, path) = file("dead_letters.csv", LETTERS);
        for flag in ["--key", "--key-separator"] {
            let error = replay(&path, &[flag, "truck_id"]).unwrap_err();
            assert!(error.is_usage() && error.to_string().ends_with(&format!("leave out {flag}")), "{error}");
        }
    }

    #[test]
    fn a_loop_starts_over_and_ends_when_stopped() {
        let cluster = cluster("t", 1);
        let brokers = cluster.bootstrap_servers();
        let (_folder, path) = file("in.jsonl", "1\n2\n");
        let args = ["replay", path.to_str().unwrap(), "--topic", "t", "--loop", "--rate", "200"];
        let args = Command::try_parse_from([&args[..], &["--brokers", &brokers]].concat()).unwrap().args;
        let stop = Stop::default();
        std::thread::scope(|scope| {
            let replay = scope.spawn(|| run_until(&args, &stop));
            let payloads: Vec<_> =
                read(&brokers, "t", 1, 5).into_iter().map(|(.., payload)| payload).collect();
            stop.request();
            assert_eq!(payloads, ["1", "2", "1", "2", "1"].map(some));
            assert!(replay.join().unwrap().unwrap().sent >= 5);
        });
    }

    #[test]
    fn a_loop_over_nothing_is_refused() {
        let cluster = cluster("t", 1);
        let (_folder, path) = file("in.jsonl", "");
        let result = replay(&path, &["--topic", "t", "--loop", "--brokers", &cluster.bootstrap_servers()]);
        assert!(matches!(result, Err(ReplayError::LoopOverNothing { .. })));
    }

    #[test]
    fn failed_deliveries_are_an_error() {
        let cluster = cluster("t", 1);
        let (_folder, path) = file("in.jsonl", "1\n2\n");
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::Produce, &[refused; 2]);
        let error = replay(&path, &["--topic", "t", "--brokers", &cluster.bootstrap_servers()]).unwrap_err();
        assert!(matches!(error, ReplayError::Produce(ProduceError::NotDelivered { .. })), "{error}");
    }
}
