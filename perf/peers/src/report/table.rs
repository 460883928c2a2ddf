//! The report as a table on a terminal.

use std::io::{self, Write};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use hdrhistogram::Histogram;

use super::{Report, hiccups, skipped};
use crate::rounds::Outcome;
use crate::units;

impl Report {
    /// Prints everything; with `rates` each queue's own figures as well.
    pub fn print(&self, rates: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", self.machine)?;
        let time = self.scale.time.as_millis();
        let length = match self.scale.items {
            Some(items) => format!("{items} items"),
            None => format!("about {time} ms"),
        };
        writeln!(out, "{} rounds, {length} a run", self.scale.rounds)?;
        for what in skipped() {
            writeln!(out, "left out: {what}")?;
        }
        for outcome in &self.outcomes {
            for (&subject, why) in &outcome.broken {
                let name = &outcome.scenario.subjects[subject].name;
                writeln!(out, "failed: {}: {name}: {}", outcome.scenario.name, why.0)?;
            }
            for (&subject, rounds) in &outcome.disordered {
                let name = &outcome.scenario.subjects[subject].name;
                let work = &outcome.scenario.name;
                writeln!(out, "out of order: {work}: {name}: in {rounds} rounds")?;
            }
        }
        writeln!(out, "\n{}", self.ratios())?;
        if self.outcomes.iter().any(|o| !o.latencies.is_empty()) {
            writeln!(out, "\n{}", self.percentiles())?;
        }
        let nothing_divided = self.outcomes.iter().all(|o| o.rows().next().is_none());
        if rates || nothing_divided {
            writeln!(out, "\n{}", self.figures())?;
        }
        Ok(())
    }

    /// Each line with its target; the meter's p99 and maximum once a comparison.
    fn ratios(&self) -> Table {
        let head = [
            "work",
            "ratio",
            "median",
            "95% interval",
            "target",
            "",
            "figures",
            "hiccups",
        ];
        let mut table = new_table(&head);
        for outcome in &self.outcomes {
            for (index, row) in outcome.rows().enumerate() {
                let once = |text: String| if index == 0 { text } else { String::new() };
                let verdict = match row.reached() {
                    Some(true) => Cell::new("yes").fg(Color::Green),
                    Some(false) => Cell::new("no").fg(Color::Red),
                    None => Cell::new(""),
                };
                let interval = |s: crate::summary::Summary| {
                    format!("{} to {}", row.show(s.low), row.show(s.high))
                };
                table.add_row(vec![
                    Cell::new(once(outcome.scenario.what.clone())),
                    Cell::new(row.title()),
                    right(row.summary.map_or("-".into(), |s| row.show(s.median))),
                    right(row.summary.map_or(String::new(), interval)),
                    right(row.target()),
                    verdict,
                    Cell::new(row.detail()),
                    right(once(hiccups(&outcome.hiccups))),
                ]);
            }
        }
        table
    }

    /// Each distribution of latencies, with the part of the time that the consumer kept its processor busy,
    /// and the meter's beside it.
    fn percentiles(&self) -> Table {
        let head = [
            "work", "latency", "count", "p50", "p99", "p99.9", "p99.99", "max", "busy",
        ];
        let mut table = new_table(&head);
        let mut add = |work: &str, name: &str, histogram: &Histogram<u64>, busy: Option<f64>| {
            let at = |quantile| right(units::nanos(histogram.value_at_quantile(quantile) as f64));
            table.add_row(vec![
                Cell::new(work),
                Cell::new(name),
                right(units::count(histogram.len() as f64)),
                at(0.5),
                at(0.99),
                at(0.999),
                at(0.9999),
                at(1.0),
                right(busy.map_or(String::new(), |part| format!("{:.0}%", part * 100.0))),
            ]);
        };
        for outcome in self.outcomes.iter().filter(|o| !o.latencies.is_empty()) {
            let mut work = outcome.scenario.name.as_str();
            for (&subject, histogram) in &outcome.latencies {
                let name = &outcome.scenario.subjects[subject].name;
                add(work, name, histogram, outcome.busy(subject));
                work = "";
            }
            add("", "hiccup meter", &outcome.hiccups, None);
        }
        table
    }

    /// Each queue's own figures.
    fn figures(&self) -> Table {
        let mut table = new_table(&["work", "queue", "median", "95% interval"]);
        for outcome in &self.outcomes {
            for subject in 0..outcome.scenario.subjects.len() {
                let work = if subject == 0 {
                    &outcome.scenario.what
                } else {
                    ""
                };
                table.add_row(figure(outcome, subject, work));
            }
        }
        table
    }
}

fn figure(outcome: &Outcome, subject: usize, work: &str) -> Vec<Cell> {
    let summary = outcome.summary(subject);
    let interval = summary.map(|s| format!("{} to {}", outcome.show(s.low), outcome.show(s.high)));
    vec![
        Cell::new(work),
        Cell::new(&outcome.scenario.subjects[subject].name),
        right(summary.map_or("failed".into(), |s| outcome.show(s.median))),
        right(interval.unwrap_or_default()),
    ]
}

fn new_table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head);
    table
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
