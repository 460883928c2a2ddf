//! One producer, one consumer, by rings made for that.

use super::{Shape, manner, throughput, trying};
use crate::item::Item;
use crate::peers::crossfire::CrossfireSpsc;
use crate::peers::disruptor::Disruptor;
use crate::peers::gil::GilSpsc;
use crate::peers::nexus::NexusSpsc;
#[cfg(feature = "ring-queues")]
use crate::peers::ringbolt::RingboltSpsc;
use crate::peers::ringbuf::Ringbuf;
use crate::peers::rtrb::Rtrb;
use crate::scenario::{Scenario, Target};
use crate::work::Style;

const SHAPE: Shape = Shape {
    producers: 1,
    consumers: 1,
};

pub(super) fn add<T: Item>(all: &mut Vec<Scenario>) {
    all.push(one_by_one::<T>());
    all.push(batches::<T>());
}

fn one_by_one<T: Item>() -> Scenario {
    let style = Style::One;
    let mut it = throughput::<T>("spsc", "1P1C", manner(style));
    #[cfg(feature = "ring-queues")]
    trying::<T, RingboltSpsc>(&mut it, "ringbolt spsc", SHAPE, style);
    trying::<T, Rtrb>(&mut it, "rtrb", SHAPE, style);
    trying::<T, Ringbuf>(&mut it, "ringbuf", SHAPE, style);
    trying::<T, GilSpsc>(&mut it, "gil", SHAPE, style);
    trying::<T, NexusSpsc>(&mut it, "nexus-queue", SHAPE, style);
    trying::<T, Disruptor>(&mut it, "disruptor", SHAPE, style);
    trying::<T, CrossfireSpsc>(&mut it, "crossfire spsc", SHAPE, style);
    it.against(
        &["rtrb", "ringbuf", "gil", "nexus-queue"],
        Target::AtLeast(1.1),
    );
    it
}

/// Only by those that have batches.
fn batches<T: Item>() -> Scenario {
    let style = Style::Batch;
    let mut it = throughput::<T>("spsc", "1P1C", manner(style));
    #[cfg(feature = "ring-queues")]
    trying::<T, RingboltSpsc>(&mut it, "ringbolt spsc", SHAPE, style);
    trying::<T, Rtrb>(&mut it, "rtrb chunks", SHAPE, style);
    trying::<T, Disruptor>(&mut it, "disruptor batches", SHAPE, style);
    trying::<T, Ringbuf>(&mut it, "ringbuf iterators", SHAPE, style);
    trying::<T, GilSpsc>(&mut it, "gil buffers", SHAPE, style);
    it.against(&["rtrb chunks", "disruptor batches"], Target::AtLeast(1.1));
    it
}
