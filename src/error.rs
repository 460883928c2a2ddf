//! What can go wrong, where it went wrong, and what the caller can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::Position;

/// A result with Ringbolt's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds of failure that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another process (or another handle in this one) has the log open for writing.
    #[error("the log is locked by another writer")]
    Locked,
    /// The directory holds a log that belongs to no store.
    #[error("not a store")]
    NotAStore,
    /// There is no stream of this name, or it was deleted.
    #[error("no such stream")]
    NoStream,
    /// There is a stream of this name already.
    #[error("the stream exists")]
    Exists,
    /// A condition does not hold: the stream's next offset or the key's version is another one.
    #[error("a condition does not hold")]
    Conflict,
    /// A newer epoch of the producer, or a higher token, was seen.
    #[error("fenced off")]
    Fenced,
    /// The producer's records before this one are missing.
    #[error("out of order")]
    OutOfOrder,
    /// The offset is not one of the stream's.
    #[error("no such offset")]
    NoOffset,
    /// There is no such cursor or key.
    #[error("no such entry")]
    Absent,
    /// The directory holds something, but not a log.
    #[error("not a log")]
    NotALog,
    /// The path leads elsewhere through a symbolic link.
    #[error("a symbolic link where a directory or a segment was expected")]
    Symlink,
    /// The directory belongs to another user.
    #[error("the directory belongs to another user")]
    NotOwner,
    /// The format is newer than this library.
    #[error("written in a newer format")]
    Version,
    /// An incompatible feature flag that this library does not know.
    #[error("uses a feature that this version does not know")]
    UnknownFeature,
    /// Data that was acknowledged, or the log's structure, is damaged.
    #[error("acknowledged data is damaged")]
    Damaged,
    /// The record is larger than a segment can hold.
    #[error("the record is too large")]
    TooLarge,
    /// The engine's [buffer budget](crate::EngineBuilder::memory_bytes) has no room for one more log.
    /// Retry when another one was closed.
    #[error("the engine's memory budget is used up")]
    OverBudget,
    /// The disk is full. Retry when space was freed; nothing was claimed.
    #[error("the disk is full")]
    Full,
    /// The kernel reported an error on this log's files. From a write or a sync it is final for
    /// this opening of the log; a read may be asked for again. [`Error::is_fatal`] tells which.
    #[error("input/output error")]
    Io,
    /// A claim was held for longer than the limit, and the log gave up waiting for it.
    #[error("a claim was never committed")]
    Stalled,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The record, or the position, was cut off by a truncation or by a recovery.
    #[error("cut off by a truncation")]
    Cut,
    /// The position lies before the start of the log.
    #[error("trimmed away")]
    Trimmed,
    /// No record begins at this position.
    #[error("no record at this position")]
    NoRecord,
    /// This is a forked child of the process that opened the log.
    #[error("opened before a fork, in the parent process")]
    Forked,
    /// An option or argument that cannot be met.
    #[error("invalid argument")]
    Invalid,
    /// There is no room, or nothing to read, right now; a `try_` form does not wait for it.
    #[error("would have to wait")]
    WouldBlock,
    /// The deadline passed first.
    #[error("timed out")]
    TimedOut,
}

impl ErrorKind {
    /// What can be done wherever this kind comes from, unless the place knows better.
    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::NoRecord => Some(
                "positions are what appending returned (`ringbolt append --ack` prints them) and \
                 reading gave; or begin at the start, the end or a time",
            ),
            _ => None,
        }
    }
}

