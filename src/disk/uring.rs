//! Writes by io_uring: one long-lived ring per queue, owned by one thread.
//!
//! - Each write carries `RWF_DSYNC`, so that its completion is its durability, past the page cache
//!   or through it.
//! - At most [`ring::WRITES_MAX`] writes are in the ring; the others wait in a queue of our own. So
//!   neither side of the ring can overflow, and a full ring never blocks.
//! - Regions become registered buffers and files registered files, as far as the kernel lets them.
//!   What does not fit is written all the same.
//! - Locks become registered files, too: the kernel gives those back only after the ring's last
//!   request has ended, even when the process is killed.
//! - A wake-up is a read of the bell's descriptor that ends in the ring.
//! - A ring that is refused in the middle (a seccomp filter, say) is closed. The kernel then ends what
//!   it has, without telling how; a `Canary` among the registered files tells when. After that the
//!   same bytes are written again to the same places by plain calls, and only that is reported.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use io_uring::IoUring;

use self::ring::Ring;
use self::tables::Tables;
use super::posix::Posix;
use super::{BackendKind, Completion, File, Queue, Region, Rung, Write};
use crate::sync::atomic::Ordering;
use crate::sys::event::Bell;
use crate::sys::mem::WipedOnFork;

mod reads;
mod ring;
mod slots;
mod tables;

pub(super) use reads::UringReads;

/// The queue of a ring, or of plain calls once the ring was refused.
pub(super) struct Uring {
    way: Way,
    bell: Arc<Bell>,
    /// 0 in a forked child.
    alive: WipedOnFork,
}

enum Way {
    Ring(Box<Ring>),
    Posix(Posix),
}

impl Uring {
    /// Sets a ring up, whose owner is the calling thread. Fails where there is no io_uring, or one
    /// that is too old.
    pub(super) fn new(bell: Arc<Bell>, register: bool) -> io::Result<Self> {
        let ring = Ring::new(Arc::clone(&bell), register)?;
        Ok(Self {
            way: Way::Ring(Box::new(ring)),
            bell,
            alive: WipedOnFork::new(1)?,
        })
    }

    /// Does something with the ring. `None` when there is none, or none any more.
    fn on_ring(&mut self, act: impl FnOnce(&mut Ring) -> io::Result<()>) -> io::Result<Option<()>> {
        let forked = self.is_forked();
        let Way::Ring(ring) = &mut self.way else {
            return Ok(None);
        };
        if forked {
            return Err(io::Error::other("the queue belongs to the parent process"));
        }
        match act(ring) {
            Ok(()) => Ok(Some(())),
            Err(refusal) => {
                self.degrade(&refusal);
                Ok(None)
            }
        }
    }

    /// Whether this is a child of the process that owns the ring. It has no mapping of the ring's
    /// memory, and must not touch its tables.
    fn is_forked(&self) -> bool {
        self.alive.get().load(Ordering::Relaxed) == 0
    }

    /// The ring's tables, with the ring, where it is there and ours.
    fn tables(&mut self) -> Option<(&mut Tables, &IoUring)> {
        let forked = self.is_forked();
        match &mut self.way {
            Way::Ring(ring) if !forked => Some(ring.tables()),
            _ => None,
        }
    }

    /// Goes on by plain calls, with all that the ring had.
    fn degrade(&mut self, refusal: &io::Error) {
        let posix = self.plain_queue(format!("io_uring was refused: {refusal}"));
        let ring = match mem::replace(&mut self.way, Way::Posix(posix)) {
            Way::Ring(ring) => *ring,
            posix @ Way::Posix(_) => {
                self.way = posix;
                return;
            }
        };
        ring.hand_over(self.posix(), refusal);
    }

    fn plain_queue(&self, reason: String) -> Posix {
        let rung = Rung::new(BackendKind::Posix, false, Some(reason));
        Posix::new(Arc::clone(&self.bell), rung)
    }

    /// The plain queue, which is there once there is no ring.
    fn posix(&mut self) -> &mut Posix {
        match &mut self.way {
            Way::Posix(posix) => posix,
            Way::Ring(_) => unreachable!("asked for only when the ring is gone"),
        }
    }
}

