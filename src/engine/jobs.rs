//! The keeper: slow file work, in order, away from the thread that persists.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::lock::Mutex;
use crate::sync::waiters::Waiters;

type Job = Box<dyn FnOnce() + Send>;

/// A queue of jobs, run by one thread in the order in which they came.
pub(crate) struct Jobs {
    state: Mutex<State>,
    arrived: Waiters,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    closed: bool,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            arrived: Waiters::new(),
        }
    }

    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        self.state.lock().queue.push_back(Box::new(job));
        self.arrived.wake(0);
    }

    /// Runs one job; says whether there was one.
    pub(crate) fn run_one(&self) -> bool {
        let job = self.state.lock().queue.pop_front();
        let Some(job) = job else { return false };
        // A job reports by what it sends; one that panics reports nothing, and whoever waits for
        // it sees its channel dropped. The keeper goes on for the other logs.
        let _ = catch_unwind(AssertUnwindSafe(job));
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// Runs jobs until [`Jobs::close`], and what is left then.
    pub(crate) fn run(&self) {
        loop {
            while self.run_one() {}
            let more = self.arrived.wait(0, None, || {
                let state = self.state.lock();
                match (state.queue.is_empty(), state.closed) {
                    (false, _) => Some(true),
                    (true, closed) => closed.then_some(false),
                }
            });
            if more == Some(false) {
                return;
            }
        }
    }

    /// Drops the jobs that did not run.
    pub(crate) fn discard(&self) {
        let queue = std::mem::take(&mut self.state.lock().queue);
        drop(queue);
    }

    /// Ends [`Jobs::run`] once the queue is empty.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.wake_all();
    }
}
