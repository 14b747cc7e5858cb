//! The messages between processes: a length in four bytes, and JSON.
//!
//! ```text
//! accepts                      connects
//! Challenge: nonce ------------->
//!                           <- Hello: protocol, process, proof, purpose
//! Answer: accepted, or why not ->
//! ```

use std::io::{self, Read, Write};

use dataflows::Epoch;
use dataflows::item::NextOffset;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock::{Beat, Tally};
use crate::store::Form;

/// What versions have to share to talk to each other; what timely sends has the form of the version.
pub(super) const PROTOCOL: &str = concat!("truckflow ", env!("CARGO_PKG_VERSION"), " cluster 1");

/// A message is not longer than this.
const LONGEST: usize = 64 << 20;

/// The first message of a connection, from who accepts it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Challenge {
    /// Who answers has to prove that it knows the secret, with this.
    pub nonce: [u8; 32],
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub protocol: String,
    pub process: usize,
    pub proof: [u8; 32],
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To follow process 0, which compares the terms.
    Control { terms: Value },
    /// For timely.
    Data,
}

/// Whether a process is let in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Accepted,
    Refused(String),
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

/// Proves that one knows `secret`, to who asked with `nonce`.
pub(super) fn proof(secret: &[u8], nonce: &[u8; 32], process: usize) -> [u8; 32] {
    let inner = Sha256::new().chain_update(nonce).chain_update(process.to_le_bytes()).chain_update(secret);
    Sha256::new().chain_update(secret).chain_update(inner.finalize()).finalize().into()
}

/// Sends a message.
pub(super) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&frame)
}

/// Waits for a message.
pub(super) fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak truckflow's protocol"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let mut bytes = Vec::new();
        let tally = Tally { records: 3, bytes: 70 };
        send(&mut bytes, &FromOther::Read(tally)).unwrap();
        send(&mut bytes, &FromOther::Stop).unwrap();
        let mut bytes = bytes.as_slice();
        assert!(matches!(receive(&mut bytes).unwrap(), FromOther::Read(read) if read == tally));
        assert!(matches!(receive(&mut bytes).unwrap(), FromOther::Stop));
        assert!(receive::<FromOther>(&mut bytes).is_err());
    }

    #[test]
    fn another_protocol_is_noticed_at_once() {
        let error = receive::<FromOther>(&mut &b"HTTP/1.1 400 Bad Request\r\n"[..]).unwrap_err();
        assert!(reason(&error).contains("protocol"), "{error}");
    }

    #[test]
    fn a_proof_is_of_the_secret_the_nonce_and_the_process() {
        let known = proof(b"secret", &[1; 32], 1);
        assert_eq!(known, proof(b"secret", &[1; 32], 1));
        for other in
            [proof(b"other", &[1; 32], 1), proof(b"secret", &[2; 32], 1), proof(b"secret", &[1; 32], 2)]
        {
            assert_ne!(known, other);
        }
    }
}
