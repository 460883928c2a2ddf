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

    fn rung_changes(&self) -> u64 {
        match &self.way {
            Way::Ring(ring) => ring.rung_changes(),
            // No ring comes back, and none of them changed so often.
            Way::Posix(_) => u64::MAX,
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
    use crate::disk::{Disk, Real, RealOptions};

    const BLOCK: usize = 4096;

    fn mark(block: usize) -> u8 {
        (block % 251) as u8 + 1
    }

    type Start = (Uring, Arc<dyn File>, Arc<Region>, PathBuf);

    /// A queue on a ring, a file for it, and memory whose blocks all differ. `None`, said aloud,
    /// where there is no io_uring.
    fn start(name: &str) -> Option<Start> {
        start_in(name, &Real::probe())
    }

    fn start_in(name: &str, disk: &Real) -> Option<Start> {
        let queue = match Uring::new(Bell::new().unwrap(), true) {
            Ok(queue) => queue,
            Err(error) => {
                println!("skipped: no io_uring here: {error}");
                return None;
            }
        };
        let path = std::env::temp_dir().join(format!("ringbolt-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = disk.open_dir(&path).unwrap();
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

    /// The next requests are no longer than these.
    fn shorten(queue: &mut Uring, requests: impl IntoIterator<Item = usize>) {
        match &mut queue.way {
            Way::Ring(ring) => ring.shorten = requests.into_iter().collect(),
            Way::Posix(_) => panic!("no ring to shorten writes in"),
        }
    }

    /// How many requests are still to be shortened.
    fn still_short(queue: &Uring) -> usize {
        match &queue.way {
            Way::Ring(ring) => ring.shorten.len(),
            Way::Posix(_) => panic!("the ring is gone"),
        }
    }

    fn completions(queue: &mut Uring) -> Vec<Completion> {
        let mut completions = Vec::new();
        while queue.outstanding() > 0 {
            queue.wait(None).unwrap();
            queue.reap(&mut completions).unwrap();
        }
        completions
    }

    /// Reaps until nothing is outstanding; the tokens, in order.
    fn reap_all(queue: &mut Uring) -> Vec<u64> {
        let mut tokens: Vec<_> = completions(queue)
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
        let changes = queue.rung_changes();
        refuse(&mut queue);
        assert_eq!(reap_all(&mut queue), Vec::from_iter(0..700));
        let rung = queue.rung();
        assert_eq!(rung.backend, BackendKind::Posix);
        assert!(rung.reason.unwrap().contains("refused"));
        assert_ne!(queue.rung_changes(), changes, "whoever asks is told");
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
    /// What becomes of one write of eight blocks whose first requests are as short as these: through
    /// the page cache, where any length will do.
    fn short_writes(name: &str, requests: &[usize]) -> Option<io::Result<()>> {
        let buffered = Real::with(RealOptions {
            direct: false,
            ..RealOptions::default()
        });
        let (mut queue, file, region, path) = start_in(name, &buffered)?;
        queue.add_region(&region);
        shorten(&mut queue, requests.iter().copied());
        queue.push(Write {
            file: Arc::clone(&file),
            file_offset: 0,
            region: Arc::clone(&region),
            region_offset: 0,
            len: 8 * BLOCK,
            token: 7,
        });
        queue.submit().unwrap();
        let mut completions = completions(&mut queue);
        assert_eq!(completions.len(), 1, "it completes once");
        let completion = completions.remove(0);
        assert_eq!(completion.token, 7);
        if completion.result.is_ok() {
            assert_eq!(still_short(&queue), 0, "it ended before its time");
            verify(&file, 8);
        }
        // Whatever became of it, the ring goes on.
        shorten(&mut queue, []);
        push(&mut queue, &file, &region, 3);
        queue.submit().unwrap();
        assert_eq!(reap_all(&mut queue), [0, 1, 2]);
        verify(&file, 3);
        std::fs::remove_dir_all(path).unwrap();
        Some(completion.result)
    }

    #[test]
    fn a_short_write_goes_on_where_it_stopped() {
        // Within a block, at its end, nowhere, one byte short of a block.
        let requests = [5000, 4096, 1, 0, 8191, 2 * BLOCK, 4095];
        let Some(result) = short_writes("short", &requests) else {
            return;
        };
        result.unwrap();
    }

    #[test]
    fn a_write_that_gets_nowhere_is_an_error_in_the_end() {
        // What is less than a block is written again: it is no progress, however often it comes.
        for stuck in [0, 1, BLOCK - 1] {
            let Some(result) = short_writes("stuck", &[stuck; 1000]) else {
                return;
            };
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WriteZero, "{stuck}: {error}");
        }
    }

    #[test]
    fn a_write_that_gets_on_now_and_then_is_not_given_up() {
        let mut requests = Vec::new();
        for _ in 0..4 {
            requests.extend([0; 60]);
            requests.push(BLOCK + 1);
        }
        let Some(result) = short_writes("slow", &requests) else {
            return;
        };
        result.unwrap();
    }

    /// As many requests as the write needs, and not one more.
    #[test]
    fn a_short_write_is_written_again_from_the_block_where_it_stopped() {
        let Some((mut queue, file, region, path)) = start("resume") else {
            return;
        };
        // Each of the eight blocks but the last goes by itself.
        shorten(&mut queue, [BLOCK; 7]);
        queue.push(Write {
            file: Arc::clone(&file),
            file_offset: 0,
            region: Arc::clone(&region),
            region_offset: 0,
            len: 8 * BLOCK,
            token: 0,
        });
        queue.submit().unwrap();
        assert_eq!(reap_all(&mut queue), [0]);
        assert_eq!(still_short(&queue), 0, "a block was skipped");
        verify(&file, 8);
        std::fs::remove_dir_all(path).unwrap();
    }
}
