//! One-way latency at set rates, by consumers that spin and consumers that park.

use crate::item::Order;
use crate::peers::crossbeam::{CrossbeamArray, CrossbeamChannel};
use crate::peers::crossfire::{CrossfireMpmc, CrossfireMpsc, CrossfireSpsc};
use crate::peers::disruptor::Disruptor;
use crate::peers::flume::Flume;
use crate::peers::gil::{GilSpsc, GilSpscParking};
use crate::peers::kanal::Kanal;
use crate::peers::logbuf::LogbufChannel;
use crate::peers::nexus::NexusSpsc;
#[cfg(feature = "ring-queues")]
use crate::peers::ringbolt::{RingboltMpmc, RingboltMpsc, RingboltSpsc};
use crate::peers::ringbuf::Ringbuf;
use crate::peers::rtrb::Rtrb;
use crate::peers::std_channel::StdChannel;
use crate::peers::thingbuf::Thingbuf;
use crate::queue::{BlockingRx, BlockingTx, Queue};
use crate::scenario::{Figure, Length, Means, Metric, Scenario, Target, plan};
use crate::units;
use crate::wait::Broken;
use crate::work::latency::Latencies;
use crate::work::{Plan, latency};

const PER_SECOND: [u64; 3] = [1_000, 10_000, 100_000];
const CAPACITY: usize = 4096;
const PARKING_PEERS: [&str; 5] = [
    "crossbeam-channel",
    "crossfire spsc",
    "crossfire mpsc",
    "crossfire mpmc",
    "kanal",
];

pub(super) fn add(all: &mut Vec<Scenario>) {
    all.extend(PER_SECOND.map(spin));
    all.extend(PER_SECOND.map(park));
}

fn scenario(per_second: u64, how: &str, words: &str) -> Scenario {
    let rate = units::count(per_second as f64);
    Scenario::new(
        format!("latency-{}-{how}", rate.replace(' ', "")),
        format!("one-way latency p50, {rate}/s, {words}"),
        Metric::Latency,
        Length::Paced(per_second),
    )
}

fn spin(per_second: u64) -> Scenario {
    let mut it = scenario(per_second, "spin", "spinning consumer");
    #[cfg(feature = "ring-queues")]
    {
        spinning::<RingboltSpsc>(&mut it, "ringbolt spsc", per_second);
        spinning::<RingboltMpsc>(&mut it, "ringbolt mpsc", per_second);
        spinning::<RingboltMpmc>(&mut it, "ringbolt mpmc", per_second);
    }
    spinning::<Rtrb>(&mut it, "rtrb", per_second);
    spinning::<Ringbuf>(&mut it, "ringbuf", per_second);
    spinning::<GilSpsc>(&mut it, "gil", per_second);
    spinning::<NexusSpsc>(&mut it, "nexus-queue", per_second);
    spinning::<Disruptor>(&mut it, "disruptor", per_second);
    spinning::<CrossbeamArray>(&mut it, "crossbeam ArrayQueue", per_second);
    spinning::<CrossbeamChannel>(&mut it, "crossbeam-channel", per_second);
    spinning::<CrossfireSpsc>(&mut it, "crossfire spsc", per_second);
    spinning::<Kanal>(&mut it, "kanal", per_second);
    it
}

fn park(per_second: u64) -> Scenario {
    let mut it = scenario(per_second, "park", "parked consumer");
    #[cfg(feature = "ring-queues")]
    {
        parking::<RingboltSpsc>(&mut it, "ringbolt spsc", per_second);
        parking::<RingboltMpsc>(&mut it, "ringbolt mpsc", per_second);
        parking::<RingboltMpmc>(&mut it, "ringbolt mpmc", per_second);
    }
    parking::<CrossbeamChannel>(&mut it, "crossbeam-channel", per_second);
    parking::<CrossfireSpsc>(&mut it, "crossfire spsc", per_second);
    parking::<CrossfireMpsc>(&mut it, "crossfire mpsc", per_second);
    parking::<CrossfireMpmc>(&mut it, "crossfire mpmc", per_second);
    parking::<Kanal>(&mut it, "kanal", per_second);
    parking::<StdChannel>(&mut it, "std sync_channel", per_second);
    parking::<Flume>(&mut it, "flume", per_second);
    parking::<Thingbuf>(&mut it, "thingbuf", per_second);
    parking::<GilSpscParking>(&mut it, "gil parking", per_second);
    parking::<LogbufChannel>(&mut it, "nexus-logbuf channel", per_second);
    it.against(&PARKING_PEERS, Target::Ahead);
    it
}

fn spinning<Q: Queue<u64> + 'static>(scenario: &mut Scenario, name: &str, per_second: u64) {
    measure(scenario, name, move |plan, means| {
        latency::spinning::<Q>(plan, means.ticker, per_second)
    });
}

fn parking<Q: Queue<u64> + 'static>(scenario: &mut Scenario, name: &str, per_second: u64)
where
    Q::Tx: BlockingTx<u64>,
    Q::Rx: BlockingRx<u64>,
{
    measure(scenario, name, move |plan, means| {
        latency::parking::<Q>(plan, means.ticker, per_second)
    });
}

fn measure(
    scenario: &mut Scenario,
    name: &str,
    run: impl Fn(&Plan, &Means) -> Result<Latencies, Broken> + 'static,
) {
    scenario.subject(name, move |means| {
        let latencies = run(&plan(means, 1, 1, CAPACITY), means)?;
        Ok(Figure {
            value: latencies.histogram.value_at_quantile(0.5) as f64,
            latencies: Some(latencies),
            order: Order::Kept,
        })
    });
}
