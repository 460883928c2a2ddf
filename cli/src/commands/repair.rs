//! `ringbolt repair`: says what is damaged of a log or a store and how it would be mended; with `--apply`,
//! mends it.

use std::io::{self, Write};
use std::path::PathBuf;

use ringbolt::maintain::repair::{RepairPlan, Repaired};
use ringbolt::store::maintain;
use serde::Serialize;

use crate::commands::verify::{DamageJson, describe};
use crate::outcome::{Done, Failure, Outcome, print_json};

/// Say how a damaged log would be mended; with --apply, mend it. Nothing is ever deleted: what cannot
/// be kept is moved into the folder `quarantine`. Indexes and snapshots of a store are derived again from
/// its log by the next opening, where that still has what they say.
///
/// Exit code 1 when there is something to mend and --apply was not given, or what cannot be mended.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory; nobody may have it open for writing.
    dir: PathBuf,
    /// Do it.
    #[arg(long)]
    apply: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Done {
    let plan = maintain::repair(&args.dir)?;
    if plan.is_empty() {
        report(args, &Told::of(&plan), None)?;
        return Ok(match plan.damages() {
            [] => Outcome::Good,
            _ => Outcome::Damage,
        });
    }
    let told = Told::of(&plan);
    if !args.apply {
        report(args, &told, None)?;
        eprintln!(
            "ringbolt: nothing was changed; `ringbolt repair --apply {}` does this",
            args.dir.display()
        );
        return Ok(Outcome::Damage);
    }
    let repaired = plan.apply()?;
    report(args, &told, Some(&repaired))?;
    Ok(Outcome::Good)
}

/// What the plan says, kept beyond its application.
#[derive(Serialize)]
struct Told {
    damages: Vec<DamageJson>,
    #[serde(skip)]
    lines: Vec<String>,
    steps: Vec<String>,
    /// Where the log ends, or would.
    end: String,
}

impl Told {
    fn of(plan: &RepairPlan) -> Self {
        Self {
            damages: plan.damages().iter().map(DamageJson::of).collect(),
            lines: plan.damages().iter().map(describe).collect(),
            steps: plan.steps(),
            end: plan.end().to_string(),
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    told: &'a Told,
    applied: bool,
    quarantined: Vec<String>,
}

fn report(args: &Args, told: &Told, repaired: Option<&Repaired>) -> Done<()> {
    let quarantined: Vec<String> = repaired
        .iter()
        .flat_map(|repaired| &repaired.quarantined)
        .map(|path| path.display().to_string())
        .collect();
    if args.json {
        let applied = repaired.is_some();
        return print_json(&Json {
            told,
            applied,
            quarantined,
        });
    }
    print(told, repaired.is_some(), &quarantined).map_err(Failure::stdout)
}

fn print(told: &Told, applied: bool, quarantined: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in &told.lines {
        writeln!(out, "damaged: {line}")?;
    }
    if told.steps.is_empty() && !told.lines.is_empty() {
        return writeln!(
            out,
            "nothing of it can be mended: put it back from a backup"
        );
    }
    if told.steps.is_empty() {
        return writeln!(
            out,
            "nothing to repair: the log is sound up to {}",
            told.end
        );
    }
    for step in &told.steps {
        writeln!(out, "{}: {step}", if applied { "done" } else { "to do" })?;
    }
    for path in quarantined {
        writeln!(out, "quarantined: {path}")?;
    }
    let ends = if applied { "ends" } else { "would end" };
    writeln!(out, "the log {ends} at {}", told.end)
}
