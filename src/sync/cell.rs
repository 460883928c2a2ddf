//! A cell whose contents are reached through closures, so that loom can watch the accesses.

/// A loom-switchable `UnsafeCell`.
#[cfg(ringbolt_loom)]
pub(crate) type UnsafeCell<T> = loom::cell::UnsafeCell<T>;

/// A loom-switchable `UnsafeCell`.
#[cfg(not(ringbolt_loom))]
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(ringbolt_loom))]
#[allow(dead_code)] // the same face as loom's, of which not every part is used at all times
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
