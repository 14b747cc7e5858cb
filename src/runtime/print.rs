//! Standard output and standard error: the one place that writes to them.
//!
//! A reader may close the pipe early, as in `truckflow explain | head`. Further output is then dropped and the
//! command continues, so that its exit status still reports its result; an endless command ends instead
//! ([`stream`]). Any other failure, such as a full disk, is an error.

// clippy.toml forbids these methods everywhere else.
#![allow(clippy::disallowed_methods)]

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}; check the disk or device that it is redirected to")]
pub struct PrintError(#[source] io::Error);

/// Prints a text on standard output.
pub fn out(text: impl Display) -> Result<(), PrintError> {
    stream(text).map(drop)
}

/// Prints a text and the end of its line on standard output.
pub fn line(text: impl Display) -> Result<(), PrintError> {
    out(format_args!("{text}\n"))
}

/// Prints a text on standard output. Returns false once the pipe is closed.
pub fn stream(text: impl Display) -> Result<bool, PrintError> {
    // One write, so that lines of several threads do not mix.
    is_read(&mut io::stdout().lock(), text.to_string().as_bytes())
}

fn is_read(output: &mut impl Write, bytes: &[u8]) -> Result<bool, PrintError> {
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(PrintError(error)),
    }
}

/// Standard output, for a command that writes bytes.
pub fn output() -> impl Write + Send {
    io::stdout()
}

/// Prints a line on standard error. Errors are ignored, as they could not be reported anywhere.
pub fn note(text: impl Display) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Standard error, for the log: a line that cannot be written is dropped, as the logger would panic.
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard output is a terminal.
pub fn output_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn notes_are_on_terminal() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_an_error_but_a_closed_pipe_is_not() {
        assert!(is_read(&mut Vec::new(), b"a").unwrap());
        assert!(!is_read(&mut Fails(ErrorKind::BrokenPipe), b"a").unwrap());
        let error = is_read(&mut Fails(ErrorKind::StorageFull), b"a").unwrap_err().to_string();
        assert!(
            error.starts_with("cannot write to standard output: ") && error.contains("; check"),
            "{error}"
        );
    }
}
