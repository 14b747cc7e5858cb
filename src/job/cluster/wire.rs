//! The messages between processes: a length in four bytes, and JSON.
//!
//! ```text
//! accepts                                  connects
//! Challenge: protocol, nonce ---------------->
//!                 <- Hello: protocol, processes, purpose, nonce, proof
//! Greeting: proof, or why not --------------->
//!                 <- terms, where it is to follow process 0
//! Answer: accepted, or why not -------------->
//! ```
//!
//! Who connects proves first that it knows the secret, then who accepts. A proof is of both nonces, both
//! processes, the purpose and the side that makes it: it is good once, on this connection, in this
//! direction. Until then no message is long, and nothing of the job is said.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use dataflows::Epoch;
use dataflows::item::NextOffset;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::runtime::clock::{Beat, Tally};
use crate::runtime::secret;
use crate::store::Form;

/// What builds have to share to talk to each other: what timely sends has the layout of the types, and goes to
/// the operators, of the very sources that a process was built from. `build/sources.rs` makes the number.
pub(super) const PROTOCOL: &str =
    concat!("truckflow ", env!("CARGO_PKG_VERSION"), ", sources ", env!("DIGEST_OF_SOURCES"));

/// A message is not longer than this,
pub(super) const LONGEST: usize = 64 << 20;
/// and one of someone who has proven nothing not longer than this.
pub(super) const LONGEST_OF_STRANGERS: usize = 4 << 10;

/// The first message of a connection, from who accepts it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub protocol: String,
    /// Who answers has to prove that it knows the secret, with this.
    pub nonce: [u8; 32],
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub protocol: String,
    /// Who connects.
    pub from: usize,
    /// With whom.
    pub to: usize,
    pub purpose: Purpose,
    /// Who accepts has to prove that it knows the secret, with this.
    pub nonce: [u8; 32],
    pub proof: [u8; 32],
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To follow process 0, which compares the terms.
    Control,
    /// For timely.
    Data,
}

/// Whether a process is known.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Greeting {
    Known { proof: [u8; 32] },
    Refused(String),
}

/// Whether a process is let in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Accepted,
    Refused(String),
    /// All are there already.
    Complete,
}

/// What a process has to know to begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The last committed epoch.
    pub epoch: Epoch,
    /// Where every partition starts.
    pub offsets: Vec<NextOffset>,
    /// The form in which the store wants rows.
    pub form: Form,
}

/// What process 0 says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromFirst {
    Welcome(Welcome),
    Beat(Beat),
    /// All is committed, or why not; nothing follows.
    End(Option<String>),
    /// Another process with the same number was there first; nothing follows.
    Complete,
}

/// What the others say to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromOther {
    Read(Tally),
    /// The process was asked to end.
    Stop,
    /// Its workers have ended, well or not; nothing follows.
    Ended(Option<String>),
}

/// Which end of a connection makes a proof.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Accepts,
    Connects,
}

/// Proves on `side` that one knows `secret`, to who asked with its nonce in `challenge` or `hello`, whose
/// proof counts for nothing.
pub(super) fn proof(secret: &[u8], side: Side, challenge: &[u8; 32], hello: &Hello) -> [u8; 32] {
    let side: &[u8] = match side {
        Side::Accepts => b"accepts",
        Side::Connects => b"connects",
    };
    let purpose: &[u8] = match hello.purpose {
        Purpose::Control => b"control",
        Purpose::Data => b"data",
    };
    let (from, to) = ((hello.from as u64).to_le_bytes(), (hello.to as u64).to_le_bytes());
    let protocol = hello.protocol.as_bytes();
    secret::code(secret, &[protocol, side, purpose, &from, &to, challenge, &hello.nonce])
}

/// Sends a message.
pub(super) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&frame)
}

/// Waits for a message of someone who is known.
pub(super) fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    receive_up_to(LONGEST, stream)
}

/// Waits for a message of at most `longest` bytes.
pub(super) fn receive_up_to<M: DeserializeOwned>(longest: usize, stream: &mut impl Read) -> io::Result<M> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it does not speak truckflow's protocol");
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        return Err(strange());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    // What it says instead is not repeated.
    serde_json::from_slice(&bytes).map_err(|_| strange())
}

/// A connection that is given up at a time, however slowly its other end goes on.
pub(super) struct Until<'a> {
    pub stream: &'a TcpStream,
    pub end: Instant,
}

impl Until<'_> {
    fn left(&self) -> io::Result<std::time::Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What went wrong on a connection, in words.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection ended".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "nothing was heard of it".into(),
        _ => error.to_string(),
    }
}

