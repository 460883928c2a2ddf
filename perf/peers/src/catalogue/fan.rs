//! Rings in which each consumer gets each item: three side by side, and a diamond.

use super::{capacity, manner, throughput};
use crate::item::Item;
use crate::peers::disruptor::Disruptor;
#[cfg(feature = "ring-broadcast")]
use crate::peers::ringbolt::RingboltBroadcast;
use crate::queue::Fan;
use crate::scenario::{Figure, Scenario, Target, plan};
use crate::work::Style;
use crate::work::fan::{self, Layout};

pub(super) fn add<T: Item>(all: &mut Vec<Scenario>) {
    for (layout, kind, shape) in [
        (Layout::Broadcast, "broadcast", "1P3C"),
        (Layout::Diamond, "diamond", "1P2C1C"),
    ] {
        for style in [Style::One, Style::Drain, Style::Batch] {
            let mut it = throughput::<T>(kind, shape, manner(style));
            #[cfg(feature = "ring-broadcast")]
            subject::<T, RingboltBroadcast>(&mut it, "ringbolt broadcast", layout, style);
            subject::<T, Disruptor>(&mut it, "disruptor", layout, style);
            it.against(&["disruptor"], Target::AtLeast(1.2));
            all.push(it);
        }
    }
}

fn subject<T: Item, F: Fan<T> + 'static>(
    scenario: &mut Scenario,
    name: &str,
    layout: Layout,
    style: Style,
) {
    scenario.subject(name, move |means| {
        let plan = plan(means, 1, 3, capacity::<T>());
        fan::run::<T, F>(&plan, layout, style).map(Figure::from)
    });
}
