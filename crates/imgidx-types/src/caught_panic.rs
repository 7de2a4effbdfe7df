//! Turning panics into ordinary errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would be caught and turned into an ordinary error.
///
/// A panic hook can call this to avoid printing such a panic.
pub fn is_panic_caught() -> bool {
    CATCHING.get()
}

/// Runs a function and catches its panic. While it runs, [`is_panic_caught`] returns true on this thread, so that a
/// panic hook can stay silent. Calls may be nested.
///
/// # Errors
/// The message of the panic.
pub fn catching_panics<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHING.replace(true);
    // What a caller uses after a panic must not have been left inconsistent by `run`.
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("no message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_after_a_nested_call_is_still_known_to_be_caught() {
        let caught = catching_panics(|| {
            assert_eq!(catching_panics(|| panic!("inner")), Err::<(), _>("inner".to_owned()));
            is_panic_caught()
        });
        assert_eq!((caught, is_panic_caught()), (Ok(true), false));
    }
}
