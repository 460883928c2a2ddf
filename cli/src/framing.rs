//! How records lie in a byte stream: as lines, with a length before each, or bare.
//!
//! ```text
//! lines   payload '\n' payload '\n' ...        the newline is no part of the payload
//! len32   u32 little-endian, payload, ...      any bytes, empty records too
//! raw     payload payload ...                  for reading only
//! ```
//!
//! Memory is bounded by the largest record that the log takes: a longer one is an error before it
//! is read whole, and a length field alone reserves nothing.

use std::fmt;
use std::io::{self, BufRead, Write};

/// The framings that can be read back into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputFraming {
    /// A record is a line; the newline is no part of it. A last line without a newline counts.
    Lines,
    /// A record is a little-endian u32 length and that many bytes.
    Len32,
}

/// The framings that records can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFraming {
    /// A newline after each payload.
    Lines,
    /// A little-endian u32 length before each payload.
    Len32,
    /// Payloads only, nothing between them.
    Raw,
}

impl OutputFraming {
    /// Writes one record.
    pub(crate) fn write(self, out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
        match self {
            Self::Lines => {
                out.write_all(payload)?;
                out.write_all(b"\n")
            }
            Self::Len32 => {
                // A record is at most a segment, and that at most 1 GiB.
                out.write_all(&(payload.len() as u32).to_le_bytes())?;
                out.write_all(payload)
            }
            Self::Raw => out.write_all(payload),
        }
    }
}

/// Why the input could not be read on. Offsets are in bytes from the input's begin.
#[derive(Debug)]
pub(crate) enum InputError {
    /// The source failed.
    Io(io::Error),
    /// The input ends inside the record that begins at `offset`.
    Truncated {
        /// Where the incomplete record begins.
        offset: u64,
        /// Where the input ends.
        end: u64,
    },
    /// The record that begins at `offset` is larger than the log takes.
    TooLarge {
        /// Where the record begins.
        offset: u64,
        /// The most that the log takes, in bytes.
        limit: usize,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "reading standard input: {error}"),
            Self::Truncated { offset, end } => write!(
                f,
                "the input ends at byte {end}, inside the record that begins at byte {offset}; \
                 the records before it are durable: send the rest from byte {offset} on"
            ),
            Self::TooLarge { offset, limit } => write!(
                f,
                "the record that begins at byte {offset} of the input is larger than the {limit} \
                 bytes that a segment of this log holds; the records before it are durable: split \
                 it, make a log with a larger --segment-bytes, or check that --framing is right"
            ),
        }
    }
}

/// Reads records from a byte stream, one at a time.
#[derive(Debug)]
pub(crate) struct RecordSource<R> {
    input: R,
    framing: InputFraming,
    limit: usize,
    /// Bytes of the input that were taken so far.
    offset: u64,
    record: Vec<u8>,
}

impl<R: BufRead> RecordSource<R> {
    /// Records of at most `limit` bytes from `input`.
    pub(crate) fn new(input: R, framing: InputFraming, limit: usize) -> Self {
        Self {
            input,
            framing,
            limit,
            offset: 0,
            record: Vec::new(),
        }
    }

