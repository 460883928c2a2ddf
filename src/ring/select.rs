//! Waiting on several rings at once: until one of several handles may get on.
//!
//! ```
//! use ringbolt::ring::{Selector, spsc};
//!
//! let (mut orders, mut orders_in) = spsc::ring::<u32>(16)?;
//! let (mut quotes, mut quotes_in) = spsc::ring::<f64>(16)?;
//! std::thread::spawn(move || orders.send(7));
//! std::thread::spawn(move || quotes.send(0.5));
//!
//! let mut selector = Selector::new();
//! let (mut bought, mut last) = (None, None);
//! while bought.is_none() || last.is_none() {
//!     match selector.select(&[&orders_in, &quotes_in]) {
//!         0 => bought = orders_in.try_recv().ok().or(bought),
//!         _ => last = quotes_in.try_recv().ok().or(last),
//!     }
//! }
//! assert_eq!((bought, last), (Some(7), Some(0.5)));
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! A handle is ready when its `try_` calls would do something, or say that the ring is closed: take
//! closed ones out, or the selector names them again and again. Senders and receivers may be mixed;
//! a sender is ready when there is room for one item. Where several threads share a side of a ring,
//! another one may be faster: a `try_` call may still find nothing.
//!
//! # Fairness and progress
//!
//! Each search begins behind the handle that was named last, so that none is left out while others
//! are always ready. `try_select` is wait-free. A wake-up that reaches the selector for a handle is
//! passed on to the next thread that waits on that side, since nobody knows what the caller makes
//! of it: no sibling sleeps beside an item. To sleep costs a short lock for each handle.

use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::handle::Handle;
use super::side::{Side, soon};
use super::{WaitStrategy, Waits};
use crate::sync::park::Parker;
use crate::sync::waiters::Key;
use crate::sys::barrier;

/// A sender or receiver of any ring, as something to wait for. Sealed.
pub trait Ready: Handle + Sync {}

impl<H: Handle + Sync> Ready for H {}

/// Waits until one of several handles may get on; see the [module](self).
pub struct Selector {
    /// How the selector itself waits. Nobody sleeps here.
    own: Side,
    /// Where the next search begins.
    next: usize,
}

impl Selector {
    /// A selector that spins a little, then sleeps.
    #[must_use]
    pub fn new() -> Self {
        Self::with(WaitStrategy::default())
    }

    /// A selector that waits by `strategy`, whatever that of the rings is.
    #[must_use]
    pub fn with(strategy: WaitStrategy) -> Self {
        Self {
            own: Side::new(strategy),
            next: 0,
        }
    }

    /// The index of a handle that may get on, if there is one.
    pub fn try_select(&mut self, handles: &[&dyn Ready]) -> Option<usize> {
        find(&mut self.next, handles)
    }

    /// The index of a handle that may get on; blocks until there is one.
    ///
    /// # Panics
    ///
    /// When there are no handles: it would block for ever.
    pub fn select(&mut self, handles: &[&dyn Ready]) -> usize {
        assert!(!handles.is_empty(), "nothing to wait for");
        self.block(handles, None)
            .expect("without a deadline there is an outcome")
    }

    /// The index of a handle that may get on; blocks until there is one, until `deadline` at the
    /// latest.
    pub fn select_deadline(&mut self, handles: &[&dyn Ready], deadline: Instant) -> Option<usize> {
        self.block(handles, Some(deadline))
    }

    /// The index of a handle that may get on; awaits it. A future that is dropped passes on the
    /// wake-ups that it got.
    ///
    /// # Panics
    ///
    /// When there are no handles: it would wait for ever.
    pub async fn select_async(&mut self, handles: &[&dyn Ready]) -> usize {
        assert!(!handles.is_empty(), "nothing to wait for");
        let next = &mut self.next;
        let mut places = Places::new(handles);
        poll_fn(|cx| {
            places.take_back();
            let mut found = find(next, handles);
            if found.is_none() {
                places.use_up();
                if !places.register(cx.waker()) {
                    cx.waker().wake_by_ref();
                }
                found = find(next, handles);
            }
            found.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// How often this selector waited.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.own.waits()
    }

    fn block(&mut self, handles: &[&dyn Ready], deadline: Option<Instant>) -> Option<usize> {
        let next = &mut self.next;
        if let Some(found) = find(next, handles) {
            return Some(found);
        }
        let attempt = || find(next, handles);
        self.own.block_by(deadline, attempt, |attempt| {
            sleep(handles, deadline, attempt)
        })
    }
}

/// A handle that is ready, from `next` on, around; moves `next` behind it.
fn find(next: &mut usize, handles: &[&dyn Ready]) -> Option<usize> {
    let start = next.checked_rem(handles.len())?;
    let mut order = (start..handles.len()).chain(0..start);
    let found = order.find(|&at| handles[at].is_ready())?;
    *next = found + 1;
    Some(found)
}

fn sleep(
    handles: &[&dyn Ready],
    deadline: Option<Instant>,
    mut attempt: impl FnMut() -> Option<usize>,
) -> Option<usize> {
    let parker = Parker::new();
    let mut places = Places::new(handles);
    loop {
        let fenced = places.register(&parker.waker());
        let mut found = attempt();
        if found.is_none() {
            parker.park(if fenced { deadline } else { soon(deadline) });
        }
        places.take_back();
        found = found.or_else(&mut attempt);
        if found.is_some() || deadline.is_some_and(|at| Instant::now() >= at) {
            return found;
        }
        places.use_up();
    }
}

/// The places of one who waits on several sides. Goes with the wait, and passes on what was not
/// used.
struct Places<'a> {
    handles: &'a [&'a dyn Ready],
    /// One for each handle, while registered.
    keys: Vec<Key>,
    /// The handles whose wake-up was spent on this one.
    spent: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(handles: &'a [&'a dyn Ready]) -> Self {
        Self {
            handles,
            keys: Vec::with_capacity(handles.len()),
            spent: Vec::new(),
        }
    }

    /// Registers with all sides; `false` when the caller must also look again soon, by itself.
    fn register(&mut self, waker: &Waker) -> bool {
        let places = self.handles.iter();
        self.keys
            .extend(places.map(|handle| handle.side().enlist(waker.clone())));
        // ORDERING: pairs with the light ones in `Side::notify`, for all sides.
        barrier::heavy()
    }

    /// Takes all registrations back, and remembers those that no longer stood.
    fn take_back(&mut self) {
        for (at, key) in self.keys.drain(..).enumerate() {
            if !self.handles[at].side().remove(key) {
                self.spent.push(at);
            }
        }
    }

    /// What this one was woken for is gone: nobody else needs to look. (Passing it on here would
    /// have two selectors wake each other for ever.)
    fn use_up(&mut self) {
        self.spent.clear();
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        self.take_back();
        for &at in &self.spent {
            self.handles[at].side().notify(1);
        }
    }
}

