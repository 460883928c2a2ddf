//! The processor time of a consumer that waits and gets nothing.

use std::time::Duration;

use crate::peers::crossbeam::CrossbeamChannel;
use crate::peers::crossfire::{CrossfireMpsc, CrossfireSpsc};
use crate::peers::flume::Flume;
use crate::peers::gil::GilSpscParking;
use crate::peers::kanal::Kanal;
use crate::peers::logbuf::LogbufChannel;
#[cfg(feature = "ring-queues")]
use crate::peers::ringbolt::{RingboltMpmc, RingboltMpsc, RingboltSpsc};
use crate::peers::std_channel::StdChannel;
use crate::peers::thingbuf::Thingbuf;
use crate::queue::{BlockingRx, BlockingTx, Queue};
use crate::scenario::{Length, Metric, Scenario, Target};
use crate::work::idle;

/// A library may look around once in a while: it is watched for long enough to see that.
const TIME_MIN: Duration = Duration::from_millis(100);

pub(super) fn add(all: &mut Vec<Scenario>) {
    let mut it = Scenario::new(
        "idle".into(),
        "processor time of a parked consumer, for each second".into(),
        Metric::Idle,
        Length::Timed,
    );
    #[cfg(feature = "ring-queues")]
    {
        subject::<RingboltSpsc>(&mut it, "ringbolt spsc");
        subject::<RingboltMpsc>(&mut it, "ringbolt mpsc");
        subject::<RingboltMpmc>(&mut it, "ringbolt mpmc");
    }
    subject::<CrossbeamChannel>(&mut it, "crossbeam-channel");
    subject::<CrossfireSpsc>(&mut it, "crossfire spsc");
    subject::<CrossfireMpsc>(&mut it, "crossfire mpsc");
    subject::<Kanal>(&mut it, "kanal");
    subject::<StdChannel>(&mut it, "std sync_channel");
    subject::<Flume>(&mut it, "flume");
    subject::<Thingbuf>(&mut it, "thingbuf");
    subject::<GilSpscParking>(&mut it, "gil parking");
    subject::<LogbufChannel>(&mut it, "nexus-logbuf channel");
    it.each_alone(Target::Zero);
    all.push(it);
}

fn subject<Q: Queue<u64> + 'static>(scenario: &mut Scenario, name: &str)
where
    Q::Tx: BlockingTx<u64>,
    Q::Rx: BlockingRx<u64>,
{
    scenario.subject(name, move |means| {
        let time = means.time.max(TIME_MIN);
        let idle = idle::run::<Q>(time)?;
        Ok((idle.processor_ns as f64 / time.as_secs_f64()).into())
    });
}
