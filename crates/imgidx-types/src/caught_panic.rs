//! Panics that are caught and become ordinary errors, so that nobody needs to read of them.

use std::cell::Cell;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be caught and become an ordinary error.
///
/// A program's panic hook may ask, so as not to print such a panic.
pub fn is_panic_caught() -> bool {
    EXPECTED.get()
}

/// Runs something whose panics the caller catches, and has a panic hook that asks [`is_panic_caught`] keep silent.
pub fn catching_panics<T>(run: impl FnOnce() -> T) -> T {
    EXPECTED.set(true);
    let result = run();
    EXPECTED.set(false);
    result
}
