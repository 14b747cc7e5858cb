//! The messages between processes: a length in four bytes, and JSON.
//!
//! ```text
//! accepts                                  connects
//! Challenge: protocol, nonce ---------------->
//!                 <- Hello: protocol, processes, purpose, nonce, proof
//! Greeting: proof, or refusal --------------->
//!                 <- terms, on a control connection
//! Answer: accepted, or refusal -------------->
//! ```
//!
//! The connecting side proves first that it knows the secret, then the accepting side. A proof covers both nonces,
//! both processes, the purpose and the side, so it is valid only once, on this connection and in this direction.
//! Before that, messages are limited to [`MAX_UNAUTHENTICATED`] bytes, and nothing about the job is sent.

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

/// The protocol version, which includes a digest of the sources (`build/sources.rs`): timely's messages depend on the
/// types and operators of the build.
pub(super) const PROTOCOL: &str =
    concat!("truckflow ", env!("CARGO_PKG_VERSION"), ", sources ", env!("DIGEST_OF_SOURCES"));

/// The maximum size of a message.
pub(super) const MAX_SIZE: usize = 64 << 20;
/// The maximum size of a message before authentication.
pub(super) const MAX_UNAUTHENTICATED: usize = 4 << 10;

/// The first message of a connection, from the accepting side.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub protocol: String,
    /// For the proof of the connecting side.
    pub nonce: [u8; 32],
}

/// The response to the challenge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub protocol: String,
    /// The connecting process.
    pub from: usize,
    /// The process that it wants to reach.
    pub to: usize,
    pub purpose: Purpose,
    /// For the proof of the accepting side.
    pub nonce: [u8; 32],
    pub proof: [u8; 32],
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Control messages with process 0, which compares the terms.
    Control,
    /// Timely's data.
    Data,
}

/// The response to a hello.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Greeting {
    Known { proof: [u8; 32] },
    Refused(String),
}

/// Whether a connection is accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Accepted,
    Refused(String),
    /// All processes are already connected.
    Complete,
}

/// The start position, sent by process 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The last committed epoch.
    pub epoch: Epoch,
    /// Where every partition starts.
    pub offsets: Vec<NextOffset>,
    /// The row format that the store requires.
    pub form: Form,
}

/// The messages of process 0.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromFirst {
    Welcome(Welcome),
    Beat(Beat),
    /// The last message: everything is committed, or the failure.
    End(Option<String>),
    /// The last message: another process with the same index connected first.
    Complete,
}

/// The messages of the other processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromOther {
    Read(Tally),
    /// The process was asked to stop.
    Stop,
    /// The last message: the workers have ended, or the failure.
    Ended(Option<String>),
}

/// The side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Accepts,
    Connects,
}

/// The proof of one side that it knows `secret`. It covers the nonces in `challenge` and `hello`; `hello.proof` is
/// ignored.
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

/// Receives a message of an authenticated process.
pub(super) fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    receive_up_to(MAX_SIZE, stream)
}

/// Receives a message of at most `max` bytes.
pub(super) fn receive_up_to<M: DeserializeOwned>(max: usize, stream: &mut impl Read) -> io::Result<M> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it does not speak truckflow's protocol");
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > max {
        return Err(invalid());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    // The error does not repeat the received bytes.
    serde_json::from_slice(&bytes).map_err(|_| invalid())
}

/// A connection with a deadline for all reads and writes together.
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

/// Describes a connection error.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was closed".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no response".into(),
        _ => error.to_string(),
    }
}

/// Sanitizes text from another process, which may be an unknown client.
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
    fn each_change_of_the_sources_changes_the_protocol() {
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
        // Other files do not count.
        fs::write(folder.path().join("README.md"), "truckflow").unwrap();
        assert_eq!(seen.last(), Some(&digest()));
    }

    #[test]
    fn messages_round_trip() {
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
    fn another_protocol_is_detected_immediately() {
        for bytes in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\x10\0\0\0\x1b[2Jsomething....."] {
            let error = receive::<FromOther>(&mut &*bytes).unwrap_err();
            assert_eq!(reason(&error), "it does not speak truckflow's protocol");
        }
        assert_eq!(shown("a\x1b[2J\nb"), "a[2Jb");
    }

    #[test]
    fn messages_before_authentication_are_limited() {
        let mut bytes = Vec::new();
        send(&mut bytes, &"a".repeat(MAX_UNAUTHENTICATED)).unwrap();
        assert!(receive_up_to::<String>(MAX_UNAUTHENTICATED, &mut bytes.as_slice()).is_err());
        assert!(receive::<String>(&mut bytes.as_slice()).is_ok());
    }

    #[test]
    fn a_slow_client_is_disconnected() {
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
        assert_eq!(reason(&error), "no response");
        drop(stream);
        drips.join().unwrap();
    }

    #[test]
    fn a_proof_covers_the_secret_and_the_handshake() {
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
