//! Compressed inputs, detected by their first bytes and read as decompressed text.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

/// The number of bytes that identify a format.
const MAGIC_BYTES: usize = 4;

/// A format of compressed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952, with one or more members.
    Gzip,
    /// RFC 8878, with one or more frames.
    Zstd,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The format of data that begins with `bytes`; `None` if it is not compressed.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or a skippable frame.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Whether data that begins with these few bytes may be compressed.
    fn is_possible(bytes: &[u8]) -> bool {
        match bytes {
            [] => true,
            [first, rest @ ..] => {
                let begins = |magic: &[u8]| magic.starts_with(rest);
                (*first == 0x1f && begins(&[0x8b]))
                    || (*first == 0x28 && begins(&[0xb5, 0x2f, 0xfd]))
                    || ((0x50..=0x5f).contains(first) && begins(&[0x2a, 0x4d, 0x18]))
            }
        }
    }

    /// The format that matches the extension of a file name.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "gz" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Decompresses an input. Truncated data is an error.
    fn decoder(self, input: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        match self {
            Self::Gzip => Box::new(Named { format: self, decoder: MultiGzDecoder::new(input) }),
            Self::Zstd => Box::new(Named { format: self, decoder: ZstdReader::new(input) }),
        }
    }
}

/// A decoder whose errors name the format.
struct Named<R> {
    format: Format,
    decoder: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let name = self.format.name();
        self.decoder.read(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let reason =
                    format!("its {name} data ends too early: it is truncated or still being written");
                io::Error::new(error.kind(), reason)
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("its {name} data is corrupt ({error})"))
            }
            _ => error,
        })
    }
}

/// The text of an input that may be compressed, and its format if so. Waits for the first bytes.
pub(crate) fn text(mut input: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, Option<Format>)> {
    let mut first = Vec::with_capacity(MAGIC_BYTES);
    while first.len() < MAGIC_BYTES && Format::is_possible(&first) {
        let mut byte = [0; MAGIC_BYTES];
        match input.read(&mut byte[first.len()..]) {
            Ok(0) => break,
            Ok(read) => first.extend_from_slice(&byte[first.len()..][..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let format = Format::of(&first);
    let whole: Box<dyn Read + Send> = Box::new(io::Cursor::new(first).chain(input));
    Ok(match format {
        Some(format) => (format.decoder(whole), Some(format)),
        None => (whole, None),
    })
}

/// Decompresses a sequence of zstd frames.
struct ZstdReader<R> {
    input: BufReader<R>,
    context: DCtx<'static>,
    /// Whether a frame is incomplete.
    inside: bool,
}

impl<R: Read> ZstdReader<R> {
    fn new(input: R) -> Self {
        let input = BufReader::with_capacity(DCtx::in_size(), input);
        Self { input, context: DCtx::create(), inside: true }
    }
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let data = self.input.fill_buf()?;
            let ended = data.is_empty();
            if ended && !self.inside {
                return Ok(0);
            }
            let (mut input, mut output) = (InBuffer::around(data), OutBuffer::around(bytes));
            let left = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| io::Error::new(io::ErrorKind::InvalidData, get_error_name(code)))?;
            let (used, made) = (input.pos(), output.pos());
            self.input.consume(used);
            // Zero: a frame is complete, and all of its text was returned.
            self.inside = left > 0;
            if made > 0 || bytes.is_empty() {
                return Ok(made);
            }
            if ended && self.inside {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn zstd(text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; zstd_safe::compress_bound(text.len())];
        let length = zstd_safe::compress(&mut bytes[..], text, 3).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// Returns one byte at a time.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let most = bytes.len().min(1);
            self.0.read(&mut bytes[..most])
        }
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        // The first bytes arrive one by one, so that the format is detected from as few as possible.
        let (first, rest) = bytes.split_at(bytes.len().min(8));
        let input = Slow(io::Cursor::new(first.to_vec())).chain(io::Cursor::new(rest.to_vec()));
        text(Box::new(input))?.0.read_to_end(&mut found).map(|_| found)
    }

    #[test]
    fn all_members_of_gzip_and_all_frames_of_zstd_are_read() {
        let texts: Vec<Vec<u8>> = (0..3u8)
            .map(|k| (0..20_000u32).flat_map(|n| (n * 7 + u32::from(k)).to_string().into_bytes()).collect())
            .collect();
        let all = texts.concat();
        for compress in [gzip, zstd] {
            let members: Vec<u8> = texts.iter().flat_map(|text| compress(text)).collect();
            assert!(read(&members).unwrap() == all);
            assert_eq!(read(&compress(b"")).unwrap(), b"");
        }
        let skipped = [&[0x52, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd(b"text")].concat();
        assert_eq!(read(&skipped).unwrap(), b"text");
    }

    #[test]
    fn truncated_data_is_an_error() {
        let text: Vec<u8> = (0..100u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for compress in [gzip, zstd] {
            let whole = compress(&text);
            // Fewer bytes than those that identify the format are text.
            for end in MAGIC_BYTES..whole.len() {
                assert!(read(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
                let second = [&whole[..], &whole[..end]].concat();
                assert!(read(&second).is_err(), "{end} bytes of a second one");
            }
        }
        let mut damaged = gzip(&text);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x55;
        assert!(read(&damaged).is_err());
    }

    #[test]
    fn text_is_read_as_it_is() {
        for bytes in [&b""[..], b"{", b"P", b"P*M\n", b"(\n", b"\x1f", b"{\"a\": 1}\n"] {
            assert_eq!(read(bytes).unwrap(), bytes);
        }
    }
}
