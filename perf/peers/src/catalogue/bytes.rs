//! Rings of byte records.

#[cfg(feature = "aeron")]
use crate::peers::aeron::{AeronMpsc, AeronSpsc};
use crate::peers::bbqueue::Bbqueue;
use crate::peers::logbuf::{LogbufMpsc, LogbufSpsc};
#[cfg(feature = "ring-bytes")]
use crate::peers::ringbolt::{RingboltBytesMpsc, RingboltBytesSpsc};
use crate::queue::Bytes;
use crate::scenario::{Figure, Length, Metric, Scenario, Target, plan};
use crate::work::{Style, bytes};

const RECORD_BYTES: [usize; 4] = [8, 64, 256, 1024];
const RING_BYTES: usize = 1 << 20;
const PEERS: [&str; 2] = ["nexus-logbuf", "Aeron C"];
/// Their rings for many producers, where there is one.
const MANY_PEERS: [&str; 2] = ["nexus-logbuf mpsc", "Aeron C mpsc"];

pub(super) fn add(all: &mut Vec<Scenario>) {
    for producers in [1, 2] {
        for len in RECORD_BYTES {
            all.push(records(producers, len, Style::One));
            all.push(records(producers, len, Style::Drain));
        }
    }
}

/// Records are always claimed one by one. Those that read one at a time do so also where others take
/// up to 256.
fn records(producers: usize, len: usize, style: Style) -> Scenario {
    let (short, long) = super::manner(style);
    let mut it = Scenario::new(
        format!("bytes-{producers}P1C-{len}B-{short}"),
        format!("bytes {producers}P1C, records of {len} B, {long}"),
        Metric::Rate,
        Length::Calibrated,
    );
    let work = (producers, len, style);
    if producers == 1 {
        #[cfg(feature = "ring-bytes")]
        subject::<RingboltBytesSpsc>(&mut it, "ringbolt bytes", work);
        subject::<LogbufSpsc>(&mut it, "nexus-logbuf", work);
        #[cfg(feature = "aeron")]
        subject::<AeronSpsc>(&mut it, "Aeron C", work);
        subject::<Bbqueue>(&mut it, "bbqueue", work);
    }
    // The rings for many producers, with one or several.
    let many = |name: &str| match producers {
        1 => format!("{name} mpsc"),
        _ => name.to_owned(),
    };
    #[cfg(feature = "ring-bytes")]
    subject::<RingboltBytesMpsc>(&mut it, &many("ringbolt bytes"), work);
    subject::<LogbufMpsc>(&mut it, &many("nexus-logbuf"), work);
    #[cfg(feature = "aeron")]
    subject::<AeronMpsc>(&mut it, &many("Aeron C"), work);
    it.one_against("ringbolt bytes", &PEERS, Target::Ahead);
    it.one_against("ringbolt bytes mpsc", &MANY_PEERS, Target::Ahead);
    it
}

fn subject<B: Bytes + 'static>(
    scenario: &mut Scenario,
    name: &str,
    (producers, len, style): (usize, usize, Style),
) {
    scenario.subject(name, move |means| {
        let plan = plan(means, producers, 1, RING_BYTES);
        bytes::run::<B>(&plan, len, style).map(Figure::from)
    });
}