/// What another process says, to be shown: it may be anybody.
pub(super) fn shown(said: &str) -> String {
    const MOST: usize = 1000;
    said.chars().filter(|char| !char.is_control()).take(MOST).collect()
}

#[cfg(test)]
#[path = "../../../build/sources.rs"]
mod sources;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn each_change_of_the_sources_makes_another_build() {
        let (_, built) = PROTOCOL.rsplit_once(' ').unwrap();
        assert!(built.len() == 16 && u64::from_str_radix(built, 16).is_ok(), "{PROTOCOL}");
        let folder = tempfile::tempdir().unwrap();
        let digest = || sources::digest(folder.path()).unwrap();
        fs::create_dir_all(folder.path().join("dataflows/src/views")).unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        let mut seen = vec![digest()];
        for (file, text) in [
            ("src/clock.rs", "struct Beat { epoch: u64 }"),
            ("src/clock.rs", "struct Beat { epoch: u32 }"),
            ("dataflows/src/views/a.rs", "fn a() {}"),
            ("dataflows/src/views/b.rs", ""),
            ("Cargo.lock", "version = 4"),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
            assert!(!seen.contains(&digest()), "{file}: {text}");
            seen.push(digest());
        }
        // What is no source does not count.
        fs::write(folder.path().join("README.md"), "truckflow").unwrap();
        assert_eq!(seen.last(), Some(&digest()));
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let mut bytes = Vec::new();
        let tally = Tally { records: 3, bytes: 70, queued: 500 };
        send(&mut bytes, &FromOther::Read(tally)).unwrap();
        send(&mut bytes, &FromOther::Stop).unwrap();
        let mut bytes = bytes.as_slice();
        assert!(matches!(receive(&mut bytes).unwrap(), FromOther::Read(read) if read == tally));
        assert!(matches!(receive(&mut bytes).unwrap(), FromOther::Stop));
        assert!(receive::<FromOther>(&mut bytes).is_err());
    }

    #[test]
    fn another_protocol_is_noticed_at_once() {
        for bytes in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\x10\0\0\0\x1b[2Jsomething....."] {
            let error = receive::<FromOther>(&mut &*bytes).unwrap_err();
            assert_eq!(reason(&error), "it does not speak truckflow's protocol");
        }
        assert_eq!(shown("a\x1b[2J\nb"), "a[2Jb");
    }

    #[test]
    fn what_a_stranger_may_say_is_short() {
        let mut bytes = Vec::new();
        send(&mut bytes, &"a".repeat(LONGEST_OF_STRANGERS)).unwrap();
        assert!(receive_up_to::<String>(LONGEST_OF_STRANGERS, &mut bytes.as_slice()).is_err());
        assert!(receive::<String>(&mut bytes.as_slice()).is_ok());
    }

    #[test]
    fn who_speaks_slowly_is_not_heard_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let drips = std::thread::spawn(move || {
            // Until the other end is closed.
            while slow.write_all(&[1]).is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let end = Instant::now() + Duration::from_millis(200);
        let mut until = Until { stream: &stream, end };
        let error = until.read_exact(&mut [0; 100_000]).unwrap_err();
        assert_eq!(reason(&error), "nothing was heard of it");
        drop(stream);
        drips.join().unwrap();
    }

    #[test]
    fn a_proof_is_of_the_secret_and_of_all_that_was_said() {
        let hello = |from, to, purpose, nonce| Hello {
            protocol: PROTOCOL.into(),
            from,
            to,
            purpose,
            nonce: [nonce; 32],
            proof: [0; 32],
        };
        let first = hello(1, 0, Purpose::Data, 5);
        let known = proof(b"secret", Side::Connects, &[1; 32], &first);
        assert_eq!(known, proof(b"secret", Side::Connects, &[1; 32], &first));
        for other in [
            proof(b"other", Side::Connects, &[1; 32], &first),
            proof(b"secret", Side::Accepts, &[1; 32], &first),
            proof(b"secret", Side::Connects, &[2; 32], &first),
            proof(b"secret", Side::Connects, &[1; 32], &hello(2, 0, Purpose::Data, 5)),
            proof(b"secret", Side::Connects, &[1; 32], &hello(1, 2, Purpose::Data, 5)),
            proof(b"secret", Side::Connects, &[1; 32], &hello(1, 0, Purpose::Control, 5)),
            proof(b"secret", Side::Connects, &[1; 32], &hello(1, 0, Purpose::Data, 6)),
        ] {
            assert_ne!(known, other);
        }
    }
}
