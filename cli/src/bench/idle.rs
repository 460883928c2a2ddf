//! What an idle log costs, in a process of its own.

use std::time::Duration;

use crate::bench::context::Bench;
use crate::bench::probe::{Args, IdleFigures, Kind};
use crate::bench::report::{Measure, Target, Unit};
use crate::outcome::Done;
use crate::units;

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    bench.say("an idle log");
    let time = (bench.scale.pass * 3).clamp(Duration::from_millis(200), Duration::from_secs(2));
    let figures: IdleFigures = Args::new(Kind::Idle, bench, "idle", time).figures()?;
    bench.remove("idle");
    let unsettled = if figures.settled {
        ""
    } else {
        "; its background work did not end"
    };
    Ok(vec![
        Measure {
            name: "idle",
            what: "processor time of an idle log".into(),
            target: Some(Target::AtMost(0.0)),
            unit: Unit::Nanoseconds,
            samples: vec![figures.processor_ns as f64],
            detail: format!("in {}{unsettled}", units::nanos(figures.seconds * 1e9)),
        },
        Measure {
            name: "idle",
            what: "wake-ups of an idle log".into(),
            target: Some(Target::AtMost(0.0)),
            unit: Unit::Count,
            samples: vec![figures.wakeups as f64],
            detail: String::new(),
        },
    ])
}
