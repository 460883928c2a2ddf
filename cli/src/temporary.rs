//! Folders that are removed at the end, however it comes: when they are dropped, and when Ctrl-C
//! (SIGINT) or SIGTERM ends the process, which then exits with 128 and the signal's number, as
//! shells have it: 130 or 143.
//!
//! The first folder starts the thread that waits for these signals; commands that make none are
//! ended by them as usual.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::outcome::{Done, Failure};

/// How often a folder is emptied in which threads go on making files.
const TRIES: usize = 1000;

/// All that there are. Locked while one is made or removed, so that a signal finds each whole.
static FOLDERS: Mutex<Folders> = Mutex::new(Folders {
    paths: Vec::new(),
    watched: false,
});

#[derive(Debug)]
struct Folders {
    paths: Vec<PathBuf>,
    /// Whether there is a thread that waits for signals.
    watched: bool,
}

/// A folder that is removed, with all in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Makes a folder, which must not be there yet.
    pub(crate) fn new(path: PathBuf) -> Done<Self> {
        let mut folders = folders();
        if !folders.watched {
            watch()?;
            folders.watched = true;
        }
        std::fs::create_dir(&path).map_err(Failure::io(format!(
            "making the directory {}; name another place with --dir",
            path.display()
        )))?;
        folders.paths.push(path.clone());
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut folders = folders();
        remove(&self.0);
        folders.paths.retain(|path| *path != self.0);
    }
}

fn folders() -> MutexGuard<'static, Folders> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(folder: &Path) {
    for _ in 0..TRIES {
        // What is left behind is somebody's who may not be told: there is nothing else to be done.
        if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
    }
}

fn watch() -> Done<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(Failure::io("preparing for Ctrl-C"))?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                let folders = folders();
                folders.paths.iter().for_each(|path| remove(path));
                // Still locked: nobody makes another folder.
                std::process::exit(128 + signal);
            }
        })
        .map_err(Failure::io("starting a thread"))?;
    Ok(())
}
