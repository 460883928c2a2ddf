//! How a command ends: its exit code, and what it says on standard error.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | good; also when the reader of standard output went away |
//! | 1 | acknowledged data, or the log's structure, is damaged |
//! | 2 | wrong usage, or an input/output error |
//! | 130, 143 | a signal ended it, after its [temporary folder](crate::temporary) was removed |

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use ringbolt::ErrorKind;
use serde::Serialize;

/// What a command that ran to its end found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Good,
    /// Damage; what it is was printed already.
    Damage,
}

/// How a command ends.
pub(crate) type Done<T = Outcome> = Result<T, Failure>;

/// Why a command could not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our standard output has gone: end quietly.
    ClosedPipe,
    /// The library's word, which has its own remedy.
    Log(ringbolt::Error),
    /// An error on something that is not a log: what we were doing, and the kernel's word.
    Io(String, io::Error),
    /// What is wrong, and what to do about it.
    Other(String),
}

impl Failure {
    /// An error on standard output: a closed pipe is no failure.
    pub(crate) fn stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::Io("writing to standard output".into(), error)
        }
    }

    /// Turns an error into a failure that says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io(doing, error)
    }
}

impl From<ringbolt::Error> for Failure {
    fn from(error: ringbolt::Error) -> Self {
        Self::Log(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedPipe => f.write_str("standard output was closed"),
            Self::Log(error) => error.fmt(f),
            Self::Io(doing, error) => write!(f, "{doing}: {error}"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

/// Prints a value as JSON on standard output, with a newline.
pub(crate) fn print_json(value: &impl Serialize) -> Done<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .map_err(Failure::stdout)
}

/// The exit code of a command, after saying on standard error why it failed.
pub(crate) fn exit_code(done: Done) -> ExitCode {
    let failure = match done {
        Ok(Outcome::Good) | Err(Failure::ClosedPipe) => return ExitCode::SUCCESS,
        Ok(Outcome::Damage) => return ExitCode::from(1),
        Err(failure) => failure,
    };
    eprintln!("ringbolt: {failure}");
    match failure {
        Failure::Log(error) if error.kind() == ErrorKind::Damaged => ExitCode::from(1),
        _ => ExitCode::from(2),
    }
}