impl Queue for Uring {
    fn rung(&self) -> Rung {
        match &self.way {
            Way::Ring(ring) => ring.rung(),
            Way::Posix(posix) => posix.rung(),
        }
    }

    fn add_region(&mut self, region: &Arc<Region>) {
        if let Some((tables, ring)) = self.tables() {
            tables.add_region(ring, region);
        }
    }

    fn remove_region(&mut self, region: &Arc<Region>) {
        if let Some((tables, ring)) = self.tables() {
            tables.remove_region(ring, region);
        }
    }

    fn hold(&mut self, lock: &Arc<dyn File>) {
        if let Way::Posix(posix) = &mut self.way {
            posix.hold(lock);
        } else if let Some((tables, ring)) = self.tables() {
            tables.hold(ring, lock);
        }
    }

    fn release(&mut self, lock: &Arc<dyn File>) {
        if let Way::Posix(posix) = &mut self.way {
            posix.release(lock);
        } else if let Some((tables, ring)) = self.tables() {
            tables.release(ring, lock);
        }
    }

    fn push(&mut self, write: Write) {
        match &mut self.way {
            Way::Ring(ring) => ring.push(write),
            Way::Posix(posix) => posix.push(write),
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        match self.on_ring(Ring::submit)? {
            Some(()) => Ok(()),
            None => self.posix().submit(),
        }
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        match self.on_ring(|ring| ring.reap(completions))? {
            Some(()) => Ok(()),
            None => self.posix().reap(completions),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match self.on_ring(|ring| ring.wait(deadline))? {
            Some(()) => Ok(()),
            None => self.posix().wait(left_until(deadline)),
        }
    }

    fn waker(&self) -> Waker {
        self.bell.waker()
    }

    fn event_descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Posix(posix) => posix.event_descriptor(),
            Way::Ring(_) if self.is_forked() => None,
            Way::Ring(ring) => {
                ring.show().ok()?;
                Some(self.bell.descriptor())
            }
        }
    }

    fn outstanding(&self) -> usize {
        match &self.way {
            Way::Ring(ring) => ring.outstanding(),
            Way::Posix(posix) => posix.outstanding(),
        }
    }
}

impl Drop for Uring {
    /// Waits until the kernel has ended every write that it was given. Writes that it was not
    /// given are not made any more.
    fn drop(&mut self) {
        if self.is_forked() {
            // Where the parent has the ring's memory, this process may have something else by now:
            // nothing of the ring may be given back here.
            let posix = self.plain_queue("opened before a fork".into());
            mem::forget(mem::replace(&mut self.way, Way::Posix(posix)));
            return;
        }
        // A refusal is answered by carrying the writes out; nobody asks for their results.
        let _ = self.on_ring(Ring::quiesce);
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("rung", &self.rung())
            .field("outstanding", &self.outstanding())
            .finish()
    }
}

