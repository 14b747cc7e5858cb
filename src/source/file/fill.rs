//! Reads until a buffer is full.

use std::io;

/// Fills `bytes` as far as the input reaches, and returns how many were read. `read` gets the rest of the buffer, and how
/// many bytes were read before it.
pub(super) fn fill(
    bytes: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match read(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
