//! Being told that something in a directory changed, by whichever process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::event::wait_readable;

/// Watches one directory: files that are written, made, renamed or removed in it.
///
/// Changes are coalesced: what happened since the last [`DirWatch::wait`] is one wake-up. Look for
/// work, then wait: a change in between is not lost.
#[derive(Debug)]
pub(crate) struct DirWatch {
    events: OwnedFd,
}

impl DirWatch {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(
            &events,
            path,
            WatchFlags::MODIFY
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW,
        )?;
        Ok(Self { events })
    }

    /// Sleeps until something changed, or until `timeout` passed; says whether something did.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        Ok(wait_readable(self.events.as_fd(), timeout)? && self.drain()?)
    }

    /// Takes all events; says whether there were any.
    fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.events, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(any),
                Ok(_) => any = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_once_and_in_advance() {
        let path = std::env::temp_dir().join(format!("ringbolt-watch-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let watch = DirWatch::new(&path).unwrap();
        assert!(!watch.wait(Some(Duration::ZERO)).unwrap());
        std::fs::write(path.join("a"), b"a").unwrap();
        assert!(watch.wait(None).unwrap());
        assert!(!watch.wait(Some(Duration::ZERO)).unwrap());
        std::fs::write(path.join("a"), b"b").unwrap();
        assert!(watch.wait(None).unwrap());
        std::fs::rename(path.join("a"), path.join("b")).unwrap();
        assert!(watch.wait(None).unwrap());
        assert!(DirWatch::new(&path.join("b")).is_err(), "not a directory");
        std::fs::remove_dir_all(&path).unwrap();
    }
}
