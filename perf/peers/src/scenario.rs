//! A comparison on one work: its subjects, and what of them is held against what.

use std::time::Duration;

use crate::clock::Ticker;
use crate::item::Order;
use crate::wait::Broken;
use crate::work::latency::Latencies;
use crate::work::{Plan, Rate};

/// What a run came to.
#[derive(Debug)]
pub struct Figure {
    pub value: f64,
    /// The distribution behind it, where it is a latency.
    pub latencies: Option<Latencies>,
    pub order: Order,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self {
            value,
            latencies: None,
            order: Order::Kept,
        }
    }
}

impl From<Rate> for Figure {
    fn from(rate: Rate) -> Self {
        Self {
            order: rate.order,
            ..Self::from(rate.per_second)
        }
    }
}

/// What the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Items a second: the more the better.
    Rate,
    /// Nanoseconds at the 50th percentile: the fewer the better.
    Latency,
    /// Nanoseconds of processor time a second: the fewer the better; not divided by each other.
    Idle,
}

/// What a comparison is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The median of the paired ratios at least this.
    AtLeast(f64),
    /// The lower end of the interval at least one.
    Ahead,
    /// Nothing at all: no processor time.
    Zero,
}

/// What a run is given.
#[derive(Debug, Clone)]
pub struct Means {
    pub cpus: Vec<usize>,
    pub ticker: Ticker,
    /// Items to be put by all producers together.
    pub items: u64,
    /// For how long it should go on, where that is set instead.
    pub time: Duration,
}

type Run = Box<dyn Fn(&Means) -> Result<Figure, Broken>>;

/// A queue at one work.
pub struct Subject {
    pub name: String,
    run: Run,
}

impl Subject {
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Means) -> Result<Figure, Broken> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }

    pub fn run(&self, means: &Means) -> Result<Figure, Broken> {
        (self.run)(means)
    }

    /// Whether it is one of Ringbolt's own.
    pub fn ours(&self) -> bool {
        self.name.starts_with("ringbolt")
    }
}

/// A line of the table: one of ours against the best of some peers, round by round.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// An index into the scenario's subjects, as are the peers.
    pub ours: usize,
    pub peers: Vec<usize>,
    pub target: Option<Target>,
}

/// How many items a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As many as pass in the set time, found out beforehand.
    Calibrated,
    /// As many as fall due in the set time at this rate a second, and some at least.
    Paced(u64),
    /// It is a time that is measured.
    Timed,
}

/// Subjects at the same work, which alternate.
pub struct Scenario {
    /// As `--only` names it: `mpmc-2P2C-64B-batch`.
    pub name: String,
    pub what: String,
    pub metric: Metric,
    pub length: Length,
    pub subjects: Vec<Subject>,
    pub lines: Vec<Line>,
}

impl Scenario {
    pub fn new(name: String, what: String, metric: Metric, length: Length) -> Self {
        Self {
            name,
            what,
            metric,
            length,
            subjects: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub fn subject(
        &mut self,
        name: &str,
        run: impl Fn(&Means) -> Result<Figure, Broken> + 'static,
    ) {
        self.subjects.push(Subject::new(name, run));
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.subjects.iter().position(|s| s.name == name)
    }

    /// Each of ours against the best of the peers of these names that are here.
    pub fn against(&mut self, names: &[&str], target: Target) {
        let ours = self.subjects.iter().filter(|subject| subject.ours());
        let ours: Vec<String> = ours.map(|subject| subject.name.clone()).collect();
        for name in ours {
            self.one_against(&name, names, target);
        }
    }

    /// One of ours against the best of the peers of these names that are here.
    pub fn one_against(&mut self, ours: &str, names: &[&str], target: Target) {
        let peers: Vec<usize> = names.iter().filter_map(|name| self.index(name)).collect();
        if let (Some(ours), false) = (self.index(ours), peers.is_empty()) {
            self.lines.push(Line {
                ours,
                peers,
                target: Some(target),
            });
        }
    }

    /// Each subject by itself; the target is for ours.
    pub fn each_alone(&mut self, target: Target) {
        for (index, subject) in self.subjects.iter().enumerate() {
            self.lines.push(Line {
                ours: index,
                peers: Vec::new(),
                target: subject.ours().then_some(target),
            });
        }
    }

    /// All lines: those with a target first, then each of ours against each single peer.
    pub fn all_lines(&self) -> Vec<Line> {
        let mut lines = self.lines.clone();
        if self.metric == Metric::Idle {
            return lines;
        }
        let indices = || 0..self.subjects.len();
        for ours in indices().filter(|&i| self.subjects[i].ours()) {
            for peer in indices().filter(|&i| !self.subjects[i].ours()) {
                let held = |line: &&Line| line.ours == ours && line.peers == [peer];
                if !lines.iter().any(|line| held(&line)) {
                    lines.push(Line {
                        ours,
                        peers: vec![peer],
                        target: None,
                    });
                }
            }
        }
        lines
    }

    /// What a line is called.
    pub fn title(&self, line: &Line) -> String {
        let ours = &self.subjects[line.ours].name;
        let names: Vec<&str> = line
            .peers
            .iter()
            .map(|&peer| self.subjects[peer].name.as_str())
            .collect();
        match names.as_slice() {
            [] => ours.clone(),
            [one] => format!("{ours} / {one}"),
            many => format!("{ours} / best of {}", many.join(", ")),
        }
    }
}

/// A plan for these threads.
pub fn plan(means: &Means, producers: usize, consumers: usize, capacity: usize) -> Plan {
    Plan {
        producers,
        consumers,
        items: means.items.div_ceil(producers as u64),
        capacity,
        cpus: means.cpus.clone(),
    }
}