/// An error: its kind, the file and position it concerns, and a remedy.
///
/// Cheap to clone, so that every waiter of a failed log gets its own.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    detail: String,
    path: Option<PathBuf>,
    position: Option<Position>,
    remedy: Option<String>,
    source: Option<Arc<io::Error>>,
    /// It ended the log, or kept it from being opened.
    fatal: bool,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            detail: detail.into(),
            path: None,
            position: None,
            remedy: kind.remedy().map(Into::into),
            source: None,
            fatal: false,
        }))
    }

    /// An error of the kernel's, by its number: a full disk is [`ErrorKind::Full`].
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self(Arc::new(Inner {
            kind,
            detail: what.into(),
            path: None,
            position: None,
            remedy: None,
            source: Some(Arc::new(source)),
            fatal: false,
        }))
    }

    /// The same error as one that ended the log. That is never just a full disk: nothing that is
    /// freed mends it.
    pub(crate) fn into_fatal(self) -> Self {
        self.edit(|inner| {
            inner.fatal = true;
            if inner.kind == ErrorKind::Full {
                inner.kind = ErrorKind::Io;
            }
        })
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same error, naming the file it concerns.
    pub(crate) fn at_path(self, path: impl AsRef<Path>) -> Self {
        self.edit(|inner| inner.path = Some(path.as_ref().to_path_buf()))
    }

    /// The same error, naming the file if it names none.
    pub(crate) fn or_at_path(self, path: impl AsRef<Path>) -> Self {
        if self.0.path.is_some() {
            return self;
        }
        self.at_path(path)
    }

    /// The same error, naming the position it concerns: for [`ErrorKind::Trimmed`] and
    /// [`ErrorKind::Cut`] the one where reading may resume.
    pub(crate) fn at_position(self, position: Position) -> Self {
        self.edit(|inner| inner.position = Some(position))
    }

    /// The same error with a hint at what can be done.
    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        self.edit(|inner| inner.remedy = Some(remedy.into()))
    }

    /// The same error with a hint, if it has none.
    pub(crate) fn or_remedy(self, remedy: &str) -> Self {
        if self.0.remedy.is_some() {
            return self;
        }
        self.remedy(remedy)
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the place and the remedy.
    pub(crate) fn what(&self) -> String {
        if self.0.detail.is_empty() {
            self.0.kind.to_string()
        } else {
            self.0.detail.clone()
        }
    }

    /// The file or directory concerned, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The position concerned; for [`ErrorKind::Trimmed`] and [`ErrorKind::Cut`] on a reader, the
    /// one where reading may resume.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// What the caller may do, in a sentence, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// Whether the log refuses everything from now on, so that it must be opened anew: what ended
    /// it, or kept it from being opened. It does not follow from the kind: a disk that cannot be
    /// *read* is told to the reader that asked, and the log goes on.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.0.fatal || self.0.kind == ErrorKind::Forked
    }

    /// Whether the same call may succeed later without anything being opened anew. Never so for one
    /// that [is fatal](Self::is_fatal).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !self.0.fatal
            && matches!(
                self.0.kind,
                ErrorKind::Full
                    | ErrorKind::WouldBlock
                    | ErrorKind::TimedOut
                    | ErrorKind::Locked
                    | ErrorKind::OverBudget
                    | ErrorKind::Io
            )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}", inner.kind)?;
        if !inner.detail.is_empty() {
            write!(f, ": {}", inner.detail)?;
        }
        if let Some(path) = &inner.path {
            write!(f, " ({}", path.display())?;
            if let Some(position) = inner.position {
                write!(f, ", position {position}")?;
            }
            write!(f, ")")?;
        } else if let Some(position) = inner.position {
            write!(f, " (position {position})")?;
        }
        if let Some(source) = &inner.source {
            write!(f, ": {source}")?;
        }
        if let Some(remedy) = &inner.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Locked => io::ErrorKind::ResourceBusy,
            ErrorKind::NotALog
            | ErrorKind::NotAStore
            | ErrorKind::Symlink
            | ErrorKind::Invalid
            | ErrorKind::NoOffset
            | ErrorKind::NoRecord => io::ErrorKind::InvalidInput,
            ErrorKind::NoStream | ErrorKind::Absent => io::ErrorKind::NotFound,
            ErrorKind::Exists => io::ErrorKind::AlreadyExists,
            ErrorKind::Conflict | ErrorKind::Fenced | ErrorKind::OutOfOrder => io::ErrorKind::Other,
            ErrorKind::NotOwner => io::ErrorKind::PermissionDenied,
            ErrorKind::Version | ErrorKind::UnknownFeature => io::ErrorKind::Unsupported,
            ErrorKind::Damaged => io::ErrorKind::InvalidData,
            ErrorKind::TooLarge => io::ErrorKind::FileTooLarge,
            ErrorKind::OverBudget => io::ErrorKind::OutOfMemory,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::Closed => io::ErrorKind::BrokenPipe,
            ErrorKind::Cut | ErrorKind::Trimmed => io::ErrorKind::NotFound,
            ErrorKind::WouldBlock => io::ErrorKind::WouldBlock,
            ErrorKind::TimedOut | ErrorKind::Stalled => io::ErrorKind::TimedOut,
            ErrorKind::Io => error
                .0
                .source
                .as_ref()
                .map_or(io::ErrorKind::Other, |e| e.kind()),
            ErrorKind::Forked => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
