//! Queues for many producers, and for many consumers, each item for one of them. From 1P1C, in which
//! they do less than they could, to 4P4C.

use super::{Shape, blocking, manner, throughput, trying};
use crate::item::Item;
use crate::peers::atomic_queue::AtomicQueue;
use crate::peers::crossbeam::{CrossbeamArray, CrossbeamChannel};
use crate::peers::crossfire::{CrossfireMpmc, CrossfireMpsc};
use crate::peers::disruptor::DisruptorMulti;
use crate::peers::flume::Flume;
use crate::peers::gil::{GilMpmc, GilMpsc, GilSpmc};
use crate::peers::kanal::Kanal;
use crate::peers::nexus::{NexusMpsc, NexusSpmc};
#[cfg(feature = "ring-queues")]
use crate::peers::ringbolt::{RingboltMpmc, RingboltMpsc};
use crate::peers::std_channel::StdChannel;
use crate::peers::thingbuf::Thingbuf;
use crate::scenario::{Scenario, Target};
use crate::work::Style;

const SHAPES: [(usize, usize); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (4, 4)];

const TWICE: [&str; 2] = ["crossbeam ArrayQueue", "crossbeam-channel"];
const AHEAD: [&str; 5] = [
    "crossfire mpmc",
    "crossfire mpsc",
    "kanal",
    "atomic-queue",
    "std sync_channel",
];

pub(super) fn add<T: Item>(all: &mut Vec<Scenario>) {
    for (producers, consumers) in SHAPES {
        let shape = Shape {
            producers,
            consumers,
        };
        all.push(by_trying::<T>(shape, Style::One));
        all.push(by_trying::<T>(shape, Style::Batch));
        all.push(by_blocking::<T>(shape));
    }
}

fn kind(shape: Shape) -> &'static str {
    if shape.consumers == 1 { "mpsc" } else { "mpmc" }
}

/// By `try_` calls and the loop that all share. In batches, those that have none go one by one.
fn by_trying<T: Item>(shape: Shape, style: Style) -> Scenario {
    let mut it = throughput::<T>(kind(shape), &shape.to_string(), manner(style));
    #[cfg(feature = "ring-queues")]
    {
        if shape.consumers == 1 {
            trying::<T, RingboltMpsc>(&mut it, "ringbolt mpsc", shape, style);
        }
        trying::<T, RingboltMpmc>(&mut it, "ringbolt mpmc", shape, style);
    }
    trying::<T, CrossbeamArray>(&mut it, "crossbeam ArrayQueue", shape, style);
    trying::<T, CrossbeamChannel>(&mut it, "crossbeam-channel", shape, style);
    trying::<T, CrossfireMpmc>(&mut it, "crossfire mpmc", shape, style);
    trying::<T, Kanal>(&mut it, "kanal", shape, style);
    trying::<T, AtomicQueue>(&mut it, "atomic-queue", shape, style);
    trying::<T, Flume>(&mut it, "flume", shape, style);
    trying::<T, GilMpmc>(&mut it, "gil mpmc", shape, style);
    if shape.consumers == 1 {
        trying::<T, CrossfireMpsc>(&mut it, "crossfire mpsc", shape, style);
        trying::<T, StdChannel>(&mut it, "std sync_channel", shape, style);
        trying::<T, Thingbuf>(&mut it, "thingbuf", shape, style);
        trying::<T, NexusMpsc>(&mut it, "nexus-queue mpsc", shape, style);
        trying::<T, GilMpsc>(&mut it, "gil mpsc", shape, style);
        trying::<T, DisruptorMulti>(&mut it, "disruptor multi-producer", shape, style);
    }
    if shape.producers == 1 {
        trying::<T, NexusSpmc>(&mut it, "nexus-queue spmc", shape, style);
        trying::<T, GilSpmc>(&mut it, "gil spmc", shape, style);
    }
    it.against(&TWICE, Target::AtLeast(2.0));
    it.against(&AHEAD, Target::Ahead);
    it
}

/// By each library's own blocking calls.
fn by_blocking<T: Item>(shape: Shape) -> Scenario {
    let manner = ("blocking", "one by one, blocking calls");
    let mut it = throughput::<T>(kind(shape), &shape.to_string(), manner);
    #[cfg(feature = "ring-queues")]
    {
        if shape.consumers == 1 {
            blocking::<T, RingboltMpsc>(&mut it, "ringbolt mpsc", shape);
        }
        blocking::<T, RingboltMpmc>(&mut it, "ringbolt mpmc", shape);
    }
    blocking::<T, CrossbeamChannel>(&mut it, "crossbeam-channel", shape);
    blocking::<T, CrossfireMpmc>(&mut it, "crossfire mpmc", shape);
    blocking::<T, Kanal>(&mut it, "kanal", shape);
    blocking::<T, Flume>(&mut it, "flume", shape);
    if shape.consumers == 1 {
        blocking::<T, CrossfireMpsc>(&mut it, "crossfire mpsc", shape);
        blocking::<T, StdChannel>(&mut it, "std sync_channel", shape);
        blocking::<T, Thingbuf>(&mut it, "thingbuf", shape);
    }
    it.against(&TWICE, Target::AtLeast(2.0));
    it.against(&AHEAD, Target::Ahead);
    it
}
