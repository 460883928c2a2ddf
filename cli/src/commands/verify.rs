//! `ringbolt verify`: every checksum of a log or a store, read-only, also while it is in use.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use ringbolt::maintain::{Damage, Progress};
use ringbolt::store::maintain::{self, StoreVerification};
use serde::Serialize;

use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units;

/// Check every checksum, and of a store its entries, indexes and snapshots; read-only, also while it is in
/// use. Exit code 1 when damage was found.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's directory.
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Done {
    let begin = Instant::now();
    let bar = Bar::new();
    let verification = maintain::verify(&args.dir, &mut |progress| bar.show(progress))?;
    drop(bar);
    if args.json {
        print_json(&Json::of(&verification))?;
    } else {
        let seconds = begin.elapsed().as_secs_f64();
        print(&verification, seconds).map_err(Failure::stdout)?;
    }
    if verification.log.is_sound() {
        return Ok(Outcome::Good);
    }
    eprintln!(
        "ringbolt: damage was found; `ringbolt repair {}` says what can be kept",
        args.dir.display()
    );
    Ok(Outcome::Damage)
}

fn print(store: &StoreVerification, seconds: f64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let found = &store.log;
    for damage in &found.damages {
        writeln!(out, "damaged: {}", describe(damage))?;
    }
    if store.entries + store.files > 0 {
        writeln!(
            out,
            "a store: {} entries, {} indexes and snapshots",
            store.entries, store.files
        )?;
    }
    writeln!(
        out,
        "{}: {} records in {} frames of {} segments, {} read in {:.1} s; positions {} to {}",
        if found.is_sound() { "sound" } else { "damaged" },
        found.records,
        found.frames,
        found.segments,
        units::size(found.bytes as f64),
        seconds,
        found.start,
        found.end
    )
}

/// A damage in a line.
pub(crate) fn describe(damage: &Damage) -> String {
    match damage.position {
        Some(position) => {
            format!(
                "{}, position {position}: {}",
                damage.path.display(),
                damage.what
            )
        }
        None => format!("{}: {}", damage.path.display(), damage.what),
    }
}

/// A bar on a terminal; nothing else.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go",
        );
        Self(ProgressBar::new(0).with_style(style.expect("the template is right")))
    }

    pub(crate) fn show(&self, progress: Progress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes_done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json {
    sound: bool,
    start: String,
    end: String,
    attested: String,
    segments: u64,
    frames: u64,
    records: u64,
    bytes: u64,
    entries: u64,
    files: u64,
    damages: Vec<DamageJson>,
}

/// A damage as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct DamageJson {
    path: String,
    position: Option<String>,
    what: String,
}

impl DamageJson {
    pub(crate) fn of(damage: &Damage) -> Self {
        Self {
            path: damage.path.display().to_string(),
            position: damage.position.map(|position| position.to_string()),
            what: damage.what.clone(),
        }
    }
}

impl Json {
    fn of(store: &StoreVerification) -> Self {
        let found = &store.log;
        Self {
            sound: found.is_sound(),
            start: found.start.to_string(),
            end: found.end.to_string(),
            attested: found.attested.to_string(),
            segments: found.segments,
            frames: found.frames,
            records: found.records,
            bytes: found.bytes,
            entries: store.entries,
            files: store.files,
            damages: found.damages.iter().map(DamageJson::of).collect(),
        }
    }
}
