//! Keeping segments ready ahead: files made by the keeper, memory zeroed between submissions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::disk::{File, Queue, Region};
use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Request, Segment, Summary};
use crate::log::make::{self, Plan};
use crate::log::options::{IMAGES_MIN, Preallocation};
use crate::log::persist::Persist;
use crate::log::persist::live::{FooterState, Live};
use crate::log::position::Position;
use crate::log::segment::{Header, Link};
use crate::log::stats::Counters;
use crate::log::tail::image::{self, Image};
use crate::sync::atomic::Ordering;

/// Memory is zeroed in pieces of this size.
const ZERO_BYTES: usize = 128 << 10;
/// Files are kept ready so far ahead.
const MADE_AHEAD: usize = 1;

/// A segment that the keeper made, or why it could not.
pub(crate) struct Made {
    header: Header,
    control: bool,
    file: Result<(Arc<dyn File>, bool)>,
}

/// What is being prepared.
pub(super) struct Images {
    /// Memory that serves no image: being zeroed, then ready.
    idle: Option<Idle>,
    /// How many regions exist.
    regions: usize,
    made: std::collections::VecDeque<NewFile>,
    making: bool,
    /// The last segment of the chain as it is planned, for the next one's link.
    previous: Link,
}

/// A segment's file, ready to be written.
pub(super) struct NewFile {
    pub(super) header: Header,
    pub(super) file: Arc<dyn File>,
    /// Whether zeroes are to be written ahead of what is appended.
    pub(super) fill: bool,
}

struct Idle {
    memory: Arc<Region>,
    zeroed: usize,
    /// Whether the queue knows the memory.
    known: bool,
}

impl Images {
    pub(super) fn new(segment: &Segment) -> Self {
        Self {
            idle: None,
            regions: 1,
            made: std::collections::VecDeque::new(),
            making: false,
            previous: Link {
                ordinal: segment.ordinal(),
                end_bytes: segment.header.frames().end,
            },
        }
    }

    pub(super) fn release(&mut self, queue: &mut dyn Queue) {
        if let Some(idle) = self.idle.take().filter(|idle| idle.known) {
            queue.remove_region(&idle.memory);
        }
    }
}

impl Persist {
    /// Asks for files, and readies the next generation when file and memory are there.
    pub(super) fn keep_ready(&mut self, queue: &mut dyn Queue) {
        if self.shut.tail().is_some() {
            return;
        }
        let full = self.core.full.load(Ordering::Relaxed);
        if !self.images.making && self.images.made.len() < MADE_AHEAD {
            if !full {
                self.ask_for_segment(false);
            } else if self.wants_ballast() && self.spares.len() > 0 {
                self.ask_for_segment(true);
            }
        }
        let ahead = self
            .live
            .back()
            .is_some_and(|live| live.generation > self.tail_generation());
        if ahead {
            return;
        }
        self.find_memory(queue);
        let zeroed = |idle: &Idle| idle.zeroed == idle.memory.len();
        if !self.images.made.is_empty() && self.images.idle.as_ref().is_some_and(zeroed) {
            self.ready_next();
        }
    }

    /// The generation that claims go to.
    fn tail_generation(&self) -> u64 {
        let low = self.core.tail.now().generation;
        let mask = crate::log::tail::word::GENERATION_MASK;
        self.live
            .iter()
            .map(|live| live.generation)
            .find(|generation| generation & mask == low)
            .unwrap_or(self.frontier_generation)
    }

    fn ask_for_segment(&mut self, control: bool) {
        self.ordinal_max += 1;
        let previous = self.images.previous;
        let header = self.header(self.ordinal_max, previous, self.epoch);
        self.images.previous = Link {
            ordinal: header.ordinal,
            end_bytes: header.frames().end,
        };
        self.make(header, control);
    }

    /// The header of a new segment.
    pub(super) fn header(&self, ordinal: u64, previous: Link, epoch: u64) -> Header {
        let mut salt = [0; 8];
        self.disk.random(&mut salt);
        Header {
            log_id: self.core.log_id,
            ordinal,
            epoch,
            previous,
            salt: u64::from_le_bytes(salt),
            segment_bytes: self.end + self.block,
            block_bytes: self.block as u32,
            // Not what is durable so far: a truncation may cut off the checkpoint that carries the
            // newest start, and its own segment then takes that one's place.
            log_start: self.start.wanted(),
            created_unix_ns: self.disk.now_unix_ns(),
            compatible: 0,
            features: self.core.features,
        }
    }

