//! The queues under test, each behind the traits of [`crate::queue`], by the calls that its own
//! documentation recommends for the case.

#[cfg(feature = "aeron")]
#[allow(unsafe_code)]
pub mod aeron;
pub mod atomic_queue;
pub mod bbqueue;
pub mod crossbeam;
pub mod crossfire;
pub mod disruptor;
pub mod flume;
#[allow(unsafe_code)]
pub mod gil;
pub mod kanal;
pub mod logbuf;
pub mod nexus;
pub mod ringbolt;
pub mod ringbuf;
pub mod rtrb;
pub mod std_channel;
pub mod thingbuf;

/// `count` clones of a handle.
fn clones<H: Clone>(handle: H, count: usize) -> Vec<H> {
    let mut all = vec![handle.clone(); count.saturating_sub(1)];
    all.push(handle);
    all
}

/// Handles of a queue for one producer or one consumer.
fn single<H>(handle: H, count: usize) -> Vec<H> {
    assert_eq!(count, 1, "a queue for one was asked for more");
    vec![handle]
}
