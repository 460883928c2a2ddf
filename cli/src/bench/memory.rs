//! Resident memory of a log at full load, in a process of its own.

use crate::bench::context::Bench;
use crate::bench::probe::{Args, Kind, MemoryFigures};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::outcome::Done;
use crate::units;

/// What the process may take beyond the bound.
const BEYOND_BYTES_MAX: f64 = (32 << 20) as f64;

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let time = bench.scale.pass * 2;
    let (mut beyond, mut resident, mut bound) = (Vec::new(), Vec::new(), 0);
    let rounds = bench.scale.rounds.min(3);
    for round in 1..=rounds {
        bench.say(format!("resident memory, round {round} of {rounds}"));
        let args = Args::new(Kind::Memory, bench, "memory", time);
        let figures: MemoryFigures = args.figures()?;
        bench.remove("memory");
        beyond.push(figures.resident_bytes as f64 - figures.bound_bytes as f64);
        resident.push(figures.resident_bytes as f64);
        bound = figures.bound_bytes;
    }
    Ok(vec![Measure {
        name: "memory",
        what: "resident memory beyond the bound".into(),
        target: Some(Target::AtMost(BEYOND_BYTES_MAX)),
        unit: Unit::Bytes,
        samples: beyond,
        detail: format!(
            "{} resident, bound {}",
            units::size(median(&mut resident)),
            units::size(bound as f64)
        ),
    }])
}
