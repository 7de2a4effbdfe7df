//! Silencing panics that are caught and turned into ordinary errors.

use std::cell::Cell;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would be caught and turned into an ordinary error.
///
/// A panic hook can call this to avoid printing such a panic.
pub fn is_panic_caught() -> bool {
    EXPECTED.get()
}

/// Runs a function whose panics are caught. While it runs, [`is_panic_caught`] returns true on this thread, so that a
/// panic hook can stay silent. This function itself catches no panics: `run` must catch its own.
pub fn catching_panics<T>(run: impl FnOnce() -> T) -> T {
    EXPECTED.set(true);
    let result = run();
    EXPECTED.set(false);
    result
}