impl Default for Selector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("waits", &self.waits())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use super::*;
    use crate::ring::Watch;
    use crate::ring::tokens::Tokens;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Calls {
        fn new() -> (Arc<Self>, Waker) {
            let calls = Arc::new(Self::default());
            (Arc::clone(&calls), Waker::from(calls))
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn a_dropped_future_passes_its_wake_up_on() {
        let (tokens, other) = (Tokens::new(), Tokens::new());
        let mut selector = Selector::new();
        let ((calls, waker), (sibling_calls, sibling_waker)) = (Calls::new(), Calls::new());
        let mut sibling = pin!(tokens.take_async());
        {
            let handles: [&dyn Ready; 2] = [&other, &tokens];
            let mut future = pin!(selector.select_async(&handles));
            assert!(poll(future.as_mut(), &waker).is_pending());
            assert!(poll(sibling.as_mut(), &sibling_waker).is_pending());
            tokens.give();
            assert_eq!((calls.count(), sibling_calls.count()), (1, 0));
        }
        assert_eq!(sibling_calls.count(), 1);
        assert!(poll(sibling, &sibling_waker).is_ready());
    }

    #[test]
    fn a_selector_that_names_a_handle_passes_on_what_it_may_not_use() {
        let tokens = Tokens::new();
        let mut selector = Selector::new();
        let ((_, waker), (sibling_calls, sibling_waker)) = (Calls::new(), Calls::new());
        let mut sibling = pin!(tokens.take_async());
        let handles: [&dyn Ready; 1] = [&tokens];
        {
            let mut future = pin!(selector.select_async(&handles));
            assert!(poll(future.as_mut(), &waker).is_pending());
            assert!(poll(sibling.as_mut(), &sibling_waker).is_pending());
            tokens.give();
            assert_eq!(poll(future, &waker), Poll::Ready(0));
        }
        // The caller of the selector does not take the token.
        assert_eq!(sibling_calls.count(), 1);
        assert!(poll(sibling, &sibling_waker).is_ready());
    }

    #[test]
    fn two_selectors_do_not_wake_each_other_for_ever() {
        let tokens = Tokens::new();
        let handles: [&dyn Ready; 1] = [&tokens];
        let (mut one, mut other) = (Selector::new(), Selector::new());
        let ((calls, waker), (other_calls, other_waker)) = (Calls::new(), Calls::new());
        let mut one = pin!(one.select_async(&handles));
        let mut other = pin!(other.select_async(&handles));
        assert!(poll(one.as_mut(), &waker).is_pending());
        assert!(poll(other.as_mut(), &other_waker).is_pending());
        tokens.give();
        assert!(tokens.try_take().is_some(), "somebody else is faster");
        for _ in 0..3 {
            assert!(poll(one.as_mut(), &waker).is_pending());
            assert!(poll(other.as_mut(), &other_waker).is_pending());
        }
        assert_eq!((calls.count(), other_calls.count()), (1, 0));
    }

    #[test]
    fn a_watch_passes_its_wake_up_on_when_it_goes_or_finds_something() {
        let tokens = Tokens::new();
        let ((calls, waker), (sibling_calls, sibling_waker)) = (Calls::new(), Calls::new());
        for round in 1..=2 {
            let mut sibling = pin!(tokens.take_async());
            let mut watch = Watch::new(&tokens);
            assert!(watch.arm(&waker));
            assert!(poll(sibling.as_mut(), &sibling_waker).is_pending());
            tokens.give();
            assert_eq!((calls.count(), sibling_calls.count()), (round, round - 1));
            if round == 1 {
                drop(watch);
            } else {
                assert!(!watch.arm(&waker));
            }
            assert_eq!(sibling_calls.count(), round);
            assert!(poll(sibling, &sibling_waker).is_ready());
        }
    }
}