    /// Has the keeper make a segment.
    pub(super) fn make(&mut self, header: Header, control: bool) {
        self.images.making = true;
        let plan = Plan {
            header,
            fill: self.core.options.preallocation == Preallocation::Written,
            control,
        };
        let (core, spares) = (Arc::clone(&self.core), Arc::clone(&self.spares));
        self.job(move || {
            let file = make::make(&*core.dir, &spares, &plan);
            if file.is_ok() {
                // Without a ballast a full disk cannot be trimmed; the log itself goes on.
                let _ = make::make_ballast(&*core.dir, &spares, header.segment_bytes);
            }
            Request::Made(Made {
                header,
                control,
                file,
            })
        });
    }

    /// Has the keeper do something and tell. The lock stays with the job: whoever opens the log
    /// next finds no earlier writer's keeper at work.
    pub(super) fn job(&mut self, work: impl FnOnce() -> Request + Send + 'static) {
        let (core, lock) = (Arc::clone(&self.core), self.lock.clone());
        self.jobs += 1;
        self.shared.jobs.push(move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            drop(lock);
            core.request(done.unwrap_or(Request::JobPanicked));
        });
    }

    /// The keeper answered.
    pub(super) fn made(&mut self, made: Made, queue: &mut dyn Queue) {
        self.images.making = false;
        if made.header.epoch != self.epoch && !self.shut.takes(&made.header) {
            // Made for a chain that a truncation has cut since.
            if made.file.is_ok() {
                self.remove(vec![made.header.ordinal]);
            }
            return;
        }
        match made.file {
            Ok((file, recycled)) => {
                if recycled {
                    Counters::add(&self.core.counters.recycled, 1);
                }
                let header = made.header;
                let new = NewFile {
                    header,
                    file,
                    fill: !recycled && self.core.options.preallocation == Preallocation::Auto,
                };
                if self.shut.takes(&header) {
                    self.truncated(new, queue);
                } else {
                    self.core.full.store(false, Ordering::Release);
                    self.images.made.push_back(new);
                }
            }
            Err(error) if error.kind() == ErrorKind::Full && !self.shut.takes(&made.header) => {
                // Its place in the chain goes to the next try; its ordinal is never used.
                if self.images.previous.ordinal == made.header.ordinal {
                    self.images.previous = made.header.previous;
                }
                self.core.full.store(true, Ordering::Release);
                // Who waits for room learns that there is none.
                self.core.room_waiters.wake(0);
                if self.wants_ballast() && !made.control {
                    self.ask_for_segment(true);
                }
            }
            Err(error) if self.shut.takes(&made.header) => self.truncate_failed(error),
            Err(error) => self.fail(error),
        }
    }

    /// An append found the disk full, or space was freed: try again.
    pub(super) fn retry_make(&mut self) {
        if self.core.full.load(Ordering::Relaxed) && !self.images.making {
            self.ask_for_segment(self.wants_ballast());
        }
    }

    /// Whether a trim waits for a checkpoint that finds no room: then it may use the ballast.
    fn wants_ballast(&self) -> bool {
        self.start.is_unwritten() && self.front().frontier == self.end && !self.has_next()
    }

    /// Finds memory for the next image: fresh within the bound, else that of the oldest image
    /// that is on disk in full.
    fn find_memory(&mut self, queue: &mut dyn Queue) {
        if self.images.idle.is_some() {
            return;
        }
        if !self.may_map_more() {
            if !self.is_oldest_idle() {
                return;
            }
            let Some(live) = self.live.pop_front() else {
                return;
            };
            if let Some(memory) = self.retire(&live, queue) {
                self.images.idle = Some(Idle {
                    memory,
                    zeroed: 0,
                    known: true,
                });
                return;
            }
        }
        match Region::new(self.end as usize + self.block as usize) {
            Ok(memory) => {
                self.images.regions += 1;
                self.images.idle = Some(Idle {
                    memory: Arc::new(memory),
                    zeroed: 0,
                    known: false,
                });
            }
            Err(error) => self.fail(Error::io("mapping memory for a segment", error)),
        }
    }

    /// Whether one more region is within the log's own bound and the engine's budget, of which it
    /// then has its share.
    fn may_map_more(&self) -> bool {
        let regions = self.images.regions;
        regions < IMAGES_MIN
            || regions < self.core.options.images() && self.core.share.grow(self.end + self.block)
    }

    /// A region is not the log's any more: it went, or readers alone keep it.
    fn give_region_back(&mut self) {
        self.images.regions -= 1;
        let own = self.images.regions.max(IMAGES_MIN) as u64;
        self.core.share.shrink_to(own * (self.end + self.block));
    }

    /// The log is closed, all of it is on disk, and the queue was given its memory back: the images
    /// go, whoever still has a handle. Readers go on in the files.
    pub(super) fn let_images_go(&mut self) {
        for live in std::mem::take(&mut self.live) {
            *live.segment.image.lock() = None;
            drop(live.image.retire());
        }
        self.core.share.shrink_to(0);
    }

    /// Whether the oldest image is on disk in full, and the frontier has left it.
    fn is_oldest_idle(&self) -> bool {
        self.live.front().is_some_and(|live| {
            live.footer == FooterState::Sealed
                && live.generation < self.frontier_generation
                && self.following.has_passed(live.generation)
        })
    }

    /// Lets the images of sealed segments before `start` go, so that their files can.
    pub(super) fn forget_before(&mut self, start: Position, queue: &mut dyn Queue) {
        while self.is_oldest_idle()
            && self
                .live
                .front()
                .is_some_and(|live| live.segment.ordinal() < start.segment())
        {
            let Some(live) = self.live.pop_front() else {
                return;
            };
            let Some(memory) = self.retire(&live, queue) else {
                continue;
            };
            if self.images.idle.is_none() {
                self.images.idle = Some(Idle {
                    memory,
                    zeroed: 0,
                    known: true,
                });
            } else {
                queue.remove_region(&memory);
                self.give_region_back();
            }
        }
    }

    /// Takes an image out of reach. Its memory comes back unless somebody pins it.
    fn retire(&mut self, live: &Live, queue: &mut dyn Queue) -> Option<Arc<Region>> {
        *live.segment.image.lock() = None;
        let memory = live.image.retire();
        if memory.is_none() {
            queue.remove_region(&live.memory);
            self.give_region_back();
        }
        memory
    }

    /// Zeroes one piece of idle memory; says whether there is more to zero.
    pub(super) fn zero_piece(&mut self, queue: &mut dyn Queue) -> bool {
        let Some(idle) = &mut self.images.idle else {
            return false;
        };
        let len = idle.memory.len();
        if idle.zeroed == len {
            return false;
        }
        let to = (idle.zeroed + ZERO_BYTES).min(len);
        image::zero_idle(&idle.memory, idle.zeroed..to);
        idle.zeroed = to;
        if to == len && !idle.known {
            // Touched in pieces first: registering it then finds its pages present.
            queue.add_region(&idle.memory);
            idle.known = true;
        }
        // A turn follows at once, also to ready what is now zeroed.
        true
    }

    fn ready_next(&mut self) {
        let (Some(new), Some(idle)) = (self.images.made.pop_front(), self.images.idle.take())
        else {
            return;
        };
        self.install(new, idle.memory);
        self.core.room_waiters.wake(0);
    }

    /// Makes a segment the next generation.
    pub(super) fn install(&mut self, new: NewFile, memory: Arc<Region>) {
        let NewFile { header, file, fill } = new;
        let image = Arc::new(Image::new(
            header.ordinal,
            header.seed(),
            Arc::clone(&memory),
            self.first,
        ));
        let end = Some(self.end);
        let segment = Segment::new(
            header,
            end,
            false,
            Some(Arc::clone(&image)),
            Summary::default(),
        );
        self.core
            .segments
            .write()
            .list
            .push_back(Arc::clone(&segment));
        let generation = self.next_generation;
        self.next_generation += 1;
        self.live.push_back(Live::new(
            generation,
            segment,
            file,
            Arc::clone(&image),
            memory,
            self.first,
            fill,
        ));
        self.core.tail.ready(generation, image);
    }

    /// After a truncation: everything in memory goes, and zeroed memory for one segment comes
    /// back, along with the segments that were made ahead and are in nobody's chain any more.
    pub(super) fn start_over(
        &mut self,
        queue: &mut dyn Queue,
        header: &Header,
    ) -> Result<(Arc<Region>, Vec<u64>)> {
        let mut memory = None;
        for live in std::mem::take(&mut self.live) {
            if let Some(region) = self.retire(&live, queue) {
                if memory.is_none() {
                    memory = Some(region);
                } else {
                    queue.remove_region(&region);
                    self.give_region_back();
                }
            }
        }
        let ghosts = std::mem::take(&mut self.images.made)
            .into_iter()
            .map(|new| new.header.ordinal)
            .collect();
        self.images.previous = Link {
            ordinal: header.ordinal,
            end_bytes: header.frames().end,
        };
        let memory = match memory {
            Some(memory) => {
                image::zero_idle(&memory, 0..memory.len());
                memory
            }
            None => {
                let bytes = self.end as usize + self.block as usize;
                let memory = Arc::new(
                    Region::new(bytes)
                        .map_err(|error| Error::io("mapping memory for a segment", error))?,
                );
                queue.add_region(&memory);
                self.images.regions += 1;
                memory
            }
        };
        Ok((memory, ghosts))
    }
}
