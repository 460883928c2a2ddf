//! The rungs of the library's ladder of fallbacks, by name, for trying each of them.

use std::sync::Arc;

use clap::ValueEnum;
use ringbolt::disk::{Access, BackendKind, Real, RealOptions, Rung};
use ringbolt::{Engine, Result};

/// How records get to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Backend {
    /// The best that this machine allows.
    #[default]
    Auto,
    /// io_uring with registered memory, past the page cache.
    Uring,
    /// io_uring, but memory that is not registered with the kernel.
    UringUnregistered,
    /// io_uring through the page cache, with a sync after each group.
    UringBuffered,
    /// Plain system calls, past the page cache.
    Posix,
    /// Plain system calls through the page cache, with a sync after each group.
    PosixBuffered,
}

impl Backend {
    /// What the command line calls it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no value is hidden");
        value.get_name().to_owned()
    }

    /// The disk that stands on this rung.
    pub(crate) fn disk(self) -> Arc<Real> {
        let (uring, direct, register) = match self {
            Self::Auto => return Arc::new(Real::probe()),
            Self::Uring => (true, true, true),
            Self::UringUnregistered => (true, true, false),
            Self::UringBuffered => (true, false, true),
            Self::Posix => (false, true, false),
            Self::PosixBuffered => (false, false, false),
        };
        Arc::new(Real::with(RealOptions {
            uring,
            direct,
            register,
        }))
    }

    /// An engine on this rung.
    pub(crate) fn engine(self) -> Result<Engine> {
        Engine::builder().disk(self.disk()).start()
    }
}

/// Where on the ladder a log stands, and why not higher, in a sentence.
pub(crate) fn describe(rung: &Rung, access: &Access) -> String {
    let carrier = match (rung.backend, rung.registered) {
        (BackendKind::Uring, true) => "io_uring with registered memory",
        (BackendKind::Uring, false) => "io_uring without registered memory",
        (BackendKind::Posix, _) => "plain system calls",
        _ => "a simulated disk",
    };
    let way = if access.direct {
        "direct writes"
    } else {
        "writes through the page cache, synced"
    };
    let reasons: Vec<&str> = [&rung.reason, &access.reason]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if reasons.is_empty() {
        format!("{carrier}, {way}")
    } else {
        format!("{carrier}, {way} ({})", reasons.join("; "))
    }
}
