//! Another process of a cluster, with its control connection.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::ClusterError;
use super::wire::reason;
use crate::job::error::JobError;
use crate::runtime::failure::SystemError;

/// Another process, with its control connection.
#[derive(Debug)]
pub struct Peer {
    pub(super) process: usize,
    pub(super) address: String,
    pub(super) stream: TcpStream,
}

impl Peer {
    /// A second handle to the connection, for a receiving thread. It fails after `silence` without a message.
    pub(super) fn receiver(&self, silence: Duration) -> Result<Self, JobError> {
        let clone = || {
            let stream = self.stream.try_clone()?;
            stream.set_read_timeout(Some(silence))?;
            Ok(Self { process: self.process, address: self.address.clone(), stream })
        };
        Ok(clone().map_err(|source| SystemError { verb: "share a connection", source })?)
    }

    /// Lets sending fail after `silence` without progress.
    pub(super) fn set_send_timeout(&self, silence: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(silence))
    }

    pub(super) fn lost(&self, error: &io::Error) -> ClusterError {
        let (process, address) = (self.process, self.address.clone());
        ClusterError::Lost { process, address, reason: reason(error) }
    }
}
