//! Loom models of Ringbolt's concurrent structures; see `tests/`.
//!
//! They run with `RUSTFLAGS="--cfg ringbolt_loom"`, in release mode. Without that cfg this crate is
//! empty. Every model counts its executions, prints the count, and fails as vacuous if there were
//! fewer than it expects.
#![cfg(ringbolt_loom)]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Explores `model` with at most `preemptions` preemptions (`None`: all), and fails unless at least
/// `least` executions were explored.
pub fn explore(
    name: &str,
    preemptions: Option<usize>,
    least: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let executions = executions.load(Ordering::Relaxed);
    // Past the test harness, which keeps what a test that passes prints.
    let told = writeln!(std::io::stdout(), "loom: {name}: {executions} executions");
    assert!(told.is_ok());
    assert!(
        executions >= least,
        "{name} explored only {executions} executions"
    );
}

/// Makes items that count how often they are dropped.
#[derive(Clone, Default)]
pub struct Counted(Arc<(AtomicUsize, AtomicUsize)>);

/// One of them.
pub struct Item(Counted);

impl Counted {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn make(&self) -> Item {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        Item(self.clone())
    }

    /// Each that was made has been dropped, once.
    pub fn assert_all_dropped(&self) {
        let (made, dropped) = (&self.0.0, &self.0.1);
        assert_eq!(
            made.load(Ordering::Relaxed),
            dropped.load(Ordering::Relaxed)
        );
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Ordering::Relaxed);
    }
}