fn left_until(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline - Instant::now().min(deadline))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::disk::{Disk, Real};

    const BLOCK: usize = 4096;

    fn mark(block: usize) -> u8 {
        (block % 251) as u8 + 1
    }

    type Start = (Uring, Arc<dyn File>, Arc<Region>, PathBuf);

    /// A queue on a ring, a file for it, and memory whose blocks all differ. `None`, said aloud,
    /// where there is no io_uring.
    fn start(name: &str) -> Option<Start> {
        let queue = match Uring::new(Bell::new().unwrap(), true) {
            Ok(queue) => queue,
            Err(error) => {
                println!("skipped: no io_uring here: {error}");
                return None;
            }
        };
        let path = std::env::temp_dir().join(format!("ringbolt-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = Real::probe().open_dir(&path).unwrap();
        let file = dir.create("file").unwrap();
        file.allocate(1 << 22).unwrap();
        let region = Region::new(1 << 22).unwrap();
        for block in 0..region.len() / BLOCK {
            // SAFETY: within the region, which nobody else knows yet.
            unsafe {
                let at = region.as_ptr().add(block * BLOCK);
                at.write_bytes(mark(block), BLOCK);
            }
        }
        Some((queue, file, Arc::new(region), path))
    }

    fn push(queue: &mut Uring, file: &Arc<dyn File>, region: &Arc<Region>, blocks: u64) {
        for block in 0..blocks {
            queue.push(Write {
                file: Arc::clone(file),
                file_offset: block * BLOCK as u64,
                region: Arc::clone(region),
                region_offset: block as usize * BLOCK,
                len: BLOCK,
                token: block,
            });
        }
    }

    fn refuse(queue: &mut Uring) {
        match &mut queue.way {
            Way::Ring(ring) => ring.refuse = true,
            Way::Posix(_) => panic!("no ring to refuse"),
        }
    }

    /// Reaps until nothing is outstanding; the tokens, in order.
    fn reap_all(queue: &mut Uring) -> Vec<u64> {
        let mut completions = Vec::new();
        while queue.outstanding() > 0 {
            queue.wait(None).unwrap();
            queue.reap(&mut completions).unwrap();
        }
        let mut tokens: Vec<_> = completions
            .into_iter()
            .map(|completion| {
                completion.result.unwrap();
                completion.token
            })
            .collect();
        tokens.sort_unstable();
        tokens
    }

    fn verify(file: &Arc<dyn File>, blocks: usize) {
        let mut bytes = crate::disk::AlignedBuf::new(blocks * BLOCK).unwrap();
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), blocks * BLOCK);
        for (block, bytes) in bytes.chunks(BLOCK).enumerate() {
            assert!(bytes.iter().all(|&byte| byte == mark(block)), "{block}");
        }
    }

    #[test]
    fn a_ring_that_is_refused_with_writes_in_flight_loses_none() {
        let Some((mut queue, file, region, path)) = start("refused") else {
            return;
        };
        queue.add_region(&region);
        // More than the ring holds, so that some are in the kernel and some are not.
        push(&mut queue, &file, &region, 700);
        queue.submit().unwrap();
        refuse(&mut queue);
        assert_eq!(reap_all(&mut queue), Vec::from_iter(0..700));
        let rung = queue.rung();
        assert_eq!(rung.backend, BackendKind::Posix);
        assert!(rung.reason.unwrap().contains("refused"));
        verify(&file, 700);

        // And it goes on: wake-ups and writes.
        queue.waker().wake();
        queue.wait(None).unwrap();
        push(&mut queue, &file, &region, 3);
        queue.submit().unwrap();
        assert_eq!(reap_all(&mut queue), [0, 1, 2]);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_ring_that_is_refused_from_the_first_call_is_as_good() {
        let Some((mut queue, file, region, path)) = start("refused-first") else {
            return;
        };
        refuse(&mut queue);
        let descriptor = queue.event_descriptor().map(|fd| fd.try_clone_to_owned());
        assert!(descriptor.unwrap().is_ok());
        push(&mut queue, &file, &region, 5);
        assert_eq!(queue.outstanding(), 5);
        queue.submit().unwrap();
        assert_eq!(queue.rung().backend, BackendKind::Posix);
        let shown = queue.event_descriptor().unwrap();
        assert!(crate::sys::event::wait_readable(shown, Some(Duration::ZERO)).unwrap());
        assert_eq!(reap_all(&mut queue), Vec::from_iter(0..5));
        verify(&file, 5);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_wait_that_is_refused_still_hears_the_bell() {
        let Some((mut queue, ..)) = start("refused-wait").inspect(|(.., path)| {
            std::fs::remove_dir_all(path).unwrap();
        }) else {
            return;
        };
        let waker = queue.waker();
        refuse(&mut queue);
        let ringer = std::thread::spawn(move || waker.wake());
        queue.wait(None).unwrap();
        ringer.join().unwrap();
    }

    #[test]
    fn dropping_a_refused_queue_with_writes_in_flight_waits_for_them() {
        let Some((mut queue, file, region, path)) = start("refused-drop") else {
            return;
        };
        push(&mut queue, &file, &region, 100);
        queue.submit().unwrap();
        refuse(&mut queue);
        drop(queue);
        assert_eq!(Arc::strong_count(&region), 1, "no write is left behind");
        verify(&file, 100);
        std::fs::remove_dir_all(path).unwrap();
    }
}