    /// The next record, or `None` at the end of the input.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, InputError> {
        let begin = self.offset;
        self.record.clear();
        let there = match self.framing {
            InputFraming::Lines => self.next_line(begin)?,
            InputFraming::Len32 => self.next_len32(begin)?,
        };
        Ok(there.then_some(self.record.as_slice()))
    }

    fn next_line(&mut self, begin: u64) -> Result<bool, InputError> {
        loop {
            let available = fill(&mut self.input)?;
            if available.is_empty() {
                return Ok(self.offset > begin);
            }
            let newline = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..newline.unwrap_or(available.len())];
            if self.record.len() + part.len() > self.limit {
                return Err(InputError::TooLarge {
                    offset: begin,
                    limit: self.limit,
                });
            }
            self.record.extend_from_slice(part);
            let taken = part.len() + usize::from(newline.is_some());
            self.input.consume(taken);
            self.offset += taken as u64;
            if newline.is_some() {
                return Ok(true);
            }
        }
    }

    fn next_len32(&mut self, begin: u64) -> Result<bool, InputError> {
        self.take(begin, 4)?;
        let Some(&length) = self.record.first_chunk::<4>() else {
            return Ok(false);
        };
        let length = u32::from_le_bytes(length) as usize;
        if length > self.limit {
            return Err(InputError::TooLarge {
                offset: begin,
                limit: self.limit,
            });
        }
        self.record.clear();
        self.take(begin, length)?;
        Ok(true)
    }

    /// Appends `want` bytes of the input to the record. Reaching the input's end is an error
    /// unless nothing of the record that begins at `begin` was there.
    fn take(&mut self, begin: u64, want: usize) -> Result<(), InputError> {
        while self.record.len() < want {
            let available = fill(&mut self.input)?;
            if available.is_empty() {
                if self.offset == begin {
                    return Ok(());
                }
                return Err(InputError::Truncated {
                    offset: begin,
                    end: self.offset,
                });
            }
            let taken = available.len().min(want - self.record.len());
            self.record.extend_from_slice(&available[..taken]);
            self.input.consume(taken);
            self.offset += taken as u64;
        }
        Ok(())
    }
}

/// `fill_buf` that goes on after a signal.
fn fill(input: &mut impl BufRead) -> Result<&[u8], InputError> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(InputError::Io(error)),
        }
    }
    // Asked twice because the borrow of the first answer cannot leave the loop; the second call
    // finds the buffer filled, or the end once more.
    input.fill_buf().map_err(InputError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// All records of `bytes`, through a buffer so small that every record crosses its edge.
    fn read(framing: InputFraming, bytes: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, InputError> {
        let mut source = RecordSource::new(BufReader::with_capacity(3, bytes), framing, limit);
        let mut records = Vec::new();
        while let Some(record) = source.next()? {
            records.push(record.to_vec());
        }
        Ok(records)
    }

    #[test]
    fn lines_lose_their_newline_and_nothing_else() {
        let records = read(InputFraming::Lines, b"one\r\n\n\0\xff two \nlast", 100).unwrap();
        assert_eq!(records, [&b"one\r"[..], b"", b"\0\xff two ", b"last"]);
        assert!(read(InputFraming::Lines, b"", 100).unwrap().is_empty());
        assert_eq!(read(InputFraming::Lines, b"\n", 100).unwrap(), [b""]);
    }

    #[test]
    fn len32_takes_any_bytes() {
        let written = [&b""[..], b"\n", b"longer than the buffer", b""];
        let mut bytes = Vec::new();
        for record in written {
            OutputFraming::Len32.write(&mut bytes, record).unwrap();
        }
        assert_eq!(read(InputFraming::Len32, &bytes, 100).unwrap(), written);
    }

    #[test]
    fn a_cut_inside_a_record_says_where() {
        let bytes = b"\x02\0\0\0ab\x05\0\0\0abc";
        for cut in 7..bytes.len() {
            match read(InputFraming::Len32, &bytes[..cut], 100) {
                Err(InputError::Truncated { offset: 6, end }) => assert_eq!(end, cut as u64),
                other => panic!("{other:?} at {cut}"),
            }
        }
    }

    #[test]
    fn a_record_beyond_the_limit_is_refused_before_it_is_read() {
        let length = u32::MAX.to_le_bytes();
        assert!(matches!(
            read(InputFraming::Len32, &length, 10),
            Err(InputError::TooLarge {
                offset: 0,
                limit: 10
            })
        ));
        assert!(matches!(
            read(InputFraming::Lines, b"ok\n01234567890", 10),
            Err(InputError::TooLarge {
                offset: 3,
                limit: 10
            })
        ));
        assert_eq!(
            read(InputFraming::Lines, b"0123456789\n", 10)
                .unwrap()
                .len(),
            1
        );
    }
}
